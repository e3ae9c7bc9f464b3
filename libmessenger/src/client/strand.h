// Tasks in order, on an executor.
#pragma once

#include <deque>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "messenger/executor.h"

namespace messenger {

// Runs its tasks one at a time, in the order in which they were posted, on an
// executor that it keeps alive.
//
// Thread safety: all members may be called from any thread.
class Strand : public std::enable_shared_from_this<Strand> {
 public:
  explicit Strand(std::shared_ptr<Executor> executor);

  // Never runs `task` on the calling thread before it returns.
  void Post(absl::AnyInvocable<void()> task) ABSL_LOCKS_EXCLUDED(mu_);

  // Whether the calling thread runs a task of this strand, or of another over
  // the same executor: waiting for a task here may be waiting for oneself.
  bool RunningInside() const;

 private:
  void Schedule();
  void Run() ABSL_LOCKS_EXCLUDED(mu_);

  const std::shared_ptr<Executor> executor_;
  absl::Mutex mu_;
  std::deque<absl::AnyInvocable<void()>> tasks_ ABSL_GUARDED_BY(mu_);
  bool scheduled_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace messenger
