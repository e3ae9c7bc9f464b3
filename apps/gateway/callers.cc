#include "apps/gateway/callers.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "apps/common/status_text.h"

namespace messenger::app {
namespace {

// Clients that end are not there yet when the next ones begin: so many may
// exist beyond the bound.
constexpr std::size_t kMostDisplaced = 100;

// Only the cache has it, so that nobody can get at it but by the cache.
bool IsIdle(const std::shared_ptr<Caller>& caller) {
  return caller.use_count() == 1;
}

ClientOptions WithToken(ClientOptions options, const std::string& token) {
  options.token_file.clear();
  options.token = token;
  options.on_notice = nullptr;
  return options;
}

absl::Status CheckTokens(const ClientOptions& own) {
  const absl::Status status = Client::Connect(WithToken(own, "token")).status();
  if (status.ok()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("the gateway cannot pass tokens on to its server: {}",
                  MessageOf(status)));
}

}  // namespace

Callers::Callers(CallersOptions options)
    : threads_(std::make_shared<CallbackThreads>(options.callback_threads)),
      options_([&] {
        options.client.executor = threads_;
        return std::move(options);
      }()),
      own_(std::make_shared<Caller>(options_.client)),
      passing_on_(CheckTokens(options_.client)) {}

Callers::~Callers() {
  own_->End();
  std::vector<std::shared_ptr<Caller>> callers;
  {
    absl::MutexLock lock(&mu_);
    callers.swap(displaced_);
    for (auto& [_, entry] : entries_) {
      callers.push_back(std::move(entry.caller));
    }
    entries_.clear();
  }
  // Without mu_: their callbacks may want it.
  for (const auto& caller : callers) caller->End();
  threads_->Join();
}

std::shared_ptr<Caller> Callers::Find(const std::string& token) {
  const TokenDigest digest = DigestOf(token);
  absl::MutexLock lock(&mu_);
  return FindLocked(digest);
}

std::shared_ptr<Caller> Callers::FindLocked(const TokenDigest& digest) {
  const auto found = entries_.find(digest);
  if (found == entries_.end()) return nullptr;
  found->second.used = Clock::now();
  return found->second.caller;
}

absl::StatusOr<std::shared_ptr<Caller>> Callers::Add(const std::string& token) {
  const TokenDigest digest = DigestOf(token);
  // Without mu_: it reads files.
  auto caller = std::make_shared<Caller>(WithToken(options_.client, token));
  if (absl::Status s = caller->client().status(); !s.ok()) return s;
  absl::MutexLock lock(&mu_);
  // It may have come twice at the same time.
  if (auto known = FindLocked(digest)) return known;
  const Clock::time_point now = Clock::now();
  if (!MakeRoom(now)) {
    return absl::ResourceExhaustedError(
        fmt::format("{} tokens are in use, as many as this gateway takes at "
                    "the same time (--max-tokens); try again",
                    entries_.size()));
  }
  entries_[digest] = {.caller = caller, .used = now};
  return caller;
}

void Callers::Forget(const Caller& caller) {
  absl::MutexLock lock(&mu_);
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&caller](const auto& one) {
                                    return one.second.caller.get() == &caller;
                                  });
  if (found == entries_.end()) return;
  displaced_.push_back(std::move(found->second.caller));
  entries_.erase(found);
}

bool Callers::MakeRoom(Clock::time_point now) {
  if (entries_.size() < options_.max_tokens) return true;
  if (displaced_.size() >= kMostDisplaced) return false;
  const auto longest_unused = std::min_element(
      entries_.begin(), entries_.end(), [now](const auto& a, const auto& b) {
        const auto used = [now](const Entry& entry) {
          return IsIdle(entry.caller) ? entry.used : now;
        };
        return used(a.second) < used(b.second);
      });
  if (!IsIdle(longest_unused->second.caller)) return false;
  displaced_.push_back(std::move(longest_unused->second.caller));
  entries_.erase(longest_unused);
  return true;
}

std::vector<std::shared_ptr<Caller>> Callers::TakeIdle(Clock::time_point now) {
  absl::MutexLock lock(&mu_);
  // Somebody may still have one that was forgotten.
  const auto first_idle =
      std::partition(displaced_.begin(), displaced_.end(),
                     [](const auto& caller) { return !IsIdle(caller); });
  std::vector<std::shared_ptr<Caller>> idle(
      std::make_move_iterator(first_idle),
      std::make_move_iterator(displaced_.end()));
  displaced_.erase(first_idle, displaced_.end());
  for (auto it = entries_.begin(); it != entries_.end();) {
    const auto one = it++;
    Entry& entry = one->second;
    if (!IsIdle(entry.caller)) {
      entry.used = now;
    } else if (now - entry.used >= options_.idle_timeout) {
      idle.push_back(std::move(entry.caller));
      entries_.erase(one);
    }
  }
  return idle;
}

}  // namespace messenger::app
