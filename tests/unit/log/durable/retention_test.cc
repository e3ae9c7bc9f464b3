#include "log/durable/retention.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>

#include "messenger/log.h"

namespace messenger::retention_test {
namespace {

TEST_CASE("retention: a log in a directory keeps everything by default") {
  const RetentionOptions retention;
  CHECK_FALSE(IsExcess(retention, UINT64_MAX));
  CHECK_FALSE(
      IsExpired(retention, {}, std::chrono::steady_clock::time_point::max()));
  // In segments of a size that can be removed one by one, should retention be
  // set later.
  CHECK(MaxSegmentSize(retention) == std::uint64_t{64} << 20);
  CHECK(TakesMore(retention, {}, std::chrono::steady_clock::time_point::max()));
}

TEST_CASE("retention: a limit is what is kept at most") {
  const RetentionOptions retention{.max_bytes = std::uint64_t{1} << 20};
  CHECK_FALSE(IsExcess(retention, std::uint64_t{1} << 20));
  CHECK(IsExcess(retention, (std::uint64_t{1} << 20) + 1));
  CHECK(MaxSegmentSize(retention) == std::uint64_t{128} << 10);
}

}  // namespace
}  // namespace messenger::retention_test
