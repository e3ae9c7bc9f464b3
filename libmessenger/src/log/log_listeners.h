// Those who hear of what happens in a log.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "log/message_log.h"

namespace messenger {

// Thread safety: all members may be called from any thread.
class LogListeners {
 public:
  // As MessageLog::AddListener and RemoveListener.
  void Add(LogListener* listener) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    listeners_.push_back(listener);
    if (!refusal_.ok()) listener->OnAvailability(refusal_);
  }
  void Remove(LogListener* listener) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    std::erase(listeners_, listener);
  }

  void OnAppend(std::string_view channel) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::ReaderMutexLock lock(&mu_);
    for (LogListener* const listener : listeners_) listener->OnAppend(channel);
  }
  void OnAvailability(const absl::Status& refusal) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    refusal_ = refusal;
    for (LogListener* const listener : listeners_) {
      listener->OnAvailability(refusal);
    }
  }

 private:
  absl::Mutex mu_;
  std::vector<LogListener*> listeners_ ABSL_GUARDED_BY(mu_);
  absl::Status refusal_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger
