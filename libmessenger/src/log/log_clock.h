// The clocks that a log reads.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>

#include "messenger/message.h"

namespace messenger {

// Those of the system; tests have their own.
struct LogClock {
  std::function<Timestamp()> now = [] {
    return std::chrono::system_clock::now();
  };
  std::function<std::chrono::steady_clock::time_point()> steady_now = [] {
    return std::chrono::steady_clock::now();
  };
};

// The time from `from` to `to`, at most what there is room for: what was read
// from a disk may be any.
template <typename Time>
std::chrono::nanoseconds Elapsed(Time from, Time to) {
  using Limits = std::numeric_limits<std::int64_t>;
  std::int64_t elapsed = 0;
  if (__builtin_sub_overflow(to.time_since_epoch().count(),
                             from.time_since_epoch().count(), &elapsed)) {
    elapsed = to < from ? Limits::min() : Limits::max();
  }
  return std::chrono::nanoseconds(elapsed);
}

}  // namespace messenger
