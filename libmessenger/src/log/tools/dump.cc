#include "log/tools/dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "log/durable/old_directories.h"
#include "log/tools/segment_scan.h"
#include "wire/entry.h"

namespace messenger {
namespace {

LogSegment Describe(const SurveyedSegment& surveyed) {
  const SegmentScan& scan = surveyed.scan;
  LogSegment segment = {
      .file = SegmentPath(surveyed.directory, surveyed.info.first_sequence),
      .first_sequence = surveyed.info.first_sequence,
      .last_sequence = surveyed.info.end_sequence - 1,
      .bytes = surveyed.info.size,
      .damaged = !scan.intact()};
  if (scan.messages > 0) {
    segment.first_time = scan.first_time;
    segment.last_time = scan.runs.back().last_time;
  }
  return segment;
}

LogChannel Describe(const std::string& name, const SurveyedChannel& surveyed) {
  const ChannelTip& tip = surveyed.tip;
  LogChannel channel = {
      .name = name,
      .first_sequence = std::min(
          std::max(tip.first_sequence, tip.deleted_head + 1), tip.head + 1),
      .head = tip.head,
      .deleted_head = tip.deleted_head,
      .messages = surveyed.journal_messages,
      .bytes = surveyed.journal_bytes,
      .producers = surveyed.state.producers.size(),
      .segments = {}};
  for (const SurveyedSegment& segment : surveyed.segments) {
    channel.messages += segment.scan.messages;
    channel.bytes += segment.scan.bytes;
    channel.segments.push_back(Describe(segment));
  }
  return channel;
}

// Ends a walk over the journals.
absl::Status Enough() {
  return absl::CancelledError("enough");
}

// The messages of one channel, as far as they are wanted.
class Selector final : public JournalVisitor {
 public:
  Selector(const LogSelection& selection, std::uint64_t first_sequence,
           const std::function<void(const Message&)>& visit)
      : channel_(selection.channel),
        from_(std::max(selection.from, first_sequence)),
        left_(selection.limit),
        visit_(visit) {}

  std::uint64_t from() const { return from_; }
  bool done() const { return left_ == 0; }

  void Take(const Message& message) {
    if (message.sequence < from_ || left_ == 0) return;
    --left_;
    visit_(message);
  }

  absl::Status VisitEntries(const Entries& entries) override {
    if (entries.channel != channel_) return absl::OkStatus();
    wire::EntryReader reader(entries.bytes);
    while (reader.Next()) {
      Message message;
      absl::Status s = wire::DecodeMessage(reader.message(), &message);
      if (!s.ok()) return s;
      message.channel = channel_;
      Take(message);
      if (done()) return Enough();
    }
    return absl::OkStatus();
  }

 private:
  const std::string channel_;
  const std::uint64_t from_;
  std::uint64_t left_;
  const std::function<void(const Message&)>& visit_;
};

class Reader {
 public:
  Reader(const LogToolContext& context, const LogSelection& selection,
         const std::function<void(const Message&)>& visit,
         const LogToolOptions& options)
      : context_(context),
        files_(*context.files),
        selection_(selection),
        visit_(visit),
        options_(options) {}

  absl::Status Run() {
    if (absl::Status s = FindChannel(); !s.ok()) return s;
    const std::uint64_t first =
        std::max(channel_.tip.first_sequence, channel_.tip.deleted_head + 1);
    Selector selector(selection_, first, visit_);
    absl::Status s = ReadSegments(&selector);
    if (!s.ok() || selector.done()) return s;
    ChannelTips tips = survey_.tips();
    const auto walk =
        WalkJournals(files_, context_.directory, survey_.checkpoint(), &tips,
                     survey_.tables().get(), selector,
                     [this](const LogFinding& finding) { Report(finding); });
    return selector.done() ? absl::OkStatus() : walk.status();
  }

