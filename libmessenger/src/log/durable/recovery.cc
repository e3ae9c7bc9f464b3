#include "log/durable/recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/random.h"
#include "base/status.h"
#include "log/durable/file_util.h"
#include "log/durable/journal.h"
#include "log/durable/layout.h"
#include "log/durable/old_directories.h"
#include "wire/channel_name.h"

namespace messenger {
namespace {

class Recovery {
 public:
  Recovery(FileSystem& files, const std::string& directory,
           ChannelContext* context)
      : files_(files),
        directory_(directory),
        journals_(JournalsDirectory(directory)),
        context_(context) {}

  absl::StatusOr<RecoveredLog> Run() {
    absl::StatusOr<Checkpoint> checkpoint = LoadCheckpoint(files_, directory_);
    if (absl::IsNotFound(checkpoint.status())) checkpoint = CreateLog();
    if (!checkpoint.ok()) return checkpoint.status();
    // It must not go back to the one before when what only that one needs is
    // removed: its rename may be in the page cache alone.
    absl::Status s = files_.SyncDirectory(directory_);
    if (!s.ok()) return s;
    const std::uint32_t version = checkpoint->version;
    SegmentsOfChannels segments;
    for (const ChannelState& channel : checkpoint->channels) {
      std::vector<std::uint64_t>& firsts = segments[channel.name];
      for (const SegmentInfo& segment : channel.segments) {
        firsts.push_back(segment.first_sequence);
      }
    }
    Take(*std::move(checkpoint));
    s = RestoreCarried();
    if (s.ok()) s = ReplayJournals();
    // From here on, a server of before leaves the directory alone: what follows
    // would be damage for it.
    if (s.ok() && version < kCheckpointVersion) {
      s = WriteCheckpoint(files_, directory_, log_.checkpoint.log,
                          log_.checkpoint.channels, log_.checkpoint.tombstones);
    }
    if (s.ok()) {
      s = RenameOldDirectories(files_, directory_, segments, &log_.notices);
    }
    if (!s.ok()) return s;
    for (const auto& [name, channel] : log_.channels) channel->EndRecovery();
    return std::move(log_);
  }

 private:
  // The checkpoint comes last: from then on, nothing may be missing.
  absl::StatusOr<Checkpoint> CreateLog() {
    absl::Status s = CheckNothingThere();
    if (!s.ok()) return s;
    Checkpoint checkpoint = {
        .log = {.key = RandomNonZero64(),
                .epochs = {RandomNonZero64()},
                .time = {.log_time = {}, .wall_time = context_->clock.now()}},
        .channels = {}};
    s = files_.CreateDirectory(journals_);
    if (s.ok()) s = files_.CreateDirectory(ChannelsDirectory(directory_));
    if (s.ok()) {
      s = JournalWriter::Create(files_, journals_,
                                {.key = checkpoint.log.key,
                                 .number = checkpoint.log.first_journal})
              .status();
    }
    if (s.ok()) {
      s = WriteCheckpoint(files_, directory_, checkpoint.log, {});
    }
    if (!s.ok()) return s;
    return checkpoint;
  }

