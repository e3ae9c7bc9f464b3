// Where a forwarder goes on.
#include "forward/plan.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace messenger::forward_plan_test {
namespace {

constexpr std::uint64_t kEpoch = 7;

ProducerInfo Of(const std::string& name, std::uint64_t last, int used = 0) {
  return {.channel = "to",
          .name = name,
          .last_producer_sequence = last,
          .last_used = Timestamp(std::chrono::seconds(used))};
}

ForwardingPlan Plan(const std::vector<ProducerInfo>& producers) {
  return PlanForwarding("f", "c", kEpoch, producers);
}

TEST_CASE("forward: a producer's name says what it forwards") {
  const ForwardingName name = {
      .name = "edge 1", .epoch = UINT64_MAX, .run = 3, .channel = "a.b-c"};
  CHECK(name.ToString() == "edge 1/18446744073709551615/3/a.b-c");
  CHECK(ForwardingName::Parse(name.ToString()) == name);
  for (const char* wrong :
       {"", "f", "f/7", "f/7/0", "f/7/0/", "/7/0/c", "f/0/0/c", "f/7/x/c",
        "f/7/-1/c", "f/07/0/c", "f/7/0/c/d", "f/18446744073709551616/0/c",
        "f/ 7/0/c"}) {
    CAPTURE(wrong);
    CHECK_FALSE(ForwardingName::Parse(wrong));
  }
}

TEST_CASE("forward: the first time it begins at the beginning") {
  for (const auto& others :
       {std::vector<ProducerInfo>(),
        {Of("job", 5), Of("g/7/0/c", 5), Of("f/7/0/d", 5)}}) {
    const ForwardingPlan plan = Plan(others);
    CHECK(plan.producer.ToString() == "f/7/0/c");
    CHECK(plan.last_number == 0);
    CHECK(plan.positions.empty());
  }
}

TEST_CASE("forward: it goes on behind its last number, of the last run") {
  const ForwardingPlan plan =
      Plan({Of("f/7/0/c", 100, 9), Of("f/9/0/c", 50, 10), Of("f/7/2/c", 11, 1),
            Of("f/7/1/c", 20, 5)});
  CHECK(plan.producer.run == 2);
  CHECK(plan.last_number == 11);
  CHECK(plan.positions == std::vector<Position>{{kEpoch, 10}});
}

TEST_CASE("forward: a run that has not begun begins behind the one before") {
  const ForwardingPlan plan =
      Plan({Of("f/7/0/c", 100), Of("f/7/1/c", 0), Of("f/6/0/c", 50)});
  CHECK(plan.producer.run == 1);
  CHECK(plan.last_number == 0);
  CHECK(plan.positions ==
        std::vector<Position>{{kEpoch, 99}, {.epoch = 6, .sequence = 49}});
}

TEST_CASE("forward: a new epoch begins behind one of the old ones") {
  const ForwardingPlan plan =
      Plan({Of("f/5/0/c", 10, 1), Of("f/6/0/c", 20, 3), Of("f/4/0/c", 30, 2)});
  CHECK(plan.producer.ToString() == "f/7/0/c");
  CHECK(plan.last_number == 0);
  CHECK(plan.positions == std::vector<Position>{{6, 19}, {4, 29}, {5, 9}});
}

}  // namespace
}  // namespace messenger::forward_plan_test
