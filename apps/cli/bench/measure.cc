#include "apps/cli/bench/measure.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <iterator>
#include <system_error>

namespace messenger::app {
namespace {

// "rrrrrrrr.pppppppp.nnnnnnnnnnnnnnnn.tttttttttttttttt": hexadecimal.
constexpr std::size_t kShort = 8;
constexpr std::size_t kLong = 16;

// Several times as fast as formatting it: it is timed with the rest.
char* Put(std::uint64_t number, std::size_t digits, char* out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (std::size_t i = digits; i > 0; --i, number >>= 4) {
    out[i - 1] = kDigits[number & 0xf];
  }
  return out + digits;
}

// Takes one number and what ends it; false if there is none.
template <typename Number>
bool Take(std::string_view* text, std::size_t digits, Number* number) {
  const char* const end = text->data() + digits;
  const auto [rest, error] = std::from_chars(text->data(), end, *number, 16);
  if (error != std::errc() || rest != end) return false;
  text->remove_prefix(digits);
  if (!text->starts_with('.')) return text->empty();
  text->remove_prefix(1);
  return true;
}

}  // namespace

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

DeliveryFaults& DeliveryFaults::operator+=(const DeliveryFaults& other) {
  lost += other.lost;
  duplicated += other.duplicated;
  reordered += other.reordered;
  return *this;
}

void DeliveryChecker::Add(std::size_t producer, std::uint64_t number) {
  Producer& of = producers_.at(producer);
  if (number == of.next) {
    ++of.next;
  } else if (number > of.next) {
    of.missing.emplace(of.next, number);
    of.next = number + 1;
  } else if (TakeMissing(of, number)) {
    ++of.reordered;
  } else {
    ++of.duplicated;
  }
}

bool DeliveryChecker::TakeMissing(Producer& producer, std::uint64_t number) {
  auto after = producer.missing.upper_bound(number);
  if (after == producer.missing.begin()) return false;
  const auto range = std::prev(after);
  const auto [first, end] = *range;
  if (number >= end) return false;
  producer.missing.erase(range);
  if (first < number) producer.missing.emplace(first, number);
  if (number + 1 < end) producer.missing.emplace(number + 1, end);
  return true;
}

DeliveryFaults DeliveryChecker::Finish(
    const std::vector<std::uint64_t>& sent) const {
  DeliveryFaults faults;
  for (std::size_t i = 0; i < producers_.size(); ++i) {
    const Producer& producer = producers_[i];
    faults.duplicated += producer.duplicated;
    faults.reordered += producer.reordered;
    for (const auto& [first, end] : producer.missing) {
      faults.lost += end - first;
    }
    if (producer.next <= sent.at(i)) faults.lost += sent[i] + 1 - producer.next;
  }
  return faults;
}

void PutTag(const BenchTag& tag, std::string* text) {
  const auto due = static_cast<std::uint64_t>(
      std::chrono::nanoseconds(tag.due.time_since_epoch()).count());
  char* out = text->data();
  out = Put(tag.run, kShort, out);
  *out++ = '.';
  out = Put(tag.producer, kShort, out);
  *out++ = '.';
  out = Put(tag.number, kLong, out);
  *out++ = '.';
  Put(due, kLong, out);
}

std::optional<BenchTag> ParseTag(std::string_view text) {
  if (text.size() < kBenchTagBytes) return std::nullopt;
  text = text.substr(0, kBenchTagBytes);
  BenchTag tag;
  std::uint64_t due = 0;
  if (!Take(&text, kShort, &tag.run) || !Take(&text, kShort, &tag.producer) ||
      !Take(&text, kLong, &tag.number) || !Take(&text, kLong, &due)) {
    return std::nullopt;
  }
  tag.due = std::chrono::steady_clock::time_point(
      std::chrono::nanoseconds(static_cast<std::int64_t>(due)));
  return tag;
}

}  // namespace messenger::app
