// What the threads of a log in a directory share.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/base/optimization.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "log/channel_context.h"
#include "log/channel_map.h"
#include "log/durable/checkpoint_file.h"
#include "log/durable/durable_channel.h"
#include "log/durable/file_system.h"
#include "log/durable/journal.h"
#include "log/durable/log_time.h"
#include "log/durable/reserve.h"
#include "log/durable/segment_cache.h"
#include "log/log_clock.h"
#include "log/log_listeners.h"
#include "messenger/stats.h"

namespace messenger {

// What tests set, and OpenLog.
struct DurableLogOptions {
  LogClock clock;
  std::shared_ptr<FileSystem> files = FileSystem::Posix();
  std::size_t max_open_segments = 128;
  // Of messages that stay in memory though they are in segments: readers that
  // lag a little, and retries, find them there.
  std::uint64_t max_cached_bytes = std::uint64_t{64} << 20;
  // If more channels than this have something to write, a checkpoint carries
  // over what is little (see Checkpointer).
  std::size_t max_small_segments = 64;
  // Room that is kept on the disk (see Reserve), besides twice the size of a
  // checkpoint; zero: none.
  std::uint64_t reserve_bytes = 0;
  // What closing may take for a last checkpoint. What is not done by then is
  // left in the journals.
  std::chrono::milliseconds close_timeout = std::chrono::hours(24);
  // While appends are refused, how often the log looks whether it can take them
  // again: whoever would send may have been told not to.
  std::chrono::milliseconds room_interval = std::chrono::seconds(1);
};

// Thread safety: `context` and `key` are set up before there are threads; all
// else may be used from any thread.
struct DurableCore {
  DurableCore(std::string directory_name, const LogOptions& options,
              DurableLogOptions durable_options);

  bool synced() const {
    return context.options.directory.durability == Durability::kFsync;
  }

  TimeAnchor Now() const {
    return {.log_time = context.clock.steady_now(),
            .wall_time = context.clock.now()};
  }

  void Notify(std::string_view notice) const {
    if (context.options.on_notice) context.options.on_notice(notice);
  }

  // An empty journal, with the room of the reserve if need be.
  absl::StatusOr<std::unique_ptr<JournalWriter>> CreateJournal(
      std::uint64_t number, JournalTraits traits);

  // A segment that the channel has listed. NOT_FOUND if it does not list it any
  // more; if it does, and the file is missing, that is DATA_LOSS.
  absl::StatusOr<std::shared_ptr<SegmentReader>> OpenSegment(
      DurableChannel& channel, const SegmentInfo& segment);
  // Of a read of segments: what is damaged, or cannot be read, is told the
  // operator once. Not what retention has dropped meanwhile.
  void NoteUnreadable(const std::string& channel, const absl::Status& status)
      ABSL_LOCKS_EXCLUDED(unreadable_mu);

  // See base/counters.h; first, since it is aligned.
  alignas(ABSL_CACHELINE_SIZE) LogStats counters;
  const std::string directory;
  const DurableLogOptions durable;
  FileSystem& files;
  std::unique_ptr<FileLock> file_lock;
  ChannelContext context;
  std::uint64_t key = 0;
  Reserve reserve;
  CheckpointFile checkpoint;
  SegmentCache cache;
  ChannelMap<DurableChannel> channels;
  LogListeners listeners;

  absl::Mutex unreadable_mu;
  absl::flat_hash_set<std::string> unreadable  // what was told of it
      ABSL_GUARDED_BY(unreadable_mu);
};

}  // namespace messenger
