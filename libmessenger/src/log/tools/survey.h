// All that there is of a log, and what is wrong with it: what verifying,
// repairing and dumping have in common. Changes nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status.h"
#include "log/durable/checkpoint.h"
#include "log/durable/file_system.h"
#include "log/log_clock.h"
#include "log/producer_table.h"
#include "log/tools/journal_walk.h"
#include "log/tools/segment_scan.h"
#include "messenger/log_tools.h"

namespace messenger {

// What the tools work on, and what tests set.
struct LogToolContext {
  std::string directory;
  std::shared_ptr<FileSystem> files = FileSystem::Posix();
  LogClock clock;
};

// The directory that "file:DIR" names.
absl::StatusOr<std::string> DirectoryOfLog(std::string_view log);

// The same, with findings whose words are fit for a terminal: files are called
// what whoever made them liked.
LogToolOptions WithPrintableFindings(LogToolOptions options);

// Runs a tool on the log that "file:DIR" names. What it says is fit for a
// terminal.
template <typename Result>
absl::StatusOr<Result> RunTool(
    std::string_view log, const LogToolOptions& options,
    absl::StatusOr<Result> (*tool)(const LogToolContext& context,
                                   const LogToolOptions& options)) {
  absl::StatusOr<std::string> directory = DirectoryOfLog(log);
  if (!directory.ok()) return directory.status();
  absl::StatusOr<Result> result = tool({.directory = *std::move(directory)},
                                       WithPrintableFindings(options));
  if (!result.ok()) return MakePrintable(result.status());
  return result;
}

// NOT_FOUND if there is no such directory, FAILED_PRECONDITION if it is not
// that of a log, or somebody has it open.
absl::StatusOr<std::unique_ptr<FileLock>> LockLog(
    const LogToolContext& context);

// The same for a tool that changes nothing: the log may be on a disk that
// cannot be written, or belong to somebody else. If there is nothing to lock
// then, a notice says so.
absl::StatusOr<std::unique_ptr<FileLock>> LockLogToRead(
    const LogToolContext& context, const LogToolOptions& options);

struct SurveyedSegment {
  std::string directory;  // its name, within that of the channels
  SegmentInfo info;
  SegmentScan scan;
};

struct SurveyedChannel {
  // As of the checkpoint; if that is lost, as the segments say.
  ChannelState state;
  // Without those that the journals delete.
  std::vector<SurveyedSegment> segments;
  // If the checkpoint is lost: there was a message with this sequence, though
  // it cannot be read.
  std::uint64_t least_head = 0;
  // In the journals, and not deleted.
  std::uint64_t journal_messages = 0;
  std::uint64_t journal_bytes = 0;
  ChannelTip tip;  // with what is in the journals
};

struct LogSurvey {
  // Nothing was ever written to it.
  bool is_new = false;
  bool checkpoint_lost = false;
  // There are directories with names of version 1.
  bool has_old_directories = false;
  // If the checkpoint is lost, without a version, a key and epochs.
  LogState log;
  // If the checkpoint is lost: segments have messages that only a log of
  // kCheckpointVersion may have.
  bool uses_new_version = false;
  std::vector<std::uint64_t> journal_epochs;  // that have begun since
  std::map<std::string, SurveyedChannel, std::less<>> channels;
  // As of the checkpoint.
  std::vector<NamedProducers::Kept> named_producers;
  std::vector<IdempotencyKey> idempotency_keys;
  JournalWalk journals;
  std::unique_ptr<LogTables> tables_after;  // after the journals
  std::vector<LogLoss> losses;
  std::set<std::string> damaged_files;  // within the directory
  LogVerification found;

  // Of the checkpoint, `log` and `channels`.
  void Take(Checkpoint checkpoint);
  // Null if it is lost.
  const LogState* checkpoint() const {
    return checkpoint_lost ? nullptr : &log;
  }
  ChannelTips tips() const;                   // before the journals
  std::unique_ptr<LogTables> tables() const;  // the same
};

// Whether only a log of kCheckpointVersion may have it.
bool UsesNewVersion(const Message& message);

// Producers, as they are without what a log's options say.
ProducerTable NewProducerTable();
// Remembers who has sent a message, if it has a producer.
void RecordProducer(
    const Message& message, ProducerTable::Clock::time_point at,
    ProducerTable* producers,
    ProducerTable::Counts counts = ProducerTable::Counts::kConsecutively);

// Where a repair writes new segments, before they are moved to their place.
inline constexpr std::string_view kRepairingName = "repairing";

// The caller holds the lock.
absl::StatusOr<LogSurvey> SurveyLog(const LogToolContext& context,
                                    const LogToolOptions& options);

// The same, with a lock of its own, for a tool that changes nothing.
absl::StatusOr<LogSurvey> SurveyToRead(const LogToolContext& context,
                                       const LogToolOptions& options);

// Checks a log, see messenger/log_tools.h.
absl::StatusOr<LogVerification> Verify(const LogToolContext& context,
                                       const LogToolOptions& options);

}  // namespace messenger
