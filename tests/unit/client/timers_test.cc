#include "client/timers.h"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "support/recorder.h"

namespace messenger::timers_test {
namespace {

using std::chrono::milliseconds;
using test::kDeadline;

TEST_CASE("timers: tasks run in the order of their times") {
  Timers timers;
  std::vector<int> order;
  absl::Notification last;
  const auto now = Timers::Clock::now();
  timers.Schedule(now + milliseconds(30), [&] {
    order.push_back(3);
    last.Notify();
  });
  timers.Schedule(now + milliseconds(10), [&] { order.push_back(1); });
  timers.Schedule(now + milliseconds(20), [&] { order.push_back(2); });
  REQUIRE(last.WaitForNotificationWithTimeout(kDeadline));
  CHECK(Timers::Clock::now() >= now + milliseconds(30));
  CHECK(order == std::vector<int>{1, 2, 3});
}

TEST_CASE("timers: what is cancelled does not run") {
  Timers timers;
  absl::Notification ran;
  const auto now = Timers::Clock::now();
  const Timers::Id id = timers.Schedule(
      now + milliseconds(5), [] { FAIL("a task that was cancelled has run"); });
  CHECK(timers.Cancel(id));
  CHECK_FALSE(timers.Cancel(id));
  CHECK_FALSE(timers.Cancel({}));
  const Timers::Id other =
      timers.Schedule(now + milliseconds(10), [&] { ran.Notify(); });
  REQUIRE(ran.WaitForNotificationWithTimeout(kDeadline));
  CHECK_FALSE(timers.Cancel(other));
}

TEST_CASE("timers: a task may be the one that ends them") {
  auto timers = std::make_shared<Timers>();
  // Nobody joins that thread, so it may be the last one to hold it.
  const auto ended = std::make_shared<absl::Notification>();
  Timers* const raw = timers.get();
  raw->Schedule(Timers::Clock::now(),
                [timers = std::move(timers), ended]() mutable {
                  timers.reset();
                  ended->Notify();
                });
  CHECK(ended->WaitForNotificationWithTimeout(kDeadline));
}

TEST_CASE("timers: what is to come when they end is dropped") {
  auto owned = std::make_shared<int>(1);
  const std::weak_ptr<int> seen = owned;
  {
    Timers timers;
    timers.Schedule(Timers::Clock::now() + std::chrono::hours(1),
                    [owned = std::move(owned)] {});
  }
  CHECK(seen.expired());
}

}  // namespace
}  // namespace messenger::timers_test
