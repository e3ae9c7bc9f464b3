// Tasks in order, on an executor.
#pragma once

#include <deque>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "client/run_queue.h"

namespace messenger {

// Runs its tasks one at a time, in the order in which they were posted.
//
// Thread safety: all members may be called from any thread.
class Strand final : public RunQueue::Entry,
                     public std::enable_shared_from_this<Strand> {
 public:
  explicit Strand(std::shared_ptr<RunQueue> queue) : queue_(std::move(queue)) {}

  // Never runs `task` on the calling thread before it returns.
  void Post(absl::AnyInvocable<void()> task) ABSL_LOCKS_EXCLUDED(mu_);

  // See RunQueue.
  bool RunningInside() const { return queue_->RunningInside(); }

 private:
  bool Run() override ABSL_LOCKS_EXCLUDED(mu_);

  const std::shared_ptr<RunQueue> queue_;
  absl::Mutex mu_;
  std::deque<absl::AnyInvocable<void()>> tasks_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger
