// What the client is made of: timers, backoff, strands; and bookmarks.
#include <doctest/doctest.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "client/backoff.h"
#include "client/blame.h"
#include "client/run_queue.h"
#include "client/strand.h"
#include "client/thread_pool.h"
#include "client/timers.h"
#include "support/recorder.h"

namespace messenger::client_parts_test {
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

TEST_CASE("backoff: the wait is random, up to a bound that doubles") {
  Backoff backoff({.initial_backoff = milliseconds(100),
                   .max_backoff = milliseconds(1000)});
  const Backoff::Clock::time_point now;
  for (int round = 0; round < 100; ++round) {
    for (const int most : {100, 200, 400, 800, 1000, 1000}) {
      const auto wait = backoff.Failed(now);
      REQUIRE(wait.has_value());
      CHECK(*wait >= milliseconds(0));
      CHECK(*wait <= milliseconds(most));
    }
    CHECK(backoff.failed_tries() == 6);
    backoff.Progressed();
    CHECK(backoff.failed_tries() == 0);
  }
  // The doubling ends.
  for (int i = 0; i < 1000; ++i) CHECK(backoff.Failed(now).has_value());
}

TEST_CASE("backoff: it is given up after a while") {
  Backoff backoff({.give_up_after = milliseconds(100)});
  const Backoff::Clock::time_point start;
  CHECK(backoff.Failed(start).has_value());
  CHECK(backoff.Failed(start + milliseconds(99)).has_value());
  CHECK_FALSE(backoff.Failed(start + milliseconds(100)).has_value());
  backoff.Progressed();
  CHECK(backoff.Failed(start + milliseconds(200)).has_value());
  Backoff never({.give_up_after = milliseconds(0)});
  CHECK_FALSE(never.Failed(start).has_value());
}

TEST_CASE("backoff: the first try counts, and the last one comes in time") {
  using std::chrono::seconds;
  const Backoff::Clock::time_point start;
  Backoff backoff({.initial_backoff = seconds(60),
                   .max_backoff = seconds(60),
                   .give_up_after = seconds(3)});
  CHECK(backoff.Begin(start, seconds(10)) == seconds(3));
  CHECK(backoff.Begin(start, seconds(2)) == seconds(2));
  for (int i = 0; i < 100; ++i) {
    const auto wait = backoff.Failed(start + seconds(1));
    REQUIRE(wait.has_value());
    CHECK(*wait <= seconds(2));
  }
  // Time for an answer there must be.
  CHECK(backoff.Begin(start + milliseconds(2900), seconds(10)) == seconds(1));
  CHECK_FALSE(backoff.Failed(start + milliseconds(3900)).has_value());

  Backoff once({.give_up_after = milliseconds(0)});
  CHECK(once.Begin(start, seconds(10)) == seconds(10));
  Backoff endless({});
  CHECK(endless.Begin(start, seconds(10)) == seconds(10));
}

TEST_CASE("backoff: what begins after a rest has all the time, but waits") {
  const Backoff::Clock::time_point start;
  Backoff backoff({.give_up_after = milliseconds(100)});
  CHECK(backoff.Failed(start).has_value());
  CHECK(backoff.Failed(start + milliseconds(50)).has_value());
  backoff.Rest();
  CHECK(backoff.failed_tries() == 2);
  CHECK(backoff.Failed(start + milliseconds(1000)).has_value());
  CHECK(backoff.failed_tries() == 3);
  CHECK_FALSE(backoff.Failed(start + milliseconds(1100)).has_value());
}

TEST_CASE("strand: tasks run one at a time, in order") {
  const auto pool = std::make_shared<ThreadPool>(4);
  const auto strand =
      std::make_shared<Strand>(std::make_shared<RunQueue>(pool));
  const auto other = std::make_shared<Strand>(std::make_shared<RunQueue>(pool));
  std::vector<int> order;
  absl::Notification last;
  CHECK_FALSE(strand->RunningInside());
  for (int i = 0; i < 1000; ++i) {
    strand->Post([&, i] {
      CHECK(strand->RunningInside());
      CHECK(other->RunningInside());
      order.push_back(i);
      if (i == 999) last.Notify();
    });
  }
  REQUIRE(last.WaitForNotificationWithTimeout(kDeadline));
  for (int i = 0; i < 1000; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
}

TEST_CASE("run queue: an entry that blocks holds nobody up") {
  class Entry final : public RunQueue::Entry {
   public:
    explicit Entry(std::function<bool()> run) : run_(std::move(run)) {}

   private:
    bool Run() override { return run_(); }
    std::function<bool()> run_;
  };
  const auto pool = std::make_shared<ThreadPool>(2);
  const auto queue = std::make_shared<RunQueue>(pool);
  absl::Notification release;
  absl::Notification others;
  std::atomic<int> turns{0};
  constexpr int kEntries = 1'000;
  constexpr int kTurns = 3;
  std::vector<std::shared_ptr<RunQueue::Entry>> entries;
  entries.push_back(std::make_shared<Entry>([&] {
    release.WaitForNotification();
    return false;
  }));
  for (int i = 0; i < kEntries; ++i) {
    entries.push_back(std::make_shared<Entry>([&, own = 0]() mutable {
      CHECK(queue->RunningInside());
      if (++turns == kEntries * kTurns) others.Notify();
      return ++own < kTurns;
    }));
  }
  queue->MakeReady(entries);
  CHECK(others.WaitForNotificationWithTimeout(kDeadline));
  release.Notify();
  pool->Stop();  // who was blocked still looks at what is on this stack
}

TEST_CASE("run queue: an entry is run on one thread at a time") {
  class Entry final : public RunQueue::Entry {
   public:
    std::atomic<bool> last{false};
    absl::Notification had_last;

   private:
    bool Run() override {
      if (running_.exchange(true)) side_by_side_ = true;
      CHECK_FALSE(side_by_side_.load());
      if (last && !had_last.HasBeenNotified()) had_last.Notify();
      running_ = false;
      return false;
    }
    std::atomic<bool> running_{false};
    std::atomic<bool> side_by_side_{false};
  };
  const auto pool = std::make_shared<ThreadPool>(3);
  const auto queue = std::make_shared<RunQueue>(pool);
  const auto entry = std::make_shared<Entry>();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10'000; ++i) {
        if (t % 2 == 0) {
          queue->MakeReady(entry);
        } else {
          queue->RunNow(entry);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // A turn follows, however busy it was.
  entry->last = true;
  queue->MakeReady(entry);
  CHECK(entry->had_last.WaitForNotificationWithTimeout(kDeadline));
}

TEST_CASE("blame: who is waited for most of the time is too slow") {
  // So many looks until it is too much, if it is waited for in `waited` of
  // `of` looks.
  const auto looks = [](int waited, int of) {
    Blame blame;
    for (int look = 1000; look < 2000; ++look) {
      if (look % of < waited && blame.Add(look)) return look - 999;
    }
    return 0;
  };
  CHECK(looks(1, 1) == 4);
  CHECK(looks(3, 4) > 4);
  CHECK(looks(2, 3) > 4);
  CHECK(looks(1, 2) == 0);
  CHECK(looks(1, 3) == 0);
}

TEST_CASE("bookmark: what it is written as is understood") {
  const Bookmark bookmark = {.channel = "a.b-c_d",
                             .position = {.epoch = UINT64_MAX, .sequence = 0}};
  CHECK(bookmark.ToString() == "a.b-c_d@18446744073709551615:0");
  const auto parsed = Bookmark::Parse(bookmark.ToString());
  REQUIRE(parsed.ok());
  CHECK(*parsed == bookmark);
}

TEST_CASE("bookmark: what is none is refused, and named") {
  for (const char* text :
       {"", "a", "a@", "a@1", "a@1:", "a@:1", "@1:1", "a@0:1", "a b@1:1",
        "a@1:1 ", "a@1:-1", "a@1:18446744073709551616", "a@1:1:1", "a@0x1:1",
        ":@1", "a:1@1"}) {
    CAPTURE(text);
    const absl::Status status = Bookmark::Parse(text).status();
    CHECK(absl::IsInvalidArgument(status));
    CHECK(std::string(status.message()).find(text) != std::string::npos);
  }
}

}  // namespace
}  // namespace messenger::client_parts_test
