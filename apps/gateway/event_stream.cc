#include "apps/gateway/event_stream.h"

#include <chrono>
#include <random>
#include <utility>

#include "apps/gateway/event_text.h"
#include "apps/gateway/problem.h"

namespace messenger::app {
namespace {

constexpr std::chrono::milliseconds kRetry{2000};

// Those that are sent away all at once come back one after the other.
std::chrono::milliseconds RandomRetry() {
  std::random_device random;
  return std::chrono::milliseconds(1000 + random() % 2000);
}

}  // namespace

std::shared_ptr<EventStream> EventStream::Make(Gateway* gateway,
                                               const std::string& channel,
                                               Start start) {
  auto stream = std::make_shared<EventStream>(gateway, channel, start);
  stream->waiters_->Add(stream);
  return stream;
}

EventStream::EventStream(Gateway* gateway, std::string channel, Start start)
    : gateway_(gateway),
      waiters_(gateway->waiters()),
      channel_(std::move(channel)),
      subscription_(std::make_shared<const Subscription>(
          gateway->client().Pull({.channel = channel_, .start = start}))) {}

EventStream::~EventStream() {
  waiters_->Remove(this);
}

void EventStream::Next(Piece done) {
  bool asks = false;
  Text piece;
  {
    absl::MutexLock lock(&mu_);
    if (WaitsForFrame()) {
      done_ = std::exchange(done, nullptr);
      asks = !std::exchange(asked_, true);
    } else {
      piece = TakeNext();
    }
  }
  if (done) done(std::move(piece));
  if (!asks) return;
  subscription_->NextAsync(
      [self = shared_from_this()](const absl::StatusOr<ReadFrame>& frame) {
        self->OnFrame(frame);
      });
}

bool EventStream::WaitsForFrame() const {
  return begun_ && text_.empty() && !ended_ && !draining_;
}

EventStream::Text EventStream::TakeNext() {
  if (!text_.empty()) {
    return std::make_shared<std::string>(std::exchange(text_, {}));
  }
  if (ended_) return nullptr;
  if (draining_) return End(absl::OkStatus());
  // At once, so that the browser knows that it is connected.
  begun_ = true;
  auto piece = std::make_shared<std::string>();
  AppendRetry(kRetry, piece.get());
  return piece;
}

void EventStream::OnFrame(const absl::StatusOr<ReadFrame>& frame) {
  Text piece;
  if (frame.ok() && !frame->ended) {
    piece = gateway_->frame_texts().TextOf(channel_, *frame);
  }
  Piece done;
  {
    absl::MutexLock lock(&mu_);
    asked_ = false;
    if (!piece) piece = End(frame.status());
    done = std::exchange(done_, nullptr);
    if (!done && piece) text_ += *piece;
  }
  if (done) done(std::move(piece));
}

EventStream::Text EventStream::End(const absl::Status& status) {
  ended_ = true;
  auto piece = std::make_shared<std::string>();
  if (draining_) {
    AppendRetry(RandomRetry(), piece.get());
    return piece;
  }
  if (status.ok() || absl::IsCancelled(status)) return nullptr;
  AppendProblemEvent(ProblemOf(status), piece.get());
  return piece;
}

void EventStream::OnServerAway(const std::string& reason) {
  auto notice = std::make_shared<std::string>();
  AppendWaiting(reason, notice.get());
  Piece done;
  {
    absl::MutexLock lock(&mu_);
    done = std::exchange(done_, nullptr);
    if (!done) text_ += *notice;
  }
  if (done) done(std::move(notice));
}

void EventStream::Cancel() {
  gateway_->CancelSoon(subscription_);
}

void EventStream::Drain() {
  {
    absl::MutexLock lock(&mu_);
    draining_ = true;
  }
  gateway_->CancelSoon(subscription_);
}

}  // namespace messenger::app
