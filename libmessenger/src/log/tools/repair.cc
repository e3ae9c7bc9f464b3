#include "log/tools/repair.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "log/durable/durable_channel.h"
#include "log/durable/file_util.h"
#include "log/durable/journal.h"
#include "log/durable/layout.h"
#include "log/durable/old_directories.h"
#include "log/durable/retention.h"
#include "log/durable/segment_writer.h"
#include "log/durable/table_coding.h"
#include "log/tools/kept_files.h"
#include "messenger/log.h"
#include "wire/entry.h"

namespace messenger {
namespace {

using LogTime = std::chrono::steady_clock::time_point;

constexpr std::size_t kRepairBlockSize = std::size_t{256} << 10;

// A channel as it will be.
struct RepairedChannel {
  ChannelState state;
  ProducerTable producers = NewProducerTable();
  // What all that the journals say will have deleted.
  std::uint64_t deleted_head = 0;
};
using RepairedChannels = std::map<std::string, RepairedChannel, std::less<>>;

std::string RepairingDirectory(const std::string& directory) {
  return fmt::format("{}/{}", directory, kRepairingName);
}

// What a repair that was cut off has left there, or this one. What is of nobody
// here stays.
absl::Status RemoveRepairing(FileSystem& files, const std::string& directory) {
  const std::string root = RepairingDirectory(directory);
  const auto channels = files.List(root);
  if (absl::IsNotFound(channels.status())) return absl::OkStatus();
  if (!channels.ok()) return channels.status();
  bool all = true;
  for (const std::string& channel : *channels) {
    if (!ParseChannelDirectoryName(channel)) {
      all = false;
      continue;
    }
    const std::string path = fmt::format("{}/{}", root, channel);
    const auto names = files.List(path);
    if (!names.ok()) return names.status();
    bool empty = true;
    for (const std::string& name : *names) {
      if (!IsChannelFile(name)) {
        empty = false;
        continue;
      }
      absl::Status s = files.Remove(fmt::format("{}/{}", path, name));
      if (!s.ok()) return s;
    }
    absl::Status s = empty ? files.Remove(path) : absl::OkStatus();
    if (!s.ok()) return s;
    all = all && empty;
  }
  return all ? files.Remove(root) : absl::OkStatus();
}

// Writes new segments. Each gets to its place when it is whole, so that none
// that is not is ever taken for one, even if the checkpoint is lost.
class SegmentMaker {
 public:
  SegmentMaker(FileSystem& files, std::string directory, std::uint64_t epoch)
      : files_(files), directory_(std::move(directory)), epoch_(epoch) {}

  // Appends to a new segment of this channel, or to the last one if the entries
  // go on from it.
  absl::Status Append(RepairedChannel* channel, std::string_view entries,
                      std::uint64_t first_sequence, std::uint64_t count,
                      LogTime written) {
    if (!writer_ || channel != channel_ ||
        writer_->info().end_sequence != first_sequence ||
        writer_->info().size + entries.size() >
            MaxSegmentSize(RetentionOptions())) {
      absl::Status s = Begin(channel, first_sequence);
      if (!s.ok()) return s;
    }
    return writer_->Append(entries, count, written);
  }

  // What was written is on stable storage, and in the channel's state.
  absl::Status End() {
    if (!writer_) return absl::OkStatus();
    const SegmentInfo info = writer_->info();
    absl::Status s = writer_->Sync();
    writer_.reset();
    if (!s.ok()) return s;
    const std::string& name = channel_->state.name;
    const std::string to = ChannelDirectory(directory_, name);
    s = files_.CreateDirectory(to);
    for (const std::string& file : {IndexFileName(info.first_sequence),
                                    SegmentFileName(info.first_sequence)}) {
      if (s.ok()) {
        s = files_.Rename(fmt::format("{}/{}", Scratch(name), file),
                          fmt::format("{}/{}", to, file));
      }
    }
    if (s.ok()) s = files_.SyncDirectory(to);
    if (s.ok()) channel_->state.segments.push_back(info);
    return s;
  }

 private:
  std::string Scratch(const std::string& channel) const {
    return fmt::format("{}/{}", RepairingDirectory(directory_),
                       ChannelDirectoryName(channel));
  }

