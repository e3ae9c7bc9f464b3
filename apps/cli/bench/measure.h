// What a benchmark measures: how long messages take, and whether each arrives
// once and in order. A tag in a message's text tells what it needs for both.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace messenger::app {

// Percentiles of many durations in little memory: counts them in buckets that
// are at most 1/64 wider than they are long, as HdrHistogram does
// (http://hdrhistogram.org).
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

struct DeliveryFaults {
  std::uint64_t lost = 0;
  std::uint64_t duplicated = 0;  // deliveries beyond the first
  std::uint64_t reordered = 0;   // that came after a later one

  bool any() const { return lost > 0 || duplicated > 0 || reordered > 0; }
  DeliveryFaults& operator+=(const DeliveryFaults& other);
};

// Whether a reader gets each message once, and in order. Takes memory for what
// is missing only.
//
// Thread safety: one call at a time.
class DeliveryChecker {
 public:
  explicit DeliveryChecker(std::size_t producers) : producers_(producers) {}

  // A message of this producer, whose numbers begin with 1.
  void Add(std::size_t producer, std::uint64_t number);

  // Of so many messages that each producer has sent.
  DeliveryFaults Finish(const std::vector<std::uint64_t>& sent) const;

 private:
  struct Producer {
    std::uint64_t next = 1;
    // First and one beyond the last of what was skipped.
    std::map<std::uint64_t, std::uint64_t> missing;
    std::uint64_t duplicated = 0;
    std::uint64_t reordered = 0;
  };

  // Whether it was missing, in which case it is not any more.
  static bool TakeMissing(Producer& producer, std::uint64_t number);

  std::vector<Producer> producers_;
};

// Who has sent a message, which one of his it is, from 1 on, and when it was
// due.
struct BenchTag {
  std::uint32_t run = 0;  // random, so that other messages are told apart
  std::uint32_t producer = 0;
  std::uint64_t number = 0;
  std::chrono::steady_clock::time_point due;
};

// Of the shortest text that has room for a tag.
inline constexpr std::size_t kBenchTagBytes = 51;

// Writes the tag at the beginning of the text.
void PutTag(const BenchTag& tag, std::string* text);

// Nothing if the text has no tag.
std::optional<BenchTag> ParseTag(std::string_view text);

}  // namespace messenger::app
