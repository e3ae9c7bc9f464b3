// Segments: the files that hold a channel's messages.
//
// A segment is a file of entries (wire/entry.h) of consecutive sequences,
// behind a header that is itself a field of ReadMessagesResponse, so that the
// whole file is a serialized response. Next to it lies its sparse index. The
// layout of both is described in doc/log_format.md.
//
// What a segment holds is known from the checkpoint, as a SegmentInfo, not from
// the file, which may go on with what a checkpoint was writing when the process
// ended.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "log/durable/file_system.h"
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

// The header is a field of ReadMessagesResponse that nothing else uses.
inline constexpr std::size_t kSegmentHeaderSize = 48;

struct SegmentHeader {
  std::uint64_t epoch = 0;  // when it was created
  std::uint64_t first_sequence = 0;
  std::uint64_t channel_hash = 0;

  std::array<char, kSegmentHeaderSize> Encode() const;
  // Nothing if it is not an intact header.
  static std::optional<SegmentHeader> Decode(std::string_view bytes);
};

// The header that the segment in `file` must have. DATA_LOSS if it has another
// one, or a damaged one.
absl::StatusOr<SegmentHeader> ReadSegmentHeader(File& file,
                                                std::string_view path,
                                                std::string_view channel,
                                                std::uint64_t first_sequence);

std::uint64_t HashChannelName(std::string_view channel);

// One in so many bytes of a segment has an entry in the index: the first
// message that begins there.
inline constexpr std::uint64_t kIndexInterval = std::uint64_t{64} << 10;

inline constexpr std::size_t kIndexEntrySize = 32;

// So much of an index is about the first `size` bytes of the segment, at most;
// one entry more shows whether it ends there.
constexpr std::uint64_t MaxIndexSize(std::uint64_t size) {
  return (size / kIndexInterval + 1) * kIndexEntrySize;
}

// A place in a segment. The send time is that of the message.
struct IndexEntry {
  std::uint64_t sequence = 0;
  Timestamp time;
  std::uint64_t offset = 0;

  // `segment` is what its entries are bound to, so that those of another one
  // are not intact.
  std::array<char, kIndexEntrySize> Encode(const SegmentHeader& segment) const;
  static std::optional<IndexEntry> Decode(std::string_view bytes,
                                          const SegmentHeader& segment);
};

// The intact entries that an index begins with, as far as they lie in the first
// `size` bytes of the segment.
std::vector<IndexEntry> DecodeIndex(std::string_view index,
                                    const SegmentHeader& segment,
                                    std::uint64_t size);

}  // namespace messenger
