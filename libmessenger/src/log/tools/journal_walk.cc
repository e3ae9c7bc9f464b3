#include "log/tools/journal_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "log/durable/journal.h"
#include "log/durable/layout.h"
#include "wire/channel_name.h"
#include "wire/entry.h"

namespace messenger {
namespace {

// More messages than a round can have, and than journals can have.
constexpr std::uint64_t kMaxRoundMessages = std::uint64_t{1} << 21;
constexpr std::uint64_t kMaxJournalMessages = std::uint64_t{1} << 31;

// More messages than so many bytes can have.
std::uint64_t MaxMessages(std::uint64_t bytes) {
  return bytes / wire::EntrySize(wire::MessageSize({})) + 1;
}

class Walk {
 public:
  Walk(FileSystem& files, const std::string& directory,
       const JournalStart& start, ChannelTips* tips, JournalSink& sink,
       absl::FunctionRef<void(LogFinding)> report)
      : files_(files),
        journals_(JournalsDirectory(directory)),
        start_(start),
        tips_(*tips),
        sink_(sink),
        report_(report) {}

  absl::StatusOr<JournalWalk> Run() {
    absl::Status s = FindJournals();
    if (!s.ok()) return s;
    walk_.next_round = start_.first_round;
    walk_.last_time = start_.time;
    s = ReadCarried();
    if (!s.ok()) return s;
    for (at_ = 0; at_ < numbers_.size(); ++at_) {
      CheckMissing();
      s = ReadJournal();
      if (!s.ok()) return s;
    }
    return std::move(walk_);
  }

 private:
  using Kind = LogFinding::Kind;

  absl::Status FindJournals() {
    const auto names = files_.List(journals_);
    if (absl::IsNotFound(names.status())) {
      Damage({.file = std::string(kJournalsName), .what = "is missing"},
             kMaxJournalMessages);
      walk_.next_journal = start_.first_journal;
      return absl::OkStatus();
    }
    if (!names.ok()) return names.status();
    walk_.next_journal = start_.first_journal;
    for (const std::string& name : *names) {
      const std::optional<std::uint64_t> number = ParseJournalFileName(name);
      if (const auto carried = ParseCarriedFileName(name)) {
        carried_.push_back(*carried);
        continue;
      }
      if (!number) {
        Notice({.file = NameIn(name), .what = "is no file of this log"});
        continue;
      }
      walk_.next_journal = std::max(walk_.next_journal, *number + 1);
      if (*number >= start_.first_journal) {
        numbers_.push_back(*number);
      } else {
        Notice({.file = NameIn(name),
                .what = "is no longer needed; the server removes it when it "
                        "starts"});
      }
    }
    std::sort(numbers_.begin(), numbers_.end());
    if (!start_.key && !numbers_.empty()) {
      start_.first_journal = numbers_.front();
    }
    if (numbers_.empty()) {
      Damage({.file = NameOf(start_.first_journal),
              .what = "is missing, and with it what was sent since the last "
                      "checkpoint"},
             kMaxJournalMessages);
    }
    return absl::OkStatus();
  }

  // ---- What the checkpoint has carried over.

  absl::Status ReadCarried() {
    for (const std::uint64_t carried : carried_) {
      if (carried == start_.first_journal &&
          (!start_.key || start_.carried_rounds > 0)) {
        continue;
      }
      Notice({.file = NameOf(CarriedNumber(carried)),
              .what = "is not needed; the server removes it when it starts"});
    }
    if (start_.key && start_.carried_rounds == 0) return absl::OkStatus();
    const std::uint64_t number = CarriedNumber(start_.first_journal);
    file_ = NameOf(number);
    absl::StatusOr<JournalReader> reader = Open(number);
    if (absl::IsNotFound(reader.status())) {
      if (start_.key) {
        Damage({.file = file_, .what = "is missing"}, 0);
        LoseCarried({});
      }
      return absl::OkStatus();
    }
    if (!reader.ok()) return reader.status();
    absl::Status s = start_.key ? ReadCarried(*reader)
                                : ReadCarriedWithoutCheckpoint(*reader);
    if (s.ok()) s = sink_.EndJournal();
    return s;
  }

