#include "apps/gateway/token_checks.h"

#include <fmt/format.h>

#include <utility>

namespace messenger::app {

void TokenChecks::Check(const std::string& token, Done done) {
  const TokenDigest digest = DigestOf(token);
  {
    absl::MutexLock lock(&mu_);
    const auto found = waiting_.find(digest);
    if (found != waiting_.end()) {
      found->second.push_back(std::move(done));
      return;
    }
    if (waiting_.size() < options_.max_tokens) {
      waiting_[digest].push_back(std::exchange(done, nullptr));
    }
  }
  if (done) {
    Refuse(std::move(done));
    return;
  }
  const auto latest = std::chrono::steady_clock::now() + options_.timeout;
  options_.post([this, token, digest, latest] {
    const absl::Status status = Ask(token, latest);
    std::vector<Done> all;
    {
      absl::MutexLock lock(&mu_);
      all = std::move(waiting_.extract(digest).mapped());
    }
    for (Done& one : all) one(status);
  });
}

absl::Status TokenChecks::Ask(
    const std::string& token,
    std::chrono::steady_clock::time_point latest) const {
  if (std::chrono::steady_clock::now() >= latest) {
    return absl::UnavailableError(
        "the server could not be asked about the token in time; try again");
  }
  return options_.ask(token);
}

void TokenChecks::Refuse(Done done) {
  if (refusals_.IsDue()) {
    options_.on_notice(fmt::format(
        "the server is being asked about {} tokens, as many as may be at the "
        "same time; callers with other new ones are refused until it has "
        "answered",
        options_.max_tokens));
  }
  done(absl::ResourceExhaustedError(
      "too many tokens wait for the server to say whether it knows them; try "
      "again"));
}

}  // namespace messenger::app
