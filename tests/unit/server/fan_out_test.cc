// Who is woken when: the fan-out with readers that only note it.
#include "server/fan_out.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "support/recorder.h"

namespace messenger::fan_out_test {
namespace {

using TimePoint = FanOut::TimePoint;

// What has happened, in this order.
class Events {
 public:
  void Add(std::string event) ABSL_LOCKS_EXCLUDED(mu_) {
    const absl::MutexLock lock(&mu_);
    events_.push_back(std::move(event));
    changed_.SignalAll();
  }
  // Waits until there are so many.
  std::vector<std::string> Await(std::size_t count) ABSL_LOCKS_EXCLUDED(mu_) {
    const absl::MutexLock lock(&mu_);
    CHECK(test::Await(mu_, changed_, [this, count] { return Has(count); }));
    return events_;
  }

 private:
  bool Has(std::size_t count) const {
    mu_.AssertHeld();
    return events_.size() >= count;
  }

  mutable absl::Mutex mu_;
  absl::CondVar changed_;
  std::vector<std::string> events_ ABSL_GUARDED_BY(mu_);
};

class FakeReader final : public FanOut::Reader {
 public:
  explicit FakeReader(std::function<void()> on_wake,
                      std::function<void()> on_timer = nullptr)
      : on_wake_(std::move(on_wake)), on_timer_(std::move(on_timer)) {}

  void OnWake() override { on_wake_(); }
  TimePoint OnTimer(TimePoint /*now*/) override {
    on_timer_();
    return FanOut::kNever;
  }
  bool MustNotPark() const override { return false; }

 private:
  const std::function<void()> on_wake_;
  const std::function<void()> on_timer_;
};

struct Fixture {
  Fixture() = default;
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;
  ~Fixture() {
    // A test that has failed may not have come to it.
    if (!release.HasBeenNotified()) Release();
    for (const auto& reader : readers) {
      static_cast<void>(fan_out.Unpark(reader.get()));
      fan_out.Leave(reader.get());
    }
  }

  FakeReader* Join(const std::string& channel, std::function<void()> on_wake,
                   std::function<void()> on_timer = nullptr) {
    readers.push_back(
        std::make_shared<FakeReader>(std::move(on_wake), std::move(on_timer)));
    fan_out.Join(readers.back().get(), channel);
    return readers.back().get();
  }
  // Parked readers that note `name` and their number.
  std::vector<FakeReader*> Park(const std::string& channel,
                                const std::string& name, int count) {
    std::vector<FakeReader*> parked;
    for (int i = 0; i < count; ++i) {
      const std::string event = name + std::to_string(i);
      parked.push_back(Join(channel, [this, event] { events.Add(event); }));
      CHECK(fan_out.Park(parked.back()));
    }
    return parked;
  }
  // Keeps the fan-out thread busy until Release.
  void Hold() {
    absl::Notification held;
    CHECK(fan_out.Park(Join("held", [this, &held] {
      held.Notify();
      release.WaitForNotification();
    })));
    fan_out.OnAppend("held");
    CHECK(held.WaitForNotificationWithTimeout(test::kDeadline));
  }
  void Release() { release.Notify(); }

