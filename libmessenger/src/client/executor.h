// The threads that run a client's callbacks.
#pragma once

#include <deque>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace messenger {

// A pool of threads, started as they are needed.
//
// Thread safety: all members may be called from any thread.
class Executor {
 public:
  using Task = absl::AnyInvocable<void()>;

  explicit Executor(int max_threads);
  ~Executor();  // as Stop
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Not after Stop.
  void Post(Task task);

  // Lets the tasks that were posted run, and those that they post, and joins
  // the threads. On one of its own threads it cannot join: the threads then end
  // by themselves.
  void Stop();

  // Whether the calling thread is one of this executor's.
  bool RunningInside() const;

 private:
  struct State;  // outlives the Executor where threads cannot be joined

  const std::shared_ptr<State> state_;
};

// Runs its tasks one at a time, in the order in which they were posted, on an
// executor that it keeps alive.
//
// Thread safety: all members may be called from any thread.
class Strand : public std::enable_shared_from_this<Strand> {
 public:
  explicit Strand(std::shared_ptr<Executor> executor);

  // Never runs `task` on the calling thread.
  void Post(Executor::Task task) ABSL_LOCKS_EXCLUDED(mu_);

  bool RunningInside() const { return executor_->RunningInside(); }

 private:
  void Schedule();
  void Run() ABSL_LOCKS_EXCLUDED(mu_);

  const std::shared_ptr<Executor> executor_;
  absl::Mutex mu_;
  std::deque<Executor::Task> tasks_ ABSL_GUARDED_BY(mu_);
  bool scheduled_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace messenger