  absl::Status Begin(RepairedChannel* channel, std::uint64_t first_sequence) {
    absl::Status s = End();
    if (!s.ok()) return s;
    channel_ = channel;
    const std::string& name = channel->state.name;
    s = files_.CreateDirectory(RepairingDirectory(directory_));
    if (s.ok()) s = files_.CreateDirectory(Scratch(name));
    if (!s.ok()) return s;
    auto writer = SegmentWriter::Create(files_, Scratch(name), name, epoch_,
                                        first_sequence);
    if (!writer.ok()) return writer.status();
    writer_.emplace(*std::move(writer));
    return absl::OkStatus();
  }

  FileSystem& files_;
  const std::string directory_;
  const std::uint64_t epoch_;
  RepairedChannel* channel_ = nullptr;
  std::optional<SegmentWriter> writer_;
};

// Brings what is in the journals into segments.
class JournalFlattener final : public JournalVisitor {
 public:
  // No epochs: they are not known.
  JournalFlattener(RepairedChannels* channels, ChannelContext* epochs,
                   LogTables* tables, SegmentMaker* segments)
      : channels_(*channels),
        epochs_(epochs),
        tables_(*tables),
        segments_(*segments) {}

  // Of what it was shown.
  bool uses_new_version() const { return uses_new_version_; }

  absl::Status VisitEntries(const Entries& entries) override {
    RepairedChannel& channel = ChannelOf(entries.channel);
    const std::uint64_t end = entries.first_sequence + entries.count;
    if (!entries.carried) {
      wire::EntryReader reader(entries.bytes);
      while (reader.Next()) {
        Message message;
        absl::Status s = wire::DecodeMessage(reader.message(), &message);
        if (!s.ok()) return s;
        channel.state.last_time =
            std::max(channel.state.last_time, message.send_time);
        uses_new_version_ = uses_new_version_ || UsesNewVersion(message);
        const bool is_named = tables_.named_producers.RestoreAppend(
            message.producer_id, message.producer_sequence, message.send_time);
        RecordProducer(message, entries.written, &channel.producers,
                       is_named ? ProducerTable::Counts::kWithHoles
                                : ProducerTable::Counts::kConsecutively);
      }
      channel.state.head = end - 1;
    }
    if (end > channel.deleted_head + 1 && end > channel.state.first_sequence) {
      pending_[&channel].push_back(entries);
    }
    return absl::OkStatus();
  }

  absl::Status VisitDeletion(std::string_view name, std::uint64_t head,
                             LogTime time) override {
    RepairedChannel& channel = ChannelOf(name);
    ChannelState& state = channel.state;
    channel.producers.ForgetStored(time);
    state.deleted_head = head;
    state.head = std::max(state.head, head);
    state.last_dropped_time = state.last_time;
    state.first_sequence = std::max(state.first_sequence, head + 1);
    std::erase_if(state.segments, [head](const SegmentInfo& info) {
      return info.end_sequence <= head + 1;
    });
    return absl::OkStatus();
  }

  absl::Status VisitOwner(const ProducerOwner& owner) override {
    ChannelOf(owner.channel).producers.RestoreOwner(owner.id, owner.owner);
    uses_new_version_ = true;
    return absl::OkStatus();
  }

  absl::Status VisitEpoch(std::uint64_t epoch) override {
    if (epochs_ != nullptr) BeginEpoch(epoch);
    return absl::OkStatus();
  }

  absl::Status EndJournal() override {
    for (auto& [channel, entries] : pending_) {
      for (const Entries& e : entries) {
        absl::Status s = segments_.Append(channel, e.bytes, e.first_sequence,
                                          e.count, e.written);
        if (!s.ok()) return s;
      }
    }
    pending_.clear();
    return segments_.End();
  }

  void BeginEpoch(std::uint64_t epoch) {
    epochs_->BeginEpoch(epoch);
    for (auto& [name, channel] : channels_) {
      ChannelState& state = channel.state;
      // What was lost was not dropped.
      state.first_sequence = std::min(state.first_sequence, state.head + 1);
      std::vector<std::uint64_t>& heads = state.epoch_heads;
      heads.push_back(state.head);
      if (heads.size() >= ChannelContext::kMaxEpochs) {
        heads.erase(heads.begin());
      }
    }
  }

