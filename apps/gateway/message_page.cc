#include "apps/gateway/message_page.h"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "apps/common/json.h"
#include "apps/common/position.h"
#include "apps/common/time.h"
#include "apps/gateway/problem.h"
#include "apps/gateway/waiters.h"
#include "messenger/client.h"

namespace messenger::app {
namespace {

// Of texts and data: a page ends with the message that reaches it.
constexpr std::size_t kMaxPageBytes = std::size_t{4} << 20;

class PageReader final : public Waiter,
                         public std::enable_shared_from_this<PageReader> {
 public:
  PageReader(Gateway* gateway, std::shared_ptr<Caller> caller,
             std::string channel, const ReadQuery& query, Respond respond)
      : gateway_(gateway),
        waiters_(gateway->waiters()),
        caller_(std::move(caller)),
        channel_(std::move(channel)),
        query_(query),
        subscription_(std::make_shared<const Subscription>(
            caller_->client().Pull({.channel = channel_,
                                    .start = query.start,
                                    .limit = query.limit}))),
        timer_(gateway->executor()),
        respond_(std::move(respond)) {}

  ~PageReader() override { waiters_->Remove(this); }

  PageReader(const PageReader&) = delete;
  PageReader& operator=(const PageReader&) = delete;

  void Begin() {
    {
      absl::MutexLock lock(&mu_);
      // The server must have answered within the timeout in any case.
      StopAfter(std::max<std::chrono::milliseconds>(query_.wait,
                                                    gateway_->timeout()));
    }
    waiters_->Add(shared_from_this());
    Next();
  }

  // It waits for no more messages. What the server has not answered yet, it
  // answers soon, as to any other request; unless it is away.
  void Drain() override {
    {
      absl::MutexLock lock(&mu_);
      if (std::exchange(draining_, true) || finished_) return;
      const bool is_away =
          subscription_->state().kind == SubscriptionState::Kind::kWaiting;
      if (!waits_ && !is_away) {
        StopAfter(gateway_->timeout());
        return;
      }
    }
    Stop();
  }

  // It goes on waiting, and says so at the end.
  void OnServerAway(const std::string& /*reason*/) override {
    {
      absl::MutexLock lock(&mu_);
      if (!draining_ || finished_) return;
    }
    Stop();
  }

 private:
  void StopAfter(std::chrono::milliseconds time)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    timer_.expires_after(time);
    timer_.async_wait([self = shared_from_this()](auto error) {
      if (!error) self->Stop();
    });
  }

  // Answers with what there is.
  void Stop() {
    {
      absl::MutexLock lock(&mu_);
      // Afterwards, the state is only that it was cancelled.
      const SubscriptionState state = subscription_->state();
      if (absl::IsUnavailable(state.reason)) why_not_ = state.reason;
    }
    gateway_->CancelSoon(subscription_);
  }

  // Whether the page is there: else it asks for more. It waits for messages if
  // it may, until there is something.
  bool IsDone() {
    const bool has_something = !messages_.empty() || !gaps_.empty();
    if (full_ || (caught_up_ && has_something)) return true;
    if (!caught_up_) return false;
    absl::MutexLock lock(&mu_);
    waits_ = query_.wait.count() > 0 && !draining_;
    return !waits_;
  }

  // Only one call of Next and OnFrame at a time, one after the other.
  void Next() {
    subscription_->NextAsync(
        [self = shared_from_this()](absl::StatusOr<ReadFrame> frame) {
          self->OnFrame(std::move(frame));
        });
  }

  void OnFrame(absl::StatusOr<ReadFrame> frame) {
    if (!frame.ok()) {
      Finish(frame.status());
      return;
    }
    if (frame->ended) {
      Finish(absl::OkStatus());
      return;
    }
    Take(*frame);
    if (IsDone()) {
      Finish(absl::OkStatus());
    } else {
      Next();
    }
  }

  void Take(const ReadFrame& frame) {
    if (frame.joined) {
      next_ = {.epoch = frame.joined->epoch,
               .sequence = frame.joined->next_sequence - 1};
      head_ = frame.joined->head;
    }
    if (frame.gap) gaps_.push_back(GapJson(channel_, *frame.gap));
    for (const Message& message : frame.messages) {
      if (full_) return;
      messages_.push_back(MessageJson(message, &times_));
      next_ = message.position();
      head_ = std::max(head_, message.sequence);
      // Base64 is a third longer.
      bytes_ += message.text.size() + message.author.size() +
                message.data.size() / 3 * 4;
      full_ = messages_.size() >= query_.limit || bytes_ >= kMaxPageBytes;
    }
    if (frame.caught_up) {
      caught_up_ = true;
      head_ = *frame.caught_up;
    }
  }

  void Finish(const absl::Status& status) {
    {
      absl::MutexLock lock(&mu_);
      finished_ = true;
      timer_.cancel();
    }
    // Else it would go on reading ahead until it is destroyed.
    gateway_->CancelSoon(subscription_);
    respond_(Answer(status));
  }

  Response Answer(const absl::Status& status) {
    if (!next_) {
      // It was the time that is up, or the drain.
      if (absl::IsCancelled(status)) {
        absl::MutexLock lock(&mu_);
        return ToResponse(ProblemOf(why_not_));
      }
      Problem problem = ProblemOf(status);
      if (absl::IsOutOfRange(status)) {
        problem.field = "from";
        problem.value = query_.start.number;
      }
      return ToResponse(problem);
    }
    if (!status.ok() && !absl::IsCancelled(status) && messages_.empty()) {
      return ToResponse(ProblemOf(status));
    }
    return JsonResponse({{"channel", channel_},
                         {"messages", std::move(messages_)},
                         {"gaps", std::move(gaps_)},
                         {"next", PositionString(*next_)},
                         {"head", head_},
                         {"caught_up", next_->sequence >= head_}});
  }

  Gateway* const gateway_;
  const std::shared_ptr<Waiters> waiters_;
  // For as long as it reads.
  const std::shared_ptr<Caller> caller_;
  const std::string channel_;
  const ReadQuery query_;
  const std::shared_ptr<const Subscription> subscription_;
  absl::Mutex mu_;
  boost::asio::steady_timer timer_ ABSL_GUARDED_BY(mu_);
  // Why there is no answer, if there is none.
  absl::Status why_not_ ABSL_GUARDED_BY(mu_) =
      absl::UnavailableError("the server did not answer in time");
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  // It has nothing but messages to wait for.
  bool waits_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  Respond respond_;
  TimeText times_;
  Json messages_ = Json::array();
  Json gaps_ = Json::array();
  std::size_t bytes_ = 0;
  std::optional<Position> next_;
  std::uint64_t head_ = 0;
  bool full_ = false;
  bool caught_up_ = false;
};

}  // namespace

void ReadPage(Gateway* gateway, std::shared_ptr<Caller> caller,
              const std::string& channel, const ReadQuery& query,
              Respond respond) {
  std::make_shared<PageReader>(gateway, std::move(caller), channel, query,
                               std::move(respond))
      ->Begin();
}

}  // namespace messenger::app
