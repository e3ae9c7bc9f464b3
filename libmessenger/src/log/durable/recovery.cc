#include "log/durable/recovery.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "base/random.h"
#include "base/status.h"
#include "log/durable/journal.h"
#include "log/durable/journal_replay.h"
#include "log/durable/layout.h"
#include "log/durable/old_directories.h"
#include "log/durable/table_coding.h"

namespace messenger {
namespace {

class Recovery final : public JournalSink {
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
    const std::uint32_t version = checkpoint->log.version;
    SegmentsOfChannels segments;
    for (const ChannelState& channel : checkpoint->channels) {
      std::vector<std::uint64_t>& firsts = segments[channel.name];
      for (const SegmentInfo& segment : channel.segments) {
        firsts.push_back(segment.first_sequence);
      }
    }
    Take(*std::move(checkpoint));
    s = Replay();
    // From here on, a server of before leaves the directory alone: what follows
    // would be damage for it.
    if (s.ok() && version < kBasicCheckpointVersion) {
      log_.checkpoint.log.version = kBasicCheckpointVersion;
      s = WriteCheckpoint(files_, directory_, log_.checkpoint.log,
                          log_.checkpoint.channels, log_.checkpoint.tombstones);
    }
    if (s.ok()) {
      s = RenameOldDirectories(files_, directory_, segments, &log_.notices);
    }
    if (!s.ok()) return s;
    FindChangedProducers();
    // Then an epoch begins, so that the next recovery knows from where on
    // sequences that a checkpoint has as dropped are new ones.
    for (const auto& [name, channel] : log_.channels) {
      if (channel->EndRecovery()) log_.needs_new_epoch = true;
    }
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
    const absl::StatusOr<bool> is_new = IsNewLog(files_, directory_);
    // Whatever it is: nothing of it is ours, nor removed as if it were.
    if (!is_new.ok()) {
      return absl::FailedPreconditionError(is_new.status().message());
    }
    if (!*is_new) {
      return absl::DataLossError(
          fmt::format("{}/{}: is missing, though the rest of a log is there",
                      directory_, kCheckpointFileName));
    }
    const auto names = files_.List(directory_);
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) {
      if (!IsNameInLog(name) &&
          name != fmt::format("{}.new", kCheckpointFileName)) {
        return absl::FailedPreconditionError(fmt::format(
            "{}: is neither empty nor the directory of a log: it contains "
            "\"{}\"",
            directory_, name));
      }
    }
    return absl::OkStatus();
  }

