// The checkpoint: one file with all that the log knows, but for what is in the
// journals that came after it and for the messages themselves. The format is in
// doc/log_format.md.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/durable/encoded_tombstones.h"
#include "log/durable/file_system.h"
#include "log/durable/layout.h"
#include "log/durable/log_time.h"
#include "log/durable/segment_format.h"
#include "log/idempotency_keys.h"
#include "log/named_producers.h"
#include "log/producer_table.h"
#include "log/tombstones.h"
#include "messenger/message.h"

namespace messenger {

// Of the whole log. The newest one that is known,
inline constexpr std::uint32_t kCheckpointVersion = 3;
// and that of a log that uses nothing which came with it: messages with data or
// a content type, named producers, idempotency keys, owners of producers.
inline constexpr std::uint32_t kBasicCheckpointVersion = 2;

// A channel as of the checkpoint. messenger/storage/v1/checkpoint.proto says
// what its fields mean.
struct ChannelState {
  std::string name;
  std::uint64_t head = 0;
  std::uint64_t first_sequence = 1;
  std::uint64_t deleted_head = 0;
  Timestamp last_time;
  std::optional<Timestamp> last_dropped_time;
  std::vector<SegmentInfo> segments;
  std::vector<ProducerTable::Snapshot> producers;
  std::vector<std::uint64_t> epoch_heads;
};

// Whether only a tombstone is left of it.
bool IsDeleted(const ChannelState& state);
// Of a deleted channel of a log with these epochs, the present one last.
Tombstone TombstoneOf(const ChannelState& state,
                      const std::vector<std::uint64_t>& epochs);
ChannelState StateOf(std::string name, const Tombstone& tombstone,
                     const std::vector<std::uint64_t>& epochs);

// The log without its channels and tables.
struct LogState {
  std::uint32_t version = kBasicCheckpointVersion;
  std::uint64_t key = 0;
  std::vector<std::uint64_t> epochs;  // the present one last
  std::uint64_t first_journal = 1;
  std::uint64_t first_round = 1;
  std::uint64_t carried_rounds = 0;  // none: there is no such file
  TimeAnchor time;
};

// Channels by name, each encoded on its own, so that a checkpoint encodes only
// those that have changed.
using EncodedChannels = std::map<std::string, std::string, std::less<>>;

std::string EncodeChannelState(const ChannelState& state);
// What EncodeChannelState has returned.
ChannelState DecodeChannelState(std::string_view encoded);
std::string EncodeTombstone(std::string_view name, const Tombstone& tombstone);

// What is of all channels together. Of a log of kCheckpointVersion.
struct CheckpointTables {
  std::map<ProducerId, std::string> named_producers;  // encoded
  IdempotencyKeys::Snapshot idempotency_keys;
};

// Replaces the checkpoint; durable when it returns OK.
absl::Status WriteCheckpoint(FileSystem& files, const std::string& directory,
                             const LogState& log,
                             const EncodedChannels& channels,
                             const EncodedTombstones& tombstones = {},
                             const CheckpointTables& tables = {});

// Replaces the checkpoint by one that says the same, and has the version
// kCheckpointVersion; durable when it returns OK.
absl::Status RaiseCheckpointVersion(FileSystem& files,
                                    const std::string& directory);

struct Checkpoint {
  LogState log;                        // with the version of the file
  std::vector<ChannelState> channels;  // by name, deleted ones included
  std::vector<NamedProducers::Kept> named_producers;
  std::vector<IdempotencyKey> idempotency_keys;  // oldest first
};
// NOT_FOUND if there is none; DATA_LOSS if it is damaged.
absl::StatusOr<Checkpoint> LoadCheckpoint(FileSystem& files,
                                          const std::string& directory);

// Of a directory without a checkpoint: whether there is no round and no channel
// in it, as when creating a log is cut off.
absl::StatusOr<bool> IsNewLog(FileSystem& files, const std::string& directory);

}  // namespace messenger
