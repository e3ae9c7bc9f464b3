// One channel of the durable log.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "log/channel_context.h"
#include "log/channel_writer.h"
#include "log/durable/checkpoint.h"
#include "log/durable/segment_format.h"
#include "log/entry_queue.h"
#include "log/message_log.h"
#include "log/resolve_start.h"

namespace messenger {

// Messages are in segments up to some sequence, and in memory from there on; of
// those in segments, the newest may be in memory as well. A batch is
// *prepared* by the commit thread (see ChannelWriter), and can be read when it
// is *published*, which is after its round is on stable storage.
//
// Thread safety: as said at the members. Those for every thread wait for no
// disk.
class DurableChannel {
 public:
  // A channel without messages.
  DurableChannel(std::string name, const ChannelContext& context);
  // As it was in a checkpoint.
  DurableChannel(ChannelState state, const ChannelContext& context);
  ~DurableChannel() = default;
  DurableChannel(const DurableChannel&) = delete;
  DurableChannel& operator=(const DurableChannel&) = delete;

  const std::string& name() const { return name_; }

  // ---- For every thread.

  std::uint64_t head() const { return head_.load(std::memory_order_acquire); }
  // It was deleted, and takes no more messages: another channel goes on where
  // it was. Those who hold it find out by themselves.
  void Retire() { retired_.store(true, std::memory_order_release); }
  bool retired() const { return retired_.load(std::memory_order_acquire); }

  // Where a reader starts that starts now. A start by time may have to look
  // into a segment: then that is returned in `*segment`, and what FindTime
  // finds there is to be passed to ResolveTime.
  absl::StatusOr<Origin> Resolve(const Start& start, bool strict,
                                 std::optional<SegmentInfo>* segment)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<Origin> ResolveTime(const Start& start, bool strict,
                                     std::uint64_t found)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Reads from `next` on and says in `result` what was found. If that is in a
  // segment, the entries are left to the caller, and the segment is returned.
  std::optional<SegmentInfo> Read(std::uint64_t next, const ReadBounds& bounds,
                                  ReadResult* result) ABSL_LOCKS_EXCLUDED(mu_);

  // Whether that segment is still one of the channel's. Once it is not, its
  // files may be removed.
  bool HasSegment(std::uint64_t first_sequence) ABSL_LOCKS_EXCLUDED(mu_);

  // Nothing if it has no message yet, or none since it was deleted.
  std::optional<ChannelInfo> Info() ABSL_LOCKS_EXCLUDED(mu_);

  // ---- For the commit thread.

  // As ChannelWriter::Prepare. `in_segment` reads a stored message from a
  // segment.
  using ReadMessage = absl::FunctionRef<absl::StatusOr<LogBytes>(
      const SegmentInfo& segment, std::uint64_t sequence)>;
  absl::StatusOr<ChannelWriter::Prepared> Prepare(
      const AppendBatch& batch, ReadMessage in_segment,
      ChannelWriter::MayStore may_store);
  // Whether there is something that can be deleted.
  bool exists() const { return place().head != place().deleted_head; }
  // Whether there was something once.
  bool deleted() const { return place().head > 0 && !exists(); }
  // Whether messages are prepared, deleted ones included.
  bool advances() const { return place().head != head(); }
  // Deletes all that is there and prepared. Returns the head.
  std::uint64_t PrepareDeletion();

  // The round is on stable storage, or it has failed, and nothing of it was
  // prepared. Publish returns whether there are new messages.
  bool Publish() ABSL_LOCKS_EXCLUDED(mu_);
  void Undo() { writer_.Undo(); }

  // For recovery: what a round in the journal says. DATA_LOSS if entries do not
  // follow the newest ones, or if what was deleted is not what is there.
  absl::Status Replay(std::uint64_t first_sequence, std::string_view entries,
                      EntryRun::SteadyTime written) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status ReplayDeletion(std::uint64_t head, EntryRun::SteadyTime time)
      ABSL_LOCKS_EXCLUDED(mu_);
  void ReplayOwner(const ProducerOwner& owner) { writer_.RestoreOwner(owner); }
  // For recovery: what a checkpoint has carried over, which must be before the
  // head. DATA_LOSS if it is not intact.
  absl::Status RestoreCarried(std::uint64_t first_sequence,
                              std::string_view entries,
                              EntryRun::SteadyTime written)
      ABSL_LOCKS_EXCLUDED(mu_);
  // An epoch has ended.
  void EndEpoch() ABSL_LOCKS_EXCLUDED(mu_);
  // There is nothing more to replay. Whether messages are lost that a
  // checkpoint knew to be dropped.
  bool EndRecovery() ABSL_LOCKS_EXCLUDED(mu_);

