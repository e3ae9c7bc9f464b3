// What a client does later: tries again, looks whether the server still lives.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"

namespace messenger {

// Runs tasks at given times, on one thread that is started with the first.
//
// Thread safety: all members may be called from any thread, under a lock that a
// task takes as well.
class Timers {
 public:
  using Clock = std::chrono::steady_clock;
  using TimePoint = Clock::time_point;
  // Must not block.
  using Task = absl::AnyInvocable<void()>;

  // A task to come. The default one is none.
  struct Id {
    TimePoint time;
    std::uint64_t number = 0;

    friend bool operator<(const Id& a, const Id& b) {
      return a.time != b.time ? a.time < b.time : a.number < b.number;
    }
  };

  Timers();
  ~Timers();  // as Stop
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  // After Stop, the task is dropped.
  Id Schedule(TimePoint time, Task task);

  // True if the task will not run; false if it runs, has run, or is none.
  bool Cancel(const Id& id);

  // Drops the tasks that are still to come. Waits for the one that runs, unless
  // called by it.
  void Stop();

 private:
  struct State;  // outlives the Timers where the thread cannot be joined

  const std::shared_ptr<State> state_;
};

}  // namespace messenger
