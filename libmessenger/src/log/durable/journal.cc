#include "log/durable/journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/narrow.h"
#include "log/durable/disk_coding.h"
#include "log/durable/file_util.h"
#include "log/durable/table_coding.h"

namespace messenger {
namespace {

constexpr std::string_view kSuffix = ".journal";
constexpr std::string_view kCarriedSuffix = ".carried";
// Of the number of what is carried over. Counting never gets there.
constexpr std::uint64_t kCarriedBit = std::uint64_t{1} << 63;

// Header of the file.
constexpr std::string_view kFileMagic = "MSGRJRN1";
constexpr std::uint32_t kJournalVersion = 1;
// Its flags.
constexpr std::uint32_t kSynced = 1;
constexpr std::uint32_t kFollowsClose = 2;

// Header of a round.
constexpr std::string_view kRoundMagic = "RND1";
constexpr std::size_t kRoundHeaderSize = 48;
constexpr std::size_t kRoundHeaderChecked = 32;  // by its own checksum

// Header of a record.
constexpr std::size_t kRecordHeaderSize = 16;
constexpr auto kLastType =
    static_cast<unsigned char>(JournalRecord::Type::kProducerOwner);

// Room is reserved in such steps, so that most syncs need not write metadata.
constexpr std::uint64_t kAllocationStep = std::uint64_t{4} << 20;

std::uint64_t HeaderChecksum(const JournalId& id, std::string_view header) {
  return SeededChecksum(id.key ^ id.number, header);
}

std::string Path(const std::string& directory, std::uint64_t number) {
  return directory + "/" + JournalFileName(number);
}

}  // namespace

std::string JournalFileName(std::uint64_t number) {
  return (number & kCarriedBit) == 0
             ? NumberedFileName(number, kSuffix)
             : NumberedFileName(number ^ kCarriedBit, kCarriedSuffix);
}

std::optional<std::uint64_t> ParseJournalFileName(std::string_view name) {
  return ParseNumberedFileName(name, kSuffix);
}

std::uint64_t CarriedNumber(std::uint64_t first_journal) {
  return first_journal | kCarriedBit;
}

std::optional<std::uint64_t> ParseCarriedFileName(std::string_view name) {
  return ParseNumberedFileName(name, kCarriedSuffix);
}

bool IsJournalFile(std::string_view name) {
  return ParseJournalFileName(name) || ParseCarriedFileName(name);
}

absl::Status RemoveJournalsBefore(FileSystem& files,
                                  const std::string& directory,
                                  std::uint64_t number) {
  const auto names = files.List(directory);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    auto found = ParseJournalFileName(name);
    if (!found) found = ParseCarriedFileName(name);
    if (!found || *found >= number) continue;
    absl::Status s =
        RemoveIfThere(files, fmt::format("{}/{}", directory, name));
    if (!s.ok()) return s;
  }
  return absl::OkStatus();
}

void JournalRound::Clear() {
  bytes_.assign(kRoundHeaderSize, '\0');
}

bool JournalRound::empty() const {
  return bytes_.size() == kRoundHeaderSize;
}

void JournalRound::MakeRoom(std::size_t size) {
  // Entries come by chunks (EntryWriter), of which hardly any is that small.
  constexpr std::size_t kLeastRecord = 2048;
  constexpr std::size_t kMostBesideEntries = kRecordHeaderSize + 128;
  bytes_.reserve(bytes_.size() + size +
                 (size / kLeastRecord + 2) * kMostBesideEntries);
}

void JournalRound::AddEntries(std::string_view channel,
                              std::uint64_t first_sequence,
                              std::string_view entries) {
  AddRecord({.type = JournalRecord::Type::kEntries,
             .channel = channel,
             .number = first_sequence,
             .entries = entries});
}

void JournalRound::AddDeletion(std::string_view channel, std::uint64_t head) {
  AddRecord({.type = JournalRecord::Type::kDeletion,
             .channel = channel,
             .number = head,
             .entries = {}});
}

