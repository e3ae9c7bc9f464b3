#include "log/durable/journal_replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "log/durable/layout.h"
#include "log/durable/table_coding.h"
#include "wire/channel_name.h"
#include "wire/entry.h"

namespace messenger {
namespace {

// More messages than a round can have, and than journals can have.
constexpr std::uint64_t kMaxRoundMessages = std::uint64_t{1} << 21;
constexpr std::uint64_t kMaxJournalMessages = std::uint64_t{1} << 31;

// Whether the entries of `before`, which may be null, end with the message that
// has made somebody the owner of its producer.
bool Follows(const ProducerOwner& owner, const JournalRecord* before) {
  if (before == nullptr || before->type != JournalRecord::Type::kEntries ||
      before->channel != owner.channel) {
    return false;
  }
  wire::EntryReader entries(before->entries);
  std::string_view last;
  while (entries.Next()) last = entries.message();
  Message message;
  return wire::DecodeMessage(last, &message).ok() &&
         message.sequence == owner.sequence && message.producer_id == owner.id;
}

// `before` is the record before it in its round, null if there is none.
bool IsPossible(const JournalRecord& record, const JournalRecord* before) {
  using Type = JournalRecord::Type;
  if (record.type == Type::kEpoch) return record.number != 0;
  if (record.channel.empty() ||
      !wire::ResolveChannelName(record.channel).ok()) {
    return false;
  }
  switch (record.type) {
    case Type::kProducer:
    case Type::kProducerDeletion:
      return ProducerIn(record).has_value();
    case Type::kIdempotencyKey:
      return KeyIn(record).has_value();
    case Type::kProducerOwner: {
      const std::optional<ProducerOwner> owner = OwnerIn(record);
      return owner && Follows(*owner, before);
    }
    default:
      return true;
  }
}

// Without checksums: whether all in the record is as it must be.
bool IsSound(const JournalRecord& record, const JournalRecord* before) {
  if (record.type == JournalRecord::Type::kEpoch) {
    return record.channel.empty() && record.entries.empty();
  }
  if (!IsPossible(record, before)) return false;
  if (record.type == JournalRecord::Type::kDeletion) {
    return record.entries.empty();
  }
  if (record.type != JournalRecord::Type::kEntries) return true;
  const IntactEntries intact = FindIntactEntries(record, Timestamp::min());
  return intact.count > 0 && intact.size == record.entries.size();
}

class Replay {
 public:
  Replay(FileSystem& files, const std::string& directory,
         const LogState* checkpoint, JournalSink& sink)
      : files_(files),
        journals_(JournalsDirectory(directory)),
        checkpoint_(checkpoint),
        sink_(sink) {
    if (checkpoint == nullptr) return;
    first_journal_ = checkpoint->first_journal;
    end_.last_time = checkpoint->time;
  }

  absl::StatusOr<JournalEnd> Run() {
    absl::Status s = FindJournals();
    if (s.ok() && has_carried()) s = ReplayCarried();
    if (s.ok()) s = SkipOthers();
    end_.next_round = checkpoint_ == nullptr ? 1 : checkpoint_->first_round;
    for (at_ = 0; s.ok() && at_ < numbers_.size(); ++at_) {
      s = CheckMissing();
      if (s.ok()) s = ReplayJournal();
    }
    if (!s.ok()) return s;
    return end_;
  }

 private:
  absl::Status FindJournals() {
    end_.next_journal = first_journal_;
    absl::StatusOr<std::vector<std::string>> names = files_.List(journals_);
    if (absl::IsNotFound(names.status())) {
      return Missing(std::string(kJournalsName), "is missing");
    }
    if (!names.ok()) return names.status();
    for (std::string& name : *names) {
      const std::optional<std::uint64_t> number = ParseJournalFileName(name);
      if (number) end_.next_journal = std::max(end_.next_journal, *number + 1);
      if (number && *number >= first_journal_) {
        numbers_.push_back(*number);
      } else {
        others_.push_back(std::move(name));
      }
    }
    std::sort(numbers_.begin(), numbers_.end());
    if (numbers_.empty()) {
      return Missing(JournalPath(first_journal_),
                     "is missing, and with it what was sent since the last "
                     "checkpoint");
    }
    if (checkpoint_ == nullptr) first_journal_ = numbers_.front();
    return absl::OkStatus();
  }

