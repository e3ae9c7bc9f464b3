// Readers that have caught up, and the thread that wakes them.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "base/cond_var.h"
#include "log/message_log.h"
#include "messenger/stats.h"

namespace messenger {

// A reader that has nothing to read is parked here, in its channel's list. An
// append only marks the channel; the fan-out thread then wakes its readers, so
// that the sender does not pay for them.
//
// It wakes readers by channel, in rounds, so many at a time: a channel with a
// crowd of readers does not hold up another one's, nor do timers, however many
// are due. A round of a channel takes the readers that are parked when it
// begins, first come, first served; those that park meanwhile are for the next
// round.
//
// The *turn*: at any time, one party may act on a reader: the one that runs it,
// the write or read that it waits for, or, while it is parked, nobody. Whoever
// takes a reader out of its parking list has the turn from then on.
//
// Thread safety: all members may be called from any thread.
class FanOut final : public LogListener {
 public:
  using Clock = std::chrono::steady_clock;
  using TimePoint = Clock::time_point;
  static constexpr TimePoint kNever = TimePoint::max();
  // How many readers of a channel are woken, and how many timers run, before
  // other channels, and timers, have their go. Waking one takes some 10 us, the
  // rest of a go much less than that.
  static constexpr std::size_t kAtOnce = 16;

  struct Channel;
  class ParkedList;

  class Reader : public std::enable_shared_from_this<Reader> {
   public:
    using TimePoint = FanOut::TimePoint;

    virtual ~Reader() = default;

    // The fan-out thread has taken the reader out of its parking list and hands
    // it the turn, since there is more to read or the server is draining.
    virtual void OnWake() = 0;

    // The time set with SetTimer has come; the timer is not set any more.
    // Called on the fan-out thread, without the turn. Returns when to be called
    // again.
    virtual TimePoint OnTimer(TimePoint now) = 0;

    // Whether to give up parking: there is more to read, or the reader has been
    // cancelled. Called with the turn, under a lock: must not block.
    virtual bool MustNotPark() const = 0;

   private:
    friend class FanOut;
    Channel* channel_ = nullptr;
    ParkedList* list_ = nullptr;  // that it is parked in
    std::size_t place_ = 0;       // in there
    TimePoint timer_ = kNever;
  };

  FanOut();
  // No reader may be left.
  ~FanOut() override;
  FanOut(const FanOut&) = delete;
  FanOut& operator=(const FanOut&) = delete;

  // Counts `reader` as one of the channel's. Every reader that has joined must
  // leave, unparked, before it is destroyed.
  void Join(Reader* reader, std::string_view channel) ABSL_LOCKS_EXCLUDED(mu_);
  void Leave(Reader* reader) ABSL_LOCKS_EXCLUDED(mu_);

  // Gives up the turn; false if it must not be given up, since there is more to
  // read, or the reader has to end. After true, `*reader` may be gone.
  [[nodiscard]] bool Park(Reader* reader) ABSL_LOCKS_EXCLUDED(mu_);

  // Takes the turn; false if the reader is not parked.
  [[nodiscard]] bool Unpark(Reader* reader) ABSL_LOCKS_EXCLUDED(mu_);

  // Sets the reader's one timer, unless it is set to an earlier time.
  void SetTimer(Reader* reader, TimePoint time) ABSL_LOCKS_EXCLUDED(mu_);

  std::uint64_t CountReaders(std::string_view channel) ABSL_LOCKS_EXCLUDED(mu_);

  // What it counts.
  void AddTo(ReadStats* stats) ABSL_LOCKS_EXCLUDED(mu_);

  // Wakes all readers; from now on none can park.
  void Drain() ABSL_LOCKS_EXCLUDED(mu_);

  void OnAppend(std::string_view channel) override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using ReaderPtr = std::shared_ptr<Reader>;

  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  // Wakes some readers of the channel whose go it is.
  void WakeSome() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Runs some of the timers that are due.
  void RunTimers(TimePoint now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PlaceTimer(Reader* reader, TimePoint time)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Mark(Channel* channel) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  absl::Mutex mu_;
  CondVar work_;
  // Channels that have readers.
  absl::flat_hash_map<std::string, std::unique_ptr<Channel>> channels_
      ABSL_GUARDED_BY(mu_);
  // Channels whose parked readers are to be woken, in the order of their goes.
  std::deque<Channel*> marked_ ABSL_GUARDED_BY(mu_);
  std::set<std::pair<TimePoint, Reader*>> timers_ ABSL_GUARDED_BY(mu_);
  std::uint64_t readers_ ABSL_GUARDED_BY(mu_) = 0;
  std::uint64_t parked_ ABSL_GUARDED_BY(mu_) = 0;
  std::uint64_t wakes_ ABSL_GUARDED_BY(mu_) = 0;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace messenger