  Events events;
  absl::Notification release;
  std::vector<std::shared_ptr<FakeReader>> readers;
  FanOut fan_out;
};

std::ptrdiff_t PlaceOf(const std::vector<std::string>& events,
                       const std::string& event) {
  return std::find(events.begin(), events.end(), event) - events.begin();
}

constexpr int kCrowd = 10'000;
constexpr auto kAtOnce = static_cast<std::ptrdiff_t>(FanOut::kAtOnce);

TEST_CASE_FIXTURE(Fixture,
                  "fan-out: a crowd does not hold up another channel") {
  Park("crowd", "crowd", kCrowd);
  Park("other", "other", 1);
  Hold();
  fan_out.OnAppend("crowd");
  fan_out.OnAppend("other");
  Release();
  const auto order = events.Await(kCrowd + 1);
  CHECK(order.size() == kCrowd + 1);
  CHECK(PlaceOf(order, "other0") == kAtOnce);
}

TEST_CASE_FIXTURE(Fixture,
                  "fan-out: a reader waits for one go of each other channel") {
  constexpr int kChannels = 20;
  for (int i = 0; i < kChannels; ++i) {
    const std::string channel = "crowd" + std::to_string(i);
    Park(channel, channel + ".", 200);
  }
  Park("other", "other", 2 * FanOut::kAtOnce);
  Hold();
  for (int i = 0; i < kChannels; ++i) {
    fan_out.OnAppend("crowd" + std::to_string(i));
  }
  fan_out.OnAppend("other");
  Release();
  const auto order =
      events.Await(kChannels * std::size_t{200} + 2 * FanOut::kAtOnce);
  CHECK(PlaceOf(order, "other0") == kChannels * kAtOnce);
  CHECK(PlaceOf(order, "other" + std::to_string(kAtOnce)) ==
        (2 * kChannels + 1) * kAtOnce);
}

TEST_CASE_FIXTURE(Fixture,
                  "fan-out: readers of a channel are woken in the order in "
                  "which they were parked, each once") {
  Park("c", "", 1'000);
  Hold();
  // However often it is marked.
  for (int i = 0; i < 5; ++i) fan_out.OnAppend("c");
  Release();
  const auto order = events.Await(1'000);
  for (std::size_t i = 0; i < order.size(); ++i) {
    REQUIRE(order[i] == std::to_string(i));
  }
  // Nobody is left that could be woken again.
  Park("c", "last", 1);
  fan_out.OnAppend("c");
  CHECK(events.Await(1'001).back() == "last0");
}

TEST_CASE_FIXTURE(Fixture,
                  "fan-out: who parks again during a round comes after all of "
                  "that round") {
  constexpr int kReaders = 100;
  constexpr int kRounds = 5;
  for (int i = 0; i < kReaders; ++i) {
    const auto self = std::make_shared<FakeReader*>();
    *self = Join("c", [this, self, i, rounds = 0]() mutable {
      events.Add(std::to_string(i));
      if (++rounds == kRounds) return;
      CHECK(fan_out.Park(*self));
      fan_out.OnAppend("c");
    });
    CHECK(fan_out.Park(*self));
  }
  fan_out.OnAppend("c");
  const auto order = events.Await(std::size_t{kReaders} * kRounds);
  for (int i = 0; i < kReaders * kRounds; ++i) {
    REQUIRE(order[static_cast<std::size_t>(i)] == std::to_string(i % kReaders));
  }
}

TEST_CASE_FIXTURE(Fixture,
                  "fan-out: who is unparked in the midst of a round is not "
                  "woken, and all others are") {
  const auto parked = Park("c", "", 100);
  std::vector<bool> left(100, true);
  // The first one that is woken takes out others: who is before it, next in
  // turn, in the middle, and last.
  FakeReader* const remover = Join("remover", [&] {
    for (const std::size_t i : {16U, 17U, 50U, 98U, 99U}) {
      left[i] = !fan_out.Unpark(parked[i]);
      CHECK_FALSE(fan_out.Unpark(parked[i]));
    }
    CHECK_FALSE(fan_out.Unpark(parked[0]));
  });
  CHECK(fan_out.Park(remover));
  Hold();
  fan_out.OnAppend("c");
  fan_out.OnAppend("remover");
  Release();
  const auto order = events.Await(95);
  for (std::size_t i = 0; i < left.size(); ++i) {
    const bool woken =
        std::find(order.begin(), order.end(), std::to_string(i)) != order.end();
    CHECK(woken == left[i]);
  }
  CHECK(std::count(left.begin(), left.end(), false) == 5);
}

TEST_CASE_FIXTURE(Fixture, "fan-out: timers do not hold up wake-ups") {
  const auto now = FanOut::Clock::now();
  Hold();
  for (int i = 0; i < kCrowd; ++i) {
    fan_out.SetTimer(
        Join("timers", nullptr, [this, i] { events.Add(std::to_string(i)); }),
        now - std::chrono::milliseconds(kCrowd - i));
  }
  Park("other", "other", 2 * FanOut::kAtOnce);
  fan_out.OnAppend("other");
  Release();
  const auto order = events.Await(kCrowd + 2 * FanOut::kAtOnce);
  CHECK(PlaceOf(order, "other0") <= kAtOnce);
  CHECK(PlaceOf(order, "other" + std::to_string(kAtOnce)) <= 3 * kAtOnce);
  // And they come in the order of their times.
  std::ptrdiff_t last = -1;
  for (int i = 0; i < kCrowd; i += 97) {
    const std::ptrdiff_t place = PlaceOf(order, std::to_string(i));
    CHECK(place > last);
    last = place;
  }
}

TEST_CASE_FIXTURE(Fixture, "fan-out: wake-ups do not hold up timers") {
  Park("crowd", "crowd", kCrowd);
  Hold();
  for (int i = 0; i < 2 * kAtOnce; ++i) {
    fan_out.SetTimer(
        Join("timers", nullptr, [this, i] { events.Add(std::to_string(i)); }),
        FanOut::Clock::now() - std::chrono::seconds(100 - i));
  }
  fan_out.OnAppend("crowd");
  Release();
  const auto order = events.Await(kCrowd + 2 * FanOut::kAtOnce);
  CHECK(PlaceOf(order, "0") <= kAtOnce);
  CHECK(PlaceOf(order, std::to_string(kAtOnce)) <= 3 * kAtOnce);
}

TEST_CASE_FIXTURE(Fixture, "fan-out: a drain wakes all, in turns as well") {
  Park("crowd", "crowd", kCrowd);
  Park("other", "other", 1);
  Hold();
  fan_out.Drain();
  Release();
  const auto order = events.Await(kCrowd + 1);
  CHECK(PlaceOf(order, "other0") <= kAtOnce);
  CHECK_FALSE(fan_out.Park(Join("c", nullptr)));
}

}  // namespace
}  // namespace messenger::fan_out_test
