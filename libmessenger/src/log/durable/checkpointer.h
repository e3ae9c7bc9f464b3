// Makes checkpoints: brings what is in the journals into segments, so that the
// journals can be dropped.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "log/durable/checkpoint.h"
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
  // Those of `dirty` that are deleted, and are held by nothing else.
  std::vector<std::shared_ptr<DurableChannel>> buried;
};

// Thread safety: none; for one thread, which blocks on the disk.
class Checkpointer {
 public:
  // `encoded` is the last checkpoint. So many bytes of messages that are in
  // segments are kept in memory as well.
  Checkpointer(std::shared_ptr<FileSystem> files, std::string directory,
               const ChannelContext* context, SegmentCache* cache,
               EncodedChannels encoded, EncodedTombstones tombstones,
               std::uint64_t max_cached_bytes);

  using ForEachChannel =
      absl::FunctionRef<void(absl::FunctionRef<void(DurableChannel*)>)>;

  // Writes segments, then the checkpoint, and removes what is then not needed
  // any more: journals, dropped segments, and memory. After an error the old
  // checkpoint or the new one is in force, and it can be run again.
  absl::Status Run(CheckpointWork& work, ForEachChannel for_each_channel);

  // There will be no more of these channels: after a Run that wrote them as
  // deleted. Removes their directories.
  void Forget(const absl::flat_hash_set<DurableChannel*>& channels);

 private:
  absl::Status Flush(const CheckpointWork& work);
  // Writes what the channel has in memory, into segments that are appended to
  // `written`.
  absl::Status WriteSegments(DurableChannel* channel,
                             const DurableChannel::Flush& flush,
                             std::vector<SegmentWriter>* written);
  absl::StatusOr<SegmentWriter> OpenSegment(
      const DurableChannel& channel, const std::string& directory,
      const std::optional<SegmentInfo>& last, const EntryRun& next);
  // What an unfinished checkpoint of an earlier process has left behind.
  absl::Status RemoveUnknown(DurableChannel* channel,
                             const std::string& directory);
  absl::Status RemoveJournalsBefore(std::uint64_t number);
  void CollectDropped(ForEachChannel for_each_channel);
  absl::Status RemoveDropped();
  // Keeps the newest of what was flushed in memory.
  void Evict();

  const std::shared_ptr<FileSystem> files_;
  const std::string directory_;
  const ChannelContext* const context_;
  SegmentCache* const cache_;
  EncodedChannels encoded_;
  EncodedTombstones tombstones_;
  absl::flat_hash_set<DurableChannel*> cleaned_;  // by RemoveUnknown
  // To be removed once the checkpoint does not mention them.
  std::vector<std::pair<DurableChannel*, std::uint64_t>> dropped_;

  struct Cached {
    DurableChannel* channel;
    std::uint64_t end;
    std::uint64_t bytes;
  };
  const std::uint64_t max_cached_bytes_;
  std::deque<Cached> cached_;  // in segments and in memory, oldest first
  std::uint64_t cached_bytes_ = 0;
};

}  // namespace messenger
