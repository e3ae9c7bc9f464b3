#include "log/tools/survey.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "base/status.h"
#include "log/durable/layout.h"
#include "log/durable/old_directories.h"
#include "log/tools/kept_files.h"
#include "messenger/printable.h"

namespace messenger {
namespace {

class Survey {
 public:
  Survey(const LogToolContext& context, const LogToolOptions& options)
      : files_(*context.files),
        directory_(context.directory),
        options_(options) {}

  absl::StatusOr<LogSurvey> Run() {
    absl::Status s = ReadCheckpoint();
    if (s.ok() && survey_.is_new) return std::move(survey_);
    if (s.ok()) s = CheckDirectory();
    if (s.ok()) s = FindDirectories();
    if (s.ok() && survey_.checkpoint_lost) s = RebuildChannels();
    if (s.ok()) s = ReadJournals();
    if (s.ok() && !survey_.checkpoint_lost) s = ReadSegments();
    if (s.ok()) s = CheckChannelDirectories();
    if (!s.ok()) return s;
    for (const auto& [name, channel] : survey_.channels) {
      if (channel.tip.head != channel.tip.deleted_head) {
        ++survey_.found.summary.channels;
      }
    }
    survey_.found.summary.journals = survey_.journals.journals.size();
    return std::move(survey_);
  }

 private:
  void Report(const LogFinding& finding) {
    if (finding.kind == LogFinding::Kind::kDamage) {
      ++survey_.found.damages;
      survey_.damaged_files.insert(finding.file);
    } else {
      ++survey_.found.notices;
    }
    if (options_.on_finding) options_.on_finding(finding);
  }
  void Notice(std::string file, std::string what) {
    Report({.file = std::move(file), .what = std::move(what)});
  }
  void Damage(std::string file, std::string what) {
    Report({.kind = LogFinding::Kind::kDamage,
            .file = std::move(file),
            .what = std::move(what)});
  }
  void HaveRead(std::uint64_t bytes) {
    read_ += bytes;
    if (options_.on_progress) options_.on_progress(read_);
  }

  absl::Status ReadCheckpoint() {
    // What is no file is not mended as a damaged one is: the file may be behind
    // a symbolic link.
    absl::Status file =
        files_
            .Open(fmt::format("{}/{}", directory_, kCheckpointFileName),
                  FileSystem::Mode::kRead)
            .status();
    if (absl::IsDataLoss(file)) return file;
    absl::StatusOr<Checkpoint> checkpoint = LoadCheckpoint(files_, directory_);
    if (checkpoint.ok()) {
      survey_.Take(*std::move(checkpoint));
      return absl::OkStatus();
    }
    const absl::Status& s = checkpoint.status();
    const std::string name(kCheckpointFileName);
    if (absl::IsNotFound(s)) {
      const absl::StatusOr<bool> is_new = IsNewLog(files_, directory_);
      if (!is_new.ok()) return is_new.status();
      survey_.is_new = *is_new;
      if (*is_new) {
        Notice(name,
               "is not there yet: the log was being created, and nothing "
               "is in it");
        return absl::OkStatus();
      }
      Damage(name, "is missing: the log cannot be opened");
    } else if (absl::IsDataLoss(s)) {
      std::string_view what = MessageOf(s);
      const std::string prefix = fmt::format("{}/{}: ", directory_, name);
      if (what.starts_with(prefix)) what.remove_prefix(prefix.size());
      Damage(name, fmt::format("{}: the log cannot be opened", what));
    } else {
      return s;
    }
    survey_.checkpoint_lost = true;
    return absl::OkStatus();
  }

  absl::Status CheckDirectory() {
    const auto names = files_.List(directory_);
    if (!names.ok()) return names.status();
    bool has_channels = false;
    for (const std::string& name : *names) {
      has_channels = has_channels || name == kChannelsName;
      if (IsNameInLog(name)) continue;
      if (name == fmt::format("{}.new", kCheckpointFileName)) {
        Notice(name, "is left of a checkpoint that was cut off; not needed");
      } else if (name == kRepairingName) {
        Notice(name, "is left of a repair that was cut off; not needed");
      } else if (name.starts_with(kKeptPrefix)) {
        Notice(name, "was kept aside by a repair; the server does not need it");
      } else {
        Notice(name, "is no file of this log; left alone");
      }
    }
    if (!has_channels) {
      Damage(std::string(kChannelsName), "the directory is missing");
    }
    return absl::OkStatus();
  }

