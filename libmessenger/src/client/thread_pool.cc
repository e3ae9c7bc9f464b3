#include "client/thread_pool.h"

#include <cstddef>
#include <deque>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace messenger {

struct ThreadPool::State {
  explicit State(int most) : max_threads(static_cast<std::size_t>(most)) {}

  static void Work(const std::shared_ptr<State>& state);

  const std::size_t max_threads;
  absl::Mutex mu;
  absl::CondVar changed;
  std::deque<absl::AnyInvocable<void()>> tasks ABSL_GUARDED_BY(mu);
  std::vector<std::thread> threads ABSL_GUARDED_BY(mu);
  std::size_t idle ABSL_GUARDED_BY(mu) = 0;
  bool stopping ABSL_GUARDED_BY(mu) = false;
};

namespace {

// The pool that the current thread belongs to.
thread_local const void* current_pool = nullptr;

}  // namespace

void ThreadPool::State::Work(const std::shared_ptr<State>& state) {
  current_pool = state.get();
  absl::MutexLock lock(&state->mu);
  while (true) {
    while (state->tasks.empty() && !state->stopping) {
      ++state->idle;
      state->changed.Wait(&state->mu);
      --state->idle;
    }
    if (state->tasks.empty()) return;
    absl::AnyInvocable<void()> task = std::move(state->tasks.front());
    state->tasks.pop_front();
    state->mu.Unlock();
    task();
    task = nullptr;  // what it owns may post tasks, or destroy the pool
    state->mu.Lock();
  }
}

ThreadPool::ThreadPool(int max_threads)
    : state_(std::make_shared<State>(max_threads)) {}

ThreadPool::~ThreadPool() {
  Stop();
}

void ThreadPool::Stop() {
  std::vector<std::thread> threads;
  {
    absl::MutexLock lock(&state_->mu);
    state_->stopping = true;
    state_->changed.SignalAll();
    threads.swap(state_->threads);
  }
  const bool inside = current_pool == state_.get();
  for (std::thread& thread : threads) {
    if (inside) {
      thread.detach();
    } else {
      thread.join();
    }
  }
}

void ThreadPool::Post(absl::AnyInvocable<void()> task) {
  absl::MutexLock lock(&state_->mu);
  state_->tasks.push_back(std::move(task));
  // While stopping, only tasks post, and their threads go on until none is
  // left.
  if (!state_->stopping && state_->idle < state_->tasks.size() &&
      state_->threads.size() < state_->max_threads) {
    state_->threads.emplace_back([state = state_] { State::Work(state); });
  }
  state_->changed.Signal();
}

}  // namespace messenger