  absl::Status ReadCarried(JournalReader& reader) {
    std::map<std::string, std::uint64_t, std::less<>> next;
    std::vector<LogLoss> holes;
    std::uint64_t rounds = 0;
    bool damaged = !reader.header_intact();
    do {
      while (reader.Next()) {
        absl::Status failed;
        const absl::Status s =
            reader.ForEachRecord([&](const JournalRecord& record) {
              failed = TakeCarried(reader, record, &next, &holes);
              return failed;
            });
        if (!failed.ok()) return failed;
        if (s.ok()) ++rounds;
      }
      damaged = damaged || reader.bytes_after_end() > 0;
    } while (reader.SkipDamage());
    if (rounds == start_.carried_rounds && holes.empty() && !damaged) {
      return absl::OkStatus();
    }
    Damage({.file = file_,
            .what = fmt::format(
                "{} of {} rounds, which the checkpoint has carried over, are "
                "intact",
                rounds, start_.carried_rounds)},
           0);
    for (const LogLoss& hole : holes) Lose(hole);
    LoseCarried(next);
    return absl::OkStatus();
  }

  absl::Status TakeCarried(
      const JournalReader& reader, const JournalRecord& record,
      std::map<std::string, std::uint64_t, std::less<>>* next,
      std::vector<LogLoss>* holes) {
    const auto tip = tips_.find(record.channel);
    const Intact intact = IntactEntries(record, Timestamp::min());
    const std::uint64_t end = record.number + intact.count;
    if (record.type != JournalRecord::Type::kEntries || tip == tips_.end() ||
        intact.count == 0 || intact.size != record.entries.size() ||
        end > tip->second.head + 1) {
      Damage({.file = file_,
              .offset = reader.round().offset,
              .what = fmt::format("round {} has a record that cannot be",
                                  reader.round().number)},
             0);
      return absl::OkStatus();
    }
    std::uint64_t& expected = (*next)[std::string(record.channel)];
    if (expected != 0 && record.number > expected) {
      holes->push_back({.channel = std::string(record.channel),
                        .first_sequence = expected,
                        .last_sequence = record.number - 1});
    }
    if (record.number < expected) return absl::OkStatus();
    expected = end;
    return sink_.TakeCarried({.channel = record.channel,
                              .first_sequence = record.number,
                              .count = intact.count,
                              .bytes = record.entries,
                              .written = reader.round().time.log_time});
  }

  // Of a file that is damaged or missing: what must have been in it, and was
  // not found. `next` is where what was found of a channel ends.
  void LoseCarried(
      const std::map<std::string, std::uint64_t, std::less<>>& next) {
    for (const auto& [name, tip] : tips_) {
      const auto found = next.find(name);
      const std::uint64_t first =
          found == next.end() ? tip.unwritten_begin : found->second;
      if (first > tip.head) continue;
      Lose({.channel = name,
            .first_sequence = first,
            .last_sequence = tip.head});
    }
  }

  void Lose(LogLoss loss) {
    loss.kept_in = file_;
    Damage({.file = file_,
            .channel = loss.channel,
            .first_sequence = loss.first_sequence,
            .last_sequence = loss.last_sequence,
            .what = fmt::format("messages {} to {} of channel \"{}\" are lost",
                                loss.first_sequence, loss.last_sequence,
                                loss.channel)},
           0);
    walk_.losses.push_back(std::move(loss));
  }

  // What is in it follows the segments, as far as it is not in them.
  absl::Status ReadCarriedWithoutCheckpoint(JournalReader& reader) {
    while (reader.Next() && IsSound(reader)) {
      absl::Status s = ReadRound(reader);
      if (!s.ok()) return s;
    }
    return absl::OkStatus();
  }

