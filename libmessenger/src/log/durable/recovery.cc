#include "log/durable/recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/random.h"
#include "base/status.h"
#include "log/durable/journal.h"
#include "log/durable/layout.h"

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
    is_new_ = checkpoint->channels.empty() && checkpoint->log.first_round == 1;
    absl::Status s = CreateDirectories();
    if (!s.ok()) return s;
    Take(*std::move(checkpoint));
    s = ReplayJournals();
    if (!s.ok()) return s;
    for (const auto& [name, channel] : log_.channels) channel->EndRecovery();
    return std::move(log_);
  }

 private:
  // An incomplete start: nothing but what is written before the checkpoint.
  absl::StatusOr<Checkpoint> CreateLog() {
    const auto names = files_.List(directory_);
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) {
      if (name == kJournalsName || name == kChannelsName) {
        return absl::DataLossError(
            fmt::format("{}/{}: is missing, though the rest of a log is there",
                        directory_, kCheckpointFileName));
      }
      if (name != kLockFileName && name != "lost+found" &&
          name != fmt::format("{}.new", kCheckpointFileName)) {
        return absl::FailedPreconditionError(fmt::format(
            "{}: is neither empty nor the directory of a log: it contains "
            "\"{}\"",
            directory_, name));
      }
    }
    Checkpoint checkpoint = {
        .log = {.key = RandomNonZero64(),
                .epochs = {RandomNonZero64()},
                .time = {.log_time = {}, .wall_time = context_->clock.now()}},
        .channels = {}};
    absl::Status s = WriteCheckpoint(files_, directory_, checkpoint.log, {});
    if (!s.ok()) return s;
    return checkpoint;
  }

  absl::Status CreateDirectories() {
    absl::Status s = files_.CreateDirectory(journals_);
    if (s.ok()) s = files_.CreateDirectory(ChannelsDirectory(directory_));
    if (s.ok()) s = files_.SyncDirectory(directory_);
    return s;
  }

  void Take(Checkpoint checkpoint) {
    context_->epochs = std::move(checkpoint.log.epochs);
    log_.key = checkpoint.log.key;
    log_.first_journal = checkpoint.log.first_journal;
    log_.next_round = checkpoint.log.first_round;
    log_.last_time = checkpoint.log.time;
    for (ChannelState& state : checkpoint.channels) {
      std::string name = state.name;
      log_.encoded.emplace(name, EncodeChannelState(state));
      log_.channels.emplace(std::move(name), std::make_unique<DurableChannel>(
                                                 std::move(state), *context_));
    }
  }

  absl::Status ReplayJournals() {
    absl::StatusOr<std::vector<std::uint64_t>> numbers = FindJournals();
    if (!numbers.ok()) return numbers.status();
    log_.next_journal = log_.first_journal;
    for (const std::uint64_t number : *numbers) {
      log_.next_journal = number + 1;
      absl::Status s = ReplayJournal(number);
      if (!s.ok()) return s;
    }
    return absl::OkStatus();
  }

  // Those that are needed, in order. Removes the others.
  absl::StatusOr<std::vector<std::uint64_t>> FindJournals() {
    const auto names = files_.List(journals_);
    if (!names.ok()) return names.status();
    std::vector<std::uint64_t> numbers;
    for (const std::string& name : *names) {
      const std::optional<std::uint64_t> number = ParseJournalFileName(name);
      if (!number) continue;
      if (*number >= log_.first_journal) {
        numbers.push_back(*number);
        continue;
      }
      absl::Status s = files_.Remove(journals_ + "/" + name);
      if (!s.ok()) return s;
    }
    std::sort(numbers.begin(), numbers.end());
    if (numbers.empty() && is_new_) return numbers;
    std::uint64_t expected = log_.first_journal;
    for (const std::uint64_t number : numbers) {
      if (number != expected) break;
      ++expected;
    }
    if (expected == log_.first_journal || expected <= numbers.back()) {
      return absl::DataLossError(fmt::format("{}/{}: is missing", journals_,
                                             JournalFileName(expected)));
    }
    return numbers;
  }

  absl::Status ReplayJournal(std::uint64_t number) {
    const std::string path = journals_ + "/" + JournalFileName(number);
    absl::StatusOr<JournalReader> reader = JournalReader::Open(
        files_, journals_, {.key = log_.key, .number = number});
    if (!reader.ok()) return reader.status();
    if (!reader->header_intact()) {
      const bool empty = reader->bytes_after_end() == 0;
      if (empty && (number != log_.first_journal || is_new_)) {
        return absl::OkStatus();
      }
      // It may have been cut off before anything was written to it.
      if ((number == log_.first_journal && !is_new_) ||
          reader->RoundFollowsDamage()) {
        return Damaged(path, 0);
      }
      return Cut(path, *reader);
    }
    if (!reader->synced()) log_.needs_new_epoch = true;
    while (reader->Next()) {
      if (torn_ || reader->round().number != log_.next_round) {
        if (reader->synced()) {
          return torn_ ? Damaged(torn_->path, torn_->offset)
                       : Damaged(path, reader->round().offset);
        }
        return Cut(path, *reader, reader->round().offset);
      }
      absl::Status s = ReplayRound(*reader);
      if (!s.ok()) return s;
    }
    if (reader->bytes_after_end() > 0) {
      if (reader->synced() && reader->RoundFollowsDamage()) {
        return Damaged(path, reader->end());
      }
      return Cut(path, *reader);
    }
    // What is only in the page cache would be lost with the power.
    return SyncFile(path);
  }

  absl::Status ReplayRound(const JournalReader& reader) {
    const auto time = reader.round().time.log_time;
    log_.next_round = reader.round().number + 1;
    log_.last_time = reader.round().time;
    return reader.ForEachRecord([&](const JournalRecord& record) {
      switch (record.type) {
        case JournalRecord::Type::kEntries:
          return ChannelOf(record)->Replay(record.number, record.entries, time);
        case JournalRecord::Type::kDeletion:
          ChannelOf(record)->ReplayDeletion(record.number, time);
          break;
        case JournalRecord::Type::kEpoch:
          BeginEpoch(record.number, reader.synced());
          break;
      }
      return absl::OkStatus();
    });
  }

  DurableChannel* ChannelOf(const JournalRecord& record) {
    std::string name(record.channel);
    std::unique_ptr<DurableChannel>& channel = log_.channels[name];
    if (!channel) {
      channel = std::make_unique<DurableChannel>(std::move(name), *context_);
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

  // Cuts off what is not intact, from the reader's end on by default.
  absl::Status Cut(const std::string& path, const JournalReader& reader,
                   std::optional<std::uint64_t> from = std::nullopt) {
    const std::uint64_t offset = from.value_or(reader.end());
    const std::uint64_t bytes =
        reader.end() + reader.bytes_after_end() - offset;
    if (!torn_) torn_ = Torn{.path = path, .offset = offset};
    if (bytes > 0) {
      log_.notices.push_back(fmt::format(
          "{}: cut off {} bytes at offset {} that were not completely written",
          path, bytes, offset));
    }
    absl::StatusOr<std::unique_ptr<File>> file =
        files_.Open(path, FileSystem::Mode::kModify);
    if (!file.ok()) return file.status();
    absl::Status s = (*file)->Truncate(offset);
    if (s.ok()) s = (*file)->Sync();
    return s;
  }

  absl::Status SyncFile(const std::string& path) {
    absl::StatusOr<std::unique_ptr<File>> file =
        files_.Open(path, FileSystem::Mode::kModify);
    if (!file.ok()) return file.status();
    return (*file)->Sync();
  }

  struct Torn {
    std::string path;
    std::uint64_t offset = 0;
  };

  FileSystem& files_;
  const std::string directory_;
  const std::string journals_;
  ChannelContext* const context_;
  bool is_new_ = false;
  RecoveredLog log_;
  std::optional<Torn> torn_;  // where the intact rounds end
};

}  // namespace

absl::StatusOr<RecoveredLog> Recover(FileSystem& files,
                                     const std::string& directory,
                                     ChannelContext* context) {
  return Recovery(files, directory, context).Run();
}

}  // namespace messenger
