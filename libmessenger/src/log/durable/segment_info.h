// Segments: the files that hold a channel's messages.
//
// A segment is a file of entries (wire/entry.h) of consecutive sequences,
// behind a header that is itself a field of ReadMessagesResponse, so that the
// whole file is a serialized response. Next to it lies its sparse index. The
// format is in doc/log_format.md.
//
// What a segment holds is known from the checkpoint, as a SegmentInfo, not from
// the file, which may go on with what a checkpoint was writing when the process
// ended.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "messenger/message.h"

namespace messenger {

struct SegmentInfo {
  std::uint64_t first_sequence = 0;
  std::uint64_t end_sequence = 0;  // one past the newest message
  std::uint64_t size = 0;          // of the file as far as it counts, in bytes
  Timestamp last_time;             // send time of the newest message
  // When the oldest and the newest message were written, on the log's clock
  // (log_time.h).
  std::chrono::steady_clock::time_point first_write;
  std::chrono::steady_clock::time_point last_write;

  friend bool operator==(const SegmentInfo&, const SegmentInfo&) = default;
};

// 20 digits and a suffix, so that names sort by sequence.
std::string SegmentFileName(std::uint64_t first_sequence);
std::string IndexFileName(std::uint64_t first_sequence);
// The first sequence, if it is the name of a segment (not of an index).
std::optional<std::uint64_t> ParseSegmentFileName(std::string_view name);

// Whether a file that has this name in a channel's directory is one that this
// program has written there: a segment, an index, or an index that was being
// replaced. Nothing else there is touched.
bool IsChannelFile(std::string_view name);

}  // namespace messenger