  // ---- Journals.

  // The journals between the last one and this one.
  void CheckMissing() {
    const std::uint64_t expected =
        at_ == 0 ? start_.first_journal : numbers_[at_ - 1] + 1;
    if (numbers_[at_] == expected) return;
    Damage({.file = NameOf(expected),
            .what = numbers_[at_] == expected + 1
                        ? "is missing"
                        : fmt::format("is missing, with all up to {}",
                                      JournalFileName(numbers_[at_] - 1))},
           kMaxJournalMessages);
  }

  absl::StatusOr<JournalReader> Open(std::uint64_t number) {
    if (!start_.key) {
      return JournalReader::OpenWithoutKey(files_, journals_, number);
    }
    return JournalReader::Open(files_, journals_,
                               {.key = *start_.key, .number = number});
  }

  absl::Status ReadJournal() {
    const std::uint64_t number = numbers_[at_];
    file_ = NameOf(number);
    absl::StatusOr<JournalReader> opened = Open(number);
    if (!opened.ok()) return opened.status();
    JournalReader& reader = *opened;
    walk_.journals.push_back(
        {.file = NameOf(number),
         .synced = reader.synced(),
         .bytes = reader.end() + reader.bytes_after_end()});
    const bool first = number == start_.first_journal;
    if (reader.header_intact()) {
      if (reader.traits().follows_close) walk_.needs_new_epoch = false;
      if (!reader.synced()) walk_.needs_new_epoch = true;
    } else if (reader.bytes_after_end() == 0 && first) {
      Damage({.file = NameOf(number), .what = "is empty, without a header"},
             kMaxJournalMessages);
    }
    absl::Status s = ReadRounds(reader);
    while (s.ok() && !cut_ && reader.bytes_after_end() > 0) {
      if (!PassDamage(reader)) break;
      s = ReadRounds(reader);
    }
    if (s.ok()) s = sink_.EndJournal();
    return s;
  }

  // Goes on after what is not intact; false if nothing follows.
  bool PassDamage(JournalReader& reader) {
    const std::uint64_t from = reader.end();
    const std::uint64_t rest = reader.bytes_after_end();
    const std::string& file = file_;
    const bool in_header = from == 0;
    const bool first = numbers_[at_] == start_.first_journal;
    const bool is_damage = !start_.key || (in_header && first) ||
                           (reader.synced() && reader.RoundFollowsDamage()) ||
                           SyncedRoundsFollow();
    if (!is_damage) {
      Cut(from, rest);
      return false;
    }
    const bool follows = reader.SkipDamage();
    const std::uint64_t bytes = follows ? reader.end() - from : rest;
    if (in_header && bytes <= kJournalHeaderSize) {
      Damage({.file = file,
              .offset = from,
              .bytes = bytes,
              .what = "the header of the file is damaged; no message is lost"},
             0);
      return follows;
    }
    Damage({.file = file,
            .offset = from,
            .bytes = bytes,
            .what = fmt::format("{} bytes {}; what was in them is lost", bytes,
                                start_.key ? "are damaged"
                                           : "cannot be read without the "
                                             "checkpoint")},
           MaxMessages(bytes));
    return follows;
  }

  // What a crash explains, and opening cuts off. In journals that are not
  // synced, rounds after it as well.
  void Cut(std::uint64_t offset, std::uint64_t bytes) {
    Notice({.file = file_,
            .offset = offset,
            .bytes = bytes,
            .what = fmt::format(
                "{} bytes were not completely written when the server ended; "
                "they are cut off when it starts",
                bytes)});
    cut_ = true;
  }

  // Whether a journal after this one has rounds that were written when all
  // before them were synced.
  bool SyncedRoundsFollow() {
    for (std::size_t i = at_ + 1; i < numbers_.size(); ++i) {
      absl::StatusOr<JournalReader> reader = Open(numbers_[i]);
      if (!reader.ok() || (reader->header_intact() && !reader->synced())) {
        continue;
      }
      if (reader->Next() || reader->RoundFollowsDamage()) return true;
    }
    return false;
  }

