// Answers that wait for messages: they are told when the server is away, and
// end early when the gateway ends.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace messenger::app {

// Its members must not block.
class Waiter {
 public:
  Waiter() = default;
  virtual ~Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  // To end soon.
  virtual void Drain() = 0;
  // There may be no messages for a while.
  virtual void OnServerAway(const std::string& reason) = 0;
};

// Thread safety: all members may be called from any thread.
class Waiters {
 public:
  // Told what the others have been told.
  void Add(const std::shared_ptr<Waiter>& one) {
    bool drained;
    std::optional<std::string> away;
    {
      absl::MutexLock lock(&mu_);
      drained = drained_;
      away = away_;
      if (!drained_) list_.emplace(one.get(), one);
    }
    if (drained) return one->Drain();
    if (away) one->OnServerAway(*away);
  }

  void Remove(Waiter* one) {
    absl::MutexLock lock(&mu_);
    list_.erase(one);
  }

  void Drain() {
    {
      absl::MutexLock lock(&mu_);
      drained_ = true;
    }
    for (const auto& one : All()) one->Drain();
  }

  bool drained() const {
    absl::MutexLock lock(&mu_);
    return drained_;
  }

  // Why the server cannot be reached; nothing: it can.
  void SetServerAway(const std::optional<std::string>& reason) {
    {
      absl::MutexLock lock(&mu_);
      if (std::exchange(away_, reason).has_value() == reason.has_value()) {
        return;
      }
    }
    if (!reason) return;
    for (const auto& one : All()) one->OnServerAway(*reason);
  }

 private:
  std::vector<std::shared_ptr<Waiter>> All() const {
    std::vector<std::shared_ptr<Waiter>> all;
    absl::MutexLock lock(&mu_);
    for (const auto& [_, one] : list_) {
      if (auto alive = one.lock()) all.push_back(std::move(alive));
    }
    return all;
  }

  mutable absl::Mutex mu_;
  bool drained_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<std::string> away_ ABSL_GUARDED_BY(mu_);
  std::unordered_map<Waiter*, std::weak_ptr<Waiter>> list_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger::app
