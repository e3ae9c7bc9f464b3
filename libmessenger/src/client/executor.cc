#include "client/executor.h"

#include <cstddef>
#include <thread>
#include <utility>
#include <vector>

namespace messenger {

struct Executor::State {
  explicit State(int most) : max_threads(static_cast<std::size_t>(most)) {}

  static void Work(const std::shared_ptr<State>& state);

  const std::size_t max_threads;
  absl::Mutex mu;
  absl::CondVar changed;
  std::deque<Task> tasks ABSL_GUARDED_BY(mu);
  std::vector<std::thread> threads ABSL_GUARDED_BY(mu);
  std::size_t idle ABSL_GUARDED_BY(mu) = 0;
  bool stopping ABSL_GUARDED_BY(mu) = false;
};

namespace {

// The executor that the current thread belongs to.
thread_local const void* current_executor = nullptr;

}  // namespace

void Executor::State::Work(const std::shared_ptr<State>& state) {
  current_executor = state.get();
  absl::MutexLock lock(&state->mu);
  while (true) {
    while (state->tasks.empty() && !state->stopping) {
      ++state->idle;
      state->changed.Wait(&state->mu);
      --state->idle;
    }
    if (state->tasks.empty()) return;
    Task task = std::move(state->tasks.front());
    state->tasks.pop_front();
    state->mu.Unlock();
    task();
    task = nullptr;  // what it owns may post tasks, or destroy the executor
    state->mu.Lock();
  }
}

Executor::Executor(int max_threads)
    : state_(std::make_shared<State>(max_threads)) {}

Executor::~Executor() {
  Stop();
}

void Executor::Stop() {
  std::vector<std::thread> threads;
  {
    absl::MutexLock lock(&state_->mu);
    state_->stopping = true;
    state_->changed.SignalAll();
    threads.swap(state_->threads);
  }
  for (std::thread& thread : threads) {
    if (RunningInside()) {
      thread.detach();
    } else {
      thread.join();
    }
  }
}

void Executor::Post(Task task) {
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

bool Executor::RunningInside() const {
  return current_executor == state_.get();
}

Strand::Strand(std::shared_ptr<Executor> executor)
    : executor_(std::move(executor)) {}

void Strand::Post(Executor::Task task) {
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
  Executor::Task task;
  {
    absl::MutexLock lock(&mu_);
    task = std::move(tasks_.front());
    tasks_.pop_front();
  }
  task();
  task = nullptr;
  absl::MutexLock lock(&mu_);
  // One task a turn, so that strands share the threads fairly.
  if (tasks_.empty()) {
    scheduled_ = false;
  } else {
    Schedule();
  }
}

}  // namespace messenger
