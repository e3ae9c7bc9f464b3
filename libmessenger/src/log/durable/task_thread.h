// A thread that runs tasks in the order in which they were given.
#pragma once

#include <deque>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace messenger {

// Thread safety: all members may be called from any thread, Stop from one at a
// time.
class TaskThread {
 public:
  using Task = absl::AnyInvocable<void()>;

  explicit TaskThread(const char* name);
  // Stops.
  ~TaskThread();
  TaskThread(const TaskThread&) = delete;
  TaskThread& operator=(const TaskThread&) = delete;

  void Post(Task task) ABSL_LOCKS_EXCLUDED(mu_);

  // Waits until all tasks have run, those that they post included, and ends the
  // thread. Nothing may be posted afterwards.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mu_);

  absl::Mutex mu_;
  absl::CondVar changed_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace messenger
