// Makes checkpoints: brings what is in the journals into segments, so that the
// journals can be dropped.
//
// Segments for channels that have a few new messages cost three syncs each,
// which takes minutes where there are tens of thousands. So when there are
// many, what is little is *carried over*: it stays in memory, and all of it
// goes into one file, which replaces that of the checkpoint before. A channel
// gets a segment once it has something to fill it with.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/durable/checkpoint.h"
#include "log/durable/checkpoint_file.h"
#include "log/durable/durable_channel.h"
#include "log/durable/file_system.h"
#include "log/durable/segment_cache.h"
#include "log/durable/segment_writer.h"

namespace messenger {

// What a checkpoint has to bring to stable storage.
struct CheckpointWork {
  LogState log;
  struct Dirty {
    DurableChannel* channel;
    ChannelState state;  // from BeginCheckpoint
  };
  std::vector<Dirty> dirty;
  // Named producers that have changed since the last checkpoint; nothing: it is
  // deleted.
  std::vector<std::pair<ProducerId, std::optional<NamedProducers::Kept>>>
      named_producers;
  IdempotencyKeys::Snapshot idempotency_keys;
  // Those of `dirty` that are deleted, and are held by nothing else.
  std::vector<std::shared_ptr<DurableChannel>> buried;
};

struct CheckpointerLimits {
  // Of messages in segments that are kept in memory as well.
  std::uint64_t max_cached_bytes = 0;
  // Channels with something to write, from which on little is carried over.
  std::size_t max_small_segments = 64;
  // Of messages that are carried over.
  std::uint64_t max_carried_bytes = 0;
};

// The last checkpoint, as it was found.
struct LastCheckpoint {
  LogState log;
  EncodedChannels channels;
  EncodedTombstones tombstones;
  CheckpointTables tables;
  std::vector<DurableChannel*> carried;
};

// Thread safety: none; for one thread, which blocks on the disk.
class Checkpointer {
 public:
  Checkpointer(std::shared_ptr<FileSystem> files, std::string directory,
               const ChannelContext* context, SegmentCache* cache,
               CheckpointFile* checkpoint, LastCheckpoint last,
               const CheckpointerLimits& limits);

  using ForEachChannel =
      absl::FunctionRef<void(absl::FunctionRef<void(DurableChannel*)>)>;

  // Writes segments, then the checkpoint, and removes what is then not needed
  // any more: journals, dropped segments, and memory. After an error the old
  // checkpoint or the new one is in force, and it can be run again. Ends soon
  // with CANCELLED once `give_up` returns true.
  using GiveUp = absl::FunctionRef<bool()>;
  absl::Status Run(CheckpointWork& work, ForEachChannel for_each_channel,
                   GiveUp give_up);

  // Removes dropped segments without writing new ones, which makes room on a
  // full disk. Returns whether there were any.
  absl::StatusOr<bool> RemoveWhatIsDropped(ForEachChannel for_each_channel);

  // About the room that a checkpoint takes besides segments, in bytes.
  std::uint64_t checkpoint_size() const { return checkpoint_size_; }

  // There will be no more of these channels: after a Run that wrote them as
  // deleted. Removes their directories.
  void Forget(const absl::flat_hash_set<DurableChannel*>& channels);

 private:
  struct Unwritten {
    DurableChannel* channel;
    DurableChannel::Flush flush;
    std::uint64_t bytes = 0;
  };
  // What is in no segment.
  std::vector<Unwritten> FindUnwritten(const CheckpointWork& work);
  // Moves what is to be carried over out of `unwritten`.
  std::vector<Unwritten> TakeLittle(std::vector<Unwritten>* unwritten) const;
  absl::Status Carry(const std::vector<Unwritten>& carried, LogState* log,
                     GiveUp give_up);
  void TakeTables(const CheckpointWork& work);
  absl::Status Write(const LogState& log);
  void MeasureCheckpoint();

  absl::Status Flush(const std::vector<Unwritten>& unwritten, GiveUp give_up);
  absl::Status FlushSome(std::span<const Unwritten> unwritten, bool one_by_one,
                         GiveUp give_up);
  // Of the channels that were written to.
  absl::Status SyncDirectories(
      std::span<const Unwritten> written,
      const std::vector<std::vector<SegmentInfo>>& segments);
  // Writes what the channel has in memory, into segments that are appended to
  // `written`.
  absl::Status WriteSegments(DurableChannel* channel,
                             const DurableChannel::Flush& flush,
                             std::vector<SegmentWriter>* written);
  absl::StatusOr<SegmentWriter> OpenSegment(
      const DurableChannel& channel, const std::string& directory,
      const std::optional<SegmentInfo>& last, const EntryRun& next);
  // DATA_LOSS if what this process has not written is not fit to be appended
  // to.
  absl::Status CheckEnd(const DurableChannel& channel,
                        const std::string& directory,
                        const SegmentInfo& segment);
  // What an unfinished checkpoint of an earlier process has left behind.
  absl::Status RemoveUnknown(DurableChannel* channel,
                             const std::string& directory);
  void CollectDropped(ForEachChannel for_each_channel);
  absl::Status RemoveDropped();
  // Keeps the newest of what was flushed in memory.
  void Evict();

  const std::shared_ptr<FileSystem> files_;
  const std::string directory_;
  const ChannelContext* const context_;
  SegmentCache* const cache_;
  CheckpointFile* const checkpoint_;
  const CheckpointerLimits limits_;
  LogState log_;  // of the last checkpoint
  // As in it, or as in the one that could not be written (is_ahead_).
  EncodedChannels encoded_;
  EncodedTombstones tombstones_;
  CheckpointTables tables_;
  bool is_ahead_ = false;
  std::uint64_t checkpoint_size_ = 0;
  absl::flat_hash_set<DurableChannel*> carried_;
  absl::flat_hash_set<DurableChannel*> cleaned_;       // by RemoveUnknown
  absl::flat_hash_set<const DurableChannel*> intact_;  // by CheckEnd
  // To be removed once the checkpoint does not mention them.
  std::vector<std::pair<DurableChannel*, std::uint64_t>> dropped_;

  struct Cached {
    DurableChannel* channel;
    std::uint64_t end;
    std::uint64_t bytes;
  };
  std::deque<Cached> cached_;  // in segments and in memory, oldest first
  std::uint64_t cached_bytes_ = 0;
};

}  // namespace messenger
