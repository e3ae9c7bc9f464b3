#include "client/run_queue.h"

#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "client/thread_pool.h"
#include "support/recorder.h"

namespace messenger::run_queue_test {
namespace {

using test::kDeadline;

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

}  // namespace
}  // namespace messenger::run_queue_test
