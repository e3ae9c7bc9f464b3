// A clock that goes when it is told to.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "log/log_clock.h"
#include "messenger/message.h"

namespace messenger::test {

// A wall clock and a steady clock. Thread-safe.
class FakeClock {
 public:
  using SteadyTime = std::chrono::steady_clock::time_point;

  Timestamp now() const {
    return Timestamp(std::chrono::nanoseconds(wall_.load()));
  }
  SteadyTime steady_now() const {
    return SteadyTime(std::chrono::nanoseconds(steady_.load()));
  }

  // Time passes.
  void Advance(std::chrono::nanoseconds time) {
    wall_ += time.count();
    steady_ += time.count();
  }

  // Somebody sets the wall clock.
  void StepWallClock(std::chrono::nanoseconds by) { wall_ += by.count(); }

 private:
  std::atomic<std::int64_t> wall_{1'700'000'000'123'456'789};
  std::atomic<std::int64_t> steady_{std::int64_t{1} << 40};
};

// For a log, which `clock` outlives.
inline LogClock ClockOf(const FakeClock& clock) {
  return {.now = [&clock] { return clock.now(); },
          .steady_now = [&clock] { return clock.steady_now(); }};
}

}  // namespace messenger::test
