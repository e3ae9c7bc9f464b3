// Reads a segment from end to end.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "log/durable/file_system.h"
#include "log/durable/segment_format.h"
#include "log/durable/segment_reader.h"
#include "messenger/log_tools.h"
#include "messenger/message.h"

namespace messenger {

// Intact entries of consecutive sequences that lie next to each other.
struct SegmentRun {
  SegmentReader::Place begin;
  SegmentReader::Place end;
  Timestamp last_time;
};

struct SegmentScan {
  std::vector<SegmentRun> runs;
  // Damaged, or missing at the end.
  std::vector<LogLoss> losses;
  // As the index should be.
  std::vector<IndexEntry> places;
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;  // of their entries
  Timestamp first_time;
  // The header is damaged, so that nothing was read.
  bool header_damaged = false;
  // There is no such file, or it is of another segment.
  bool lost = false;
  // Bytes after what was wanted.
  std::uint64_t rest = 0;
  bool index_damaged = false;

  bool intact() const { return losses.empty() && !header_damaged && !lost; }
};

// Where a segment is.
struct SegmentPlace {
  std::string log;        // the directory
  std::string directory;  // its name, within that of the channels
  std::string channel;
};

// The name of a segment within the directory of the log.
std::string SegmentPath(std::string_view directory,
                        std::uint64_t first_sequence);

// If `open_end`, the segment goes as far as the entries do, but not over
// `info`. `visit` gets each intact message. Findings are reported. The errors
// are those of the disk.
struct SegmentScanOptions {
  bool open_end = false;
  Timestamp not_before = Timestamp::min();  // the messages' times
  absl::FunctionRef<void(const Message&)> visit;
  absl::FunctionRef<void(LogFinding)> report;
  absl::FunctionRef<void(std::uint64_t)> read;  // so many bytes
};
absl::Status ScanSegment(FileSystem& files, const SegmentPlace& place,
                         const SegmentInfo& info,
                         const SegmentScanOptions& options, SegmentScan* scan);

}  // namespace messenger
