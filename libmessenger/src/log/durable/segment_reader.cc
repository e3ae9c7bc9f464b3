#include "log/durable/segment_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "log/durable/file_util.h"
#include "log/memory_chunk.h"
#include "wire/coding.h"
#include "wire/entry.h"

namespace messenger {
namespace {

constexpr std::size_t kScanBlock = std::size_t{256} << 10;
constexpr std::size_t kReadahead = std::size_t{1} << 20;

// Tag and length of an entry.
constexpr std::size_t kMaxFraming = 1 + wire::kMaxVarintSize;

// The size of the entry that `bytes` begin with, if it has one that is at most
// `available`. The entry need not be complete, but for its framing.
std::optional<std::uint64_t> EntrySizeAt(std::string_view bytes,
                                         std::uint64_t available) {
  if (bytes.empty() ||
      static_cast<unsigned char>(bytes.front()) != wire::kEntryTag) {
    return std::nullopt;
  }
  std::uint64_t length = 0;
  for (std::size_t i = 1; i < std::min<std::size_t>(bytes.size(), 6); ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    length |= std::uint64_t{byte & 0x7FU} << (7 * (i - 1));
    if (byte < 0x80) {
      const std::uint64_t size = i + 1 + length;
      if (size > available) return std::nullopt;
      return size;
    }
  }
  return std::nullopt;
}

// The Message of an entry of this size.
std::string_view MessageIn(std::string_view bytes, std::uint64_t size) {
  return wire::MessageOfEntry(bytes.substr(0, size));
}

// The size of the entry that `bytes` begin with, if that is complete, intact
// and of the message with this sequence.
std::optional<std::uint64_t> IntactEntry(std::string_view bytes,
                                         std::uint64_t sequence) {
  const std::optional<std::uint64_t> size = EntrySizeAt(bytes, bytes.size());
  if (!size || wire::VerifiedSequence(MessageIn(bytes, *size)) != sequence) {
    return std::nullopt;
  }
  return size;
}

// Intact entries that follow each other.
struct Run {
  std::uint64_t first_sequence = 0;
  std::uint64_t end_sequence = 0;
  std::size_t size = 0;  // 0: there are none
};

// The run that `bytes` begin with.
Run RunAt(std::string_view bytes) {
  Run run;
  const std::optional<std::uint64_t> size = EntrySizeAt(bytes, bytes.size());
  if (!size) return run;
  const std::optional<std::uint64_t> first =
      wire::VerifiedSequence(MessageIn(bytes, *size));
  if (!first) return run;
  run = {.first_sequence = *first, .end_sequence = *first + 1, .size = *size};
  while (const auto next =
             IntactEntry(bytes.substr(run.size), run.end_sequence)) {
    run.size += *next;
    ++run.end_sequence;
  }
  return run;
}

}  // namespace

absl::StatusOr<std::shared_ptr<SegmentReader>> SegmentReader::Open(
    FileSystem& files, const std::string& directory, std::string_view channel,
    const SegmentInfo& info) {
  const std::string name = SegmentFileName(info.first_sequence);
  const std::string path = directory + "/" + name;
  auto file = files.Open(path, FileSystem::Mode::kRead);
  if (!file.ok()) return file.status();
  const absl::StatusOr<SegmentHeader> header =
      ReadSegmentHeader(**file, path, channel, info.first_sequence);
  if (!header.ok()) return header.status();
  // Without an index, or with a part of it, there is more to read.
  const absl::StatusOr<std::string> index =
      ReadBeginning(files, directory + "/" + IndexFileName(info.first_sequence),
                    MaxIndexSize(info.size));
  return std::shared_ptr<SegmentReader>(new SegmentReader(
      *std::move(file), name, *header,
      DecodeIndex(index.ok() ? *index : std::string(), *header, info.size)));
}

SegmentReader::SegmentReader(std::unique_ptr<File> file, std::string name,
                             const SegmentHeader& header,
                             std::vector<IndexEntry> index)
    : file_(std::move(file)),
      name_(std::move(name)),
      header_(header),
      index_(std::move(index)) {}

absl::Status SegmentReader::Damaged(const Place& place) const {
  return absl::DataLossError(fmt::format("message {} is damaged ({} at {})",
                                         place.sequence, name_, place.offset));
}

absl::StatusOr<LogBytes> SegmentReader::ReadBytes(std::uint64_t offset,
                                                  std::size_t size,
                                                  const SegmentInfo& info) {
  size = std::min<std::uint64_t>(size, info.size - std::min(offset, info.size));
  std::shared_ptr<MemoryChunk> chunk = MemoryChunk::Allocate(size);
  if (!chunk) {
    return absl::ResourceExhaustedError(
        fmt::format("the server has no memory to read {} bytes", size));
  }
  const absl::StatusOr<std::size_t> read =
      file_->Read(offset, chunk->data(), size);
  if (!read.ok()) return read.status();
  return LogBytes{chunk, {chunk->data(), *read}, chunk->capacity()};
}

absl::StatusOr<LogBytes> SegmentReader::ReadEntries(std::uint64_t offset,
                                                    std::size_t size,
                                                    const SegmentInfo& info) {
  auto bytes = ReadBytes(offset, std::max(size, kMaxFraming), info);
  if (!bytes.ok()) return bytes;
  const std::optional<std::uint64_t> entry =
      EntrySizeAt(bytes->bytes, info.size - std::min(offset, info.size));
  if (!entry || *entry <= bytes->bytes.size()) return bytes;
  return ReadBytes(offset, *entry, info);
}

absl::StatusOr<SegmentReader::Entries> SegmentReader::Read(
    Place* place, const ReadBounds& bounds, const SegmentInfo& info) {
  const std::uint64_t end =
      std::min(info.end_sequence - 1, bounds.last_sequence) + 1;
  const std::uint64_t wanted =
      std::min(end - place->sequence, bounds.max_count);
  auto bytes = ReadEntries(place->offset, bounds.max_bytes, info);
  if (!bytes.ok()) return bytes.status();
  file_->WillNeed(place->offset + bytes->bytes.size(), kReadahead);
  Entries entries;
  std::string_view rest = bytes->bytes;
  while (entries.count < wanted) {
    const std::optional<std::uint64_t> size =
        IntactEntry(rest, place->sequence + entries.count);
    if (!size) break;
    const std::size_t taken = bytes->bytes.size() - rest.size() + *size;
    if (entries.count > 0 && taken > bounds.max_bytes) break;
    rest.remove_prefix(*size);
    ++entries.count;
  }
  if (entries.count == 0) return Damaged(*place);
  const std::size_t size = bytes->bytes.size() - rest.size();
  entries.bytes = {std::move(bytes->owner), bytes->bytes.substr(0, size),
                   bytes->owner_bytes};
  place->sequence += entries.count;
  place->offset += size;
  return entries;
}

absl::Status SegmentReader::Scan(
    Place* place, const SegmentInfo& info,
    absl::FunctionRef<bool(std::uint64_t sequence, Timestamp time)> visit) {
  std::uint64_t indexed = place->offset;
  while (place->sequence < info.end_sequence) {
    auto bytes = ReadEntries(place->offset, kScanBlock, info);
    if (!bytes.ok()) return bytes.status();
    std::string_view rest = bytes->bytes;
    std::optional<std::uint64_t> size = IntactEntry(rest, place->sequence);
    if (!size) return Damaged(*place);
    while (size && place->sequence < info.end_sequence) {
      const Timestamp time =
          wire::SplitMessage(MessageIn(rest, *size)).send_time;
      if (place->offset >= indexed + kIndexInterval) {
        indexed = place->offset;
        AddToIndex({.sequence = place->sequence,
                    .time = time,
                    .offset = place->offset});
      }
      if (visit(place->sequence, time)) return absl::OkStatus();
      rest.remove_prefix(*size);
      place->offset += *size;
      ++place->sequence;
      size = IntactEntry(rest, place->sequence);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<SegmentReader::Place> SegmentReader::LastPlace(
    absl::FunctionRef<bool(const IndexEntry&)> before,
    const SegmentInfo& info) {
  while (true) {
    std::optional<IndexEntry> last;
    {
      absl::MutexLock lock(&mu_);
      // An index may have more than the segment.
      const auto it = std::partition_point(
          index_.begin(), index_.end(), [&](const IndexEntry& entry) {
            return entry.sequence < info.end_sequence && before(entry);
          });
      if (it != index_.begin()) last = *std::prev(it);
    }
    if (!last) {
      return Place{.sequence = header_.first_sequence,
                   .offset = kSegmentHeaderSize};
    }
    const absl::StatusOr<bool> verified = Verify(*last, info);
    if (!verified.ok()) return verified.status();
    if (*verified) {
      return Place{.sequence = last->sequence, .offset = last->offset};
    }
  }
}

absl::StatusOr<SegmentReader::Place> SegmentReader::NextPlace(
    std::uint64_t sequence, const SegmentInfo& info) {
  while (true) {
    std::optional<IndexEntry> next;
    {
      absl::MutexLock lock(&mu_);
      const auto it = std::partition_point(index_.begin(), index_.end(),
                                           [sequence](const IndexEntry& entry) {
                                             return entry.sequence <= sequence;
                                           });
      if (it != index_.end()) next = *it;
    }
    if (!next || next->sequence >= info.end_sequence) {
      return Place{.sequence = info.end_sequence, .offset = info.size};
    }
    const absl::StatusOr<bool> verified = Verify(*next, info);
    if (!verified.ok()) return verified.status();
    if (*verified) {
      return Place{.sequence = next->sequence, .offset = next->offset};
    }
  }
}

absl::StatusOr<bool> SegmentReader::Verify(const IndexEntry& entry,
                                           const SegmentInfo& info) {
  auto bytes = ReadEntries(entry.offset, 1, info);
  if (!bytes.ok()) return bytes.status();
  const std::optional<std::uint64_t> size =
      IntactEntry(bytes->bytes, entry.sequence);
  if (size && wire::SplitMessage(MessageIn(bytes->bytes, *size)).send_time ==
                  entry.time) {
    return true;
  }
  absl::MutexLock lock(&mu_);
  std::erase_if(index_, [&](const IndexEntry& other) {
    return other.sequence == entry.sequence;
  });
  return false;
}

void SegmentReader::AddToIndex(const IndexEntry& entry) {
  absl::MutexLock lock(&mu_);
  const auto it = std::partition_point(
      index_.begin(), index_.end(),
      [&](const IndexEntry& other) { return other.sequence < entry.sequence; });
  if (it != index_.end() && it->sequence == entry.sequence) return;
  // What has been read is worth more than what the index said.
  if (it != index_.end() && it->offset <= entry.offset) return;
  index_.insert(it, entry);
}

absl::StatusOr<SegmentReader::Place> SegmentReader::Find(
    std::uint64_t sequence, const SegmentInfo& info) {
  absl::StatusOr<Place> known = LastPlace(
      [sequence](const IndexEntry& entry) {
        return entry.sequence <= sequence;
      },
      info);
  if (!known.ok()) return known;
  Place place = *known;
  while (place.sequence < sequence) {
    const absl::Status s =
        Scan(&place, info, [sequence](std::uint64_t at, Timestamp /*time*/) {
          return at == sequence;
        });
    if (s.ok()) break;
    if (!absl::IsDataLoss(s)) return s;
    Place next = place;
    absl::Status skipped = SkipDamage(&next, info);
    if (!skipped.ok()) return skipped;
    // It is damaged as well: whoever reads there finds out.
    if (next.sequence > sequence) {
      return Place{.sequence = sequence, .offset = place.offset};
    }
    place = next;
  }
  return place;
}

absl::StatusOr<std::uint64_t> SegmentReader::FindTime(Timestamp time,
                                                      const SegmentInfo& info) {
  absl::StatusOr<Place> known = LastPlace(
      [time](const IndexEntry& entry) { return entry.time < time; }, info);
  if (!known.ok()) return known.status();
  Place place = *known;
  // The messages from here on are damaged, and may be the ones.
  std::optional<std::uint64_t> damaged;
  while (place.sequence < info.end_sequence) {
    bool found = false;
    const absl::Status s =
        Scan(&place, info, [&](std::uint64_t /*at*/, Timestamp sent) {
          found = sent >= time;
          if (!found) damaged.reset();
          return found;
        });
    if (found) break;
    if (s.ok()) break;
    if (!absl::IsDataLoss(s)) return s;
    if (!damaged) damaged = place.sequence;
    absl::Status skipped = SkipDamage(&place, info);
    if (!skipped.ok()) return skipped;
  }
  return damaged.value_or(place.sequence);
}

absl::StatusOr<bool> SegmentReader::EndIsIntact(const SegmentInfo& info) {
  absl::StatusOr<Place> known =
      LastPlace([](const IndexEntry& /*entry*/) { return true; }, info);
  if (!known.ok()) return known.status();
  Place place = *known;
  const absl::Status s =
      Scan(&place, info,
           [](std::uint64_t /*at*/, Timestamp /*time*/) { return false; });
  if (!s.ok() && !absl::IsDataLoss(s)) return s;
  return s.ok() && place.offset == info.size;
}

absl::Status SegmentReader::SkipDamage(Place* place, const SegmentInfo& info) {
  const absl::StatusOr<Place> end = NextPlace(place->sequence, info);
  if (!end.ok()) return end.status();
  auto bytes = ReadBytes(place->offset, end->offset - place->offset, info);
  if (!bytes.ok()) return bytes.status();
  const std::string_view region = bytes->bytes;
  const auto tag = static_cast<char>(wire::kEntryTag);
  std::size_t next = 1;
  for (std::size_t at = region.find(tag, next); at != std::string_view::npos;
       at = region.find(tag, next)) {
    const Run run = RunAt(region.substr(at));
    // Something in a message may look like entries, but not like such that go
    // on to the next known place.
    if (run.size == region.size() - at && run.end_sequence == end->sequence &&
        run.first_sequence > place->sequence) {
      *place = {.sequence = run.first_sequence, .offset = place->offset + at};
      return absl::OkStatus();
    }
    // Behind the run, even if that is in a message: so is all of it.
    next = at + std::max<std::size_t>(run.size, 1);
  }
  *place = *end;
  return absl::OkStatus();
}

}  // namespace messenger
