#include "fuzz/seal.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "fuzz/protobuf.h"
#include "log/durable/checkpoint.h"
#include "log/durable/disk_coding.h"
#include "log/durable/segment_format.h"
#include "messenger/storage/v1/checkpoint.pb.h"
#include "wire/coding.h"
#include "wire/entry.h"

namespace messenger::fuzz {
namespace {

constexpr std::size_t kCheckpointHeaderSize = 32;
constexpr std::size_t kJournalHeaderSize = 32;
constexpr std::size_t kRoundHeaderSize = 48;
constexpr std::size_t kRecordHeaderSize = 16;
constexpr std::string_view kRoundMagic = "RND1";

void SealMessage(char* bytes, std::size_t size) {
  constexpr std::size_t kFieldSize = 9;
  constexpr char kChecksumTag = 0x79;
  if (size < kFieldSize) return;
  char* const field = bytes + size - kFieldSize;
  *field = kChecksumTag;
  PutLittleEndian<std::uint64_t>(field + 1,
                                 XXH3_64bits(bytes, size - kFieldSize));
}

void SealRecords(char* bytes, std::size_t size) {
  while (size >= kRecordHeaderSize) {
    const std::size_t name = static_cast<std::uint8_t>(bytes[1]);
    const std::size_t entries = GetLittleEndian<std::uint32_t>(bytes + 4);
    bytes += kRecordHeaderSize;
    size -= kRecordHeaderSize;
    if (size < name || size - name < entries) return;
    SealEntries(bytes + name, entries);
    bytes += name + entries;
    size -= name + entries;
  }
}

void PutMagic(std::string& bytes, std::size_t at, std::string_view magic) {
  std::copy(magic.begin(), magic.end(),
            bytes.begin() + static_cast<std::ptrdiff_t>(at));
}

}  // namespace

void SealEntries(char* bytes, std::size_t size) {
  wire::EntryReader entries({bytes, size});
  while (entries.Next()) {
    const std::string_view message = entries.message();
    SealMessage(bytes + (message.data() - bytes), message.size());
  }
}

void SealCheckpoint(std::string& bytes) {
  bytes.resize(std::max(bytes.size(), kCheckpointHeaderSize));
  PutMagic(bytes, 0, "MSGRCKP1");
  const auto version = GetLittleEndian<std::uint32_t>(&bytes[8]);
  if (version != 1 && version != kCheckpointVersion) {
    PutLittleEndian<std::uint32_t>(&bytes[8], kBasicCheckpointVersion);
  }
  PutLittleEndian<std::uint32_t>(&bytes[12], 0);
  PutLittleEndian<std::uint64_t>(&bytes[16],
                                 bytes.size() - kCheckpointHeaderSize);
  const std::string_view all(bytes);
  PutLittleEndian<std::uint64_t>(
      &bytes[24],
      SeededChecksum(0, all.substr(0, 24), all.substr(kCheckpointHeaderSize)));
}

std::uint64_t KeyOf(std::string_view checkpoint) {
  if (checkpoint.size() < kCheckpointHeaderSize) return 0;
  storage::v1::Checkpoint encoded;
  if (!ParseProto(checkpoint.substr(kCheckpointHeaderSize), &encoded)) return 0;
  return encoded.key();
}

void SealJournal(std::string& bytes, std::uint64_t key, std::uint64_t number) {
  bytes.resize(std::max(bytes.size(), kJournalHeaderSize));
  const std::uint64_t seed = key ^ number;
  PutMagic(bytes, 0, "MSGRJRN1");
  PutLittleEndian<std::uint32_t>(&bytes[8], 1);
  PutLittleEndian<std::uint64_t>(&bytes[16], number);
  PutLittleEndian<std::uint64_t>(&bytes[24],
                                 SeededChecksum(seed, {bytes.data(), 24}));
  std::size_t at = kJournalHeaderSize;
  while (bytes.size() - at >= kRoundHeaderSize &&
         std::string_view(bytes).substr(at).starts_with(kRoundMagic)) {
    char* const round = &bytes[at];
    const std::size_t size = GetLittleEndian<std::uint32_t>(round + 4);
    if (size > bytes.size() - at - kRoundHeaderSize) return;
    SealRecords(round + kRoundHeaderSize, size);
    const std::uint64_t checksum = SeededChecksum(seed, {round, 32});
    PutLittleEndian<std::uint64_t>(round + 32, checksum);
    PutLittleEndian<std::uint64_t>(
        round + 40, SeededChecksum(checksum, {round + kRoundHeaderSize, size}));
    at += kRoundHeaderSize + size;
  }
}

void SealSegment(std::string& bytes, std::string_view channel,
                 std::uint64_t first_sequence) {
  bytes.resize(std::max(bytes.size(), kSegmentHeaderSize));
  const SegmentHeader header = {
      .epoch = GetLittleEndian<std::uint64_t>(&bytes[16]),
      .first_sequence = first_sequence,
      .channel_hash = HashChannelName(channel)};
  const auto encoded = header.Encode();
  std::copy(encoded.begin(), encoded.end(), bytes.begin());
  SealEntries(&bytes[kSegmentHeaderSize], bytes.size() - kSegmentHeaderSize);
}

void SealIndex(std::string& bytes, std::string_view channel,
               std::uint64_t first_sequence) {
  const SegmentHeader segment = {.epoch = 0,
                                 .first_sequence = first_sequence,
                                 .channel_hash = HashChannelName(channel)};
  for (std::size_t at = 0; bytes.size() - at >= kIndexEntrySize;
       at += kIndexEntrySize) {
    const IndexEntry entry = {
        .sequence = GetLittleEndian<std::uint64_t>(&bytes[at]),
        .time = TimestampOfNanos(GetLittleEndian<std::int64_t>(&bytes[at + 8])),
        .offset = GetLittleEndian<std::uint64_t>(&bytes[at + 16])};
    const auto encoded = entry.Encode(segment);
    std::copy(encoded.begin(), encoded.end(),
              bytes.begin() + static_cast<std::ptrdiff_t>(at));
  }
}

}  // namespace messenger::fuzz