 private:
  RepairedChannel& ChannelOf(std::string_view name) {
    RepairedChannel& channel = channels_[std::string(name)];
    if (channel.state.name.empty()) channel.state.name = name;
    return channel;
  }

  RepairedChannels& channels_;
  ChannelContext* const epochs_;
  LogTables& tables_;
  SegmentMaker& segments_;
  bool uses_new_version_ = false;
  // Written at the end of the journal.
  std::map<RepairedChannel*, std::vector<Entries>> pending_;
};

class Repairer {
 public:
  Repairer(const LogToolContext& context, const LogToolOptions& options)
      : context_(context),
        files_(*context.files),
        directory_(context.directory),
        options_(options) {}

  absl::StatusOr<LogRepair> Run() {
    const auto lock = LockLog(context_);
    if (!lock.ok()) return lock.status();
    absl::StatusOr<LogSurvey> survey = SurveyLog(context_, options_);
    if (!survey.ok()) return survey.status();
    result_.found = survey->found;
    if (result_.found.damages == 0) return std::move(result_);
    survey_ = *std::move(survey);
    absl::Status s = RenameDirectories();
    if (s.ok()) s = Keep();
    if (s.ok()) s = MendHeaders();
    if (s.ok()) s = MendIndexes();
    if (s.ok() && NeedsCheckpoint()) s = Rebuild();
    if (!s.ok()) return s;
    result_.repaired = true;
    TellLosses();
    s = SurveyAgain();
    if (!s.ok()) return s;
    result_.after = survey_.found;
    return std::move(result_);
  }

 private:
  // What was found is told once.
  absl::Status SurveyAgain() {
    absl::StatusOr<LogSurvey> survey = SurveyLog(
        context_, {.on_finding = nullptr, .on_progress = options_.on_progress});
    if (!survey.ok()) return survey.status();
    survey_ = *std::move(survey);
    return absl::OkStatus();
  }

  // All that follows knows the names of today alone.
  absl::Status RenameDirectories() {
    if (!survey_.has_old_directories) return absl::OkStatus();
    SegmentsOfChannels segments;
    for (const auto& [name, channel] : survey_.channels) {
      for (const SurveyedSegment& segment : channel.segments) {
        segments[name].push_back(segment.info.first_sequence);
      }
    }
    absl::Status s;
    if (!survey_.checkpoint_lost &&
        survey_.log.version < kBasicCheckpointVersion) {
      // The server of before must not find the log half renamed.
      absl::StatusOr<Checkpoint> checkpoint =
          LoadCheckpoint(files_, directory_);
      if (!checkpoint.ok()) return checkpoint.status();
      EncodedChannels channels;
      for (const ChannelState& state : checkpoint->channels) {
        channels[state.name] = EncodeChannelState(state);
      }
      checkpoint->log.version = kBasicCheckpointVersion;
      s = WriteCheckpoint(files_, directory_, checkpoint->log, channels);
    }
    if (s.ok()) {
      s = RenameOldDirectories(files_, directory_, segments, &result_.remarks);
    }
    if (!s.ok()) return s;
    return SurveyAgain();
  }

  absl::Status Keep() {
    std::set<std::string> names = survey_.damaged_files;
    names.insert(std::string(kCheckpointFileName));
    absl::StatusOr<KeptFiles> kept =
        KeepFiles(files_, directory_, context_.clock.now(), names);
    if (!kept.ok()) return kept.status();
    kept_ = *std::move(kept);
    result_.kept_in = kept_.name;
    return absl::OkStatus();
  }

  std::string PathOf(const std::string& channel,
                     const std::string& name) const {
    return fmt::format("{}/{}", ChannelDirectory(directory_, channel), name);
  }

  // What is behind a damaged header is looked at when there is one again.
  absl::Status MendHeaders() {
    bool mended = false;
    for (const auto& [name, channel] : survey_.channels) {
      for (const SurveyedSegment& segment : channel.segments) {
        if (!segment.scan.header_damaged) continue;
        mended = true;
        absl::Status s = WriteHeader(name, segment.info.first_sequence);
        if (!s.ok()) return s;
      }
    }
    if (!mended) return absl::OkStatus();
    return SurveyAgain();
  }

