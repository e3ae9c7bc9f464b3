// For notices that would come as often as requests do.
#pragma once

#include <chrono>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace messenger::app {

// Thread safety: all members may be called from any thread.
class Seldom {
 public:
  using Clock = std::chrono::steady_clock;

  // Whether it is to be told now: the first time, and after that at most once a
  // minute.
  bool IsDue(Clock::time_point now = Clock::now()) {
    absl::MutexLock lock(&mu_);
    if (told_ && now - *told_ < std::chrono::minutes(1)) return false;
    told_ = now;
    return true;
  }

 private:
  absl::Mutex mu_;
  std::optional<Clock::time_point> told_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger::app