void JournalRound::AddEpoch(std::uint64_t epoch) {
  AddRecord({.type = JournalRecord::Type::kEpoch,
             .channel = {},
             .number = epoch,
             .entries = {}});
}

void JournalRound::AddProducer(const NamedProducers::Kept& kept) {
  AddRecord({.type = JournalRecord::Type::kProducer,
             .channel = kept.key.channel,
             .number = kept.producer.generation,
             .entries = EncodeNamedProducer(kept)});
}

void JournalRound::AddProducerDeletion(const NamedProducers::Kept& deleted) {
  AddRecord({.type = JournalRecord::Type::kProducerDeletion,
             .channel = deleted.key.channel,
             .number = deleted.producer.generation,
             .entries = EncodeNamedProducer(deleted)});
}

void JournalRound::AddIdempotencyKey(const IdempotencyKey& key) {
  AddRecord({.type = JournalRecord::Type::kIdempotencyKey,
             .channel = key.channel,
             .number = key.sequence,
             .entries = EncodeIdempotencyKey(key)});
}

void JournalRound::AddProducerOwner(const ProducerOwner& owner) {
  AddRecord({.type = JournalRecord::Type::kProducerOwner,
             .channel = owner.channel,
             .number = owner.sequence,
             .entries = EncodeProducerOwner(owner)});
}

void JournalRound::AddRecord(const JournalRecord& record) {
  std::array<char, kRecordHeaderSize> header{};
  header[0] = static_cast<char>(record.type);
  // Names are short, and entries are those of one chunk, whose offsets have 32
  // bits.
  PutLittleEndian<std::uint8_t>(&header[1],
                                Narrow<std::uint8_t>(record.channel.size()));
  PutLittleEndian<std::uint32_t>(&header[4],
                                 Narrow<std::uint32_t>(record.entries.size()));
  PutLittleEndian<std::uint64_t>(&header[8], record.number);
  bytes_.append(header.data(), header.size());
  bytes_.append(record.channel);
  bytes_.append(record.entries);
}

absl::StatusOr<std::unique_ptr<JournalWriter>> JournalWriter::Create(
    FileSystem& files, const std::string& directory, const JournalId& id,
    JournalTraits traits) {
  absl::StatusOr<std::unique_ptr<File>> file =
      files.Open(Path(directory, id.number), FileSystem::Mode::kCreate);
  if (!file.ok()) return file.status();
  std::array<char, kJournalHeaderSize> header{};
  std::memcpy(header.data(), kFileMagic.data(), kFileMagic.size());
  PutLittleEndian<std::uint32_t>(&header[8], kJournalVersion);
  PutLittleEndian<std::uint32_t>(
      &header[12], (traits.synced ? kSynced : 0) |
                       (traits.follows_close ? kFollowsClose : 0));
  PutLittleEndian<std::uint64_t>(&header[16], id.number);
  PutLittleEndian<std::uint64_t>(&header[24],
                                 HeaderChecksum(id, {header.data(), 24}));
  absl::Status s = (*file)->Write(0, {header.data(), header.size()});
  if (s.ok()) s = (*file)->Sync();
  if (s.ok()) s = files.SyncDirectory(directory);
  if (!s.ok()) return s;
  return std::unique_ptr<JournalWriter>(
      new JournalWriter(*std::move(file), id));
}

JournalWriter::JournalWriter(std::unique_ptr<File> file, const JournalId& id)
    : file_(std::move(file)),
      id_(id),
      size_(kJournalHeaderSize),
      last_size_(size_),
      allocated_(size_) {}

