// The layout of segments and their indexes, for those who write and read them.
// It is described in doc/log_format.md.
#pragma once

#include <array>
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

// The header is a field of ReadMessagesResponse that nothing else uses, so that
// a segment is a serialized response.
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
