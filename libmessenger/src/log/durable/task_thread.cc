#include "log/durable/task_thread.h"

#include <pthread.h>

#include <utility>

namespace messenger {

TaskThread::TaskThread(const char* name)
    : thread_([this, name] {
        pthread_setname_np(pthread_self(), name);
        Run();
      }) {}

TaskThread::~TaskThread() {
  Stop();
}

void TaskThread::Post(Task task) {
  absl::MutexLock lock(&mu_);
  tasks_.push_back(std::move(task));
  changed_.Signal();
}

void TaskThread::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    changed_.Signal();
  }
  if (thread_.joinable()) thread_.join();
}

void TaskThread::Run() {
  while (true) {
    std::deque<Task> tasks;
    {
      absl::MutexLock lock(&mu_);
      while (tasks_.empty() && !stopping_) changed_.Wait(&mu_);
      if (tasks_.empty()) return;
      tasks.swap(tasks_);
    }
    for (Task& task : tasks) {
      task();
      // What it holds goes before the next one runs.
      task = nullptr;
    }
  }
}

}  // namespace messenger