  absl::Status WriteHeader(const std::string& channel,
                           std::uint64_t first_sequence) {
    auto file = files_.Open(PathOf(channel, SegmentFileName(first_sequence)),
                            FileSystem::Mode::kModify);
    if (!file.ok()) return file.status();
    // The epoch that it was created in is not used by anything.
    const SegmentHeader header = {
        .epoch = survey_.log.epochs.empty() ? 0 : survey_.log.epochs.back(),
        .first_sequence = first_sequence,
        .channel_hash = HashChannelName(channel)};
    const auto bytes = header.Encode();
    absl::Status s = (*file)->Write(0, {bytes.data(), bytes.size()});
    if (s.ok()) s = (*file)->Sync();
    return s;
  }

  absl::Status MendIndexes() {
    for (const auto& [name, channel] : survey_.channels) {
      for (const SurveyedSegment& segment : channel.segments) {
        if (!segment.scan.index_damaged) continue;
        const SegmentHeader header = {
            .first_sequence = segment.info.first_sequence,
            .channel_hash = HashChannelName(name)};
        std::string index;
        for (const IndexEntry& place : segment.scan.places) {
          const auto bytes = place.Encode(header);
          index.append(bytes.data(), bytes.size());
        }
        absl::Status s =
            ReplaceFile(files_, ChannelDirectory(directory_, name),
                        IndexFileName(segment.info.first_sequence), index);
        if (!s.ok()) return s;
      }
    }
    return absl::OkStatus();
  }

  bool NeedsCheckpoint() const {
    if (survey_.checkpoint_lost || survey_.journals.damaged) return true;
    if (survey_.damaged_files.contains(std::string(kChannelsName))) return true;
    for (const auto& [name, channel] : survey_.channels) {
      for (const SurveyedSegment& segment : channel.segments) {
        if (!segment.scan.intact()) return true;
      }
    }
    return false;
  }

  absl::Status Rebuild() {
    absl::Status s = files_.CreateDirectory(JournalsDirectory(directory_));
    if (s.ok()) s = files_.CreateDirectory(ChannelsDirectory(directory_));
    if (s.ok()) s = files_.SyncDirectory(directory_);
    if (s.ok()) s = RemoveRepairing(files_, directory_);
    LogState log = survey_.log;
    if (survey_.checkpoint_lost) {
      log.key = RandomNonZero64();
      log.epochs = {RandomNonZero64()};
    }
    SegmentMaker segments(files_, directory_, log.epochs.back());
    const std::unique_ptr<LogTables> tables = survey_.tables();
    if (s.ok()) s = TakeSegments(&segments);
    if (s.ok()) s = TakeJournals(&segments, tables.get(), &log);
    if (s.ok()) s = files_.SyncDirectory(ChannelsDirectory(directory_));
    if (s.ok()) {
      s = JournalWriter::Create(files_, JournalsDirectory(directory_),
                                {.key = log.key, .number = log.first_journal})
              .status();
    }
    if (!s.ok()) return s;
    EncodedChannels encoded;
    for (auto& [name, channel] : channels_) {
      channel.state.producers = channel.producers.Save();
      encoded[name] = EncodeChannelState(channel.state);
    }
    CheckpointTables encoded_tables = {
        .named_producers = {},
        .idempotency_keys = tables->idempotency_keys.Save()};
    for (const auto& kept : tables->named_producers.Save()) {
      encoded_tables.named_producers[kept.producer.id] =
          EncodeNamedProducer(kept);
    }
    s = WriteCheckpoint(files_, directory_, log, encoded, {}, encoded_tables);
    if (!s.ok()) return s;
    // The log is whole now. The server would remove the rest, too.
    s = RemoveRest(log.first_journal);
    if (s.ok()) s = RemoveRepairing(files_, directory_);
    if (!s.ok()) {
      result_.remarks.push_back(fmt::format(
          "what is no longer needed could not be removed: {}", MessageOf(s)));
    }
    return absl::OkStatus();
  }

