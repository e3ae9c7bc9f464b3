// How much memory a log may take.
#pragma once

#include <atomic>
#include <cstdint>

namespace messenger {

// For the chunks of a log, those that only readers still refer to included.
//
// Thread safety: all members may be called from any thread.
class MemoryBudget {
 public:
  explicit MemoryBudget(std::uint64_t max) : max_(max) {}

  // False, and nothing is taken, if it would be more than `max`.
  bool Take(std::uint64_t bytes) {
    std::uint64_t used = used_.load(std::memory_order_relaxed);
    do {
      if (bytes > max_ - used) return false;
    } while (!used_.compare_exchange_weak(used, used + bytes,
                                          std::memory_order_relaxed));
    return true;
  }
  void Return(std::uint64_t bytes) {
    used_.fetch_sub(bytes, std::memory_order_relaxed);
  }

  std::uint64_t max() const { return max_; }
  std::uint64_t used() const { return used_.load(std::memory_order_relaxed); }

 private:
  const std::uint64_t max_;
  std::atomic<std::uint64_t> used_{0};
};

// The memory that this process can have: that of the machine, or the limit of
// its control group or of its address space, whichever is the least.
std::uint64_t AvailableMemory();

}  // namespace messenger