 private:
  // As far as it takes no reading of segments, if that can be had.
  absl::Status FindChannel() {
    absl::StatusOr<Checkpoint> checkpoint =
        LoadCheckpoint(files_, context_.directory);
    if (!checkpoint.ok()) {
      absl::StatusOr<LogSurvey> survey = SurveyLog(context_, {});
      if (!survey.ok()) return survey.status();
      survey_ = *std::move(survey);
    } else {
      survey_.Take(*std::move(checkpoint));
      // What is deleted is known when all journals were read.
      ChannelTips tips = survey_.tips();
      JournalVisitor nobody;
      const auto walk = WalkJournals(
          files_, context_.directory, survey_.checkpoint(), &tips,
          survey_.tables().get(), nobody, [](const LogFinding& /*finding*/) {});
      if (!walk.ok()) return walk.status();
      for (const auto& [name, tip] : tips) survey_.channels[name].tip = tip;
    }
    const auto found = survey_.channels.find(selection_.channel);
    if (found == survey_.channels.end()) {
      return absl::NotFoundError(fmt::format(
          "channel \"{}\": there is none in this log", selection_.channel));
    }
    channel_ = found->second;
    if (!survey_.checkpoint_lost) {
      return FindSegments();
    }
    return absl::OkStatus();
  }

  absl::Status FindSegments() {
    const auto directories =
        ChannelDirectories::List(files_, context_.directory);
    if (!directories.ok()) return directories.status();
    for (const SegmentInfo& info : channel_.state.segments) {
      const auto directory =
          directories->Find(selection_.channel, info.first_sequence);
      if (!directory.ok()) return directory.status();
      channel_.segments.push_back(
          {.directory = *directory, .info = info, .scan = {}});
    }
    return absl::OkStatus();
  }

  absl::Status ReadSegments(Selector* selector) {
    for (const SurveyedSegment& segment : channel_.segments) {
      if (selector->done()) break;
      if (segment.info.end_sequence <= selector->from()) continue;
      const auto visit = [&](const Message& message) {
        selector->Take(message);
      };
      const auto report = [&](const LogFinding& finding) {
        const bool concerns = finding.first_sequence > 0 &&
                              finding.last_sequence >= selector->from();
        if (concerns && !selector->done()) Report(finding);
      };
      const SegmentPlace place = {.log = context_.directory,
                                  .directory = segment.directory,
                                  .channel = selection_.channel};
      SegmentScan scan;
      absl::Status s = ScanSegment(files_, place, segment.info,
                                   {.open_end = false,
                                    .visit = visit,
                                    .report = report,
                                    .read = [](std::uint64_t /*bytes*/) {}},
                                   &scan);
      if (!s.ok()) return s;
    }
    return absl::OkStatus();
  }

  void Report(const LogFinding& finding) {
    if (options_.on_finding) options_.on_finding(finding);
  }

  const LogToolContext& context_;
  FileSystem& files_;
  const LogSelection& selection_;
  const std::function<void(const Message&)>& visit_;
  const LogToolOptions& options_;
  LogSurvey survey_;
  SurveyedChannel channel_;
};

}  // namespace

absl::StatusOr<LogOverview> Inspect(const LogToolContext& context,
                                    const LogToolOptions& options) {
  const absl::StatusOr<LogSurvey> survey = SurveyToRead(context, options);
  if (!survey.ok()) return survey.status();
  LogOverview overview = {.epochs = survey->log.epochs,
                          .channels = {},
                          .journals = survey->journals.journals,
                          .found = survey->found};
  overview.epochs.insert(overview.epochs.end(), survey->journal_epochs.begin(),
                         survey->journal_epochs.end());
  for (const auto& [name, channel] : survey->channels) {
    overview.channels.push_back(Describe(name, channel));
  }
  if (survey->tables_after) {
    overview.named_producers = survey->tables_after->named_producers.List(
        "", {}, SIZE_MAX, overview.epochs.empty() ? 0 : overview.epochs.back());
    overview.idempotency_keys = survey->tables_after->idempotency_keys.size();
  }
  return overview;
}

absl::Status ReadStored(const LogToolContext& context,
                        const LogSelection& selection,
                        const std::function<void(const Message&)>& visit,
                        const LogToolOptions& options) {
  const auto lock = LockLogToRead(context, options);
  if (!lock.ok()) return lock.status();
  return Reader(context, selection, visit, options).Run();
}

absl::StatusOr<LogOverview> InspectLog(std::string_view log,
                                       const LogToolOptions& options) {
  return RunTool(log, options, Inspect);
}

absl::Status ReadStoredMessages(
    std::string_view log, const LogSelection& selection,
    const std::function<void(const Message&)>& visit,
    const LogToolOptions& options) {
  absl::StatusOr<std::string> directory = DirectoryOfLog(log);
  if (!directory.ok()) return directory.status();
  return MakePrintable(ReadStored({.directory = *std::move(directory)},
                                  selection, visit,
                                  WithPrintableFindings(options)));
}

}  // namespace messenger
