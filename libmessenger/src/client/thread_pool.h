// The threads that run a client's callbacks, unless the program has its own.
#pragma once

#include <memory>

#include "absl/functional/any_invocable.h"
#include "messenger/executor.h"

namespace messenger {

// Threads are started as they are needed.
//
// Thread safety: all members may be called from any thread.
class ThreadPool final : public Executor {
 public:
  explicit ThreadPool(int max_threads);

  ~ThreadPool() override;  // as Stop
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Not after Stop.
  void Post(absl::AnyInvocable<void()> task) override;

  // Lets the tasks that were posted run, and those that they post, and joins
  // the threads. On one of these it cannot join: they then end by themselves.
  void Stop();

 private:
  struct State;  // outlives the pool where threads cannot be joined

  const std::shared_ptr<State> state_;
};

}  // namespace messenger