  absl::Status ReadRounds(JournalReader& reader) {
    while (reader.Next()) {
      const JournalRoundInfo& round = reader.round();
      if (cut_) {
        Cut(round.offset,
            reader.end() + reader.bytes_after_end() - round.offset);
        return absl::OkStatus();
      }
      if (!start_.key && !IsSound(reader)) {
        const std::uint64_t bytes =
            reader.end() + reader.bytes_after_end() - round.offset;
        Damage({.file = file_,
                .offset = round.offset,
                .bytes = bytes,
                .what = fmt::format("{} bytes cannot be read without the "
                                    "checkpoint; what was in them is lost",
                                    bytes)},
               MaxMessages(bytes));
        return absl::OkStatus();
      }
      if (!any_round_ && !start_.key) walk_.next_round = round.number;
      any_round_ = true;
      if (round.number != walk_.next_round && !NumberIsExplained(reader)) {
        if (cut_) return absl::OkStatus();
        continue;
      }
      damage_explains_ = false;
      walk_.next_round = round.number + 1;
      walk_.last_time = round.time;
      LogJournal& journal = walk_.journals.back();
      if (journal.rounds++ == 0) journal.first_round = round.number;
      absl::Status s = ReadRound(reader);
      if (!s.ok()) return s;
    }
    return absl::OkStatus();
  }

  // The round does not have the number that it should. False if it does not
  // count.
  bool NumberIsExplained(const JournalReader& reader) {
    const JournalRoundInfo& round = reader.round();
    const std::string& file = file_;
    if (!reader.synced() && !SyncedRoundsFollow()) {
      Cut(round.offset, reader.end() + reader.bytes_after_end() - round.offset);
      return false;
    }
    if (round.number < walk_.next_round) {
      Damage({.file = file,
              .offset = round.offset,
              .what = fmt::format("round {} is there again", round.number)},
             0);
      return false;
    }
    if (!damage_explains_) {
      const std::uint64_t missing = round.number - walk_.next_round;
      Damage({.file = file,
              .offset = round.offset,
              .what = missing == 1
                          ? fmt::format("round {} is missing before it",
                                        walk_.next_round)
                          : fmt::format("rounds {} to {} are missing before it",
                                        walk_.next_round, round.number - 1)},
             std::min(missing, kMaxJournalMessages / kMaxRoundMessages) *
                 kMaxRoundMessages);
    }
    return true;
  }

  // Without checksums: whether everything in the round is as it must be.
  bool IsSound(const JournalReader& reader) const {
    if (any_round_ && reader.round().number < walk_.next_round) return false;
    bool sound = true;
    const absl::Status s =
        reader.ForEachRecord([&](const JournalRecord& record) {
          if (record.type == JournalRecord::Type::kEpoch) {
            sound = sound && record.channel.empty() && record.entries.empty();
            return absl::OkStatus();
          }
          sound = sound && !record.channel.empty() &&
                  wire::ResolveChannelName(record.channel).ok();
          if (record.type == JournalRecord::Type::kEntries) {
            const Intact intact = IntactEntries(record, Timestamp::min());
            sound = sound && intact.count > 0 &&
                    intact.size == record.entries.size();
          } else {
            sound = sound && record.entries.empty();
          }
          return absl::OkStatus();
        });
    return s.ok() && sound;
  }

  absl::Status ReadRound(const JournalReader& reader) {
    absl::Status failed;
    const absl::Status s =
        reader.ForEachRecord([&](const JournalRecord& record) {
          failed = TakeRecord(reader, record);
          return failed;
        });
    if (!failed.ok() || s.ok()) return failed;
    Damage({.file = file_,
            .offset = reader.round().offset,
            .what = fmt::format("round {} is malformed; what was in it is lost",
                                reader.round().number)},
           MaxMessages(reader.end() - reader.round().offset));
    return absl::OkStatus();
  }