  absl::Status TakeSegments(SegmentMaker* segments) {
    for (auto& [name, surveyed] : survey_.channels) {
      RepairedChannel& channel = channels_[name];
      channel.state = surveyed.state;
      channel.state.name = name;
      channel.state.segments.clear();
      channel.deleted_head = surveyed.tip.deleted_head;
      for (ProducerTable::Snapshot& producer : channel.state.producers) {
        channel.producers.Restore(std::move(producer));
      }
      for (const SurveyedSegment& segment : surveyed.segments) {
        absl::Status s = TakeSegment(&channel, segment, segments);
        if (!s.ok()) return s;
      }
    }
    return absl::OkStatus();
  }

  // Of a damaged segment, what comes before the damage stays where it is; the
  // rest goes to segments of its own.
  absl::Status TakeSegment(RepairedChannel* channel,
                           const SurveyedSegment& segment,
                           SegmentMaker* segments) {
    const SegmentScan& scan = segment.scan;
    SegmentInfo info = segment.info;
    if (survey_.checkpoint_lost) {
      info.first_write = info.last_write =
          survey_.journals.end.last_time.log_time;
    }
    if (scan.lost || scan.runs.empty()) {
      dropped_.emplace_back(channel->state.name, info.first_sequence);
      return absl::OkStatus();
    }
    std::vector<SegmentRun> runs = scan.runs;
    if (runs.front().begin.sequence == info.first_sequence) {
      SegmentInfo kept = info;
      kept.end_sequence = runs.front().end.sequence;
      kept.size = runs.front().end.offset;
      kept.last_time = runs.front().last_time;
      channel->state.segments.push_back(kept);
      if (kept.size != info.size || scan.rest > 0) {
        cut_.emplace_back(channel->state.name, kept);
      }
      runs.erase(runs.begin());
    } else {
      dropped_.emplace_back(channel->state.name, info.first_sequence);
    }
    if (runs.empty()) return absl::OkStatus();
    info.size = runs.back().end.offset;
    info.end_sequence = runs.back().end.sequence;
    const std::string& name = channel->state.name;
    auto reader = SegmentReader::Open(
        files_, ChannelDirectory(directory_, name), name, info);
    if (!reader.ok()) return reader.status();
    for (const SegmentRun& run : runs) {
      SegmentReader::Place at = run.begin;
      while (at.sequence < run.end.sequence) {
        const std::uint64_t first = at.sequence;
        auto entries = (*reader)->Read(&at,
                                       {.max_bytes = kRepairBlockSize,
                                        .last_sequence = run.end.sequence - 1},
                                       info);
        if (!entries.ok()) return entries.status();
        absl::Status s = segments->Append(channel, entries->bytes.bytes, first,
                                          entries->count, info.last_write);
        if (!s.ok()) return s;
      }
    }
    return segments->End();
  }

  absl::Status TakeJournals(SegmentMaker* segments, LogTables* tables,
                            LogState* log) {
    ChannelTips tips = survey_.tips();
    ChannelContext epochs;
    epochs.epochs = log->epochs;
    JournalFlattener flattener(&channels_,
                               survey_.checkpoint_lost ? nullptr : &epochs,
                               tables, segments);
    absl::StatusOr<JournalWalk> walk =
        WalkJournals(files_, directory_, survey_.checkpoint(), &tips, tables,
                     flattener, [](const LogFinding& /*finding*/) {});
    if (!walk.ok()) return walk.status();
    result_.new_epoch = survey_.checkpoint_lost || walk->end.needs_new_epoch ||
                        walk->may_be_lost > 0;
    if (result_.new_epoch && !survey_.checkpoint_lost) {
      flattener.BeginEpoch(RandomNonZero64());
    }
    // What is lost may have been openings.
    if (result_.new_epoch) tables->named_producers.BeginEpoch();
    if (survey_.uses_new_version || flattener.uses_new_version() ||
        tables->named_producers.size() > 0 ||
        tables->idempotency_keys.size() > 0) {
      log->version = kCheckpointVersion;
    }
    log->epochs = std::move(epochs.epochs);
    log->first_journal = walk->end.next_journal;
    log->first_round = walk->end.next_round;
    log->carried_rounds = 0;
    log->time = walk->end.last_time;
    if (log->time == TimeAnchor()) log->time.wall_time = context_.clock.now();
    for (auto& [name, tip] : tips) {
      RepairedChannel& channel = channels_.at(name);
      channel.state.head = std::max(channel.state.head, tip.head);
      const auto surveyed = survey_.channels.find(name);
      if (surveyed != survey_.channels.end()) {
        channel.state.head =
            std::max(channel.state.head, surveyed->second.least_head);
      }
      if (tip.is_newest || walk->may_be_lost == 0) continue;
      // No sequence that was given out is given out again.
      const std::uint64_t first = channel.state.head + 1;
      channel.state.head += walk->may_be_lost;
      maybe_lost_.push_back({.channel = name,
                             .first_sequence = first,
                             .last_sequence = channel.state.head,
                             .maybe = true});
    }
    if (survey_.checkpoint_lost) TellWhatIsUnknown();
    return absl::OkStatus();
  }