  // Nothing but what CreateLog leaves behind when it is cut off.
  absl::Status CheckNothingThere() {
    const auto names = files_.List(directory_);
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) {
      if (name == kJournalsName || name == kChannelsName) {
        const absl::StatusOr<bool> used =
            name == kJournalsName ? HasRounds() : HasChannels();
        if (!used.ok()) return used.status();
        if (!*used) continue;
        return absl::DataLossError(
            fmt::format("{}/{}: is missing, though the rest of a log is there",
                        directory_, kCheckpointFileName));
      }
      if (name != kLockFileName && name != kReserveName &&
          name != "lost+found" &&
          name != fmt::format("{}.new", kCheckpointFileName)) {
        return absl::FailedPreconditionError(fmt::format(
            "{}: is neither empty nor the directory of a log: it contains "
            "\"{}\"",
            directory_, name));
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<bool> HasChannels() {
    const auto names = files_.List(ChannelsDirectory(directory_));
    if (!names.ok()) return names.status();
    return !names->empty();
  }

  // Without the key, all that can be told is whether there is anything. Of a
  // new log, there is the first journal alone.
  absl::StatusOr<bool> HasRounds() {
    const auto names = files_.List(journals_);
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) {
      const absl::StatusOr<std::uint64_t> size =
          SizeOfFile(files_, fmt::format("{}/{}", journals_, name));
      if (!size.ok()) return size.status();
      if (*size > kJournalHeaderSize ||
          ParseJournalFileName(name).value_or(1) != 1) {
        return true;
      }
    }
    return false;
  }

  std::uint64_t key() const { return log_.checkpoint.log.key; }

  void Take(Checkpoint checkpoint) {
    context_->epochs = checkpoint.log.epochs;
    log_.next_round = checkpoint.log.first_round;
    log_.last_time = checkpoint.log.time;
    log_.checkpoint.log = std::move(checkpoint.log);
    for (ChannelState& state : checkpoint.channels) {
      std::string name = state.name;
      if (IsDeleted(state)) {
        Tombstone tombstone = TombstoneOf(state, context_->epochs);
        log_.checkpoint.tombstones.Add(EncodeTombstone(name, tombstone));
        log_.tombstones.Put(std::move(name), std::move(tombstone));
        continue;
      }
      log_.checkpoint.channels.emplace(name, EncodeChannelState(state));
      log_.channels.emplace(std::move(name), std::make_shared<DurableChannel>(
                                                 std::move(state), *context_));
    }
  }

  std::uint64_t first_journal() const {
    return log_.checkpoint.log.first_journal;
  }

  // It was synced before the checkpoint that knows of it was written.
  absl::Status RestoreCarried() {
    const std::uint64_t rounds = log_.checkpoint.log.carried_rounds;
    if (rounds == 0) return absl::OkStatus();
    const std::uint64_t number = CarriedNumber(first_journal());
    const std::string path = journals_ + "/" + JournalFileName(number);
    absl::StatusOr<JournalReader> reader = JournalReader::Open(
        files_, journals_, {.key = key(), .number = number});
    if (absl::IsNotFound(reader.status())) {
      return absl::DataLossError(fmt::format("{}: is missing", path));
    }
    if (!reader.ok()) return reader.status();
    absl::flat_hash_set<DurableChannel*> carried;
    std::uint64_t round = 0;
    while (reader->Next()) {
      if (reader->round().number != ++round) break;
      const auto written = reader->round().time.log_time;
      absl::Status s = reader->ForEachRecord([&](const JournalRecord& record) {
        // It was deleted while it was carried over.
        if (log_.tombstones.Find(record.channel) != nullptr) {
          return absl::OkStatus();
        }
        const auto channel = log_.channels.find(record.channel);
        if (record.type != JournalRecord::Type::kEntries ||
            channel == log_.channels.end()) {
          return Damaged(path, reader->round().offset);
        }
        carried.insert(channel->second.get());
        return channel->second->RestoreCarried(record.number, record.entries,
                                               written);
      });
      if (!s.ok()) return s;
    }
    if (round != rounds || reader->bytes_after_end() > 0) {
      return Damaged(path, reader->end());
    }
    log_.checkpoint.carried.assign(carried.begin(), carried.end());
    return absl::OkStatus();
  }

  absl::Status ReplayJournals() {
    absl::StatusOr<std::vector<std::uint64_t>> numbers = FindJournals();
    if (!numbers.ok()) return numbers.status();
    log_.next_journal = first_journal();
    for (const std::uint64_t number : *numbers) {
      log_.next_journal = number + 1;
      absl::Status s = ReplayJournal(number);
      if (!s.ok()) return s;
    }
    // Not before: what is refused for damage is left as it is.
    for (const Place& cut : cuts_) {
      absl::Status s = Truncate(cut);
      if (!s.ok()) return s;
    }
    return absl::OkStatus();
  }

  // Those that are needed, in order. Removes the others.
  absl::StatusOr<std::vector<std::uint64_t>> FindJournals() {
    const auto names = files_.List(journals_);
    if (absl::IsNotFound(names.status())) {
      return absl::DataLossError(fmt::format("{}: is missing", journals_));
    }
    if (!names.ok()) return names.status();
    std::vector<std::uint64_t> numbers;
    for (const std::string& name : *names) {
      const std::optional<std::uint64_t> number = ParseJournalFileName(name);
      if (number && *number >= first_journal()) {
        numbers.push_back(*number);
        continue;
      }
      const auto carried = ParseCarriedFileName(name);
      const bool needed =
          carried == first_journal() && log_.checkpoint.log.carried_rounds > 0;
      if ((!number && !carried) || needed) continue;
      absl::Status s = files_.Remove(journals_ + "/" + name);
      if (!s.ok()) return s;
    }
    std::sort(numbers.begin(), numbers.end());
    std::uint64_t expected = first_journal();
    for (const std::uint64_t number : numbers) {
      if (number != expected) break;
      ++expected;
    }
    if (numbers.empty() || expected <= numbers.back()) {
      return absl::DataLossError(fmt::format("{}/{}: is missing", journals_,
                                             JournalFileName(expected)));
    }
    return numbers;
  }

  absl::Status ReplayJournal(std::uint64_t number) {
    const std::string path = journals_ + "/" + JournalFileName(number);
    absl::StatusOr<JournalReader> reader = JournalReader::Open(
        files_, journals_, {.key = key(), .number = number});
    if (!reader.ok()) return reader.status();
    if (!reader->header_intact()) {
      const bool empty = reader->bytes_after_end() == 0;
      if (empty && number != first_journal()) return absl::OkStatus();
      // It may have been cut off before anything was written to it.
      if (number == first_journal() || reader->RoundFollowsDamage()) {
        return Damaged(path, 0);
      }
      Cut(path, *reader);
      return absl::OkStatus();
    }
    if (reader->traits().follows_close) log_.needs_new_epoch = false;
    if (!reader->synced()) log_.needs_new_epoch = true;
    while (reader->Next()) {
      if (!cuts_.empty() || reader->round().number != log_.next_round) {
        if (reader->synced()) {
          return cuts_.empty() ? Damaged(path, reader->round().offset)
                               : Damaged(cuts_[0].path, cuts_[0].offset);
        }
        Cut(path, *reader, reader->round().offset);
        return absl::OkStatus();
      }
      absl::Status s = ReplayRound(*reader);
      if (!s.ok()) return s;
    }
    if (reader->bytes_after_end() > 0) {
      if (reader->synced() && reader->RoundFollowsDamage()) {
        return Damaged(path, reader->end());
      }
      Cut(path, *reader);
      return absl::OkStatus();
    }
    return KeepLastRound(path, *reader);
  }

  absl::Status ReplayRound(const JournalReader& reader) {
    const auto time = reader.round().time.log_time;
    log_.next_round = reader.round().number + 1;
    log_.last_time = reader.round().time;
    return reader.ForEachRecord([&](const JournalRecord& record) {
      switch (record.type) {
        case JournalRecord::Type::kEntries: {
          const auto channel = ChannelOf(record);
          if (!channel.ok()) return channel.status();
          return (*channel)->Replay(record.number, record.entries, time);
        }
        case JournalRecord::Type::kDeletion: {
          const auto channel = ChannelOf(record);
          if (!channel.ok()) return channel.status();
          return (*channel)->ReplayDeletion(record.number, time);
        }
        case JournalRecord::Type::kEpoch:
          if (record.number == 0) {
            return absl::DataLossError(
                fmt::format("{}: a record is of no epoch", journals_));
          }
          BeginEpoch(record.number, reader.synced());
          break;
      }
      return absl::OkStatus();
    });
  }

  absl::StatusOr<DurableChannel*> ChannelOf(const JournalRecord& record) {
    std::string name(record.channel);
    if (name.empty() || !wire::ResolveChannelName(name).ok()) {
      return absl::DataLossError(fmt::format(
          "{}: a record is of no channel that there can be", journals_));
    }
    std::shared_ptr<DurableChannel>& channel = log_.channels[name];
    if (!channel) {
      const Tombstone* const tombstone = log_.tombstones.Find(name);
      channel = std::make_shared<DurableChannel>(
          tombstone == nullptr ? ChannelState{.name = name}
                               : StateOf(name, *tombstone, context_->epochs),
          *context_);
      log_.tombstones.Erase(name);
    }
    log_.dirty.insert(channel.get());
    return channel.get();
  }

  void BeginEpoch(std::uint64_t epoch, bool synced) {
    context_->BeginEpoch(epoch);
    for (const auto& [name, channel] : log_.channels) {
      channel->EndEpoch();
      log_.dirty.insert(channel.get());
    }
    // What is before this is known to be there.
    log_.needs_new_epoch = !synced;
  }

  static absl::Status Damaged(const std::string& path, std::uint64_t offset) {
    return absl::DataLossError(fmt::format(
        "{}: is damaged at offset {}, and messages follow", path, offset));
  }

  // Will cut off what is not intact, from the reader's end on by default.
  void Cut(const std::string& path, const JournalReader& reader,
           std::optional<std::uint64_t> from = std::nullopt) {
    const Place place = {.path = path, .offset = from.value_or(reader.end())};
    const std::uint64_t bytes =
        reader.end() + reader.bytes_after_end() - place.offset;
    log_.notices.push_back(fmt::format(
        "{}: cut off {} bytes at offset {} that were not completely written",
        path, bytes, place.offset));
    cuts_.push_back(place);
  }

  struct Place {
    std::string path;
    std::uint64_t offset = 0;
  };

  absl::Status Truncate(const Place& place) {
    absl::StatusOr<std::unique_ptr<File>> file =
        files_.Open(place.path, FileSystem::Mode::kModify);
    if (!file.ok()) return file.status();
    absl::Status s = (*file)->Truncate(place.offset);
    if (s.ok()) s = (*file)->Sync();
    return s;
  }

  // What is only in the page cache would be lost with the power. If its sync
  // has failed before, another one does nothing unless it is written again; all
  // rounds but the last one were synced before the next one was written.
  absl::Status KeepLastRound(const std::string& path,
                             const JournalReader& reader) {
    absl::StatusOr<std::unique_ptr<File>> file =
        files_.Open(path, FileSystem::Mode::kModify);
    if (!file.ok()) return file.status();
    absl::Status s;
    if (const std::string_view round = reader.round_bytes(); !round.empty()) {
      s = (*file)->Write(reader.round().offset, round);
    }
    if (s.ok()) s = (*file)->Sync();
    return s;
  }

  FileSystem& files_;
  const std::string directory_;
  const std::string journals_;
  ChannelContext* const context_;
  RecoveredLog log_;
  std::vector<Place> cuts_;  // at the first one, the intact rounds end
};

}  // namespace

absl::StatusOr<RecoveredLog> Recover(FileSystem& files,
                                     const std::string& directory,
                                     ChannelContext* context) {
  return Recovery(files, directory, context).Run();
}

}  // namespace messenger