  // Its state without the segments, for a checkpoint of what is published now.
  // Later messages will be in runs of their own.
  ChannelState BeginCheckpoint() ABSL_LOCKS_EXCLUDED(mu_);

  // ---- For the thread that makes checkpoints.

  // The messages up to `head` that are not in segments yet, and the segment
  // that they continue, if any. They may be dropped before EndFlush.
  struct Flush {
    std::optional<SegmentInfo> last_segment;
    std::vector<EntryRun> runs;
    std::uint64_t deletions = 0;
  };
  Flush BeginFlush(std::uint64_t head) ABSL_LOCKS_EXCLUDED(mu_);
  // They are in `segments` now (the first of which may be last_segment, grown).
  // If it failed, there are none.
  void EndFlush(const Flush& flush, const std::vector<SegmentInfo>& segments)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Copies what would be flushed to where `writer` has room, so that little
  // messages of many channels share chunks: for what stays in memory for long.
  absl::Status Compact(const Flush& flush, EntryWriter* writer)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Drops what is too old.
  void Sweep() ABSL_LOCKS_EXCLUDED(mu_);

  // Fills in what BeginCheckpoint has left out.
  void CompleteCheckpoint(ChannelState* state) ABSL_LOCKS_EXCLUDED(mu_);
  // Takes what was dropped since out of the state of a checkpoint.
  void TakeDropped(ChannelState* state) ABSL_LOCKS_EXCLUDED(mu_);

  // Segments that are not needed any more once a checkpoint no longer mentions
  // them. Each is returned once.
  std::vector<std::uint64_t> TakeDroppedSegments() ABSL_LOCKS_EXCLUDED(mu_);
  bool HasDroppedSegments() ABSL_LOCKS_EXCLUDED(mu_);

  // Frees the memory of messages before `end` that are in segments as well.
  void Evict(std::uint64_t end) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // Freed when it goes out of scope, after mu_.
  using Dropped = std::vector<EntryRun>;

  absl::StatusOr<LogBytes> FindMessage(std::uint64_t sequence,
                                       ReadMessage in_segment)
      ABSL_LOCKS_EXCLUDED(mu_);
  const ChannelWriter::Place& place() const { return writer_.place(); }
  // Recovery: entries that are in no segment.
  void PushCopies(std::vector<EntryRun> copies) ABSL_LOCKS_EXCLUDED(mu_);
  void PublishDeletion(Dropped* dropped) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  ChannelExtent extent() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The segment with this message; null if it is in none.
  const SegmentInfo* FindSegment(std::uint64_t sequence) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool InMemory(std::uint64_t sequence) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Where the messages begin that are not in segments.
  std::uint64_t unflushed_begin() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::uint64_t bytes() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ApplyRetention(Dropped* dropped) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What was lost was not dropped: its sequences are given out again. Returns
  // whether there is something.
  bool ForgetDropsOfLost() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Units of retention.
  std::size_t unit_count() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropOldest(Dropped* dropped) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PopQueue(Dropped* dropped) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string name_;
  const ChannelContext& context_;

  ChannelWriter writer_;  // commit thread only

  // Written by the commit thread under mu_.
  std::atomic<std::uint64_t> head_{0};
  std::atomic<bool> retired_{false};

  absl::Mutex mu_;
  std::uint64_t first_sequence_ ABSL_GUARDED_BY(mu_) = 1;
  std::uint64_t deleted_head_ ABSL_GUARDED_BY(mu_) = 0;
  std::optional<Timestamp> last_dropped_time_ ABSL_GUARDED_BY(mu_);
  std::vector<SegmentInfo> segments_ ABSL_GUARDED_BY(mu_);
  std::uint64_t segment_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // of their entries
  EntryQueue queue_ ABSL_GUARDED_BY(mu_);
  std::uint64_t cached_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // also in segments
  std::vector<std::uint64_t> dropped_segments_ ABSL_GUARDED_BY(mu_);
  // Bytes of the first segment that retention dropped while they were written
  // to it.
  std::uint64_t front_dropped_ ABSL_GUARDED_BY(mu_) = 0;
  std::uint64_t deletions_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<std::uint64_t> epoch_heads_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger
