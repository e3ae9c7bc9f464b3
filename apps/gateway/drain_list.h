// Answers that wait for messages, and have to end early when the gateway ends.
#pragma once

#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace messenger::app {

class Drainable {
 public:
  Drainable() = default;
  virtual ~Drainable() = default;
  Drainable(const Drainable&) = delete;
  Drainable& operator=(const Drainable&) = delete;

  // To end soon. Must not block.
  virtual void Drain() = 0;
};

// Thread safety: all members may be called from any thread.
class DrainList {
 public:
  // Drained at once if the others have been.
  void Add(const std::shared_ptr<Drainable>& one) {
    {
      absl::MutexLock lock(&mu_);
      if (!drained_) {
        list_.emplace(one.get(), one);
        return;
      }
    }
    one->Drain();
  }

  void Remove(Drainable* one) {
    absl::MutexLock lock(&mu_);
    list_.erase(one);
  }

  void Drain() {
    std::vector<std::shared_ptr<Drainable>> all;
    {
      absl::MutexLock lock(&mu_);
      drained_ = true;
      for (const auto& [_, one] : list_) {
        if (auto alive = one.lock()) all.push_back(std::move(alive));
      }
    }
    for (const auto& one : all) one->Drain();
  }

  bool drained() const {
    absl::MutexLock lock(&mu_);
    return drained_;
  }

 private:
  mutable absl::Mutex mu_;
  bool drained_ ABSL_GUARDED_BY(mu_) = false;
  std::unordered_map<Drainable*, std::weak_ptr<Drainable>> list_
      ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger::app
