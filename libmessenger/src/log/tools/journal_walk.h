// Reads the journals of a log as opening it does, but goes on after damage:
// damage is a finding here, and what can still be read is taken.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/durable/checkpoint.h"
#include "log/durable/file_system.h"
#include "log/durable/journal_replay.h"
#include "log/idempotency_keys.h"
#include "log/named_producers.h"
#include "log/producer_table.h"
#include "messenger/log_tools.h"
#include "messenger/message.h"

namespace messenger {

// How far a channel goes, before the walk and after it.
struct ChannelTip {
  std::uint64_t head = 0;
  std::uint64_t first_sequence = 1;  // what is before it was dropped
  std::uint64_t deleted_head = 0;
  Timestamp last_time;
  // No message after `head` can have been lost.
  bool is_newest = true;
  // Of the checkpoint: where the messages begin that are in no segment.
  std::uint64_t unwritten_begin = 1;
};
using ChannelTips = std::map<std::string, ChannelTip, std::less<>>;

// What is of all channels together, before the walk and after it. Nothing is
// forgotten.
struct LogTables {
  NamedProducers named_producers{SIZE_MAX};
  IdempotencyKeys idempotency_keys{
      {.max_keys = SIZE_MAX, .timeout = std::chrono::nanoseconds::max()}};
};

// Gets what is in the journals, in order. The views live until EndJournal. An
// error ends the walk.
class JournalVisitor {
 public:
  using LogTime = std::chrono::steady_clock::time_point;

  JournalVisitor() = default;
  virtual ~JournalVisitor() = default;
  JournalVisitor(const JournalVisitor&) = delete;
  JournalVisitor& operator=(const JournalVisitor&) = delete;

  // Intact entries of consecutive sequences, `count` of them, not none.
  struct Entries {
    std::string_view channel;
    std::uint64_t first_sequence = 0;
    std::uint64_t count = 0;
    std::string_view bytes;
    LogTime written;
    // The checkpoint has carried them over: they are not after the head, but in
    // no segment. They come before all else.
    bool carried = false;
  };
  virtual absl::Status VisitEntries(const Entries& /*entries*/) {
    return absl::OkStatus();
  }
  virtual absl::Status VisitDeletion(std::string_view /*channel*/,
                                     std::uint64_t /*head*/, LogTime /*time*/) {
    return absl::OkStatus();
  }
  // Of a message that was visited, or is in a segment.
  virtual absl::Status VisitOwner(const ProducerOwner& /*owner*/) {
    return absl::OkStatus();
  }
  virtual absl::Status VisitEpoch(std::uint64_t /*epoch*/) {
    return absl::OkStatus();
  }
  virtual absl::Status EndJournal() { return absl::OkStatus(); }
};

struct JournalWalk {
  std::vector<LogJournal> journals;
  JournalEnd end;
  bool damaged = false;
  // Most messages that damage can have taken from the end of a channel.
  std::uint64_t may_be_lost = 0;
  // Messages that are known to be missing.
  std::vector<LogLoss> losses;
};

// The checkpoint as for ReplayJournals.
absl::StatusOr<JournalWalk> WalkJournals(
    FileSystem& files, const std::string& directory, const LogState* checkpoint,
    ChannelTips* tips, LogTables* tables, JournalVisitor& visitor,
    absl::FunctionRef<void(LogFinding)> report);

}  // namespace messenger
