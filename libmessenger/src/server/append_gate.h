// A bound for what is being appended, over all calls of a service.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "messenger/stats.h"

namespace messenger {

// Appends enter, and leave when the log has answered. Who finds no room waits;
// the connections whose calls wait take turns, so that one that sends more than
// can be stored keeps only itself waiting. What waits is bounded as well:
// beyond that, the connection that has most waiting is turned away.
//
// Thread safety: all members may be called from any thread.
class AppendGate {
 public:
  // An append that may have to wait. Its members are called without a lock, by
  // the thread that makes room for it, or takes its place; they must not block.
  class Waiter {
   public:
    Waiter() = default;
    virtual ~Waiter() = default;
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;
    // It has entered.
    virtual void OnAdmitted() = 0;
    // It will not.
    virtual void OnTurnedAway() = 0;
  };

  struct Limits {
    // Of the appends that have entered; a larger one enters alone.
    std::size_t max_bytes = 0;
    std::size_t max_waiting_bytes = 0;
  };
  explicit AppendGate(const Limits& limits) : limits_(limits) {}
  ~AppendGate() = default;
  AppendGate(const AppendGate&) = delete;
  AppendGate& operator=(const AppendGate&) = delete;

  enum class Entry : std::uint8_t {
    kAdmitted,
    kWaits,  // one of its members will be called, or is called already
    kTurnedAway,
  };
  // `connection` is any number that its calls have in common.
  Entry Enter(const std::shared_ptr<Waiter>& waiter, std::uint64_t connection,
              std::size_t bytes) ABSL_LOCKS_EXCLUDED(mu_);

  // After kWaits: takes it back. False if one of its members was called, or is
  // about to be.
  bool Withdraw(const Waiter* waiter, std::uint64_t connection)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Of an append that has entered.
  void Leave(std::size_t bytes) ABSL_LOCKS_EXCLUDED(mu_);

  // What it counts.
  void AddTo(SendStats* stats) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Waiting {
    std::shared_ptr<Waiter> waiter;
    std::size_t bytes = 0;
  };
  struct Lane {
    std::deque<Waiting> appends;  // not none
    std::size_t bytes = 0;
  };

  bool HasRoom(std::size_t bytes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return bytes_ == 0 || bytes_ + bytes <= limits_.max_bytes;
  }
  std::uint64_t LargestLane() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The last append of the lane.
  Waiting TakeBack(std::uint64_t connection) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Erase(std::uint64_t connection) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Limits limits_;
  absl::Mutex mu_;
  std::size_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  std::size_t waiting_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  std::uint64_t waits_ ABSL_GUARDED_BY(mu_) = 0;
  // By connection, and in the order of their turns.
  absl::flat_hash_map<std::uint64_t, Lane> lanes_ ABSL_GUARDED_BY(mu_);
  std::deque<std::uint64_t> turns_ ABSL_GUARDED_BY(mu_);
  // Somebody is letting in who waits.
  bool admitting_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace messenger
