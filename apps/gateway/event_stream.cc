#include "gateway/event_stream.h"

#include <chrono>
#include <optional>
#include <random>
#include <utility>

#include "gateway/event_text.h"
#include "gateway/problem.h"

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
  stream->drain_list_->Add(stream);
  return stream;
}

EventStream::EventStream(Gateway* gateway, std::string channel, Start start)
    : gateway_(gateway),
      drain_list_(gateway->drain_list()),
      channel_(std::move(channel)),
      subscription_(std::make_shared<const Subscription>(
          gateway->client().Pull({.channel = channel_, .start = start}))) {}

EventStream::~EventStream() {
  drain_list_->Remove(this);
}

void EventStream::Next(Piece done) {
  std::optional<std::string> piece;
  bool asks = false;
  {
    absl::MutexLock lock(&mu_);
    if (!ended_) {
      if (draining_) {
        ended_ = true;
        AppendRetry(RandomRetry(), &piece.emplace());
      } else if (!begun_) {
        // At once, so that the browser knows that it is connected.
        begun_ = true;
        AppendRetry(kRetry, &piece.emplace());
      } else {
        done_ = std::move(done);
        asks = true;
      }
    }
  }
  if (asks) {
    subscription_->NextAsync(
        [self = shared_from_this()](absl::StatusOr<ReadFrame> frame) {
          self->OnFrame(std::move(frame));
        });
  } else {
    done(std::move(piece));
  }
}

void EventStream::OnFrame(absl::StatusOr<ReadFrame> frame) {
  std::optional<std::string> piece;
  if (frame.ok() && !frame->ended) {
    AppendEvents(channel_, *frame, &piece.emplace());
  }
  Piece done;
  {
    absl::MutexLock lock(&mu_);
    if (!piece) {
      ended_ = true;
      if (draining_) {
        AppendRetry(RandomRetry(), &piece.emplace());
      } else if (!frame.ok() && !absl::IsCancelled(frame.status())) {
        AppendProblemEvent(ProblemOf(frame.status()), &piece.emplace());
      }
    }
    done = std::move(done_);
  }
  done(std::move(piece));
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