  bool IsPossible(const JournalRecord& record) const {
    if (record.type == JournalRecord::Type::kEpoch) return record.number != 0;
    if (record.channel.empty() ||
        !wire::ResolveChannelName(record.channel).ok()) {
      return false;
    }
    // Without the checkpoint, segments may go on from there.
    const auto tip = tips_.find(record.channel);
    return record.type != JournalRecord::Type::kDeletion || !start_.key ||
           tip == tips_.end() || record.number >= tip->second.head ||
           record.number <= tip->second.deleted_head;
  }

  absl::Status TakeRecord(const JournalReader& reader,
                          const JournalRecord& record) {
    const auto time = reader.round().time.log_time;
    if (!IsPossible(record)) {
      Damage({.file = file_,
              .offset = reader.round().offset,
              .what = fmt::format("round {} has a record that cannot be",
                                  reader.round().number)},
             MaxMessages(record.entries.size()));
      return absl::OkStatus();
    }
    switch (record.type) {
      case JournalRecord::Type::kEntries:
        return TakeEntries(reader, record);
      case JournalRecord::Type::kDeletion: {
        ChannelTip& tip = TipOf(record.channel);
        if (record.number <= tip.deleted_head) return absl::OkStatus();
        tip.deleted_head = record.number;
        if (record.number > tip.head) {
          Lose(reader, record.channel, tip.head + 1, record.number);
          tip.head = record.number;
        }
        tip.is_newest = true;
        return sink_.TakeDeletion(record.channel, record.number, time);
      }
      case JournalRecord::Type::kEpoch:
        // What is before this is known to be there.
        walk_.needs_new_epoch = !reader.synced();
        return sink_.TakeEpoch(record.number);
    }
    return absl::OkStatus();
  }

  ChannelTip& TipOf(std::string_view channel) {
    const auto it = tips_.find(channel);
    if (it != tips_.end()) return it->second;
    return tips_[std::string(channel)];
  }

  // The intact entries that a record begins with.
  struct Intact {
    std::uint64_t count = 0;
    std::size_t size = 0;
    Timestamp last_time;
    bool time_goes_back = false;
  };
  static Intact IntactEntries(const JournalRecord& record, Timestamp before) {
    Intact intact = {.last_time = before};
    wire::EntryReader entries(record.entries);
    while (entries.Next()) {
      Message message;
      if (entries.entry().data() != record.entries.data() + intact.size ||
          !wire::DecodeMessage(entries.message(), &message).ok() ||
          message.sequence != record.number + intact.count) {
        break;
      }
      if (message.send_time < intact.last_time) intact.time_goes_back = true;
      intact.last_time = std::max(intact.last_time, message.send_time);
      intact.size += entries.entry().size();
      ++intact.count;
    }
    return intact;
  }

