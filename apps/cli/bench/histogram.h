// Percentiles of many durations in little memory.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace messenger::app {

// Counts durations in buckets that are at most 1/64 wider than they are long,
// as HdrHistogram does (http://hdrhistogram.org).
//
// Thread safety: all members may be called from any thread.
class Histogram {
 public:
  void Add(std::chrono::nanoseconds time);

  std::uint64_t count() const { return count_.load(std::memory_order_relaxed); }
  // The duration that this part of all, 0 to 1, does not exceed: the upper end
  // of its bucket, or the longest if that is less. Zero if there is none.
  std::chrono::nanoseconds Percentile(double part) const;
  std::chrono::nanoseconds longest() const {
    return std::chrono::nanoseconds(longest_.load(std::memory_order_relaxed));
  }

 private:
  static constexpr int kSubBits = 6;
  static constexpr std::size_t kBuckets = std::size_t{64 - kSubBits}
                                          << kSubBits;

  static std::size_t BucketOf(std::uint64_t nanoseconds);
  static std::uint64_t EndOf(std::size_t bucket);

  std::array<std::atomic<std::uint64_t>, kBuckets> buckets_{};
  std::atomic<std::uint64_t> count_{0};
  std::atomic<std::int64_t> longest_{0};
};

}  // namespace messenger::app
