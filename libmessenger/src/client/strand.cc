#include "client/strand.h"

#include <utility>

namespace messenger {
namespace {

// The executor whose task the current thread runs.
thread_local const Executor* current_executor = nullptr;

}  // namespace

Strand::Strand(std::shared_ptr<Executor> executor)
    : executor_(std::move(executor)) {}

bool Strand::RunningInside() const {
  return current_executor == executor_.get();
}

void Strand::Post(absl::AnyInvocable<void()> task) {
  absl::MutexLock lock(&mu_);
  tasks_.push_back(std::move(task));
  if (scheduled_) return;
  scheduled_ = true;
  Schedule();
}

void Strand::Schedule() {
  executor_->Post([self = shared_from_this()] { self->Run(); });
}

void Strand::Run() {
  absl::AnyInvocable<void()> task;
  {
    absl::MutexLock lock(&mu_);
    task = std::move(tasks_.front());
    tasks_.pop_front();
  }
  const Executor* const outer =
      std::exchange(current_executor, executor_.get());
  task();
  task = nullptr;
  current_executor = outer;
  absl::MutexLock lock(&mu_);
  // One task a turn, so that strands share the threads fairly.
  if (tasks_.empty()) {
    scheduled_ = false;
  } else {
    Schedule();
  }
}

}  // namespace messenger