absl::Status JournalWriter::Write(JournalRound& round,
                                  std::uint64_t round_number,
                                  const TimeAnchor& time) {
  std::string& bytes = round.bytes_;
  const auto size = TryNarrow<std::uint32_t>(bytes.size() - kRoundHeaderSize);
  if (!size) {
    return absl::ResourceExhaustedError(fmt::format(
        "a round of {} bytes is more than a journal can have", bytes.size()));
  }
  char* const header = bytes.data();
  std::memcpy(header, kRoundMagic.data(), kRoundMagic.size());
  PutLittleEndian<std::uint32_t>(header + 4, *size);
  PutLittleEndian<std::uint64_t>(header + 8, round_number);
  PutLittleEndian<std::int64_t>(header + 16, ToNanos(time.wall_time));
  PutLittleEndian<std::int64_t>(header + 24, ToNanos(time.log_time));
  const std::uint64_t checksum =
      HeaderChecksum(id_, {header, kRoundHeaderChecked});
  PutLittleEndian<std::uint64_t>(header + 32, checksum);
  PutLittleEndian<std::uint64_t>(
      header + 40, SeededChecksum(checksum, std::string_view(bytes).substr(
                                                kRoundHeaderSize)));
  if (size_ + bytes.size() > allocated_) {
    const std::uint64_t wanted = size_ + bytes.size() + kAllocationStep;
    // Without the room the write may succeed all the same.
    if (file_->Allocate(wanted).ok()) allocated_ = wanted;
  }
  last_size_ = size_;
  absl::Status s = file_->Write(size_, bytes);
  size_ += bytes.size();
  if (s.ok()) return s;
  has_remains_ = true;
  if (CutLast().ok()) return s;
  return absl::UnknownError(s.message());
}

absl::Status JournalWriter::MakeRoom(std::uint64_t bytes) {
  constexpr std::uint64_t kPiece = std::uint64_t{64} << 10;
  const std::string zeros(std::min(bytes, kPiece), '\0');
  absl::Status s;
  for (std::uint64_t done = 0; s.ok() && done < bytes; done += kPiece) {
    s = file_->Write(size_ + done, std::string_view(zeros).substr(
                                       0, std::min(bytes - done, kPiece)));
  }
  has_remains_ = true;
  if (s.ok()) {
    allocated_ = size_ + bytes;
  } else {
    // What there is of it is not for us.
    allocated_ = size_;
    file_->Truncate(size_).IgnoreError();
  }
  return s;
}

absl::Status JournalWriter::Sync() {
  return file_->Sync();
}

absl::Status JournalWriter::CutLast() {
  size_ = last_size_;
  allocated_ = last_size_;
  // If this fails as well, the next round overwrites what it can, and recovery
  // may find a round that nobody was told of.
  return file_->Truncate(size_);
}

absl::Status JournalWriter::Close() {
  if (!has_remains_) return absl::OkStatus();
  absl::Status s = file_->Truncate(size_);
  if (s.ok()) s = file_->Sync();
  return s;
}

absl::StatusOr<JournalReader> JournalReader::Open(FileSystem& files,
                                                  const std::string& directory,
                                                  const JournalId& id) {
  absl::StatusOr<std::string> bytes =
      ReadFile(files, Path(directory, id.number));
  if (!bytes.ok()) return bytes.status();
  return JournalReader(*std::move(bytes), id, /*has_key=*/true);
}

absl::StatusOr<JournalReader> JournalReader::OpenWithoutKey(
    FileSystem& files, const std::string& directory, std::uint64_t number) {
  absl::StatusOr<std::string> bytes = ReadFile(files, Path(directory, number));
  if (!bytes.ok()) return bytes.status();
  return JournalReader(*std::move(bytes), {.number = number},
                       /*has_key=*/false);
}

JournalReader::JournalReader(std::string bytes, const JournalId& id,
                             bool has_key)
    : bytes_(std::move(bytes)), id_(id), has_key_(has_key) {
  const std::string_view header =
      std::string_view(bytes_).substr(0, kJournalHeaderSize);
  if (header.size() < kJournalHeaderSize || !header.starts_with(kFileMagic) ||
      GetLittleEndian<std::uint32_t>(&header[8]) != kJournalVersion ||
      GetLittleEndian<std::uint64_t>(&header[16]) != id.number ||
      (has_key_ && GetLittleEndian<std::uint64_t>(&header[24]) !=
                       HeaderChecksum(id, header.substr(0, 24)))) {
    return;
  }
  header_intact_ = true;
  const auto flags = GetLittleEndian<std::uint32_t>(&header[12]);
  traits_ = {.synced = (flags & kSynced) != 0,
             .follows_close = (flags & kFollowsClose) != 0};
  end_ = kJournalHeaderSize;
}

