#include "log/tools/journal_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "log/durable/journal.h"
#include "log/tools/finding_text.h"
#include "wire/entry.h"

namespace messenger {
namespace {

class Walk final : public JournalSink {
 public:
  Walk(const LogState* checkpoint, ChannelTips* tips, LogTables* tables,
       JournalVisitor& visitor, absl::FunctionRef<void(LogFinding)> report)
      : has_checkpoint_(checkpoint != nullptr),
        carried_file_(has_checkpoint_ ? JournalPath(CarriedNumber(
                                            checkpoint->first_journal))
                                      : ""),
        tips_(*tips),
        tables_(*tables),
        visitor_(visitor),
        report_(report) {}

  JournalWalk& walk() { return walk_; }

 private:
  absl::Status SkipFile(std::string_view name) override {
    report_({.file = fmt::format("{}/{}", kJournalsName, name),
             .what = IsJournalFile(name) ? "is not needed; the server removes "
                                           "it when it starts"
                                         : "is no file of this log"});
    return absl::OkStatus();
  }

  absl::Status TakeTornEnd(const TornEnd& torn) override {
    report_({.file = torn.file,
             .offset = torn.offset,
             .bytes = torn.bytes,
             .what = fmt::format(
                 "{} bytes were not completely written when the server ended; "
                 "they are cut off when it starts",
                 torn.bytes)});
    return absl::OkStatus();
  }

  absl::Status TakeDamage(const JournalDamage& damage) override {
    Damage({.file = damage.file,
            .offset = damage.offset,
            .bytes = damage.bytes,
            .what = damage.what},
           damage.max_messages);
    return absl::OkStatus();
  }

  absl::Status EndJournal(const JournalReader& reader,
                          const JournalRounds& rounds) override {
    walk_.journals.push_back(
        {.file = JournalPath(reader.number()),
         .synced = reader.synced(),
         .first_round = rounds.first,
         .rounds = rounds.count,
         .bytes = reader.end() + reader.bytes_after_end()});
    return visitor_.EndJournal();
  }

  // ---- What the checkpoint has carried over.

  absl::Status TakeCarried(const JournalReader& reader,
                           const JournalRecord& record) override {
    const auto tip = tips_.find(record.channel);
    const IntactEntries intact = FindIntactEntries(record, Timestamp::min());
    const std::uint64_t end = record.number + intact.count;
    if (record.type != JournalRecord::Type::kEntries || tip == tips_.end() ||
        intact.count == 0 || intact.size != record.entries.size() ||
        end > tip->second.head + 1) {
      CannotBe(reader, 0);
      return absl::OkStatus();
    }
    std::uint64_t& expected = carried_ends_[tip->first];
    if (expected != 0 && record.number > expected) {
      LoseCarried(tip->first, expected, record.number - 1);
    }
    if (record.number < expected) return absl::OkStatus();
    expected = end;
    return visitor_.VisitEntries({.channel = record.channel,
                                  .first_sequence = record.number,
                                  .count = intact.count,
                                  .bytes = record.entries,
                                  .written = reader.round().time.log_time,
                                  .carried = true});
  }

  // Of a file that is damaged or missing: what must have been in it, and was
  // not found.
  absl::Status EndCarried() override {
    if (carried_damaged_) {
      for (const auto& [name, tip] : tips_) {
        const auto found = carried_ends_.find(name);
        const std::uint64_t first =
            found == carried_ends_.end() ? tip.unwritten_begin : found->second;
        if (first <= tip.head) LoseCarried(name, first, tip.head);
      }
    }
    return visitor_.EndJournal();
  }

  void LoseCarried(const std::string& channel, std::uint64_t first,
                   std::uint64_t last) {
    Lose({.file = carried_file_,
          .channel = channel,
          .first_sequence = first,
          .last_sequence = last,
          .what = MessagesAre(channel, first, last) + " lost"},
         carried_file_);
  }

  // ---- What the journals say.

  absl::Status TakeRecord(const JournalReader& reader,
                          const JournalRecord& record) override {
    switch (record.type) {
      case JournalRecord::Type::kEntries:
        return TakeEntries(reader, record);
      case JournalRecord::Type::kDeletion:
        return TakeDeletion(reader, record);
      case JournalRecord::Type::kEpoch:
        for (auto& [name, tip] : tips_) {
          // What was lost was not dropped.
          tip.first_sequence = std::min(tip.first_sequence, tip.head + 1);
        }
        tables_.named_producers.BeginEpoch();
        return visitor_.VisitEpoch(record.number);
      case JournalRecord::Type::kProducer:
        // One that has the id of another one.
        if (!tables_.named_producers.Restore(*ProducerIn(record))) {
          CannotBe(reader, 0);
        }
        return absl::OkStatus();
      case JournalRecord::Type::kProducerDeletion:
        tables_.named_producers.RestoreDeletion(ProducerIn(record)->key);
        return absl::OkStatus();
      case JournalRecord::Type::kIdempotencyKey:
        tables_.idempotency_keys.Restore(*KeyIn(record));
        return absl::OkStatus();
      case JournalRecord::Type::kProducerOwner:
        return visitor_.VisitOwner(*OwnerIn(record));
    }
    return absl::OkStatus();
  }

  absl::Status TakeDeletion(const JournalReader& reader,
                            const JournalRecord& record) {
    ChannelTip& tip = TipOf(record.channel);
    if (record.number <= tip.deleted_head) return absl::OkStatus();
    // Without the checkpoint, segments may go on from there.
    if (record.number < tip.head && has_checkpoint_) {
      CannotBe(reader, MaxMessages(record.entries.size()));
      return absl::OkStatus();
    }
    tip.deleted_head = record.number;
    if (record.number > tip.head) {
      LoseBefore(reader, record.channel, tip.head + 1, record.number);
      tip.head = record.number;
    }
    tip.is_newest = true;
    return visitor_.VisitDeletion(record.channel, record.number,
                                  reader.round().time.log_time);
  }