  void Take(Checkpoint checkpoint) {
    context_->epochs = checkpoint.log.epochs;
    for (const NamedProducers::Kept& kept : checkpoint.named_producers) {
      log_.checkpoint.tables.named_producers.emplace(kept.producer.id,
                                                     EncodeNamedProducer(kept));
      context_->named_producers->Restore(kept);
    }
    for (IdempotencyKey& key : checkpoint.idempotency_keys) {
      context_->idempotency_keys->Restore(std::move(key));
    }
    log_.checkpoint.tables.idempotency_keys =
        context_->idempotency_keys->Save();
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

  // As journals, and a new epoch, have left them.
  void FindChangedProducers() {
    const auto& before = log_.checkpoint.tables.named_producers;
    for (const auto& [id, encoded] : before) {
      if (!context_->named_producers->FindById(id)) {
        log_.changes.named_producers.insert(id);
      }
    }
    for (const auto& kept : context_->named_producers->Save()) {
      const auto same = before.find(kept.producer.id);
      if (same == before.end() || same->second != EncodeNamedProducer(kept)) {
        log_.changes.named_producers.insert(kept.producer.id);
      }
    }
  }

  // ---- The journals.

  absl::Status Replay() {
    const absl::StatusOr<JournalEnd> end =
        ReplayJournals(files_, directory_, &log_.checkpoint.log, *this);
    if (!end.ok()) return end.status();
    log_.next_journal = end->next_journal;
    log_.next_round = end->next_round;
    log_.last_time = end->last_time;
    log_.needs_new_epoch = end->needs_new_epoch;
    // Not before: what is refused for damage is left as it is.
    for (const TornEnd& torn : torn_) {
      absl::Status s = CutOff(torn);
      if (!s.ok()) return s;
    }
    return absl::OkStatus();
  }

  absl::Status TakeDamage(const JournalDamage& damage) override {
    const std::string path = fmt::format("{}/{}", directory_, damage.file);
    return absl::DataLossError(damage.offset == 0
                                   ? fmt::format("{}: {}", path, damage.what)
                                   : fmt::format("{}: at offset {}: {}", path,
                                                 damage.offset, damage.what));
  }

  absl::Status TakeCarried(const JournalReader& reader,
                           const JournalRecord& record) override {
    // It was deleted while it was carried over.
    if (log_.tombstones.Find(record.channel) != nullptr) {
      return absl::OkStatus();
    }
    const auto channel = log_.channels.find(record.channel);
    if (record.type != JournalRecord::Type::kEntries ||
        channel == log_.channels.end()) {
      return TakeDamage({.file = JournalPath(reader.number()),
                         .offset = reader.round().offset,
                         .what = "a record that was carried over cannot be"});
    }
    carried_.insert(channel->second.get());
    return channel->second->RestoreCarried(record.number, record.entries,
                                           reader.round().time.log_time);
  }

  absl::Status EndCarried() override {
    log_.checkpoint.carried.assign(carried_.begin(), carried_.end());
    return absl::OkStatus();
  }

  absl::Status SkipFile(std::string_view name) override {
    return IsJournalFile(name)
               ? files_.Remove(fmt::format("{}/{}", journals_, name))
               : absl::OkStatus();
  }

  absl::Status TakeRecord(const JournalReader& reader,
                          const JournalRecord& record) override {
    const auto time = reader.round().time.log_time;
    switch (record.type) {
      case JournalRecord::Type::kEntries:
        return ChannelOf(record).Replay(record.number, record.entries, time);
      case JournalRecord::Type::kDeletion:
        return ChannelOf(record).ReplayDeletion(record.number, time);
      case JournalRecord::Type::kEpoch:
        BeginEpoch(record.number);
        return absl::OkStatus();
      case JournalRecord::Type::kProducer:
        if (!context_->named_producers->Restore(*ProducerIn(record))) {
          return TakeDamage({.file = JournalPath(reader.number()),
                             .offset = reader.round().offset,
                             .what = "a named producer has the id of another "
                                     "one"});
        }
        return absl::OkStatus();
      case JournalRecord::Type::kProducerDeletion:
        context_->named_producers->RestoreDeletion(ProducerIn(record)->key);
        return absl::OkStatus();
      case JournalRecord::Type::kIdempotencyKey:
        context_->idempotency_keys->Restore(*KeyIn(record));
        return absl::OkStatus();
      case JournalRecord::Type::kProducerOwner:
        ChannelOf(record).ReplayOwner(*OwnerIn(record));
        return absl::OkStatus();
    }
    return absl::OkStatus();
  }

  DurableChannel& ChannelOf(const JournalRecord& record) {
    std::string name(record.channel);
    std::shared_ptr<DurableChannel>& channel = log_.channels[name];
    if (!channel) {
      const Tombstone* const tombstone = log_.tombstones.Find(name);
      channel = std::make_shared<DurableChannel>(
          tombstone == nullptr ? ChannelState{.name = name}
                               : StateOf(name, *tombstone, context_->epochs),
          *context_);
      log_.tombstones.Erase(name);
    }
    log_.changes.channels.insert(channel.get());
    return *channel;
  }

  void BeginEpoch(std::uint64_t epoch) {
    context_->BeginEpoch(epoch);
    for (const auto& [name, channel] : log_.channels) {
      channel->EndEpoch();
      log_.changes.channels.insert(channel.get());
    }
    context_->named_producers->BeginEpoch();
  }

  absl::Status TakeTornEnd(const TornEnd& torn) override {
    log_.notices.push_back(fmt::format(
        "{}/{}: cut off {} bytes at offset {} that were not completely written",
        directory_, torn.file, torn.bytes, torn.offset));
    torn_.push_back(torn);
    return absl::OkStatus();
  }

  absl::Status CutOff(const TornEnd& torn) {
    auto file = OpenToModify(torn.file);
    if (!file.ok()) return file.status();
    absl::Status s = (*file)->Truncate(torn.offset);
    if (s.ok()) s = (*file)->Sync();
    return s;
  }

  // What is only in the page cache would be lost with the power. If its sync
  // has failed before, another one does nothing unless it is written again; all
  // rounds but the last one were synced before the next one was written.
  absl::Status EndJournal(const JournalReader& reader,
                          const JournalRounds& /*rounds*/) override {
    const std::string name = JournalPath(reader.number());
    const bool is_torn = !torn_.empty() && torn_.back().file == name;
    if (is_torn || !reader.header_intact()) return absl::OkStatus();
    auto file = OpenToModify(name);
    if (!file.ok()) return file.status();
    absl::Status s;
    if (const std::string_view round = reader.round_bytes(); !round.empty()) {
      s = (*file)->Write(reader.round().offset, round);
    }
    if (s.ok()) s = (*file)->Sync();
    return s;
  }

  absl::StatusOr<std::unique_ptr<File>> OpenToModify(const std::string& name) {
    return files_.Open(fmt::format("{}/{}", directory_, name),
                       FileSystem::Mode::kModify);
  }

  FileSystem& files_;
  const std::string directory_;
  const std::string journals_;
  ChannelContext* const context_;
  RecoveredLog log_;
  absl::flat_hash_set<DurableChannel*> carried_;
  std::vector<TornEnd> torn_;
};

}  // namespace

absl::StatusOr<RecoveredLog> Recover(FileSystem& files,
                                     const std::string& directory,
                                     ChannelContext* context) {
  return Recovery(files, directory, context).Run();
}

}  // namespace messenger
