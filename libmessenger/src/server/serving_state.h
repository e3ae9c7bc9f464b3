// Whether a service takes messages, for those who send clients to it.
#pragma once

#include <functional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "log/message_log.h"

namespace messenger {

// It does while its log takes appends, until it is drained.
//
// Thread safety: all members may be called from any thread.
class ServingState final : public LogListener {
 public:
  using OnChange = std::function<void(bool serving)>;

  // As Service::WatchServing.
  void Watch(OnChange on_change) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    on_change_ = std::move(on_change);
    if (on_change_) on_change_(serving());
  }

  void OnAvailability(const absl::Status& refusal) override
      ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    const bool before = serving();
    refused_ = !refusal.ok();
    Tell(before);
  }

  void Drain() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    const bool before = serving();
    draining_ = true;
    Tell(before);
  }

 private:
  bool serving() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return !refused_ && !draining_;
  }
  void Tell(bool before) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (on_change_ && serving() != before) on_change_(serving());
  }

  absl::Mutex mu_;
  bool refused_ ABSL_GUARDED_BY(mu_) = false;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  OnChange on_change_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger
