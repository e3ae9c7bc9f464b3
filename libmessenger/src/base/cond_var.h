// How to wait for something with a limit.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace messenger {

// A condition variable for an absl::Mutex, whose limits are of the monotonic
// clock. Those of absl::CondVar and absl::Notification are of the wall clock,
// even if they are durations: when that is set back by an hour, such a wait
// takes an hour longer. So each wait of this library that has a limit is one
// of these.
//
// As ever, a wait may end without a signal: look at the condition in a loop.
//
// Thread safety: all members may be called from any thread.
class CondVar {
 public:
  using Clock = std::chrono::steady_clock;

  // So long after now: at once if it is negative, within a century at most.
  static Clock::time_point After(std::chrono::milliseconds time);

  CondVar() = default;
  ~CondVar() = default;
  CondVar(const CondVar&) = delete;
  CondVar& operator=(const CondVar&) = delete;

  // Releases `mu` while it waits.
  void Wait(absl::Mutex* mu) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // The same; false if the time has come, with or without a signal.
  bool WaitUntil(absl::Mutex* mu, Clock::time_point time)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  // With or without the mutex.
  void Signal();     // one of those that wait
  void SignalAll();  // all of them

 private:
  // Returns when whoever has released its mutex sleeps, so that no signal falls
  // between. Signals come after that: who wakes up needs mu_ at once.
  void AwaitSleepers();

  // Held from before a waiter releases its mutex until it sleeps. absl::Mutex
  // is none that a condition variable of the system knows.
  std::mutex mu_;
  std::condition_variable changed_;
};

}  // namespace messenger
