// Reads the journals of a log as opening it does, but goes on after damage.
//
// What is damage, and what a crash explains, is as in Recover (recovery.h),
// which ends at the first damage; here it is a finding, and the walk takes what
// can still be read.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/durable/file_system.h"
#include "log/durable/log_time.h"
#include "messenger/log_tools.h"
#include "messenger/message.h"

namespace messenger {

// How far a channel goes, before the walk and after it.
struct ChannelTip {
  std::uint64_t head = 0;
  std::uint64_t deleted_head = 0;
  Timestamp last_time;
  // No message after `head` can have been lost.
  bool is_newest = true;
  // Of the checkpoint: where the messages begin that are in no segment.
  std::uint64_t unwritten_begin = 1;
};
using ChannelTips = std::map<std::string, ChannelTip, std::less<>>;

// What is in the journals, in order. The views live until EndJournal. An error
// ends the walk.
class JournalSink {
 public:
  using LogTime = std::chrono::steady_clock::time_point;

  virtual ~JournalSink() = default;
  JournalSink(const JournalSink&) = delete;
  JournalSink& operator=(const JournalSink&) = delete;

  // Intact entries of consecutive sequences, `count` of them, not none.
  struct Entries {
    std::string_view channel;
    std::uint64_t first_sequence = 0;
    std::uint64_t count = 0;
    std::string_view bytes;
    LogTime written;
  };
  virtual absl::Status TakeEntries(const Entries& entries) = 0;
  // The same of what the checkpoint has carried over: not after the head, but
  // in no segment. Comes before all else.
  virtual absl::Status TakeCarried(const Entries& entries) = 0;
  virtual absl::Status TakeDeletion(std::string_view channel,
                                    std::uint64_t head, LogTime time) = 0;
  virtual absl::Status TakeEpoch(std::uint64_t epoch) = 0;
  virtual absl::Status EndJournal() = 0;

 protected:
  JournalSink() = default;
};

// Where to begin.
struct JournalStart {
  // Nothing if the checkpoint is lost: then all journals are read, and rounds
  // are believed if all in them fits.
  std::optional<std::uint64_t> key;
  std::uint64_t first_journal = 1;
  std::uint64_t first_round = 1;
  std::uint64_t carried_rounds = 0;
  TimeAnchor time;
};

struct JournalWalk {
  std::vector<LogJournal> journals;
  std::uint64_t next_journal = 1;  // after all that there are
  std::uint64_t next_round = 1;
  TimeAnchor last_time;
  // Rounds that were not synced may be missing, and no epoch has begun since.
  bool needs_new_epoch = false;
  bool damaged = false;
  // Most messages that damage can have taken from the end of a channel.
  std::uint64_t may_be_lost = 0;
  // Messages that are known to be missing.
  std::vector<LogLoss> losses;
};

absl::StatusOr<JournalWalk> WalkJournals(
    FileSystem& files, const std::string& directory, const JournalStart& start,
    ChannelTips* tips, JournalSink& sink,
    absl::FunctionRef<void(LogFinding)> report);

}  // namespace messenger