  absl::Status FindDirectories() {
    auto directories = ChannelDirectories::List(files_, directory_);
    if (!directories.ok()) return directories.status();
    directories_.emplace(*std::move(directories));
    return absl::OkStatus();
  }

  // ---- Channels whose checkpoint is lost.

  absl::Status RebuildChannels() {
    const std::string channels = ChannelsDirectory(directory_);
    const auto names = files_.List(channels);
    if (absl::IsNotFound(names.status())) return absl::OkStatus();
    if (!names.ok()) return names.status();
    std::map<std::string, std::set<std::uint64_t>> segments;
    for (const std::string& name : *names) {
      const auto parsed = ParseChannelDirectoryName(name);
      if (!parsed) continue;  // it is reported later
      const auto in_it = files_.List(fmt::format("{}/{}", channels, name));
      if (!in_it.ok()) return in_it.status();
      for (const std::string& file : *in_it) {
        const auto first = ParseSegmentFileName(file);
        if (first && *first > 0) segments[parsed->channel].insert(*first);
      }
    }
    for (const auto& [channel, firsts] : segments) {
      absl::Status s = RebuildChannel(channel, {firsts.begin(), firsts.end()});
      if (!s.ok()) return s;
    }
    return absl::OkStatus();
  }

  absl::Status RebuildChannel(const std::string& name,
                              const std::vector<std::uint64_t>& firsts) {
    SurveyedChannel& channel = survey_.channels[name];
    channel.state = {.name = name, .first_sequence = firsts.front()};
    ProducerTable producers = NewProducerTable();
    for (std::size_t i = 0; i < firsts.size(); ++i) {
      const std::uint64_t end = i + 1 < firsts.size()
                                    ? firsts[i + 1]
                                    : std::numeric_limits<std::uint64_t>::max();
      absl::Status s = RebuildSegment(
          &channel, {.first_sequence = firsts[i], .end_sequence = end},
          &producers);
      if (!s.ok()) return s;
    }
    channel.state.producers = producers.Save();
    channel.tip.head = channel.state.head;
    channel.tip.last_time = channel.state.last_time;
    return absl::OkStatus();
  }

  absl::Status RebuildSegment(SurveyedChannel* channel, const SegmentInfo& info,
                              ProducerTable* producers) {
    ChannelState& state = channel->state;
    SurveyedSegment& segment = channel->segments.emplace_back();
    segment.info = info;
    absl::Status s = Scan(state.name, state.last_time, /*open_end=*/true,
                          &segment, [&](const Message& message) {
                            RecordProducer(message, {}, producers);
                            if (UsesNewVersion(message)) {
                              survey_.uses_new_version = true;
                            }
                          });
    if (!s.ok()) return s;
    // There was one message at least.
    std::uint64_t& least = channel->least_head;
    least = std::max(least, info.first_sequence);
    for (const LogLoss& loss : segment.scan.losses) {
      least = std::max(least, loss.last_sequence);
    }
    if (segment.scan.runs.empty()) return absl::OkStatus();
    const SegmentRun& last = segment.scan.runs.back();
    segment.info.end_sequence = last.end.sequence;
    segment.info.size = last.end.offset;
    segment.info.last_time = last.last_time;
    state.head = std::max(state.head, last.end.sequence - 1);
    state.last_time = last.last_time;
    return absl::OkStatus();
  }