  void TellWhatIsUnknown() {
    result_.remarks.emplace_back(
        "the epochs of before are not known: readers that resume begin with "
        "the oldest message, and are told");
    result_.remarks.emplace_back(
        "messages that were deleted or dropped by retention may be back; "
        "channels of which no message is left are forgotten, and begin at 1 "
        "again");
    result_.remarks.emplace_back(
        "ages begin anew for retention; of producers, only those whose "
        "messages are there are known, and whose they are, only if the "
        "journals say so");
    result_.remarks.emplace_back(
        "of named producers and idempotency keys, only those in the journals "
        "are known: any other named producer is refused until it is opened "
        "anew, and begins without a message then");
  }

  void TellLosses() {
    result_.losses = survey_.losses;
    result_.losses.insert(result_.losses.end(), maybe_lost_.begin(),
                          maybe_lost_.end());
    for (LogLoss& loss : result_.losses) {
      loss.kept_in = kept_.files.contains(loss.kept_in)
                         ? fmt::format("{}/{}", kept_.name, loss.kept_in)
                         : "";
    }
  }

  static bool IsThere(const ChannelState& state, std::uint64_t first_sequence) {
    return std::any_of(state.segments.begin(), state.segments.end(),
                       [first_sequence](const SegmentInfo& info) {
                         return info.first_sequence == first_sequence;
                       });
  }

  absl::Status RemoveRest(std::uint64_t first_journal) {
    absl::Status s = RemoveJournalsBefore(files_, JournalsDirectory(directory_),
                                          first_journal);
    if (!s.ok()) return s;
    for (const auto& [channel, first] : dropped_) {
      // There may be a new one in its place.
      if (IsThere(channels_.at(channel).state, first)) continue;
      s = RemoveIfThere(files_, PathOf(channel, SegmentFileName(first)));
      if (s.ok()) {
        s = RemoveIfThere(files_, PathOf(channel, IndexFileName(first)));
      }
      if (!s.ok()) return s;
    }
    for (const auto& [channel, info] : cut_) {
      auto writer = SegmentWriter::Resume(
          files_, ChannelDirectory(directory_, channel), channel, info);
      if (!writer.ok()) return writer.status();
      s = writer->Sync();
      if (!s.ok()) return s;
    }
    return absl::OkStatus();
  }

  const LogToolContext& context_;
  FileSystem& files_;
  const std::string& directory_;
  const LogToolOptions& options_;
  LogSurvey survey_;
  KeptFiles kept_;
  RepairedChannels channels_;
  // Segments that are not needed any more, and that are shorter now.
  std::vector<std::pair<std::string, std::uint64_t>> dropped_;
  std::vector<std::pair<std::string, SegmentInfo>> cut_;
  std::vector<LogLoss> maybe_lost_;
  LogRepair result_;
};

}  // namespace

absl::StatusOr<LogRepair> Repair(const LogToolContext& context,
                                 const LogToolOptions& options) {
  return Repairer(context, options).Run();
}

absl::StatusOr<LogRepair> RepairLog(std::string_view log,
                                    const LogToolOptions& options) {
  return RunTool(log, options, Repair);
}

}  // namespace messenger
