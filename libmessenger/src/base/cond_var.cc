#include "base/cond_var.h"

#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

namespace messenger {

CondVar::Clock::time_point CondVar::After(std::chrono::milliseconds time) {
  constexpr std::chrono::milliseconds kCentury = std::chrono::years(100);
  return Clock::now() +
         std::clamp(time, std::chrono::milliseconds(0), kCentury);
}

void CondVar::Wait(absl::Mutex* mu) {
  {
    std::unique_lock<std::mutex> lock(mu_);
    mu->Unlock();
    changed_.wait(lock);
  }
  mu->Lock();
}

bool CondVar::WaitUntil(absl::Mutex* mu, Clock::time_point time) {
  const auto since = time.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  const timespec limit = {
      .tv_sec = seconds.count(),
      .tv_nsec = std::chrono::nanoseconds(since - seconds).count()};
  int error = 0;
  {
    const std::unique_lock<std::mutex> lock(mu_);
    mu->Unlock();
    // What wait_until comes to, but never the wall clock.
    error = pthread_cond_clockwait(
        changed_.native_handle(), mu_.native_handle(), CLOCK_MONOTONIC, &limit);
  }
  mu->Lock();
  return error != ETIMEDOUT;
}

void CondVar::Signal() {
  AwaitSleepers();
  changed_.notify_one();
}

void CondVar::SignalAll() {
  AwaitSleepers();
  changed_.notify_all();
}

void CondVar::AwaitSleepers() {
  const std::lock_guard<std::mutex> lock(mu_);
}

}  // namespace messenger
