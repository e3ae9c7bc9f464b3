#include "log/durable/segment_format.h"

#include <fmt/format.h>

#include <cstring>

#include "log/durable/disk_coding.h"
#include "log/durable/file_util.h"
#include "wire/coding.h"

namespace messenger {
namespace {

constexpr std::string_view kSegmentSuffix = ".segment";
constexpr std::string_view kIndexSuffix = ".index";

constexpr wire::BytesField kHeaderTag = 15;
static_assert(kHeaderTag < 0x80 && kSegmentHeaderSize - 2 < 0x80,
              "tag and length are one byte each");
constexpr std::string_view kSegmentMagic = "MSGRSEG1";
constexpr std::uint32_t kSegmentVersion = 1;
constexpr std::size_t kHeaderChecksumAt = kSegmentHeaderSize - 8;
constexpr std::size_t kIndexChecksumAt = kIndexEntrySize - 8;

}  // namespace

std::string SegmentFileName(std::uint64_t first_sequence) {
  return NumberedFileName(first_sequence, kSegmentSuffix);
}

std::string IndexFileName(std::uint64_t first_sequence) {
  return NumberedFileName(first_sequence, kIndexSuffix);
}

std::optional<std::uint64_t> ParseSegmentFileName(std::string_view name) {
  return ParseNumberedFileName(name, kSegmentSuffix);
}

bool IsChannelFile(std::string_view name) {
  constexpr std::string_view kReplacement = ".new";
  if (ParseSegmentFileName(name)) return true;
  if (name.ends_with(kReplacement)) name.remove_suffix(kReplacement.size());
  return ParseNumberedFileName(name, kIndexSuffix).has_value();
}

std::uint64_t HashChannelName(std::string_view channel) {
  return SeededChecksum(0, channel);
}

std::array<char, kSegmentHeaderSize> SegmentHeader::Encode() const {
  std::array<char, kSegmentHeaderSize> bytes{};
  bytes[0] = static_cast<char>(kHeaderTag);
  bytes[1] = static_cast<char>(kSegmentHeaderSize - 2);
  std::memcpy(&bytes[2], kSegmentMagic.data(), kSegmentMagic.size());
  PutLittleEndian<std::uint32_t>(&bytes[10], kSegmentVersion);
  PutLittleEndian<std::uint64_t>(&bytes[16], epoch);
  PutLittleEndian<std::uint64_t>(&bytes[24], first_sequence);
  PutLittleEndian<std::uint64_t>(&bytes[32], channel_hash);
  PutLittleEndian<std::uint64_t>(
      &bytes[kHeaderChecksumAt],
      SeededChecksum(0, {bytes.data(), kHeaderChecksumAt}));
  return bytes;
}

std::optional<SegmentHeader> SegmentHeader::Decode(std::string_view bytes) {
  if (bytes.size() < kSegmentHeaderSize ||
      !bytes.substr(2).starts_with(kSegmentMagic) ||
      GetLittleEndian<std::uint64_t>(&bytes[kHeaderChecksumAt]) !=
          SeededChecksum(0, bytes.substr(0, kHeaderChecksumAt))) {
    return std::nullopt;
  }
  const SegmentHeader header = {
      .epoch = GetLittleEndian<std::uint64_t>(&bytes[16]),
      .first_sequence = GetLittleEndian<std::uint64_t>(&bytes[24]),
      .channel_hash = GetLittleEndian<std::uint64_t>(&bytes[32])};
  // Nothing else than what Encode writes, the version included.
  const std::array<char, kSegmentHeaderSize> expected = header.Encode();
  if (std::memcmp(expected.data(), bytes.data(), expected.size()) != 0) {
    return std::nullopt;
  }
  return header;
}

absl::StatusOr<SegmentHeader> ReadSegmentHeader(File& file,
                                                std::string_view path,
                                                std::string_view channel,
                                                std::uint64_t first_sequence) {
  std::array<char, kSegmentHeaderSize> bytes{};
  const absl::StatusOr<std::size_t> read =
      file.Read(0, bytes.data(), bytes.size());
  if (!read.ok()) return read.status();
  const std::optional<SegmentHeader> header =
      SegmentHeader::Decode({bytes.data(), *read});
  if (!header || header->first_sequence != first_sequence ||
      header->channel_hash != HashChannelName(channel)) {
    return absl::DataLossError(
        fmt::format("{}: the header is damaged, or of another segment", path));
  }
  return *header;
}

std::array<char, kIndexEntrySize> IndexEntry::Encode(
    const SegmentHeader& segment) const {
  std::array<char, kIndexEntrySize> bytes{};
  PutLittleEndian<std::uint64_t>(bytes.data(), sequence);
  PutLittleEndian<std::int64_t>(&bytes[8], ToNanos(time));
  PutLittleEndian<std::uint64_t>(&bytes[16], offset);
  PutLittleEndian<std::uint64_t>(
      &bytes[kIndexChecksumAt],
      SeededChecksum(segment.channel_hash ^ segment.first_sequence,
                     {bytes.data(), kIndexChecksumAt}));
  return bytes;
}

std::optional<IndexEntry> IndexEntry::Decode(std::string_view bytes,
                                             const SegmentHeader& segment) {
  const IndexEntry entry = {
      .sequence = GetLittleEndian<std::uint64_t>(bytes.data()),
      .time = TimestampOfNanos(GetLittleEndian<std::int64_t>(&bytes[8])),
      .offset = GetLittleEndian<std::uint64_t>(&bytes[16])};
  const std::array<char, kIndexEntrySize> expected = entry.Encode(segment);
  if (std::memcmp(expected.data(), bytes.data(), expected.size()) != 0) {
    return std::nullopt;
  }
  return entry;
}

std::vector<IndexEntry> DecodeIndex(std::string_view index,
                                    const SegmentHeader& segment,
                                    std::uint64_t size) {
  std::vector<IndexEntry> entries;
  IndexEntry last = {.sequence = segment.first_sequence,
                     .offset = kSegmentHeaderSize};
  for (; index.size() >= kIndexEntrySize;
       index.remove_prefix(kIndexEntrySize)) {
    const std::optional<IndexEntry> entry =
        IndexEntry::Decode(index.substr(0, kIndexEntrySize), segment);
    if (!entry || entry->sequence <= last.sequence ||
        entry->offset <= last.offset || entry->offset >= size) {
      break;
    }
    entries.push_back(*entry);
    last = *entry;
  }
  return entries;
}

}  // namespace messenger
