#include "log/durable/retention.h"

#include <algorithm>

#include "log/log_clock.h"

namespace messenger {
namespace {

constexpr std::uint64_t kMinSegmentSize = std::uint64_t{4} << 10;
constexpr std::uint64_t kMaxSegmentSize = std::uint64_t{64} << 20;
// Of the age limit, that a message may be older than it should be.
constexpr int kAgeFraction = 8;

}  // namespace

std::uint64_t MaxSegmentSize(const RetentionOptions& retention) {
  return std::clamp(retention.max_bytes.value_or(UINT64_MAX) / 8,
                    kMinSegmentSize, kMaxSegmentSize);
}

bool TakesMore(const RetentionOptions& retention,
               std::chrono::steady_clock::time_point first_write,
               std::chrono::steady_clock::time_point now) {
  return retention.max_age.count() == 0 ||
         Elapsed(first_write, now) <= retention.max_age / kAgeFraction;
}

bool IsExpired(const RetentionOptions& retention,
               std::chrono::steady_clock::time_point last_write,
               std::chrono::steady_clock::time_point now) {
  return retention.max_age.count() > 0 &&
         Elapsed(last_write, now) > retention.max_age;
}

bool IsExcess(const RetentionOptions& retention, std::uint64_t bytes) {
  return retention.max_bytes && bytes > *retention.max_bytes;
}

}  // namespace messenger
