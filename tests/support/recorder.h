// Records what a subscription's callbacks are given, and waits for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "messenger/client.h"

namespace messenger::test {

// How long a test waits for what must come.
inline constexpr absl::Duration kDeadline = absl::Seconds(20);

// Waits until `condition`, which is guarded by `mu`, is true; false after the
// deadline. Whatever makes it true must signal `changed`.
template <typename Condition>
bool Await(absl::Mutex& mu, absl::CondVar& changed, Condition condition,
           absl::Duration patience = kDeadline) {
  const absl::Time deadline = absl::Now() + patience;
  while (!condition()) {
    if (changed.WaitWithDeadline(&mu, deadline)) return condition();
  }
  return true;
}

// Must outlive its subscriptions.
//
// Thread safety: all members may be called from any thread.
class Recorder {
 public:
  struct Events {
    std::optional<Joined> joined;
    int joins = 0;
    std::vector<OwnedMessage> messages;
    std::vector<Gap> gaps;
    std::vector<std::uint64_t> caught_up;
    std::vector<std::uint64_t> heartbeats;
    std::vector<SubscriptionState> states;
    std::vector<absl::Status> ends;

    std::vector<std::string> texts() const {
      std::vector<std::string> result;
      for (const OwnedMessage& message : messages) {
        result.push_back(message.text);
      }
      return result;
    }
    std::vector<std::uint64_t> sequences() const {
      std::vector<std::uint64_t> result;
      for (const OwnedMessage& message : messages) {
        result.push_back(message.sequence);
      }
      return result;
    }
  };

  ReadCallbacks Callbacks() {
    ReadCallbacks callbacks;
    callbacks.on_joined = [this](const Joined& joined) {
      absl::MutexLock lock(&mu_);
      events_.joined = joined;
      ++events_.joins;
      changed_.SignalAll();
    };
    callbacks.on_message = [this](const Message& message) {
      absl::MutexLock lock(&mu_);
      events_.messages.push_back(message.Own());
      changed_.SignalAll();
    };
    callbacks.on_gap = [this](const Gap& gap) {
      absl::MutexLock lock(&mu_);
      events_.gaps.push_back(gap);
      changed_.SignalAll();
    };
    callbacks.on_caught_up = [this](std::uint64_t head) {
      absl::MutexLock lock(&mu_);
      events_.caught_up.push_back(head);
      changed_.SignalAll();
    };
    callbacks.on_heartbeat = [this](std::uint64_t head) {
      absl::MutexLock lock(&mu_);
      events_.heartbeats.push_back(head);
      changed_.SignalAll();
    };
    callbacks.on_state = [this](const SubscriptionState& state) {
      absl::MutexLock lock(&mu_);
      events_.states.push_back(state);
      changed_.SignalAll();
    };
    callbacks.on_end = [this](const absl::Status& status) {
      absl::MutexLock lock(&mu_);
      events_.ends.push_back(status);
      changed_.SignalAll();
    };
    return callbacks;
  }

  Events events() const {
    absl::MutexLock lock(&mu_);
    return events_;
  }

  // False if it did not come to be within the deadline.
  bool AwaitJoined() {
    return AwaitEvents([](const Events& e) { return e.joined.has_value(); });
  }
  bool AwaitMessages(std::size_t count) {
    return AwaitEvents(
        [count](const Events& e) { return e.messages.size() >= count; });
  }
  bool AwaitCaughtUp() {
    return AwaitEvents([](const Events& e) { return !e.caught_up.empty(); });
  }
  bool AwaitEnd() {
    return AwaitEvents([](const Events& e) { return !e.ends.empty(); });
  }
  bool AwaitEvents(const std::function<bool(const Events&)>& condition) {
    absl::MutexLock lock(&mu_);
    return Await(mu_, changed_, [&] {
      mu_.AssertHeld();
      return condition(events_);
    });
  }

 private:
  mutable absl::Mutex mu_;
  absl::CondVar changed_;
  Events events_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger::test
