#include "client/subscription.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "base/bounds.h"
#include "base/cond_var.h"
#include "base/counters.h"
#include "base/forked.h"
#include "base/status.h"
#include "wire/channel_name.h"

namespace messenger {
namespace {

// Who has been expelled from the tail comes back after this, and after twice as
// long each time that it was for nothing.
constexpr std::chrono::seconds kShortestAlone{1};
constexpr std::chrono::seconds kLongestAlone{64};

ReadOptions Resolved(ReadOptions options) {
  const auto name = wire::ResolveChannelName(options.channel);
  if (name.ok()) options.channel = std::string(*name);
  return options;
}

absl::Status Check(const ReadOptions& options) {
  return FirstError(
      {wire::ResolveChannelName(options.channel).status(),
       CheckBounds("heartbeat_interval", options.heartbeat_interval,
                   ReadOptions::kHeartbeatInterval)});
}

}  // namespace

// Of a subscription that is pulled.
struct Subscription::Impl::Pull {
  // Guarded by the subscription's mu_.
  CondVar changed;
  bool wanted = false;  // by a Next
  NextCallback done;    // null: it waits for `changed`
  // May come when the time of its Next is up; it is for the next one, then.
  std::optional<absl::StatusOr<ReadFrame>> answer;
  // In the subscription's turns.
  ReadFrame frame;       // is being collected
  bool in_hand = false;  // it was answered with one
};

Subscription::Impl::Impl(std::shared_ptr<Feeds> feeds, ReadOptions options,
                         ReadCallbacks callbacks)
    : feeds_(std::move(feeds)),
      options_(Resolved(std::move(options))),
      callbacks_(std::move(callbacks)) {}

Subscription::Impl::Impl(std::shared_ptr<Feeds> feeds, ReadOptions options)
    : feeds_(std::move(feeds)),
      options_(Resolved(std::move(options))),
      pull_(std::make_unique<Pull>()) {
  ReadFrame* const frame = &pull_->frame;
  callbacks_.on_joined = [frame](const Joined& j) { frame->joined = j; };
  callbacks_.on_gap = [frame](const Gap& gap) { frame->gap = gap; };
  callbacks_.on_messages = [frame](std::span<const Message> messages) {
    frame->messages = messages;
  };
  callbacks_.on_caught_up = [frame](std::uint64_t h) { frame->caught_up = h; };
  callbacks_.on_heartbeat = [frame](std::uint64_t h) { frame->heartbeat = h; };
}

Subscription::Impl::~Impl() = default;

void Subscription::Impl::Start(const absl::Status& status) {
  start_status_ = status.ok() ? Check(options_) : status;
  feeds_->context().queue->MakeReady(shared_from_this());
}

void Subscription::Impl::StartCancel() {
  // Under the lock: see Strand::Post.
  absl::MutexLock lock(&mu_);
  if (end_ || cancelled_.exchange(true)) return;
  feeds_->context().queue->MakeReady(shared_from_this());
}

void Subscription::Impl::AwaitEnd() {
  if (feeds_->context().queue->RunningInside()) return;
  absl::MutexLock lock(&mu_);
  while (!end_) changed_.Wait(&mu_);
}

absl::Status Subscription::Impl::Wait() {
  if (feeds_->context().queue->RunningInside()) {
    return absl::FailedPreconditionError(
        "Wait was called from inside a callback, for whose end it would wait");
  }
  absl::MutexLock lock(&mu_);
  while (!end_) changed_.Wait(&mu_);
  return *end_;
}

std::optional<Position> Subscription::Impl::position() const {
  absl::MutexLock lock(&mu_);
  if (!position_epoch_) return std::nullopt;
  return Position{*position_epoch_, position_sequence_};
}

std::optional<Bookmark> Subscription::Impl::bookmark() const {
  const std::optional<Position> at = position();
  if (!at) return std::nullopt;
  return Bookmark{.channel = options_.channel, .position = *at};
}

SubscriptionState Subscription::Impl::state() const {
  absl::MutexLock lock(&mu_);
  return state_;
}

bool Subscription::Impl::ended() const {
  absl::MutexLock lock(&mu_);
  return end_.has_value();
}

// ---------------------------------------------------------------------------
// Turns

bool Subscription::Impl::Run() {
  const bool wanted = !pull_ || IsPulled();
  if (over_) {
    if (pull_ && wanted) Answer(AfterEnd());
    return false;
  }
  if (cancelled()) {
    End(absl::OkStatus());
  } else if (!feed_) {
    Begin();
  } else if (!pull_ || !pull_->in_hand) {
    return FollowFeed(wanted);
  }
  // Who pulls is told of the end in another turn.
  return over_ && pull_;
}

bool Subscription::Impl::FollowFeed(bool frames) {
  const Feed::Taken taken = feed_->Take(this, frames);
  if (taken.expelled) {
    GoOnAlone();
    return false;
  }
  if (taken.event) {
    Handle(taken.event);
    if (over_) return pull_ != nullptr;
    if (pull_ && pull_->in_hand) return false;
    if (feed_->Done(this)) return true;
  }
  if (frames) LookForTail();
  return false;
}

void Subscription::Impl::Begin() {
  if (start_status_.ok()) {
    feed_ = feeds_->Follow(shared_from_this(), options_);
  } else {
    End(start_status_);
  }
}

void Subscription::Impl::GoOnAlone() {
  const Timers::TimePoint now = Timers::Clock::now();
  if (now - on_tail_since_ > kLongestAlone) expulsions_ = 0;
  const std::chrono::seconds alone =
      std::min(kShortestAlone * (1 << expulsions_), kLongestAlone);
  if (alone < kLongestAlone) ++expulsions_;
  alone_until_ = now + alone;
  on_tail_ = false;
  quiet_ = true;
  caught_up_ = false;
  ReadOptions options = options_;
  // A feed that has many followers has told them where they stand.
  if (next_sequence_ != 0) {
    options.start = Start::After({epoch_, next_sequence_ - 1});
    if (options.limit) *options.limit -= delivered_;
  }
  feed_ = feeds_->Follow(shared_from_this(), options);
}

void Subscription::Impl::LookForTail() {
  if (on_tail_ || !caught_up_ || options_.until_caught_up ||
      !feeds_->context().share_tails) {
    return;
  }
  if (expulsions_ > 0 && Timers::Clock::now() < alone_until_) return;
  std::shared_ptr<Feed> tail = feeds_->TailFor(feed_);
  if (!tail) return;
  if (tail != feed_ && !tail->TakeOver(shared_from_this(), feed_.get(), epoch_,
                                       next_sequence_)) {
    return;
  }
  feed_ = std::move(tail);
  on_tail_ = true;
  on_tail_since_ = Timers::Clock::now();
}

void Subscription::Impl::Handle(const std::shared_ptr<const FeedEvent>& event) {
  switch (event->kind) {
    case FeedEvent::Kind::kConnecting:
      caught_up_ = false;
      if (quiet_) break;
      SetState({.kind = SubscriptionState::Kind::kConnecting,
                .failed_tries = event->failed_tries});
      break;
    case FeedEvent::Kind::kWaiting:
      quiet_ = false;
      // Nor may it go over to the tail: it has to be told that it is back.
      caught_up_ = false;
      SetState({.kind = SubscriptionState::Kind::kWaiting,
                .reason = event->status,
                .next_try = event->next_try,
                .failed_tries = event->failed_tries});
      break;
    case FeedEvent::Kind::kFrame: {
      absl::Status s = HandleFrame(event->frame);
      if (pull_) HandOver(event);
      if (!s.ok() || Finished()) End(s);
      break;
    }
    case FeedEvent::Kind::kEnd:
      End(event->status);
      break;
  }
}

// ---------------------------------------------------------------------------
// Frames

absl::Status Subscription::Impl::HandleFrame(const DecodedFrame& frame) {
  // Nothing that this reader does not have.
  if (!frame.joins && frame.next < next_sequence_) return absl::OkStatus();
  head_ = *frame.header.head;
  const std::optional<Gap> gap = GapFor(frame);
  if (frame.joins) Join(frame, gap.has_value());
  if (gap && !cancelled()) {
    if (absl::Status s = DeliverGap(*gap); !s.ok()) return s;
  }
  DeliverMessages(frame);
  if (!cancelled()) DeliverNews(frame);
  return absl::OkStatus();
}

std::optional<Gap> Subscription::Impl::GapFor(const DecodedFrame& frame) const {
  std::optional<Gap> gap = frame.header.gap;
  if (!gap || frame.expected == 0 || next_sequence_ <= frame.expected) {
    return gap;
  }
  // It has more than the feed had. But what begins anew, or goes back, does so
  // for all.
  const bool goes_on = !frame.joins || (frame.header.epoch == epoch_ &&
                                        gap->next > gap->first_missing);
  if (goes_on && gap->next <= next_sequence_) return std::nullopt;
  gap->first_missing = next_sequence_;
  return gap;
}

void Subscription::Impl::Join(const DecodedFrame& frame, bool gap_follows) {
  const wire::FrameHeader& header = frame.header;
  const bool first = next_sequence_ == 0;
  // Another log has another head.
  const bool begins = first || header.epoch != epoch_;
  // It may have more than the feed had.
  const bool goes_on = !begins && !gap_follows;
  const Joined joined = {
      .epoch = header.epoch,
      .next_sequence = goes_on ? next_sequence_ : header.next_sequence,
      .head = head_};
  if (begins) first_head_ = joined.head;
  epoch_ = header.epoch;
  if (!gap_follows) {
    if (begins) next_sequence_ = header.next_sequence;
    // A gap must be delivered before it is stepped over.
    SetPosition();
  } else if (first) {
    next_sequence_ = header.gap->first_missing;
  }
  if (!std::exchange(quiet_, false) || begins) {
    SetState({.kind = SubscriptionState::Kind::kJoined, .joined = joined});
  }
  if (first && callbacks_.on_joined && !cancelled()) {
    callbacks_.on_joined(joined);
  }
}

absl::Status Subscription::Impl::DeliverGap(const Gap& gap) {
  if (options_.strict) {
    return absl::OutOfRangeError(fmt::format(
        "strict: messages from {} on are not there any more ({}); the oldest "
        "one of channel \"{}\" after them is {}",
        gap.first_missing, ToString(gap.reason), options_.channel, gap.next));
  }
  next_sequence_ = gap.next;
  if (callbacks_.on_gap) callbacks_.on_gap(gap);
  SetPosition();
  return absl::OkStatus();
}

std::span<const Message> Subscription::Impl::Wanted(
    const DecodedFrame& frame) const {
  std::span<const Message> messages = frame.messages;
  if (messages.empty()) return messages;
  const std::uint64_t first = messages.front().sequence;
  // It may have more than the feed had.
  if (next_sequence_ > first) {
    messages = messages.subspan(
        std::min<std::uint64_t>(next_sequence_ - first, messages.size()));
  }
  std::uint64_t most = messages.size();
  if (options_.limit) most = std::min(most, *options_.limit - delivered_);
  if (options_.until_caught_up) {
    most = std::min(
        most, first_head_ + 1 - std::min(next_sequence_, first_head_ + 1));
  }
  return messages.first(most);
}

void Subscription::Impl::DeliverMessages(const DecodedFrame& frame) {
  const std::span<const Message> messages = Wanted(frame);
  if (messages.empty() || cancelled()) return;
  if (callbacks_.on_messages) {
    callbacks_.on_messages(messages);
    Count(feeds_->counters().delivered, messages.size());
    delivered_ += messages.size();
    next_sequence_ += messages.size();
    position_sequence_.store(next_sequence_ - 1, std::memory_order_relaxed);
    return;
  }
  const std::uint64_t before = delivered_;
  for (const Message& message : messages) {
    if (cancelled()) break;
    if (callbacks_.on_message) callbacks_.on_message(message);
    ++delivered_;
    position_sequence_.store(next_sequence_++, std::memory_order_relaxed);
  }
  Count(feeds_->counters().delivered, delivered_ - before);
}

void Subscription::Impl::DeliverNews(const DecodedFrame& frame) {
  const bool was_caught_up = std::exchange(
      caught_up_, frame.header.caught_up && next_sequence_ > head_);
  if (caught_up_ && !was_caught_up) {
    SubscriptionState caught_up = state();
    if (caught_up.kind == SubscriptionState::Kind::kJoined) {
      caught_up.kind = SubscriptionState::Kind::kCaughtUp;
      SetState(caught_up);
    }
    if (callbacks_.on_caught_up && !cancelled()) callbacks_.on_caught_up(head_);
  } else if (caught_up_ && frame.messages.empty() && !frame.header.gap) {
    if (callbacks_.on_heartbeat) callbacks_.on_heartbeat(head_);
  }
}

bool Subscription::Impl::Finished() const {
  if (options_.limit && delivered_ >= *options_.limit) return true;
  return options_.until_caught_up && next_sequence_ > first_head_;
}

void Subscription::Impl::SetPosition() {
  absl::MutexLock lock(&mu_);
  position_epoch_ = epoch_;
  position_sequence_ = next_sequence_ - 1;
}

void Subscription::Impl::SetState(const SubscriptionState& state) {
  if (cancelled() && state.kind != SubscriptionState::Kind::kEnded) return;
  {
    absl::MutexLock lock(&mu_);
    state_ = state;
  }
  if (callbacks_.on_state) callbacks_.on_state(state);
}

void Subscription::Impl::End(const absl::Status& status) {
  const absl::Status final_status =
      cancelled() ? absl::CancelledError("the subscription was cancelled")
                  : status;
  over_ = true;
  if (const auto feed = std::exchange(feed_, nullptr)) feed->Leave(this);
  SetState({.kind = SubscriptionState::Kind::kEnded, .reason = final_status});
  if (callbacks_.on_end) callbacks_.on_end(final_status);
  // What the callbacks own may be the last reference to many things.
  { const ReadCallbacks ended = std::exchange(callbacks_, {}); }
  absl::MutexLock lock(&mu_);
  end_ = final_status;
  changed_.SignalAll();
}

// ---------------------------------------------------------------------------
// Pulling

absl::Status Subscription::Impl::Want(NextCallback* done) {
  if (!pull_) {
    return absl::FailedPreconditionError(
        "Next was called on a subscription that has callbacks: see "
        "Client::Pull");
  }
  absl::MutexLock lock(&mu_);
  if (pull_->wanted) {
    return absl::FailedPreconditionError(
        "Next was called while another one waits");
  }
  pull_->wanted = true;
  if (done != nullptr) pull_->done = std::move(*done);
  return absl::OkStatus();
}

absl::StatusOr<ReadFrame> Subscription::Impl::Next(
    std::optional<std::chrono::steady_clock::time_point> deadline) {
  RunQueue& queue = *feeds_->context().queue;
  if (queue.RunningInside()) {
    return absl::FailedPreconditionError(
        "Next was called from inside a callback: see NextAsync");
  }
  if (absl::Status s = Want(nullptr); !s.ok()) return s;
  // Spares a change of threads if there is something.
  queue.RunNow(shared_from_this());
  absl::MutexLock lock(&mu_);
  while (!pull_->answer) {
    if (!deadline) {
      pull_->changed.Wait(&mu_);
    } else if (!pull_->changed.WaitUntil(&mu_, *deadline)) {
      break;
    }
  }
  pull_->wanted = false;
  if (!pull_->answer) {
    return absl::DeadlineExceededError(
        "nothing has come; what comes waits for the next call");
  }
  absl::StatusOr<ReadFrame> answer = *std::move(pull_->answer);
  pull_->answer.reset();
  return answer;
}

void Subscription::Impl::NextAsync(NextCallback done) {
  if (absl::Status s = Want(&done); !s.ok()) return done(std::move(s));
  {
    // Under the lock: see Strand::Post.
    absl::MutexLock lock(&mu_);
    if (!end_) return feeds_->context().queue->MakeReady(shared_from_this());
  }
  feeds_->context().queue->RunNow(shared_from_this());
}

bool Subscription::Impl::IsPulled() {
  std::optional<absl::StatusOr<ReadFrame>> late;
  {
    absl::MutexLock lock(&mu_);
    if (!pull_->wanted || (pull_->answer && !pull_->done)) return false;
    late = std::exchange(pull_->answer, std::nullopt);
  }
  if (late) {
    Answer(*std::move(late));
    return false;
  }
  if (std::exchange(pull_->in_hand, false) && feed_) feed_->Done(this);
  return true;
}

void Subscription::Impl::HandOver(
    const std::shared_ptr<const FeedEvent>& event) {
  ReadFrame frame = std::exchange(pull_->frame, {});
  if (!frame.joined && !frame.gap && frame.messages.empty() &&
      !frame.caught_up && !frame.heartbeat) {
    return;
  }
  frame.owner = event;
  pull_->in_hand = true;
  Answer(std::move(frame));
}

absl::StatusOr<ReadFrame> Subscription::Impl::AfterEnd() const {
  absl::MutexLock lock(&mu_);
  if (!end_->ok()) return *end_;
  ReadFrame frame;
  frame.ended = true;
  return frame;
}

void Subscription::Impl::Answer(absl::StatusOr<ReadFrame> answer) {
  NextCallback done;
  {
    absl::MutexLock lock(&mu_);
    done = std::exchange(pull_->done, nullptr);
    if (!done) {
      pull_->answer = std::move(answer);
      return pull_->changed.SignalAll();
    }
    pull_->wanted = false;
  }
  done(std::move(answer));
}

std::string_view ToString(SubscriptionState::Kind kind) {
  switch (kind) {
    case SubscriptionState::Kind::kConnecting:
      return "connecting";
    case SubscriptionState::Kind::kJoined:
      return "joined";
    case SubscriptionState::Kind::kCaughtUp:
      return "caught_up";
    case SubscriptionState::Kind::kWaiting:
      return "waiting";
    case SubscriptionState::Kind::kEnded:
      return "ended";
  }
  return "";
}

Subscription::Subscription(std::shared_ptr<Impl> impl)
    : impl_(std::move(impl)) {}

Subscription::~Subscription() {
  Cancel();
}

Subscription::Subscription(Subscription&& other) noexcept = default;

Subscription& Subscription::operator=(Subscription&& other) noexcept {
  if (this != &other) {
    Cancel();
    impl_ = std::move(other.impl_);
  }
  return *this;
}

void Subscription::Cancel() const {
  if (!impl_ || InForkedChild()) return;
  impl_->StartCancel();
  impl_->AwaitEnd();
}

absl::Status Subscription::Wait() const {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  if (!impl_) return absl::FailedPreconditionError("no subscription");
  return impl_->Wait();
}

absl::StatusOr<ReadFrame> Subscription::Next(
    std::optional<std::chrono::steady_clock::time_point> deadline) const {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  if (!impl_) return absl::FailedPreconditionError("no subscription");
  return impl_->Next(deadline);
}

void Subscription::NextAsync(NextCallback done) const {
  absl::Status s = CheckNotForked();
  if (s.ok() && !impl_) s = absl::FailedPreconditionError("no subscription");
  if (!s.ok()) return done(std::move(s));
  impl_->NextAsync(std::move(done));
}

std::optional<Position> Subscription::position() const {
  return impl_ && !InForkedChild() ? impl_->position() : std::nullopt;
}

std::optional<Bookmark> Subscription::bookmark() const {
  return impl_ && !InForkedChild() ? impl_->bookmark() : std::nullopt;
}

SubscriptionState Subscription::state() const {
  if (absl::Status s = CheckNotForked(); !s.ok()) {
    return {.kind = SubscriptionState::Kind::kEnded, .reason = s};
  }
  if (impl_) return impl_->state();
  return {.kind = SubscriptionState::Kind::kEnded,
          .reason = absl::FailedPreconditionError("no subscription")};
}

}  // namespace messenger
