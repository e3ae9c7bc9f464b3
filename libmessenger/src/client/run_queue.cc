#include "client/run_queue.h"

#include <utility>

namespace messenger {
namespace {

// Turns before the executor may run something else: it may be the loop of a
// user interface.
constexpr int kMostTurns = 64;

// The executor whose task the current thread runs.
thread_local const Executor* current_executor = nullptr;

}  // namespace

RunQueue::RunQueue(std::shared_ptr<Executor> executor)
    : executor_(std::move(executor)) {}

bool RunQueue::RunningInside() const {
  return current_executor == executor_.get();
}

void RunQueue::MakeReady(const std::shared_ptr<Entry>& entry) {
  MakeReady(std::span(&entry, 1));
}

void RunQueue::MakeReady(std::span<const std::shared_ptr<Entry>> entries) {
  absl::MutexLock lock(&mu_);
  for (const std::shared_ptr<Entry>& entry : entries) Add(entry);
  AskForThread();
}

void RunQueue::RunNow(const std::shared_ptr<Entry>& entry) {
  absl::MutexLock lock(&mu_);
  const bool idle = entry->state_ == Entry::State::kIdle;
  if (idle && !RunUnlocked(*entry)) return;
  Add(entry);
  AskForThread();
}

void RunQueue::Add(const std::shared_ptr<Entry>& entry) {
  switch (entry->state_) {
    case Entry::State::kIdle:
      entry->state_ = Entry::State::kReady;
      ready_.push_back(entry);
      break;
    case Entry::State::kRunning:
      entry->state_ = Entry::State::kRunningAgain;
      break;
    case Entry::State::kReady:
    case Entry::State::kRunningAgain:
      break;
  }
}

void RunQueue::AskForThread() {
  if (ready_.empty() || std::exchange(asked_, true)) return;
  executor_->Post([self = shared_from_this()] { self->Work(); });
}

void RunQueue::Work() {
  const Executor* const outer =
      std::exchange(current_executor, executor_.get());
  std::shared_ptr<Entry> entry;
  {
    absl::MutexLock lock(&mu_);
    asked_ = false;
    for (int turns = 0; turns < kMostTurns && !ready_.empty(); ++turns) {
      entry = std::move(ready_.front());
      ready_.pop_front();
      AskForThread();
      // Behind the others, so that all have their turn.
      if (RunUnlocked(*entry)) Add(entry);
      mu_.Unlock();
      entry.reset();  // it may own much
      mu_.Lock();
    }
    AskForThread();
  }
  current_executor = outer;
}

bool RunQueue::RunUnlocked(Entry& entry) {
  entry.state_ = Entry::State::kRunning;
  mu_.Unlock();
  const bool more = entry.Run();
  mu_.Lock();
  const bool again = entry.state_ == Entry::State::kRunningAgain;
  entry.state_ = Entry::State::kIdle;
  return more || again;
}

}  // namespace messenger
