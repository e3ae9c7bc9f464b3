// Opening a log that somebody has closed, or that was cut off.
//
// The state is that of the checkpoint, and what the journals that came after it
// say, in the order of their rounds. What of them is torn (journal_replay.h)
// nobody was told to be stored: it is cut off. Damage is an error.
//
// If the rounds were not synced (durability `os`), acknowledged ones may be
// torn as well. Unless the log was closed, positions after its end now name
// other messages, so that it needs a new epoch.
//
// Recovery changes nothing that it would need if it were interrupted.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "log/channel_map.h"
#include "log/durable/checkpointer.h"
#include "log/durable/commit_round.h"
#include "log/durable/durable_channel.h"
#include "log/durable/file_system.h"
#include "log/durable/log_time.h"

namespace messenger {

struct RecoveredLog {
  ChannelMap<DurableChannel>::Map channels;
  Tombstones tombstones;  // of channels that are not in `channels`
  LastCheckpoint checkpoint;
  Changes changes;  // since the checkpoint
  std::uint64_t next_journal = 0;
  std::uint64_t next_round = 0;
  TimeAnchor last_time;
  bool needs_new_epoch = false;
  // What an operator should know.
  std::vector<std::string> notices;
};

// Recovers the log in `directory`, or creates one if the directory is empty.
// The caller holds the lock. Fills in the epochs and the tables of `context`,
// which must outlive the channels. DATA_LOSS says what is damaged;
// FAILED_PRECONDITION if the directory holds something else.
//
// Linear in the journals and the number of channels.
absl::StatusOr<RecoveredLog> Recover(FileSystem& files,
                                     const std::string& directory,
                                     ChannelContext* context);

}  // namespace messenger