  absl::Status TakeEntries(const JournalReader& reader,
                           const JournalRecord& record) {
    ChannelTip& tip = TipOf(record.channel);
    const IntactEntries intact = FindIntactEntries(record, tip.last_time);
    const std::uint64_t end = record.number + intact.count;
    const bool whole = intact.size == record.entries.size();
    if (!whole) {
      Damage(In(reader, record.channel, end, end,
                fmt::format("{} not intact, in round {}",
                            MessagesAre(record.channel, end, end),
                            reader.round().number)),
             MaxMessages(record.entries.size() - intact.size));
    }
    if (intact.count == 0) return absl::OkStatus();
    if (record.number > tip.head + 1) {
      LoseBefore(reader, record.channel, tip.head + 1, record.number - 1);
    }
    const std::uint64_t skip =
        tip.head + 1 - std::min(record.number, tip.head + 1);
    // Without the checkpoint, some of it may be in segments.
    if (skip > 0 && has_checkpoint_) {
      Damage(In(reader, record.channel, 0, 0,
                fmt::format(
                    "{} there again",
                    MessagesAre(record.channel, record.number, record.number))),
             0);
    }
    if (skip >= intact.count) return absl::OkStatus();
    if (intact.time_goes_back && skip == 0) {
      Damage(In(reader, record.channel, record.number, end - 1,
                fmt::format("the send time of channel \"{}\" goes back within "
                            "messages {} to {}",
                            record.channel, record.number, end - 1)),
             0);
    }
    std::string_view entries = record.entries.substr(0, intact.size);
    wire::EntryReader skipped(entries);
    std::size_t skipped_bytes = 0;
    for (std::uint64_t i = 0; i < skip && skipped.Next(); ++i) {
      skipped_bytes += skipped.entry().size();
    }
    entries.remove_prefix(skipped_bytes);
    tip.head = end - 1;
    tip.last_time = intact.last_time;
    tip.is_newest = whole;
    NoteProducers(entries);
    return visitor_.VisitEntries({.channel = record.channel,
                                  .first_sequence = record.number + skip,
                                  .count = intact.count - skip,
                                  .bytes = entries,
                                  .written = reader.round().time.log_time});
  }

  // What named producers have sent.
  void NoteProducers(std::string_view entries) {
    if (tables_.named_producers.size() == 0) return;
    wire::EntryReader reader(entries);
    while (reader.Next()) {
      Message message;
      if (!wire::DecodeMessage(reader.message(), &message).ok()) return;
      tables_.named_producers.RestoreAppend(
          message.producer_id, message.producer_sequence, message.send_time);
    }
  }

  ChannelTip& TipOf(std::string_view channel) {
    const auto it = tips_.find(channel);
    return it != tips_.end() ? it->second : tips_[std::string(channel)];
  }

  // ---- What is found.

  // In the present round.
  static LogFinding In(const JournalReader& reader, std::string_view channel,
                       std::uint64_t first, std::uint64_t last,
                       std::string what) {
    return {.file = JournalPath(reader.number()),
            .offset = reader.round().offset,
            .channel = std::string(channel),
            .first_sequence = first,
            .last_sequence = last,
            .what = std::move(what)};
  }

  void CannotBe(const JournalReader& reader, std::uint64_t messages) {
    Damage(In(reader, "", 0, 0,
              fmt::format("round {} has a record that cannot be",
                          reader.round().number)),
           messages);
  }

  // Messages that were in what is damaged.
  void LoseBefore(const JournalReader& reader, std::string_view channel,
                  std::uint64_t first, std::uint64_t last) {
    Lose(In(reader, channel, first, last,
            MessagesAre(channel, first, last) + " missing before it"),
         damaged_file_);
  }

  void Lose(LogFinding finding, const std::string& kept_in) {
    walk_.losses.push_back({.channel = finding.channel,
                            .first_sequence = finding.first_sequence,
                            .last_sequence = finding.last_sequence,
                            .kept_in = kept_in});
    Damage(std::move(finding), 0);
  }

  // So many messages may have been in it.
  void Damage(LogFinding finding, std::uint64_t messages) {
    finding.kind = LogFinding::Kind::kDamage;
    walk_.damaged = true;
    walk_.may_be_lost += messages;
    carried_damaged_ = carried_damaged_ || finding.file == carried_file_;
    if (messages > 0) {
      damaged_file_ = finding.file;
      for (auto& [name, tip] : tips_) tip.is_newest = false;
    }
    report_(std::move(finding));
  }

  const bool has_checkpoint_;
  const std::string carried_file_;
  ChannelTips& tips_;
  LogTables& tables_;
  JournalVisitor& visitor_;
  const absl::FunctionRef<void(LogFinding)> report_;
  JournalWalk walk_;
  // Of each channel, where what was carried over ends.
  std::map<std::string, std::uint64_t, std::less<>> carried_ends_;
  bool carried_damaged_ = false;
  std::string damaged_file_;  // the last one
};

}  // namespace

absl::StatusOr<JournalWalk> WalkJournals(
    FileSystem& files, const std::string& directory, const LogState* checkpoint,
    ChannelTips* tips, LogTables* tables, JournalVisitor& visitor,
    absl::FunctionRef<void(LogFinding)> report) {
  Walk walk(checkpoint, tips, tables, visitor, report);
  const absl::StatusOr<JournalEnd> end =
      ReplayJournals(files, directory, checkpoint, walk);
  if (!end.ok()) return end.status();
  walk.walk().end = *end;
  return std::move(walk.walk());
}

}  // namespace messenger
