#include "apps/gateway/event_stream.h"

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <random>
#include <utility>

#include "apps/gateway/event_text.h"
#include "apps/gateway/problem.h"

namespace messenger::app {
namespace {

constexpr std::chrono::milliseconds kRetry{2000};
// A browser should know soon that it is connected, whatever the server does.
constexpr std::chrono::seconds kOpenTimeout{1};

// Those that are sent away all at once come back one after the other.
std::chrono::milliseconds RandomRetry() {
  std::random_device random;
  return std::chrono::milliseconds(1000 + random() % 2000);
}

}  // namespace

void EventStream::Open(Gateway* gateway, std::shared_ptr<Caller> caller,
                       const std::string& channel, Start start, Opened opened) {
  auto stream = std::make_shared<EventStream>(
      gateway, std::move(caller), channel, start, std::move(opened));
  stream->waiters_->Add(stream);
  const auto timer = std::make_shared<boost::asio::steady_timer>(
      gateway->executor(), kOpenTimeout);
  timer->async_wait([weak = std::weak_ptr(stream), timer](auto /*error*/) {
    if (const auto self = weak.lock()) self->TellOpened();
  });
  stream->AskForFrame();
}

EventStream::EventStream(Gateway* gateway, std::shared_ptr<Caller> caller,
                         std::string channel, Start start, Opened opened)
    : gateway_(gateway),
      waiters_(gateway->waiters()),
      caller_(std::move(caller)),
      channel_(std::move(channel)),
      subscription_(std::make_shared<const Subscription>(
          caller_->client().Pull({.channel = channel_, .start = start}))),
      opened_(std::move(opened)) {
  AppendRetry(kRetry, &text_);
}

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
  if (asks) AskForFrame();
}

void EventStream::AskForFrame() {
  subscription_->NextAsync(
      [self = shared_from_this()](const absl::StatusOr<ReadFrame>& frame) {
        self->OnFrame(frame);
      });
}

void EventStream::TellOpened(std::optional<Problem> refusal) {
  Opened opened;
  {
    absl::MutexLock lock(&mu_);
    opened = std::exchange(opened_, nullptr);
  }
  if (!opened) return;
  if (refusal) {
    opened(*std::move(refusal));
  } else {
    opened(shared_from_this());
  }
}

bool EventStream::WaitsForFrame() const {
  return text_.empty() && !ended_ && !draining_;
}

EventStream::Text EventStream::TakeNext() {
  if (!text_.empty()) {
    return std::make_shared<std::string>(std::exchange(text_, {}));
  }
  return ended_ ? nullptr : End(absl::OkStatus());
}

void EventStream::OnFrame(const absl::StatusOr<ReadFrame>& frame) {
  Text piece;
  if (frame.ok() && !frame->ended) {
    piece = caller_->frame_texts().TextOf(channel_, *frame);
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
  const bool is_refused = absl::IsUnauthenticated(frame.status()) ||
                          absl::IsPermissionDenied(frame.status());
  if (absl::IsUnauthenticated(frame.status())) gateway_->Forget(*caller_);
  TellOpened(is_refused ? std::optional(ProblemOf(frame.status()))
                        : std::nullopt);
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
  TellOpened();
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
  TellOpened();
}

}  // namespace messenger::app
