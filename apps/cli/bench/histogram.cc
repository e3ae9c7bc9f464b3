#include "apps/cli/bench/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace messenger::app {

// Values below 2^kSubBits have a bucket each; above, each power of two has
// 2^kSubBits of them.
std::size_t Histogram::BucketOf(std::uint64_t nanoseconds) {
  const auto width = static_cast<int>(std::bit_width(nanoseconds));
  if (width <= kSubBits + 1) return nanoseconds;
  const int shift = width - kSubBits - 1;
  return (static_cast<std::size_t>(shift) << kSubBits) +
         static_cast<std::size_t>(nanoseconds >> shift);
}

std::uint64_t Histogram::EndOf(std::size_t bucket) {
  constexpr std::size_t kLinear = std::size_t{2} << kSubBits;
  if (bucket < kLinear) return bucket;
  const std::size_t shift = (bucket >> kSubBits) - 1;
  const std::uint64_t value = bucket - (shift << kSubBits);
  return ((value + 1) << shift) - 1;
}

void Histogram::Add(std::chrono::nanoseconds time) {
  const std::int64_t nanoseconds = std::max<std::int64_t>(time.count(), 0);
  const std::size_t bucket = BucketOf(static_cast<std::uint64_t>(nanoseconds));
  buckets_.at(bucket).fetch_add(1, std::memory_order_relaxed);
  count_.fetch_add(1, std::memory_order_relaxed);
  std::int64_t longest = longest_.load(std::memory_order_relaxed);
  while (nanoseconds > longest &&
         !longest_.compare_exchange_weak(longest, nanoseconds,
                                         std::memory_order_relaxed)) {
  }
}

std::chrono::nanoseconds Histogram::Percentile(double part) const {
  const auto rank = static_cast<std::uint64_t>(
      std::ceil(part * static_cast<double>(count())));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i].load(std::memory_order_relaxed);
    if (seen >= rank && seen > 0) {
      return std::min(longest(), std::chrono::nanoseconds(
                                     static_cast<std::int64_t>(EndOf(i))));
    }
  }
  return longest();
}

}  // namespace messenger::app
