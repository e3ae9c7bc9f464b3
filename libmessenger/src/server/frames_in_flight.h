// What the frames on their way to readers hold.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "log/message_log.h"

namespace messenger {

// The log memory that frames refer to until they are written, over all readers
// of a service, and a bound for it: a reader that takes nothing keeps what its
// frame refers to, whatever becomes of it in the log. Memory that several
// frames refer to counts once, and with all that is kept alive with it.
//
// When the bound is passed, the frame that has been on its way for longest
// gives way, and the next one, until it is kept. The newest frame always stays.
// Long before, new frames are to be small, so that many slow readers fit in.
//
// Thread safety: all members may be called from any thread.
class FramesInFlight {
 public:
  // Of one reader, which has one frame on its way at a time.
  class Frame {
   public:
    Frame() = default;
    virtual ~Frame() = default;
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;

    // Called under a lock between Add and Remove.
    virtual std::shared_ptr<Frame> Share() = 0;

    // Must soon let go of what the frame refers to. Called by a thread that
    // adds another frame, without a lock; the frame may have been written
    // meanwhile.
    virtual void GiveWay() = 0;

   private:
    friend class FramesInFlight;
    bool added_ = false;
    Frame* older_ = nullptr;
    Frame* newer_ = nullptr;
    absl::InlinedVector<const void*, 5> owners_;
  };

  explicit FramesInFlight(std::size_t max_bytes) : max_bytes_(max_bytes) {}
  ~FramesInFlight() = default;
  FramesInFlight(const FramesInFlight&) = delete;
  FramesInFlight& operator=(const FramesInFlight&) = delete;

  // How large a frame may be now that may be `max_bytes` large otherwise.
  std::size_t FrameBytes(std::size_t max_bytes) const;

  // The frame with these entries, which it must keep alive until Remove, is on
  // its way. Without entries it holds nothing, and is not counted.
  void Add(Frame* frame, absl::Span<const LogBytes> entries)
      ABSL_LOCKS_EXCLUDED(mu_);
  // It is not any more. Does nothing if it was not added, or has given way.
  void Remove(Frame* frame) ABSL_LOCKS_EXCLUDED(mu_);

  std::size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  struct Owner {
    std::size_t bytes = 0;
    std::size_t references = 0;
  };

  void Append(Frame* frame) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Drop(Frame* frame) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::size_t max_bytes_;
  absl::Mutex mu_;
  Frame* oldest_ ABSL_GUARDED_BY(mu_) = nullptr;
  Frame* newest_ ABSL_GUARDED_BY(mu_) = nullptr;
  absl::flat_hash_map<const void*, Owner> owners_ ABSL_GUARDED_BY(mu_);
  // Changed under mu_; read without.
  std::atomic<std::size_t> bytes_{0};
};

}  // namespace messenger
