// One channel of the memory log.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "log/log_clock.h"
#include "log/memory_chunk.h"
#include "log/message_log.h"
#include "log/producer_table.h"
#include "log/resolve_start.h"

namespace messenger {

// Appenders are serialised by append_mu_ and encode outside of mu_, so readers
// wait only for the moment in which a batch is published.
//
// A channel that was deleted stays here, empty, and remembers its head.
//
// Thread safety: all members may be called from any thread.
class MemoryChannel {
 public:
  MemoryChannel(std::string name, std::uint64_t epoch,
                const LogOptions& options, const LogClock& clock);

  const std::string& name() const { return name_; }

  // As LogAppender::Append. `*advanced` tells whether there are new messages.
  AppendResult Append(const AppendBatch& batch, bool* advanced)
      ABSL_LOCKS_EXCLUDED(append_mu_, mu_);

  // Where a reader starts that starts now.
  absl::StatusOr<Origin> Resolve(const Start& start, bool strict)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Reads from `next` on and says in `result` what was found.
  void Read(std::uint64_t next, const ReadBounds& bounds, ReadResult* result)
      ABSL_LOCKS_EXCLUDED(mu_);

  std::uint64_t head() const { return head_.load(std::memory_order_acquire); }

  // Nothing if it has no message yet, or none since it was deleted.
  std::optional<ChannelInfo> Info() ABSL_LOCKS_EXCLUDED(mu_);

  // False if it does not exist.
  bool Delete() ABSL_LOCKS_EXCLUDED(append_mu_, mu_);

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;

  // Entries in a chunk; the first and the last chunk may hold others as well.
  struct Segment {
    std::shared_ptr<MemoryChunk> chunk;
    std::uint64_t first_sequence = 0;
    // Where each entry begins, and where the last one ends.
    std::vector<std::uint32_t> offsets;
    Timestamp last_time;
    SteadyTime last_write;

    std::uint64_t count() const { return offsets.size() - 1; }
    std::uint64_t end_sequence() const { return first_sequence + count(); }
    std::size_t bytes() const { return offsets.back() - offsets.front(); }
    std::string_view Entries(std::size_t from, std::size_t to) const {
      return {chunk->data() + offsets[from], offsets[to] - offsets[from]};
    }
  };
  using Segments = std::deque<Segment>;

  // Memory dropped under mu_ and freed when it goes out of scope, after mu_.
  using Dropped = std::vector<Segment>;

  absl::StatusOr<std::vector<Segment>> Encode(const AppendBatch& batch,
                                              std::size_t skip, Timestamp time)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(append_mu_) ABSL_LOCKS_EXCLUDED(mu_);
  void Publish(std::vector<Segment> segments)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(append_mu_) ABSL_LOCKS_EXCLUDED(mu_);
  // Receipts of messages that a producer repeats, after comparing them with
  // what is stored.
  absl::Status AddDuplicates(const AppendBatch& batch,
                             const ProducerTable::Stored& stored,
                             AppendResult::value_type* receipts)
      ABSL_LOCKS_EXCLUDED(mu_);

  // The encoded Message with this sequence; empty if it is not stored. The
  // bytes live as long as `owner`.
  std::string_view FindMessage(std::uint64_t sequence,
                               std::shared_ptr<MemoryChunk>* owner)
      ABSL_LOCKS_EXCLUDED(mu_);

  Segments::iterator FindSegment(std::uint64_t sequence)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::uint64_t FindTime(Timestamp time) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::uint64_t first_sequence() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ChannelExtent extent() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropExpired(Dropped* dropped) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropExcess(Dropped* dropped) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropFront(Dropped* dropped) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string name_;
  const std::uint64_t epoch_;
  const RetentionOptions retention_;
  const LogClock& clock_;

  absl::Mutex append_mu_ ABSL_ACQUIRED_BEFORE(mu_);
  ProducerTable producers_ ABSL_GUARDED_BY(append_mu_);
  Timestamp last_time_ ABSL_GUARDED_BY(append_mu_);
  // The chunk being filled, and how far.
  std::shared_ptr<MemoryChunk> open_chunk_ ABSL_GUARDED_BY(append_mu_);
  std::size_t open_used_ ABSL_GUARDED_BY(append_mu_) = 0;
  SteadyTime open_since_ ABSL_GUARDED_BY(append_mu_);  // its first write

  // Written under append_mu_ and mu_.
  std::atomic<std::uint64_t> head_{0};

  absl::Mutex mu_;
  Segments segments_ ABSL_GUARDED_BY(mu_);
  std::size_t memory_ ABSL_GUARDED_BY(mu_) = 0;   // of segments_
  std::uint64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;  // of their entries
  // The newest message that retention dropped.
  std::optional<Timestamp> last_dropped_time_ ABSL_GUARDED_BY(mu_);
  // The head when the channel was last deleted.
  std::uint64_t deleted_head_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace messenger
