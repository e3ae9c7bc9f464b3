// What messenger-cli bench counts with.
#include "apps/cli/bench/measure.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <vector>

namespace messenger::app::measure_test {
namespace {

using namespace std::chrono_literals;

// What comes of these numbers of one producer, who has sent so many.
DeliveryFaults Check(const std::vector<std::uint64_t>& numbers,
                     std::uint64_t sent) {
  DeliveryChecker checker(1);
  for (const std::uint64_t number : numbers) checker.Add(0, number);
  return checker.Finish({sent});
}

TEST_CASE("delivery checker: each message once, in order") {
  CHECK_FALSE(Check({}, 0).any());
  CHECK_FALSE(Check({1, 2, 3, 4}, 4).any());
}

TEST_CASE("delivery checker: a lost message") {
  CHECK(Check({2, 3}, 3).lost == 1);
  CHECK(Check({1, 3}, 3).lost == 1);
  CHECK(Check({1, 2}, 3).lost == 1);
  CHECK(Check({}, 3).lost == 3);
  CHECK(Check({1, 5, 9}, 10).lost == 7);
}

TEST_CASE("delivery checker: a duplicated message") {
  CHECK(Check({1, 2, 2, 3}, 3).duplicated == 1);
  CHECK(Check({1, 2, 3, 1}, 3).duplicated == 1);
  CHECK(Check({1, 2, 1, 2}, 2).duplicated == 2);
  CHECK(Check({1, 2, 2, 3}, 3).lost == 0);
}

TEST_CASE("delivery checker: a message that comes too late") {
  const DeliveryFaults faults = Check({1, 3, 2, 4}, 4);
  CHECK(faults.reordered == 1);
  CHECK(faults.lost == 0);
  CHECK(faults.duplicated == 0);
  CHECK(Check({5, 3, 1, 2, 4}, 5).reordered == 4);
  // And then once more.
  CHECK(Check({1, 3, 2, 2}, 3).duplicated == 1);
}

TEST_CASE("delivery checker: producers are counted apart") {
  DeliveryChecker checker(2);
  checker.Add(0, 1);
  checker.Add(1, 1);
  checker.Add(1, 2);
  CHECK(checker.Finish({1, 2}).lost == 0);
  CHECK(checker.Finish({2, 3}).lost == 2);
}

TEST_CASE("histogram: percentiles within a sixty-fourth") {
  Histogram histogram;
  CHECK(histogram.Percentile(0.5) == 0ns);
  for (int i = 1; i <= 100'000; ++i) histogram.Add(i * 1us);
  CHECK(histogram.count() == 100'000);
  CHECK(histogram.longest() == 100ms);
  CHECK(histogram.Percentile(1) == 100ms);
  for (const double part : {0.001, 0.1, 0.5, 0.9, 0.99, 0.999}) {
    CAPTURE(part);
    const double exact = part * 1e8;
    const auto got = static_cast<double>(histogram.Percentile(part).count());
    CHECK(got >= exact);
    CHECK(got <= exact * (1 + 1.0 / 64));
  }
}

TEST_CASE("histogram: the shortest and the longest there can be") {
  Histogram histogram;
  histogram.Add(-1ns);
  histogram.Add(0ns);
  CHECK(histogram.Percentile(1) == 0ns);
  histogram.Add(std::chrono::nanoseconds::max());
  CHECK(histogram.Percentile(1) == std::chrono::nanoseconds::max());
  CHECK(histogram.Percentile(0.5) == 0ns);
}

TEST_CASE("tag: what is put is parsed") {
  std::string text(kBenchTagBytes + 10, 'x');
  const BenchTag tag = {.run = 0xdeadbeef,
                        .producer = 7,
                        .number = 123'456'789'012,
                        .due = std::chrono::steady_clock::now()};
  PutTag(tag, &text);
  const auto parsed = ParseTag(text);
  REQUIRE(parsed.has_value());
  CHECK(parsed->run == tag.run);
  CHECK(parsed->producer == tag.producer);
  CHECK(parsed->number == tag.number);
  CHECK(parsed->due == tag.due);
  CHECK_FALSE(ParseTag("hello, world").has_value());
  CHECK_FALSE(ParseTag(std::string(100, 'x')).has_value());
  CHECK_FALSE(ParseTag(std::string_view(text).substr(0, kBenchTagBytes - 1))
                  .has_value());
}

}  // namespace
}  // namespace messenger::app::measure_test
