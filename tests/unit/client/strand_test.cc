#include "client/strand.h"

#include <doctest/doctest.h>

#include <memory>
#include <vector>

#include "absl/synchronization/notification.h"
#include "client/run_queue.h"
#include "client/thread_pool.h"
#include "support/recorder.h"

namespace messenger::strand_test {
namespace {

using test::kDeadline;

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

}  // namespace
}  // namespace messenger::strand_test