  absl::Status Scan(const std::string& channel, Timestamp not_before,
                    bool open_end, SurveyedSegment* segment,
                    absl::FunctionRef<void(const Message&)> visit) {
    const auto report = [this](const LogFinding& finding) { Report(finding); };
    const auto read = [this](std::uint64_t bytes) { HaveRead(bytes); };
    const auto directory =
        directories_->Find(channel, segment->info.first_sequence);
    if (!directory.ok()) return directory.status();
    segment->directory = *directory;
    absl::Status s = ScanSegment(
        files_,
        {.log = directory_, .directory = *directory, .channel = channel},
        segment->info,
        {.open_end = open_end,
         .not_before = not_before,
         .visit = visit,
         .report = report,
         .read = read},
        &segment->scan);
    const SegmentScan& scan = segment->scan;
    ++survey_.found.summary.segments;
    survey_.found.summary.messages += scan.messages;
    survey_.found.summary.bytes += scan.bytes;
    survey_.losses.insert(survey_.losses.end(), scan.losses.begin(),
                          scan.losses.end());
    return s;
  }

  // ---- Journals.

  class Counter final : public JournalVisitor {
   public:
    explicit Counter(Survey* survey) : survey_(*survey) {}

    absl::Status VisitEntries(const Entries& entries) override {
      survey_.HaveRead(entries.bytes.size());
      SurveyedChannel& channel = ChannelOf(entries.channel);
      // It may have been deleted while it was carried over.
      if (entries.first_sequence > channel.state.deleted_head) {
        channel.journal_messages += entries.count;
        channel.journal_bytes += entries.bytes.size();
      }
      return absl::OkStatus();
    }
    absl::Status VisitDeletion(std::string_view name, std::uint64_t /*head*/,
                               LogTime /*time*/) override {
      SurveyedChannel& channel = ChannelOf(name);
      channel.journal_messages = 0;
      channel.journal_bytes = 0;
      return absl::OkStatus();
    }
    absl::Status VisitEpoch(std::uint64_t epoch) override {
      survey_.survey_.journal_epochs.push_back(epoch);
      return absl::OkStatus();
    }

   private:
    SurveyedChannel& ChannelOf(std::string_view name) {
      return survey_.survey_.channels[std::string(name)];
    }

    Survey& survey_;
  };

  absl::Status ReadJournals() {
    ChannelTips tips = survey_.tips();
    survey_.tables_after = survey_.tables();
    Counter counter(this);
    absl::StatusOr<JournalWalk> walk =
        WalkJournals(files_, directory_, survey_.checkpoint(), &tips,
                     survey_.tables_after.get(), counter,
                     [this](const LogFinding& finding) { Report(finding); });
    if (!walk.ok()) return walk.status();
    survey_.journals = *std::move(walk);
    survey_.losses.insert(survey_.losses.end(), survey_.journals.losses.begin(),
                          survey_.journals.losses.end());
    for (auto& [name, tip] : tips) {
      SurveyedChannel& channel = survey_.channels[name];
      if (channel.state.name.empty()) channel.state.name = name;
      channel.tip = tip;
      survey_.found.summary.messages += channel.journal_messages;
      survey_.found.summary.bytes += channel.journal_bytes;
    }
    return absl::OkStatus();
  }

  // ---- Segments of the checkpoint.

  absl::Status ReadSegments() {
    for (auto& [name, channel] : survey_.channels) {
      Timestamp last = Timestamp::min();
      for (const SegmentInfo& info : channel.state.segments) {
        // What is deleted is not read any more.
        if (info.end_sequence <= channel.tip.deleted_head + 1) continue;
        SurveyedSegment& segment = channel.segments.emplace_back();
        segment.info = info;
        absl::Status s = Scan(name, last, /*open_end=*/false, &segment,
                              [](const Message& /*message*/) {});
        if (!s.ok()) return s;
        last = info.last_time;
        if (segment.scan.rest == 0) continue;
        Report({.file = SegmentPath(segment.directory, info.first_sequence),
                .offset = info.size,
                .bytes = segment.scan.rest,
                .channel = name,
                .what = fmt::format("{} bytes are left of a checkpoint that "
                                    "was cut off; they do not count",
                                    segment.scan.rest)});
      }
    }
    return absl::OkStatus();
  }

  // ---- Files that are not needed.

