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
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
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

// NOT_FOUND if there is no such directory, FAILED_PRECONDITION if it is not
// that of a log, or somebody has it open.
absl::StatusOr<std::unique_ptr<FileLock>> LockLog(
    const LogToolContext& context);

// The same for a tool that changes nothing: the log may be on a disk that
// cannot be written, or belong to somebody else. If there is nothing to lock
// then, a notice says so, and `found`, if not null, counts it.
absl::StatusOr<std::unique_ptr<FileLock>> LockLogToRead(
    const LogToolContext& context, const LogToolOptions& options,
    LogVerification* found);

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
  std::uint32_t version = kCheckpointVersion;  // if the checkpoint is there
  // Nothing was ever written to it.
  bool is_new = false;
  bool checkpoint_lost = false;
  // There are directories with names of version 1.
  bool has_old_directories = false;
  // If the checkpoint is lost, without a key and epochs.
  LogState log;
  std::vector<std::uint64_t> journal_epochs;  // that have begun since
  std::map<std::string, SurveyedChannel, std::less<>> channels;
  JournalWalk journals;
  std::vector<LogLoss> losses;
  std::set<std::string> damaged_files;  // within the directory
  LogVerification found;

  JournalStart journal_start() const;
  ChannelTips tips() const;  // before the journals
};

// Where a repair writes new segments, before they are moved to their place.
inline constexpr std::string_view kRepairingName = "repairing";

// The caller holds the lock.
absl::StatusOr<LogSurvey> SurveyLog(const LogToolContext& context,
                                    const LogToolOptions& options);

// Checks a log, see messenger/log_tools.h.
absl::StatusOr<LogVerification> Verify(const LogToolContext& context,
                                       const LogToolOptions& options);

}  // namespace messenger
