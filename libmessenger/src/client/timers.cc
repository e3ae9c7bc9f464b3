#include "client/timers.h"

#include <map>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/cond_var.h"

namespace messenger {

struct Timers::State {
  static void Run(const std::shared_ptr<State>& state);

  absl::Mutex mu;
  CondVar changed;
  std::map<Id, Task> tasks ABSL_GUARDED_BY(mu);
  std::uint64_t last_number ABSL_GUARDED_BY(mu) = 0;
  std::thread thread ABSL_GUARDED_BY(mu);
  bool stopping ABSL_GUARDED_BY(mu) = false;
};

void Timers::State::Run(const std::shared_ptr<State>& state) {
  absl::MutexLock lock(&state->mu);
  while (!state->stopping) {
    if (state->tasks.empty()) {
      state->changed.Wait(&state->mu);
      continue;
    }
    const auto first = state->tasks.begin();
    const TimePoint time = first->first.time;
    if (time > Clock::now()) {
      state->changed.WaitUntil(&state->mu, time);
      continue;
    }
    Task task = std::move(first->second);
    state->tasks.erase(first);
    state->mu.Unlock();
    task();
    task = nullptr;  // what it owns may schedule tasks, or destroy the Timers
    state->mu.Lock();
  }
}

Timers::Timers() : state_(std::make_shared<State>()) {}

Timers::~Timers() {
  Stop();
}

void Timers::Stop() {
  std::thread thread;
  std::map<Id, Task> dropped;
  {
    absl::MutexLock lock(&state_->mu);
    state_->stopping = true;
    state_->changed.Signal();
    dropped.swap(state_->tasks);
    thread.swap(state_->thread);
  }
  if (!thread.joinable()) return;
  if (thread.get_id() == std::this_thread::get_id()) {
    thread.detach();
  } else {
    thread.join();
  }
}

Timers::Id Timers::Schedule(TimePoint time, Task task) {
  absl::MutexLock lock(&state_->mu);
  if (state_->stopping) return {};
  const Id id = {.time = time, .number = ++state_->last_number};
  const auto it = state_->tasks.emplace(id, std::move(task)).first;
  if (!state_->thread.joinable()) {
    state_->thread = std::thread([state = state_] { State::Run(state); });
  } else if (it == state_->tasks.begin()) {
    state_->changed.Signal();
  }
  return id;
}

bool Timers::Cancel(const Id& id) {
  Task dropped;  // without the lock
  absl::MutexLock lock(&state_->mu);
  const auto it = state_->tasks.find(id);
  if (it == state_->tasks.end()) return false;
  dropped = std::move(it->second);
  state_->tasks.erase(it);
  return true;
}

}  // namespace messenger
