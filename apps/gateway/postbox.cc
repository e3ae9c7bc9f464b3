#include "apps/gateway/postbox.h"

#include <fmt/format.h>
#include <poll.h>

#include <optional>
#include <utility>

#include "apps/common/message_text.h"
#include "apps/common/time.h"
#include "apps/gateway/problem.h"

namespace messenger::app {
namespace {

// The original's messages have no data; whoever reads them is told of it.
std::string TextOf(const Message& message) {
  std::string text(message.text);
  if (!HasData(message)) return text;
  if (!text.empty()) text += "  ";
  AppendData(message, &text);
  return text;
}

// The gateway's own identity may not read the channel.
bool IsRefusal(const absl::Status& status) {
  const int http = status.ok() ? 200 : ProblemOf(status).status;
  return http == 401 || http == 403;
}

}  // namespace

bool Postbox::Put(const Message& message) {
  absl::MutexLock lock(&mu_);
  const bool had_dropped = dropped_ > 0;
  Entry& entry =
      entries_.emplace_back(Entry{.author = std::string(message.author),
                                  .text = TextOf(message),
                                  .send_time = message.send_time});
  bytes_ += entry.bytes();
  while (entries_.size() > limits_.max_messages ||
         (bytes_ > limits_.max_bytes && entries_.size() > 1)) {
    bytes_ -= entries_.front().bytes();
    entries_.pop_front();
    ++dropped_;
  }
  return dropped_ > 0 && !had_dropped;
}

PostboxContents Postbox::Flush() {
  std::deque<Entry> entries;
  PostboxContents contents;
  {
    absl::MutexLock lock(&mu_);
    entries.swap(entries_);
    bytes_ = 0;
    contents.dropped = std::exchange(dropped_, 0);
  }
  for (Entry& entry : entries) {
    contents.messages.push_back({{"author", std::move(entry.author)},
                                 {"text", std::move(entry.text)},
                                 {"sendTime", FormatTime(entry.send_time)}});
  }
  return contents;
}

PostboxReader::PostboxReader(Client* client, Postbox* postbox, Notice notice,
                             ServerAway server_away)
    : client_(client),
      postbox_(postbox),
      notice_(std::move(notice)),
      server_away_(std::move(server_away)) {
  absl::MutexLock lock(&mu_);
  Read(Start::NewOnly());
}

PostboxReader::~PostboxReader() {
  Subscription subscription;
  {
    absl::MutexLock lock(&mu_);
    stopped_ = true;
    stop_event_.Set();
    subscription = std::move(subscription_);
  }
}

absl::Status PostboxReader::refusal() const {
  absl::MutexLock lock(&mu_);
  return IsRefusal(failure_) ? failure_ : absl::OkStatus();
}

void PostboxReader::WaitUntilSettled(std::chrono::milliseconds timeout) const {
  WaitForAny({{settled_event_.fd(), POLLIN}}, timeout);
}

void PostboxReader::Read(Start start) {
  subscription_ = client_->Read(
      {.channel = std::string(kDefaultChannel),
       .start = start,
       .skip_damaged = true},
      {.on_joined = [this](const Joined&) { OnJoined(); },
       .on_message =
           [this](const Message& message) {
             if (!postbox_->Put(message)) return;
             notice_(
                 "the postbox is full: its oldest messages are dropped until "
                 "somebody fetches it with /getAndFlushMessages");
           },
       .on_gap =
           [this](const Gap& gap) {
             notice_(fmt::format(
                 "the postbox misses messages from {} on; it goes on with {} "
                 "({})",
                 gap.first_missing, gap.next, ToString(gap.reason)));
           },
       .on_state = [this](const SubscriptionState& state) { OnState(state); },
       .on_end = [this](const absl::Status& status) { OnEnd(status); }});
}

void PostboxReader::OnJoined() {
  {
    absl::MutexLock lock(&mu_);
    failure_ = absl::OkStatus();
  }
  joined_ = true;
  settled_event_.Set();
}

void PostboxReader::OnState(const SubscriptionState& state) {
  if (state.kind == SubscriptionState::Kind::kWaiting) {
    server_away_(ProblemOf(state.reason).detail);
  } else if (state.kind == SubscriptionState::Kind::kJoined) {
    server_away_(std::nullopt);
  }
}

bool PostboxReader::IsNews(const absl::Status& status) {
  absl::MutexLock lock(&mu_);
  return std::exchange(failure_, status) != status;
}

// The client waits for a server that is away. What ends the reading is an
// answer, such as that it has too many readers, or a damaged message.
void PostboxReader::OnEnd(const absl::Status& status) {
  if (absl::IsCancelled(status)) return;
  if (IsNews(status)) {
    notice_(IsRefusal(status)
                ? fmt::format("there is no postbox until the gateway itself "
                              "may read {}: {}",
                              kDefaultChannel, std::string(status.message()))
                : fmt::format("the postbox cannot read on, and tries again: {}",
                              std::string(status.message())));
  }
  // It has answered.
  server_away_(std::nullopt);
  settled_event_.Set();
  // Not at once, again and again.
  WaitForAny({{stop_event_.fd(), POLLIN}}, std::chrono::seconds(1));
  absl::MutexLock lock(&mu_);
  if (stopped_) return;
  const std::optional<Position> position = subscription_.position();
  Read(position ? Start::After(*position) : Start::NewOnly());
}

}  // namespace messenger::app
