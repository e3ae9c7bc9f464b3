// Counting in the plain structs of messenger/stats.h.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "absl/status/status.h"
#include "messenger/message.h"
#include "messenger/stats.h"

namespace messenger {

// A struct of counters that is under no lock is counted in with Count alone,
// and read with Snapshot. It is for what happens once a request, a batch or a
// frame: the threads that count contend for its cache lines.
//
// Thread safety: both may be called from any thread.
inline void Count(std::uint64_t& counter, std::uint64_t amount = 1) {
  std::atomic_ref(counter).fetch_add(amount, std::memory_order_relaxed);
}

// One less of what there is now.
inline void CountBack(std::uint64_t& counter) {
  std::atomic_ref(counter).fetch_sub(1, std::memory_order_relaxed);
}

// The same of a sum of times, which one thread counts alone.
inline void Count(std::chrono::nanoseconds& sum,
                  std::chrono::nanoseconds amount) {
  std::atomic_ref atomic(sum);
  atomic.store(atomic.load(std::memory_order_relaxed) + amount,
               std::memory_order_relaxed);
}

// Each counter is read at some moment of the call.
template <typename Stats>
Stats Snapshot(const Stats& stats) {
  using Word = std::uint64_t;
  static_assert(std::is_trivially_copyable_v<Stats>);
  static_assert(sizeof(Stats) % sizeof(Word) == 0);
  Stats copy;
  // atomic_ref takes nothing constant, not even to read it.
  auto* const from = reinterpret_cast<Word*>(const_cast<Stats*>(&stats));
  auto* const to = reinterpret_cast<Word*>(&copy);
  for (std::size_t i = 0; i < sizeof(Stats) / sizeof(Word); ++i) {
    to[i] = std::atomic_ref(from[i]).load(std::memory_order_relaxed);
  }
  return copy;
}

// The counter for an error, or a gap, like this one.
std::uint64_t& CounterOf(const absl::Status& error, RefusalStats& refusals);
std::uint64_t& CounterOf(Gap::Reason reason, GapStats& gaps);

}  // namespace messenger
