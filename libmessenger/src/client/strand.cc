#include "client/strand.h"

namespace messenger {

void Strand::Post(absl::AnyInvocable<void()> task) {
  // Under the lock, so that the task does not run before: it may be what the
  // end of the client waits for, after which nothing is run any more.
  absl::MutexLock lock(&mu_);
  tasks_.push_back(std::move(task));
  queue_->MakeReady(shared_from_this());
}

bool Strand::Run() {
  absl::AnyInvocable<void()> task;
  {
    absl::MutexLock lock(&mu_);
    if (tasks_.empty()) return false;
    task = std::move(tasks_.front());
    tasks_.pop_front();
  }
  task();
  task = nullptr;
  // One task a turn, so that strands share the threads fairly.
  absl::MutexLock lock(&mu_);
  return !tasks_.empty();
}

}  // namespace messenger
