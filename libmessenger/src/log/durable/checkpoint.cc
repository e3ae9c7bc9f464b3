#include "log/durable/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "base/narrow.h"
#include "log/durable/disk_coding.h"
#include "log/durable/file_util.h"
#include "log/durable/journal.h"
#include "log/durable/segment_format.h"
#include "log/durable/table_coding.h"
#include "log/owner.h"
#include "messenger/storage/v1/checkpoint.pb.h"
#include "wire/channel_name.h"
#include "wire/coding.h"

namespace messenger {
namespace {

constexpr std::string_view kCheckpointMagic = "MSGRCKP1";
// In version 1, channels' directories have other names (see old_directories.h),
// and nothing is carried over.
constexpr std::uint32_t kOldestCheckpointVersion = 1;
constexpr std::size_t kHeaderSize = 32;

absl::Status Damaged(const std::string& directory, std::string_view what) {
  return absl::DataLossError(
      fmt::format("{}/{}: {}", directory, kCheckpointFileName, what));
}

SegmentInfo Decode(const storage::v1::Segment& segment) {
  return {.first_sequence = segment.first_sequence(),
          .end_sequence = segment.end_sequence(),
          .size = segment.size(),
          .last_time = TimestampOfNanos(segment.last_time()),
          .first_write = LogTimeOfNanos(segment.first_write()),
          .last_write = LogTimeOfNanos(segment.last_write())};
}

// Nothing if it is not valid.
std::optional<ProducerTable::Snapshot> Decode(
    const storage::v1::Producer& encoded, std::uint64_t head) {
  ProducerTable::Snapshot producer;
  if (encoded.id().size() != producer.id.size() || encoded.runs().empty()) {
    return std::nullopt;
  }
  std::copy(encoded.id().begin(), encoded.id().end(), producer.id.begin());
  producer.last_used = LogTimeOfNanos(encoded.last_used());
  producer.owner = encoded.owner();
  if (!IsValidOwner(producer.owner)) return std::nullopt;
  // The runs of a named producer may have holes between them.
  std::uint64_t least = 0;
  std::uint64_t end = 1;
  for (const auto& run : encoded.runs()) {
    if (run.producer_sequence() < least || run.sequence() < end ||
        run.sequence() > head || run.count() == 0 ||
        run.count() > head - run.sequence() + 1 ||
        run.count() > UINT64_MAX - run.producer_sequence()) {
      return std::nullopt;
    }
    least = run.producer_sequence() + run.count();
    end = run.sequence() + run.count();
    producer.runs.push_back({.producer_sequence = run.producer_sequence(),
                             .sequence = run.sequence(),
                             .count = run.count()});
  }
  return producer;
}

// Nothing if it is not valid.
std::optional<ChannelState> Decode(const storage::v1::Channel& encoded) {
  ChannelState state;
  state.name = encoded.name();
  state.head = encoded.head();
  state.first_sequence = encoded.first_sequence();
  state.deleted_head = encoded.deleted_head();
  state.last_time = TimestampOfNanos(encoded.last_time());
  if (encoded.has_last_dropped_time()) {
    state.last_dropped_time = TimestampOfNanos(encoded.last_dropped_time());
  }
  if (state.head > kMaxNumber || state.first_sequence > kMaxNumber) {
    return std::nullopt;
  }
  std::uint64_t end = 1;
  for (const auto& segment : encoded.segments()) {
    state.segments.push_back(Decode(segment));
    const SegmentInfo& info = state.segments.back();
    if (info.first_sequence < end || info.end_sequence <= info.first_sequence ||
        info.end_sequence - 1 > state.head || info.size < kSegmentHeaderSize ||
        info.size > kMaxNumber) {
      return std::nullopt;
    }
    end = info.end_sequence;
  }
  absl::flat_hash_set<ProducerId> known;
  for (const auto& producer : encoded.producers()) {
    std::optional<ProducerTable::Snapshot> decoded =
        Decode(producer, state.head);
    if (!decoded || !known.insert(decoded->id).second) return std::nullopt;
    state.producers.push_back(*std::move(decoded));
  }
  state.epoch_heads.assign(encoded.epoch_heads().begin(),
                           encoded.epoch_heads().end());
  if (state.name.empty() || !wire::ResolveChannelName(state.name).ok() ||
      state.first_sequence == 0 || state.deleted_head > state.head) {
    return std::nullopt;
  }
  return state;
}

// False if it is malformed, or larger than protobuf can parse.
bool ParseMessage(std::string_view bytes, google::protobuf::Message* message) {
  const auto size = TryNarrow<int>(bytes.size());
  return size && message->ParseFromArray(bytes.data(), *size);
}

// What there may be many of is parsed one by one: together they may be larger
// than protobuf can parse.
struct ParsedBody {
  storage::v1::Checkpoint rest;
  std::vector<std::string_view> channels;
  std::vector<std::string_view> named_producers;
  std::vector<std::string_view> idempotency_keys;
};

bool Parse(std::string_view body, ParsedBody* parsed) {
  using storage::v1::Checkpoint;
  constexpr auto kTag = [](std::uint32_t number) {
    return wire::MakeTag(number, wire::WireType::kBytes);
  };
  std::string rest;
  wire::FieldReader fields(body);
  while (fields.Next()) {
    switch (fields.tag()) {
      case kTag(Checkpoint::kChannelsFieldNumber):
        parsed->channels.push_back(fields.bytes());
        break;
      case kTag(Checkpoint::kNamedProducersFieldNumber):
        parsed->named_producers.push_back(fields.bytes());
        break;
      case kTag(Checkpoint::kIdempotencyKeysFieldNumber):
        parsed->idempotency_keys.push_back(fields.bytes());
        break;
      default:
        rest.append(fields.begin(), fields.end());
    }
  }
  return fields.ok() && ParseMessage(rest, &parsed->rest);
}

// Nothing if it is not valid.
std::optional<ChannelState> Decode(const storage::v1::Tombstone& encoded,
                                   const std::vector<std::uint64_t>& epochs) {
  Tombstone tombstone;
  tombstone.head = encoded.head();
  tombstone.epoch = encoded.epoch();
  tombstone.last_time = TimestampOfNanos(encoded.last_time());
  tombstone.epoch_heads.assign(encoded.epoch_heads().begin(),
                               encoded.epoch_heads().end());
  if (encoded.name().empty() ||
      !wire::ResolveChannelName(encoded.name()).ok() || tombstone.head == 0 ||
      tombstone.head > kMaxNumber) {
    return std::nullopt;
  }
  ChannelState state = StateOf(encoded.name(), tombstone, epochs);
  absl::flat_hash_set<ProducerId> known;
  for (const auto& producer : encoded.producers()) {
    std::optional<ProducerTable::Snapshot> decoded =
        Decode(producer, state.head);
    if (!decoded || !known.insert(decoded->id).second) return std::nullopt;
    state.producers.push_back(*std::move(decoded));
  }
  return state;
}

void Encode(const ProducerTable::Snapshot& snapshot,
            storage::v1::Producer* producer) {
  producer->set_id(snapshot.id.data(), snapshot.id.size());
  producer->set_last_used(ToNanos(snapshot.last_used));
  producer->set_owner(snapshot.owner);
  for (const ProducerRun& run : snapshot.runs) {
    storage::v1::Producer::Run* const encoded = producer->add_runs();
    encoded->set_producer_sequence(run.producer_sequence);
    encoded->set_sequence(run.sequence);
    encoded->set_count(run.count);
  }
}

void SetHeader(std::uint32_t version, std::string* contents) {
  char* const header = contents->data();
  std::memcpy(header, kCheckpointMagic.data(), kCheckpointMagic.size());
  PutLittleEndian<std::uint32_t>(header + 8, version);
  PutLittleEndian<std::uint64_t>(header + 16, contents->size() - kHeaderSize);
  const std::string_view all(*contents);
  PutLittleEndian<std::uint64_t>(
      header + 24,
      SeededChecksum(0, all.substr(0, 24), all.substr(kHeaderSize)));
}

// The file, if its size is the one that its header says: another one may be of
// any size.
absl::StatusOr<std::string> ReadFileOfCheckpoint(FileSystem& files,
                                                 const std::string& directory) {
  // More than any log has: what is larger is no checkpoint.
  constexpr std::uint64_t kMaxBody = std::uint64_t{16} << 30;
  const auto file =
      files.Open(fmt::format("{}/{}", directory, kCheckpointFileName),
                 FileSystem::Mode::kRead);
  if (!file.ok()) return file.status();
  const absl::StatusOr<std::uint64_t> size = (*file)->Size();
  if (!size.ok()) return size.status();
  std::string contents(kHeaderSize, '\0');
  absl::StatusOr<std::size_t> read =
      (*file)->Read(0, contents.data(), kHeaderSize);
  if (!read.ok()) return read.status();
  if (*read < kHeaderSize || !contents.starts_with(kCheckpointMagic)) {
    return Damaged(directory, "is not a checkpoint");
  }
  const auto body = GetLittleEndian<std::uint64_t>(&contents[16]);
  if (body > kMaxBody || kHeaderSize + body != *size) {
    return Damaged(directory, "is not as large as its header says");
  }
  contents.resize(*size);
  read = (*file)->Read(0, contents.data(), contents.size());
  if (!read.ok()) return read.status();
  contents.resize(*read);
  return contents;
}

// The file, if it is intact and has a version that is known.
absl::StatusOr<std::string> ReadCheckpoint(FileSystem& files,
                                           const std::string& directory) {
  absl::StatusOr<std::string> contents = ReadFileOfCheckpoint(files, directory);
  if (!contents.ok()) return contents;
  const std::string_view all(*contents);
  if (all.size() < kHeaderSize) {
    return Damaged(directory, "is not a checkpoint");
  }
  const auto version = GetLittleEndian<std::uint32_t>(&all[8]);
  const std::string_view body = all.substr(kHeaderSize);
  const bool intact = GetLittleEndian<std::uint64_t>(&all[16]) == body.size() &&
                      GetLittleEndian<std::uint64_t>(&all[24]) ==
                          SeededChecksum(0, all.substr(0, 24), body);
  if (!intact) return Damaged(directory, "the checksum does not match");
  if (version < kOldestCheckpointVersion || version > kCheckpointVersion) {
    return absl::FailedPreconditionError(fmt::format(
        "{}/{}: has format version {}; this program knows versions {} to {}",
        directory, kCheckpointFileName, version, kOldestCheckpointVersion,
        kCheckpointVersion));
  }
  return contents;
}

absl::Status DecodeTables(const std::string& directory,
                          const ParsedBody& parsed, Checkpoint* checkpoint) {
  NamedProducers producers(parsed.named_producers.size());
  for (const std::string_view bytes : parsed.named_producers) {
    std::optional<NamedProducers::Kept> kept = DecodeNamedProducer(bytes);
    if (!kept || !producers.Restore(*kept)) {
      return Damaged(directory, "a named producer is malformed");
    }
  }
  checkpoint->named_producers = producers.Save();
  if (checkpoint->named_producers.size() != parsed.named_producers.size()) {
    return Damaged(directory, "a named producer is there twice");
  }
  for (const std::string_view bytes : parsed.idempotency_keys) {
    std::optional<IdempotencyKey> key = DecodeIdempotencyKey(bytes);
    if (!key) return Damaged(directory, "an idempotency key is malformed");
    checkpoint->idempotency_keys.push_back(*std::move(key));
  }
  return absl::OkStatus();
}

}  // namespace

bool IsDeleted(const ChannelState& state) {
  return state.head > 0 && state.head == state.deleted_head &&
         state.segments.empty();
}

Tombstone TombstoneOf(const ChannelState& state,
                      const std::vector<std::uint64_t>& epochs) {
  Tombstone tombstone;
  tombstone.head = state.head;
  tombstone.epoch = epochs.back();
  tombstone.last_time = state.last_time;
  tombstone.epoch_heads = state.epoch_heads;
  tombstone.SetProducers(state.producers);
  return tombstone;
}

ChannelState StateOf(std::string name, const Tombstone& tombstone,
                     const std::vector<std::uint64_t>& epochs) {
  return {.name = std::move(name),
          .head = tombstone.head,
          .first_sequence = tombstone.head + 1,
          .deleted_head = tombstone.head,
          .last_time = tombstone.last_time,
          .last_dropped_time = tombstone.last_time,
          .segments = {},
          .producers = tombstone.ProducerSnapshots(),
          .epoch_heads = tombstone.HeadsIn(epochs)};
}

std::string EncodeChannelState(const ChannelState& state) {
  storage::v1::Channel channel;
  channel.set_name(state.name);
  channel.set_head(state.head);
  channel.set_first_sequence(state.first_sequence);
  channel.set_deleted_head(state.deleted_head);
  channel.set_last_time(ToNanos(state.last_time));
  if (state.last_dropped_time) {
    channel.set_last_dropped_time(ToNanos(*state.last_dropped_time));
  }
  for (const SegmentInfo& info : state.segments) {
    storage::v1::Segment* const segment = channel.add_segments();
    segment->set_first_sequence(info.first_sequence);
    segment->set_end_sequence(info.end_sequence);
    segment->set_size(info.size);
    segment->set_last_time(ToNanos(info.last_time));
    segment->set_first_write(ToNanos(info.first_write));
    segment->set_last_write(ToNanos(info.last_write));
  }
  for (const ProducerTable::Snapshot& snapshot : state.producers) {
    Encode(snapshot, channel.add_producers());
  }
  for (const std::uint64_t head : state.epoch_heads) {
    channel.add_epoch_heads(head);
  }
  return channel.SerializeAsString();
}

ChannelState DecodeChannelState(std::string_view encoded) {
  storage::v1::Channel channel;
  if (!ParseMessage(encoded, &channel)) return {};
  return Decode(channel).value_or(ChannelState());
}

std::string EncodeTombstone(std::string_view name, const Tombstone& tombstone) {
  storage::v1::Tombstone encoded;
  encoded.set_name(std::string(name));
  encoded.set_head(tombstone.head);
  encoded.set_epoch(tombstone.epoch);
  encoded.set_last_time(ToNanos(tombstone.last_time));
  for (const std::uint64_t head : tombstone.epoch_heads) {
    encoded.add_epoch_heads(head);
  }
  for (const ProducerTable::Snapshot& snapshot :
       tombstone.ProducerSnapshots()) {
    Encode(snapshot, encoded.add_producers());
  }
  return encoded.SerializeAsString();
}

absl::Status WriteCheckpoint(FileSystem& files, const std::string& directory,
                             const LogState& log,
                             const EncodedChannels& channels,
                             const EncodedTombstones& tombstones,
                             const CheckpointTables& tables) {
  storage::v1::Checkpoint checkpoint;
  checkpoint.set_key(log.key);
  for (const std::uint64_t epoch : log.epochs) checkpoint.add_epochs(epoch);
  checkpoint.set_first_journal(log.first_journal);
  checkpoint.set_first_round(log.first_round);
  checkpoint.set_carried_rounds(log.carried_rounds);
  checkpoint.set_log_time(ToNanos(log.time.log_time));
  checkpoint.set_wall_time(ToNanos(log.time.wall_time));
  std::string contents(kHeaderSize, '\0');
  checkpoint.AppendToString(&contents);
  // A serialized message goes on with more of its fields.
  for (const auto& [name, encoded] : channels) {
    if (encoded.empty()) {
      // protobuf does not serialize what is larger than it can parse.
      return absl::ResourceExhaustedError(
          fmt::format("{}/{}: there is too much to say of channel \"{}\"",
                      directory, kCheckpointFileName, name));
    }
    wire::AppendBytesField(
        contents, storage::v1::Checkpoint::kChannelsFieldNumber, encoded);
  }
  contents += tombstones.fields();
  for (const auto& [id, encoded] : tables.named_producers) {
    wire::AppendBytesField(
        contents, storage::v1::Checkpoint::kNamedProducersFieldNumber, encoded);
  }
  tables.idempotency_keys.ForEach([&](const IdempotencyKey& key) {
    wire::AppendBytesField(contents,
                           storage::v1::Checkpoint::kIdempotencyKeysFieldNumber,
                           EncodeIdempotencyKey(key));
  });
  if (!TryNarrow<int>(contents.size() - kHeaderSize)) {
    // It could not be read any more.
    return absl::ResourceExhaustedError(fmt::format(
        "{}/{}: would have {} bytes, more than a checkpoint can have",
        directory, kCheckpointFileName, contents.size()));
  }
  SetHeader(log.version, &contents);
  return ReplaceFile(files, directory, kCheckpointFileName, contents);
}

absl::Status RaiseCheckpointVersion(FileSystem& files,
                                    const std::string& directory) {
  absl::StatusOr<std::string> contents = ReadCheckpoint(files, directory);
  if (!contents.ok()) return contents.status();
  SetHeader(kCheckpointVersion, &*contents);
  return ReplaceFile(files, directory, kCheckpointFileName, *contents);
}

absl::StatusOr<Checkpoint> LoadCheckpoint(FileSystem& files,
                                          const std::string& directory) {
  const absl::StatusOr<std::string> contents = ReadCheckpoint(files, directory);
  if (!contents.ok()) return contents.status();
  const std::string_view all(*contents);
  ParsedBody parsed;
  const storage::v1::Checkpoint& encoded = parsed.rest;
  if (!Parse(all.substr(kHeaderSize), &parsed) || encoded.epochs().empty() ||
      *encoded.epochs().rbegin() == 0 || encoded.first_journal() == 0 ||
      encoded.first_journal() > kMaxNumber ||
      encoded.first_round() > kMaxNumber) {
    return Damaged(directory, "is malformed");
  }
  Checkpoint checkpoint;
  checkpoint.log = {
      .version = GetLittleEndian<std::uint32_t>(&all[8]),
      .key = encoded.key(),
      .epochs = {encoded.epochs().begin(), encoded.epochs().end()},
      .first_journal = encoded.first_journal(),
      .first_round = encoded.first_round(),
      .carried_rounds = encoded.carried_rounds(),
      .time = {.log_time = LogTimeOfNanos(encoded.log_time()),
               .wall_time = TimestampOfNanos(encoded.wall_time())}};
  absl::Status tables = DecodeTables(directory, parsed, &checkpoint);
  if (!tables.ok()) return tables;
  storage::v1::Channel channel;
  for (const std::string_view bytes : parsed.channels) {
    std::optional<ChannelState> state;
    if (ParseMessage(bytes, &channel)) state = Decode(channel);
    // They are written in the order of their names.
    if (!state || state->epoch_heads.size() >= checkpoint.log.epochs.size() ||
        (!checkpoint.channels.empty() &&
         checkpoint.channels.back().name >= state->name)) {
      return Damaged(directory, fmt::format("channel \"{}\" is malformed",
                                            channel.name()));
    }
    checkpoint.channels.push_back(*std::move(state));
  }
  const auto living = static_cast<std::ptrdiff_t>(checkpoint.channels.size());
  for (const auto& tombstone : encoded.tombstones()) {
    std::optional<ChannelState> state =
        Decode(tombstone, checkpoint.log.epochs);
    if (!state) {
      return Damaged(directory, fmt::format("tombstone \"{}\" is malformed",
                                            tombstone.name()));
    }
    checkpoint.channels.push_back(*std::move(state));
  }
  const auto by_name = [](const ChannelState& a, const ChannelState& b) {
    return a.name < b.name;
  };
  const auto begin = checkpoint.channels.begin();
  std::sort(begin + living, checkpoint.channels.end(), by_name);
  std::inplace_merge(begin, begin + living, checkpoint.channels.end(), by_name);
  const auto twice =
      std::adjacent_find(begin, checkpoint.channels.end(),
                         [](const ChannelState& a, const ChannelState& b) {
                           return a.name == b.name;
                         });
  if (twice != checkpoint.channels.end()) {
    return Damaged(directory,
                   fmt::format("channel \"{}\" is there twice", twice->name));
  }
  return checkpoint;
}

absl::StatusOr<bool> IsNewLog(FileSystem& files, const std::string& directory) {
  const auto channels = files.List(ChannelsDirectory(directory));
  if (channels.ok() && !channels->empty()) return false;
  if (!channels.ok() && !absl::IsNotFound(channels.status())) {
    return channels.status();
  }
  const std::string journals = JournalsDirectory(directory);
  const auto names = files.List(journals);
  if (absl::IsNotFound(names.status())) return true;
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    const absl::StatusOr<std::uint64_t> size =
        SizeOfFile(files, fmt::format("{}/{}", journals, name));
    if (!size.ok()) return size.status();
    // Without the key, nobody can tell a round from anything else. Of a new
    // log, there is the first journal alone.
    if (*size > kJournalHeaderSize ||
        ParseJournalFileName(name).value_or(1) != 1) {
      return false;
    }
  }
  return true;
}

}  // namespace messenger