  absl::Status TakeEntries(const JournalReader& reader,
                           const JournalRecord& record) {
    const std::string& file = file_;
    const std::uint64_t offset = reader.round().offset;
    ChannelTip& tip = TipOf(record.channel);
    const Intact intact = IntactEntries(record, tip.last_time);
    if (intact.size != record.entries.size()) {
      Damage({.file = file,
              .offset = offset,
              .channel = std::string(record.channel),
              .first_sequence = record.number + intact.count,
              .last_sequence = record.number + intact.count,
              .what = fmt::format(
                  "message {} of channel \"{}\" is not intact, in round {}",
                  record.number + intact.count, record.channel,
                  reader.round().number)},
             MaxMessages(record.entries.size() - intact.size));
    }
    if (intact.count == 0) return absl::OkStatus();
    if (record.number > tip.head + 1) {
      Lose(reader, record.channel, tip.head + 1, record.number - 1);
    }
    const std::uint64_t end = record.number + intact.count;
    if (end <= tip.head + 1) {
      if (start_.key) Repeated(reader, record);
      return absl::OkStatus();
    }
    // Without the checkpoint, some of it may be in segments.
    const std::uint64_t skip =
        tip.head + 1 - std::min(record.number, tip.head + 1);
    if (skip > 0 && start_.key) Repeated(reader, record);
    if (intact.time_goes_back && skip == 0) {
      Damage({.file = file,
              .offset = offset,
              .channel = std::string(record.channel),
              .first_sequence = record.number,
              .last_sequence = end - 1,
              .what = fmt::format(
                  "the send time of channel \"{}\" goes back within messages "
                  "{} to {}",
                  record.channel, record.number, end - 1)},
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
    tip.last_time = std::max(tip.last_time, intact.last_time);
    tip.is_newest = intact.size == record.entries.size();
    return sink_.TakeEntries({.channel = record.channel,
                              .first_sequence = record.number + skip,
                              .count = intact.count - skip,
                              .bytes = entries,
                              .written = reader.round().time.log_time});
  }

  void Repeated(const JournalReader& reader, const JournalRecord& record) {
    Damage({.file = file_,
            .offset = reader.round().offset,
            .channel = std::string(record.channel),
            .what = fmt::format("message {} of channel \"{}\" is there again",
                                record.number, record.channel)},
           0);
  }

  // Messages that were in what is damaged.
  void Lose(const JournalReader& reader, std::string_view channel,
            std::uint64_t first, std::uint64_t last) {
    const std::string file = walk_.damaged ? damaged_file_ : "";
    walk_.losses.push_back({.channel = std::string(channel),
                            .first_sequence = first,
                            .last_sequence = last,
                            .kept_in = file});
    Damage({.file = file_,
            .offset = reader.round().offset,
            .channel = std::string(channel),
            .first_sequence = first,
            .last_sequence = last,
            .what = first == last
                        ? fmt::format("message {} of channel \"{}\" is missing "
                                      "before it",
                                      first, channel)
                        : fmt::format("messages {} to {} of channel \"{}\" are "
                                      "missing before it",
                                      first, last, channel)},
           0);
  }

  void Notice(LogFinding finding) { report_(std::move(finding)); }

  // So many messages may have been in it.
  void Damage(LogFinding finding, std::uint64_t messages) {
    finding.kind = Kind::kDamage;
    walk_.damaged = true;
    walk_.may_be_lost += messages;
    if (messages > 0) {
      damage_explains_ = true;
      damaged_file_ = finding.file;
      for (auto& [name, tip] : tips_) tip.is_newest = false;
    }
    report_(std::move(finding));
  }

  static std::string NameIn(const std::string& name) {
    return fmt::format("{}/{}", kJournalsName, name);
  }
  static std::string NameOf(std::uint64_t number) {
    return NameIn(JournalFileName(number));
  }

  FileSystem& files_;
  const std::string journals_;
  JournalStart start_;
  ChannelTips& tips_;
  JournalSink& sink_;
  const absl::FunctionRef<void(LogFinding)> report_;
  JournalWalk walk_;
  std::vector<std::uint64_t> carried_;  // by first journal
  std::vector<std::uint64_t> numbers_;
  std::size_t at_ = 0;  // the present one of them
  std::string file_;    // that is read
  bool any_round_ = false;
  bool cut_ = false;  // what follows does not count
  // Rounds that are missing now are those of damage that was reported.
  bool damage_explains_ = false;
  std::string damaged_file_;
};

}  // namespace

absl::StatusOr<JournalWalk> WalkJournals(
    FileSystem& files, const std::string& directory, const JournalStart& start,
    ChannelTips* tips, JournalSink& sink,
    absl::FunctionRef<void(LogFinding)> report) {
  return Walk(files, directory, start, tips, sink, report).Run();
}

}  // namespace messenger
