// What is ready to run, on an executor.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "messenger/executor.h"

namespace messenger {

// Runs its entries, each on one thread at a time, on the threads of an
// executor. However many become ready together, the executor gets few tasks:
// each runs what is ready, one entry after the other, and asks for another
// thread while there is more. So an entry that blocks holds nobody else up as
// long as the executor has a thread.
//
// Thread safety: all members may be called from any thread.
class RunQueue : public std::enable_shared_from_this<RunQueue> {
 public:
  class Entry {
   public:
    Entry() = default;
    virtual ~Entry() = default;
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

   private:
    friend class RunQueue;
    // One turn. True if there is, or may be, something left to do.
    virtual bool Run() = 0;

    enum class State : std::uint8_t { kIdle, kReady, kRunning, kRunningAgain };
    State state_ = State::kIdle;  // guarded by the queue's mu_
  };

  explicit RunQueue(std::shared_ptr<Executor> executor);

  // The entry has a turn after this, and is alive until then. Never runs it on
  // the calling thread before this returns.
  void MakeReady(const std::shared_ptr<Entry>& entry) ABSL_LOCKS_EXCLUDED(mu_);
  void MakeReady(std::span<const std::shared_ptr<Entry>> entries)
      ABSL_LOCKS_EXCLUDED(mu_);

  // As MakeReady, but if the entry neither runs nor is to run, it has its first
  // turn now, on this thread.
  void RunNow(const std::shared_ptr<Entry>& entry) ABSL_LOCKS_EXCLUDED(mu_);

  // Whether the calling thread runs an entry of a queue over the same executor:
  // waiting for one here may be waiting for oneself.
  bool RunningInside() const;

 private:
  void Add(const std::shared_ptr<Entry>& entry)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AskForThread() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What the executor runs.
  void Work() ABSL_LOCKS_EXCLUDED(mu_);
  // A turn of an entry, outside of the lock.
  bool RunUnlocked(Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::shared_ptr<Executor> executor_;
  absl::Mutex mu_;
  std::deque<std::shared_ptr<Entry>> ready_ ABSL_GUARDED_BY(mu_);
  bool asked_ ABSL_GUARDED_BY(mu_) = false;  // for a thread that has not come
};

}  // namespace messenger