std::optional<std::size_t> JournalReader::CheckRound(
    std::uint64_t offset) const {
  const std::string_view rest = std::string_view(bytes_).substr(offset);
  if (rest.size() < kRoundHeaderSize || !rest.starts_with(kRoundMagic)) {
    return std::nullopt;
  }
  const auto checksum = GetLittleEndian<std::uint64_t>(&rest[32]);
  if (has_key_ &&
      checksum != HeaderChecksum(id_, rest.substr(0, kRoundHeaderChecked))) {
    return std::nullopt;
  }
  const std::size_t size = GetLittleEndian<std::uint32_t>(&rest[4]);
  if (size > rest.size() - kRoundHeaderSize ||
      GetLittleEndian<std::uint64_t>(&rest[40]) !=
          SeededChecksum(checksum, rest.substr(kRoundHeaderSize, size))) {
    return std::nullopt;
  }
  return kRoundHeaderSize + size;
}

bool JournalReader::Next() {
  if (end_ == 0) return false;  // the header is damaged
  const std::optional<std::size_t> size = CheckRound(end_);
  if (!size) return false;
  const char* const header = &bytes_[end_];
  round_ = {.number = GetLittleEndian<std::uint64_t>(header + 8),
            .time = {.log_time = LogTimeOfNanos(
                         GetLittleEndian<std::int64_t>(header + 24)),
                     .wall_time = TimestampOfNanos(
                         GetLittleEndian<std::int64_t>(header + 16))},
            .offset = end_};
  records_ = std::string_view(bytes_).substr(end_ + kRoundHeaderSize,
                                             *size - kRoundHeaderSize);
  end_ += *size;
  return true;
}

absl::Status JournalReader::ForEachRecord(
    absl::FunctionRef<absl::Status(const JournalRecord&)> visit) const {
  std::string_view rest = records_;
  while (!rest.empty()) {
    // The checksum was right, so this is how we have written it: not damage
    // but a version that we do not know, or a bug.
    const auto malformed = [this] {
      return absl::DataLossError(
          fmt::format("journal {}: round {} at offset {} is malformed",
                      id_.number, round_.number, round_.offset));
    };
    if (rest.size() < kRecordHeaderSize) return malformed();
    const auto type = static_cast<unsigned char>(rest[0]);
    const std::size_t name_size = static_cast<unsigned char>(rest[1]);
    const std::size_t size = GetLittleEndian<std::uint32_t>(&rest[4]);
    const auto number = GetLittleEndian<std::uint64_t>(&rest[8]);
    rest.remove_prefix(kRecordHeaderSize);
    if (type < 1 || type > kLastType || rest.size() < name_size + size) {
      return malformed();
    }
    absl::Status s = visit({.type = static_cast<JournalRecord::Type>(type),
                            .channel = rest.substr(0, name_size),
                            .number = number,
                            .entries = rest.substr(name_size, size)});
    if (!s.ok()) return s;
    rest.remove_prefix(name_size + size);
  }
  return absl::OkStatus();
}

std::uint64_t JournalReader::bytes_after_end() const {
  const std::size_t last = bytes_.find_last_not_of('\0');
  return last == std::string::npos || last < end_ ? 0 : last + 1 - end_;
}

std::optional<std::uint64_t> JournalReader::FindRound() const {
  if (!has_key_) return std::nullopt;
  for (std::size_t at = bytes_.find(kRoundMagic, end_); at != std::string::npos;
       at = bytes_.find(kRoundMagic, at + 1)) {
    if (CheckRound(at)) return at;
  }
  return std::nullopt;
}

bool JournalReader::RoundFollowsDamage() const {
  return FindRound().has_value();
}

bool JournalReader::SkipDamage() {
  const std::optional<std::uint64_t> next = FindRound();
  if (next) end_ = *next;
  return next.has_value();
}

}  // namespace messenger
