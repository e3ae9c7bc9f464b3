#include "log/room_watch.h"

#include <pthread.h>

#include <utility>

namespace messenger {

RoomWatch::RoomWatch(Availability availability, LogClock clock,
                     HasRoom has_room, std::chrono::milliseconds interval)
    : clock_(std::move(clock)),
      has_room_(std::move(has_room)),
      interval_(interval),
      availability_(std::move(availability)) {}

RoomWatch::~RoomWatch() {
  std::thread thread;
  {
    absl::MutexLock lock(&mu_);
    ending_ = true;
    changed_.SignalAll();
    thread.swap(thread_);
  }
  if (thread.joinable()) thread.join();
}

void RoomWatch::Refuse(const absl::Status& refusal) {
  absl::MutexLock lock(&mu_);
  if (!refusal_.ok()) return;
  refusal_ = refusal;
  availability_.Set(refusal_, clock_.steady_now());
  if (!thread_.joinable()) {
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "log-room");
      Run();
    });
  }
  changed_.SignalAll();
}

void RoomWatch::Run() {
  absl::MutexLock lock(&mu_);
  while (!ending_) {
    if (refusal_.ok()) {
      changed_.Wait(&mu_);
      continue;
    }
    if (changed_.WaitUntil(&mu_, CondVar::After(interval_))) continue;
    mu_.Unlock();
    const bool room = has_room_();
    mu_.Lock();
    if (room) refusal_ = absl::OkStatus();
    availability_.Set(refusal_, clock_.steady_now());
  }
}

}  // namespace messenger