  absl::Status SkipOthers() {
    for (const std::string& name : others_) {
      const auto carried = ParseCarriedFileName(name);
      if (carried == first_journal_ && has_carried()) continue;
      absl::Status s = sink_.SkipFile(name);
      if (!s.ok()) return s;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<JournalReader> Open(std::uint64_t number) const {
    if (checkpoint_ == nullptr) {
      return JournalReader::OpenWithoutKey(files_, journals_, number);
    }
    return JournalReader::Open(files_, journals_,
                               {.key = checkpoint_->key, .number = number});
  }

  // Whether there is something that was carried over. Without a checkpoint,
  // nobody knows.
  bool has_carried() const {
    return checkpoint_ == nullptr || checkpoint_->carried_rounds > 0;
  }

  // It was synced before the checkpoint that knows of it was written: nothing
  // of it is torn.
  absl::Status ReplayCarried() {
    const std::uint64_t number = CarriedNumber(first_journal_);
    absl::StatusOr<JournalReader> reader = Open(number);
    absl::Status s = reader.status();
    if (absl::IsNotFound(s)) {
      if (checkpoint_ == nullptr) return absl::OkStatus();
      s = Damage({.file = JournalPath(number), .what = "is missing"});
      return s.ok() ? sink_.EndCarried() : s;
    }
    if (!s.ok()) return s;
    in_carried_ = true;
    end_.next_round = 1;
    s = ReplayRounds(*reader);
    if (s.ok() && checkpoint_ != nullptr &&
        rounds_.count != checkpoint_->carried_rounds) {
      s = Damaged(*reader, reader->end(),
                  fmt::format("{} of {} rounds, which the checkpoint has "
                              "carried over, are intact",
                              rounds_.count, checkpoint_->carried_rounds));
    }
    in_carried_ = any_round_ = explained_ = false;
    return s.ok() ? sink_.EndCarried() : s;
  }

  // The journals between the last one and this one.
  absl::Status CheckMissing() {
    const std::uint64_t number = numbers_[at_];
    const std::uint64_t expected =
        at_ == 0 ? first_journal_ : numbers_[at_ - 1] + 1;
    if (number == expected) return absl::OkStatus();
    return Missing(JournalPath(expected),
                   number == expected + 1
                       ? "is missing"
                       : fmt::format("is missing, with all up to {}",
                                     JournalFileName(number - 1)));
  }

  absl::Status ReplayJournal() {
    absl::StatusOr<JournalReader> reader = Open(numbers_[at_]);
    if (!reader.ok()) return reader.status();
    if (reader->header_intact()) {
      if (reader->traits().follows_close) end_.needs_new_epoch = false;
      if (!reader->synced()) end_.needs_new_epoch = true;
    } else if (reader->bytes_after_end() == 0 && must_have_header()) {
      absl::Status s = Damaged(*reader, 0, "is empty, without a header",
                               kMaxJournalMessages);
      if (!s.ok()) return s;
    }
    absl::Status s = ReplayRounds(*reader);
    return s.ok() ? sink_.EndJournal(*reader, rounds_) : s;
  }

  // It was synced before the checkpoint was written.
  bool must_have_header() const {
    return in_carried_ || numbers_[at_] == first_journal_;
  }

  absl::Status ReplayRounds(JournalReader& reader) {
    rounds_ = JournalRounds();
    ended_ = false;
    absl::Status s;
    while (s.ok() && !ended_) {
      s = reader.Next() ? ReplayRound(reader) : PassGap(reader);
    }
    return s;
  }

  absl::Status ReplayRound(const JournalReader& reader) {
    const JournalRoundInfo& round = reader.round();
    if (checkpoint_ == nullptr) {
      if (!IsSound(reader)) {
        ended_ = true;
        return Unreadable(reader, round.offset,
                          BytesFrom(reader, round.offset));
      }
      if (!any_round_) end_.next_round = round.number;
      any_round_ = true;
    }
    if (is_torn_ || round.number != end_.next_round) {
      absl::Status s = CutIfTorn(reader, round.offset, reader.synced());
      if (!s.ok() || ended_) return s;
      if (round.number < end_.next_round) {
        return Damaged(reader, round.offset,
                       fmt::format("round {} is there again", round.number));
      }
      if (!explained_) s = MissingBefore(reader);
      if (!s.ok()) return s;
    }
    explained_ = false;
    end_.next_round = round.number + 1;
    if (!in_carried_) end_.last_time = round.time;
    if (rounds_.count++ == 0) rounds_.first = round.number;
    return TakeRound(reader);
  }

  // At the end of the intact rounds: goes on with those that follow what is
  // damaged.
  absl::Status PassGap(JournalReader& reader) {
    const std::uint64_t from = reader.end();
    const std::uint64_t rest = reader.bytes_after_end();
    ended_ = rest == 0;
    if (ended_) return absl::OkStatus();
    const bool in_header = from == 0;
    if (checkpoint_ != nullptr && !(in_header && must_have_header())) {
      absl::Status s = CutIfTorn(
          reader, from, reader.synced() && reader.RoundFollowsDamage());
      if (!s.ok() || ended_) return s;
    }
    ended_ = !reader.SkipDamage();
    const std::uint64_t bytes = ended_ ? rest : reader.end() - from;
    if (!in_header || bytes > kJournalHeaderSize) {
      return Unreadable(reader, from, bytes);
    }
    return Damaged(reader, 0,
                   "the header of the file is damaged; no message is lost", 0,
                   bytes);
  }

  // A crash explains a gap at `offset` unless a round comes after it, here or
  // in a later journal, that was written when all before it was synced.
  absl::Status CutIfTorn(const JournalReader& reader, std::uint64_t offset,
                         bool synced_round_follows) {
    bool torn = !synced_round_follows && !in_carried_;
    for (std::size_t i = at_ + 1; torn && !is_torn_ && i < numbers_.size();
         ++i) {
      absl::StatusOr<JournalReader> later = Open(numbers_[i]);
      if (!later.ok()) return later.status();
      torn =
          !later->synced() || (!later->Next() && !later->RoundFollowsDamage());
    }
    if (!torn) return absl::OkStatus();
    is_torn_ = ended_ = true;
    return sink_.TakeTornEnd({.file = JournalPath(reader.number()),
                              .offset = offset,
                              .bytes = BytesFrom(reader, offset)});
  }

  static std::uint64_t BytesFrom(const JournalReader& reader,
                                 std::uint64_t offset) {
    return reader.end() + reader.bytes_after_end() - offset;
  }

  // Whether all in the present round is as it must be, when no checksum says
  // so.
  bool IsSound(const JournalReader& reader) const {
    bool sound = !any_round_ || reader.round().number >= end_.next_round;
    std::optional<JournalRecord> before;
    const absl::Status s =
        reader.ForEachRecord([&](const JournalRecord& record) {
          sound =
              sound && messenger::IsSound(record, before ? &*before : nullptr);
          before = record;
          return absl::OkStatus();
        });
    return s.ok() && sound;
  }

  absl::Status TakeRound(const JournalReader& reader) {
    const std::uint64_t offset = reader.round().offset;
    absl::Status taken;
    std::optional<JournalRecord> before;
    const absl::Status s =
        reader.ForEachRecord([&](const JournalRecord& record) {
          taken = TakeRecord(reader, record, before ? &*before : nullptr);
          before = record;
          return taken;
        });
    if (s.ok() || !taken.ok()) return taken;
    return Damaged(reader, offset,
                   fmt::format("round {} is malformed; what was in it is lost",
                               reader.round().number),
                   MaxMessages(reader.end() - offset));
  }

  absl::Status TakeRecord(const JournalReader& reader,
                          const JournalRecord& record,
                          const JournalRecord* before) {
    if (in_carried_ && checkpoint_ != nullptr) {
      return sink_.TakeCarried(reader, record);
    }
    if (!IsPossible(record, before)) {
      return Damaged(reader, reader.round().offset,
                     fmt::format("round {} has a record that cannot be",
                                 reader.round().number),
                     MaxMessages(record.entries.size()));
    }
    if (record.type == JournalRecord::Type::kEpoch) {
      // What is before this is known to be there.
      end_.needs_new_epoch = !reader.synced();
    }
    return sink_.TakeRecord(reader, record);
  }

  // ---- Damage.

  absl::Status Missing(std::string file, std::string what) {
    return Damage({.file = std::move(file),
                   .what = std::move(what),
                   .max_messages = kMaxJournalMessages});
  }

  // Rounds before the present one.
  absl::Status MissingBefore(const JournalReader& reader) {
    const std::uint64_t last = reader.round().number - 1;
    const std::uint64_t missing = last + 1 - end_.next_round;
    return Damaged(reader, reader.round().offset,
                   missing == 1
                       ? fmt::format("round {} is missing before it", last)
                       : fmt::format("rounds {} to {} are missing before it",
                                     end_.next_round, last),
                   std::min(missing, kMaxJournalMessages / kMaxRoundMessages) *
                       kMaxRoundMessages);
  }

  absl::Status Unreadable(const JournalReader& reader, std::uint64_t offset,
                          std::uint64_t bytes) {
    return Damaged(reader, offset,
                   fmt::format("{} bytes {}; what was in them is lost", bytes,
                               checkpoint_ != nullptr
                                   ? "are damaged"
                                   : "cannot be read without the checkpoint"),
                   MaxMessages(bytes), bytes);
  }

  absl::Status Damaged(const JournalReader& reader, std::uint64_t offset,
                       std::string what, std::uint64_t max_messages = 0,
                       std::uint64_t bytes = 0) {
    return Damage({.file = JournalPath(reader.number()),
                   .offset = offset,
                   .bytes = bytes,
                   .what = std::move(what),
                   .max_messages = max_messages});
  }

  absl::Status Damage(JournalDamage damage) {
    explained_ = explained_ || damage.max_messages > 0;
    // What is missing of it is known: it ends at the heads.
    if (in_carried_) damage.max_messages = 0;
    return sink_.TakeDamage(damage);
  }

  FileSystem& files_;
  const std::string journals_;
  const LogState* const checkpoint_;  // null: it is lost
  JournalSink& sink_;
  JournalEnd end_;
  std::uint64_t first_journal_ = 1;
  std::vector<std::uint64_t> numbers_;  // of the journals that are needed
  std::vector<std::string> others_;     // files
  std::size_t at_ = 0;                  // the present one of numbers_
  bool in_carried_ = false;             // it is what was carried over
  JournalRounds rounds_;                // of the present journal
  bool ended_ = false;                  // nothing more of it counts
  bool is_torn_ = false;                // nor of those after it
  // Rounds that are missing now are those of damage that the sink knows of.
  bool explained_ = false;
  bool any_round_ = false;  // so that end_ says which one is next
};

}  // namespace

std::string JournalPath(std::uint64_t number) {
  return fmt::format("{}/{}", kJournalsName, JournalFileName(number));
}

std::uint64_t MaxMessages(std::uint64_t bytes) {
  return bytes / wire::EntrySize(wire::MessageSize({})) + 1;
}

std::optional<NamedProducers::Kept> ProducerIn(const JournalRecord& record) {
  std::optional<NamedProducers::Kept> kept =
      DecodeNamedProducer(record.entries);
  if (kept && (kept->key.channel != record.channel ||
               kept->producer.generation != record.number)) {
    return std::nullopt;
  }
  return kept;
}

std::optional<IdempotencyKey> KeyIn(const JournalRecord& record) {
  std::optional<IdempotencyKey> key = DecodeIdempotencyKey(record.entries);
  if (key &&
      (key->channel != record.channel || key->sequence != record.number)) {
    return std::nullopt;
  }
  return key;
}

std::optional<ProducerOwner> OwnerIn(const JournalRecord& record) {
  std::optional<ProducerOwner> owner = DecodeProducerOwner(record.entries);
  if (owner &&
      (owner->channel != record.channel || owner->sequence != record.number)) {
    return std::nullopt;
  }
  return owner;
}

IntactEntries FindIntactEntries(const JournalRecord& record,
                                Timestamp not_before) {
  IntactEntries intact = {.last_time = not_before};
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

absl::StatusOr<JournalEnd> ReplayJournals(FileSystem& files,
                                          const std::string& directory,
                                          const LogState* checkpoint,
                                          JournalSink& sink) {
  return Replay(files, directory, checkpoint, sink).Run();
}

}  // namespace messenger