  absl::Status CheckChannelDirectories() {
    const auto names = files_.List(ChannelsDirectory(directory_));
    if (absl::IsNotFound(names.status())) return absl::OkStatus();
    if (!names.ok()) return names.status();
    std::vector<std::string> sorted = *names;
    std::sort(sorted.begin(), sorted.end());
    for (const std::string& name : sorted) {
      const std::string path = fmt::format("{}/{}", kChannelsName, name);
      const auto parsed = ParseChannelDirectoryName(name);
      if (!parsed) {
        Notice(path, "is no channel of this log; left alone");
        continue;
      }
      if (parsed->old) {
        survey_.has_old_directories = true;
        Notice(path, fmt::format("is called as in a log of version 1; the "
                                 "server, or a repair, makes it \"{}\"",
                                 ChannelDirectoryName(parsed->channel)));
      }
      const auto known = survey_.channels.find(parsed->channel);
      if (known == survey_.channels.end()) {
        Notice(path, "is of a channel without messages; not needed");
      } else {
        absl::Status s = CheckChannelDirectory(known->second, name, path);
        if (!s.ok()) return s;
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckChannelDirectory(const SurveyedChannel& channel,
                                     const std::string& directory,
                                     const std::string& path) {
    const auto names = files_.List(fmt::format("{}/{}", directory_, path));
    if (!names.ok()) return names.status();
    std::set<std::string> known;
    for (const SegmentInfo& info : channel.state.segments) {
      known.insert(SegmentFileName(info.first_sequence));
      known.insert(IndexFileName(info.first_sequence));
    }
    for (const SurveyedSegment& segment : channel.segments) {
      const std::string file = SegmentFileName(segment.info.first_sequence);
      const std::string index = IndexFileName(segment.info.first_sequence);
      if (segment.directory == directory) {
        known.insert(file);
        known.insert(index);
      } else {
        known.erase(file);
        known.erase(index);
      }
    }
    std::vector<std::string> sorted = *names;
    std::sort(sorted.begin(), sorted.end());
    for (const std::string& name : sorted) {
      if (known.contains(name)) continue;
      Notice(fmt::format("{}/{}", path, name),
             IsChannelFile(name)
                 ? "is not needed; the server removes it when it next writes "
                   "to the channel's directory"
                 : "is no file of this log; left alone");
    }
    return absl::OkStatus();
  }

  FileSystem& files_;
  const std::string& directory_;
  const LogToolOptions& options_;
  std::optional<ChannelDirectories> directories_;
  LogSurvey survey_;
  std::uint64_t read_ = 0;
};

}  // namespace

absl::StatusOr<std::string> DirectoryOfLog(std::string_view log) {
  constexpr std::string_view kFile = "file:";
  if (!log.starts_with(kFile) || log.size() == kFile.size()) {
    return absl::InvalidArgumentError(
        fmt::format(R"(log: "{}" is not a log in a directory; use "file:DIR")",
                    Printable(log)));
  }
  return std::string(log.substr(kFile.size()));
}

LogToolOptions WithPrintableFindings(LogToolOptions options) {
  if (options.on_finding) {
    options.on_finding =
        [told = std::move(options.on_finding)](const LogFinding& finding) {
          LogFinding printable = finding;
          printable.what = Printable(finding.what);
          told(printable);
        };
  }
  return options;
}

namespace {

using LockCall = absl::StatusOr<std::unique_ptr<FileLock>> (FileSystem::*)(
    const std::string& path);

absl::StatusOr<std::unique_ptr<FileLock>> LockLogWith(
    LockCall call, const LogToolContext& context) {
  const auto names = context.files->List(context.directory);
  if (absl::IsNotFound(names.status())) {
    return absl::NotFoundError(
        fmt::format("{}: there is no such directory", context.directory));
  }
  if (!names.ok()) return names.status();
  const bool is_log =
      std::any_of(names->begin(), names->end(), [](const std::string& name) {
        return name == kCheckpointFileName || name == kJournalsName ||
               name == kChannelsName;
      });
  if (!is_log) {
    return absl::FailedPreconditionError(fmt::format(
        R"({}: is not the directory of a log: it has no "{}", "{}" or "{}")",
        context.directory, kCheckpointFileName, kJournalsName, kChannelsName));
  }
  auto lock = (*context.files.*
               call)(fmt::format("{}/{}", context.directory, kLockFileName));
  if (absl::IsFailedPrecondition(lock.status())) {
    return absl::FailedPreconditionError(
        fmt::format("{}; stop the server first", MessageOf(lock.status())));
  }
  return lock;
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileLock>> LockLog(
    const LogToolContext& context) {
  return LockLogWith(&FileSystem::Lock, context);
}

absl::StatusOr<std::unique_ptr<FileLock>> LockLogToRead(
    const LogToolContext& context, const LogToolOptions& options) {
  auto lock = LockLogWith(&FileSystem::LockToRead, context);
  if (lock.ok() && !(*lock)->held() && options.on_finding) {
    options.on_finding(
        {.file = std::string(kLockFileName),
         .what = "is missing and cannot be created: nothing keeps a server "
                 "from writing to the log meanwhile"});
  }
  return lock;
}

void LogSurvey::Take(Checkpoint checkpoint) {
  log = std::move(checkpoint.log);
  named_producers = std::move(checkpoint.named_producers);
  idempotency_keys = std::move(checkpoint.idempotency_keys);
  for (ChannelState& state : checkpoint.channels) {
    std::string name = state.name;
    SurveyedChannel& channel = channels[std::move(name)];
    channel.tip = {.head = state.head,
                   .deleted_head = state.deleted_head,
                   .last_time = state.last_time};
    channel.state = std::move(state);
  }
}

ChannelTips LogSurvey::tips() const {
  ChannelTips tips;
  for (const auto& [name, channel] : channels) {
    const std::vector<SegmentInfo>& segments = channel.state.segments;
    tips[name] = {.head = channel.state.head,
                  .first_sequence = channel.state.first_sequence,
                  .deleted_head = channel.state.deleted_head,
                  .last_time = channel.state.last_time,
                  .unwritten_begin = std::max(
                      channel.state.first_sequence,
                      segments.empty() ? 1 : segments.back().end_sequence)};
  }
  return tips;
}

std::unique_ptr<LogTables> LogSurvey::tables() const {
  auto tables = std::make_unique<LogTables>();
  for (const NamedProducers::Kept& kept : named_producers) {
    tables->named_producers.Restore(kept);
  }
  for (const IdempotencyKey& key : idempotency_keys) {
    tables->idempotency_keys.Restore(key);
  }
  return tables;
}

bool UsesNewVersion(const Message& message) {
  return !message.data.empty() || !message.content_type.empty();
}

absl::StatusOr<LogSurvey> SurveyLog(const LogToolContext& context,
                                    const LogToolOptions& options) {
  return Survey(context, options).Run();
}

absl::StatusOr<LogSurvey> SurveyToRead(const LogToolContext& context,
                                       const LogToolOptions& options) {
  const auto lock = LockLogToRead(context, options);
  if (!lock.ok()) return lock.status();
  absl::StatusOr<LogSurvey> survey = SurveyLog(context, options);
  if (survey.ok() && !(*lock)->held()) ++survey->found.notices;
  return survey;
}

absl::StatusOr<LogVerification> Verify(const LogToolContext& context,
                                       const LogToolOptions& options) {
  const absl::StatusOr<LogSurvey> survey = SurveyToRead(context, options);
  if (!survey.ok()) return survey.status();
  return survey->found;
}

absl::StatusOr<LogVerification> VerifyLog(std::string_view log,
                                          const LogToolOptions& options) {
  return RunTool(log, options, Verify);
}

ProducerTable NewProducerTable() {
  return ProducerTable({.max_producers = LogOptions().max_producers_per_channel,
                        .idle_timeout = LogOptions().producer_idle_timeout});
}

void RecordProducer(const Message& message, ProducerTable::Clock::time_point at,
                    ProducerTable* producers, ProducerTable::Counts counts) {
  if (message.producer_id == ProducerId{}) return;
  producers->Record(message.producer_id,
                    {.producer_sequence = message.producer_sequence,
                     .sequence = message.sequence,
                     .count = 1},
                    at, counts);
}

}  // namespace messenger
