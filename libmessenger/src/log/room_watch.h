// Looks whether a log that has refused appends can take them again.
#pragma once

#include <chrono>
#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/cond_var.h"
#include "log/availability.h"
#include "log/log_clock.h"

namespace messenger {

// For a log without threads of its own: there is one from the first refusal on.
//
// Thread safety: all members may be called from any thread.
class RoomWatch {
 public:
  using HasRoom = std::function<bool()>;

  // `has_room` is called by the thread, every `interval` while appends are
  // refused.
  RoomWatch(Availability availability, LogClock clock, HasRoom has_room,
            std::chrono::milliseconds interval);
  ~RoomWatch();
  RoomWatch(const RoomWatch&) = delete;
  RoomWatch& operator=(const RoomWatch&) = delete;

  // Appends are refused from now on, until there is room.
  void Refuse(const absl::Status& refusal) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mu_);

  const LogClock clock_;
  const HasRoom has_room_;
  const std::chrono::milliseconds interval_;
  absl::Mutex mu_;
  CondVar changed_;
  Availability availability_ ABSL_GUARDED_BY(mu_);
  absl::Status refusal_ ABSL_GUARDED_BY(mu_);  // OK: appends are taken
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger
