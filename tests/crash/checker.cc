#include "checker.h"

#include <fmt/format.h>

#include <algorithm>

namespace messenger::test {
namespace {

// What a message has beside its text and data, at most: fields of fixed size,
// names, tags and lengths.
constexpr std::size_t kMostOverhead = 96;

// Retention drops whole segments: of an eighth of what it keeps, or of one run
// of messages that lay together in memory.
std::uint64_t MostDroppedAtOnce(std::uint64_t retention_bytes) {
  return retention_bytes / 8 + (std::uint64_t{256} << 10U);
}

}  // namespace

void Checker::Fail(std::string_view guarantee, std::string_view channel,
                   std::uint64_t sequence, std::string what) {
  violations_.push_back({.guarantee = guarantee,
                         .what = std::move(what),
                         .channel = std::string(channel),
                         .sequence = sequence});
}

std::vector<Violation> Checker::Check(const Round& round) {
  violations_.clear();
  CheckEpochs(round);
  for (const Reading& contents : round.contents) CheckContents(round, contents);
  for (const auto& [name, sender] : senders_) CheckUnsettled(name, sender);
  AddSends(round);
  for (const Send& send : round.sends) {
    CheckReceipts(send);
    if (send.refused()) CheckRefusal(send);
  }
  for (const SendEnd& end : round.ends) CheckEnd(round, end);
  for (const Reading& reading : round.readings) CheckReading(round, reading);
  last_retention_bytes_ = round.retention_bytes;
  return std::move(violations_);
}

// ---------------------------------------------------------------------------
// Epochs

void Checker::CheckEpochs(const Round& round) {
  last_epoch_ = epoch_;
  std::uint64_t epoch = 0;
  const auto check = [&](std::uint64_t one, const std::string& channel,
                         std::uint64_t sequence) {
    if (epoch == 0) epoch = one;
    if (one == epoch) return;
    Fail(kResumable, channel, sequence,
         fmt::format("the epoch is {:x} here and {:x} there", epoch, one));
  };
  const auto check_joined = [&](const Reading& reading) {
    if (reading.joined) check(reading.joined->epoch, reading.channel, 0);
  };
  for (const Reading& contents : round.contents) check_joined(contents);
  for (const Reading& reading : round.readings) check_joined(reading);
  for (const Send& send : round.sends) {
    for (const Receipt& receipt : send.receipts) {
      check(receipt.position.epoch, send.channel, receipt.position.sequence);
    }
    if (send.refused_at) {
      check(send.refused_at->epoch, send.channel, send.refused_at->sequence);
    }
  }
  if (epoch == 0) return;
  const bool was_cut =
      round.before == Ending::kKilled || round.before == Ending::kPowerCut;
  const bool should_change = durability_ == Durability::kOs && was_cut;
  if (epoch_ != 0 && (epoch != epoch_) != should_change) {
    Fail(kResumable, "", 0,
         fmt::format("the epoch was {:x} and is {:x}", epoch_, epoch));
  }
  epoch_ = epoch;
}

// ---------------------------------------------------------------------------
// What is there after a restart

void Checker::CheckContents(const Round& round, const Reading& contents) {
  const std::string& name = contents.channel;
  if (!contents.end.ok() || !contents.joined) {
    return Fail(kComplete, name, 0,
                fmt::format("what is there could not be read: {}",
                            contents.end.ToString()));
  }
  Channel& channel = channels_[name];
  channel.old_head = channel.settled_head;
  const std::uint64_t head = contents.joined->head;
  channel.settled_head = head;
  if (head < channel.head()) CheckLoss(round, name, head);
  Extend(name, head);
  if (last_epoch_ != epoch_) channel.ended[last_epoch_] = head;
  const std::uint64_t next = Follow(round, contents, contents.start.number);
  if (next != head + 1) {
    Fail(kComplete, name, next,
         fmt::format("the head is {}, but reading ends before {}", head, next));
  }
}

void Checker::CheckLoss(const Round& round, const std::string& name,
                        std::uint64_t head) {
  Channel& channel = channels_[name];
  if (durability_ != Durability::kOs || round.before != Ending::kPowerCut) {
    Fail(kDurable, name, head + 1,
         fmt::format("{} messages from {} on were acknowledged or read, and "
                     "are gone",
                     channel.head() - head, head + 1));
  }
  for (std::uint64_t i = head; i < channel.head(); ++i) {
    const Stored& lost = channel.stored[i];
    if (lost.sender == nullptr) continue;
    lost.sender->sent[lost.number - 1].sequence = 0;
    ++totals_.lost;
  }
  channel.stored.resize(head);
}

void Checker::CheckUnsettled(const std::string& name, const Sender& sender) {
  std::uint64_t missing = 0;  // the first one that is not there
  std::uint64_t last = 0;
  for (std::uint64_t first = sender.settled + 1; first <= sender.sent.size();
       first = last + 1) {
    const Sent& sent = sender.sent[first - 1];
    last = sent.batch_last;
    CheckTogether(sender, first, last);
    if (sent.sequence == 0) {
      if (!sent.refused && missing == 0 && !MayBeDropped(sent)) missing = first;
    } else if (missing != 0) {
      Fail(
          kOrdered, sent.channel, sent.sequence,
          fmt::format("{}/{} is there, and {}/{} is not, which was sent before",
                      name, first, name, missing));
      return;
    }
  }
}

void Checker::CheckTogether(const Sender& sender, std::uint64_t first,
                            std::uint64_t last) {
  const Sent& begin = sender.sent[first - 1];
  const std::vector<Stored>& stored = channels_[begin.channel].stored;
  for (std::uint64_t number = first; number <= last; ++number) {
    const Sent& sent = sender.sent[number - 1];
    const std::uint64_t expected =
        begin.sequence == 0 ? 0 : begin.sequence + (number - first);
    if (sent.sequence != expected) {
      return Fail(kOrdered, begin.channel,
                  std::max(begin.sequence, sent.sequence),
                  fmt::format("messages of one request are at {} and {} (0 is "
                              "nowhere)",
                              begin.sequence, sent.sequence));
    }
    if (expected != 0 &&
        stored[sent.sequence - 1].time != stored[begin.sequence - 1].time) {
      return Fail(kOrdered, begin.channel, sent.sequence,
                  "messages of one request have different times");
    }
  }
}

// ---------------------------------------------------------------------------
// What was sent

void Checker::AddSends(const Round& round) {
  std::map<std::string_view, bool> seen;
  for (const Send& send : round.sends) {
    Sender& sender = senders_[send.sender];
    sender.name = send.sender;
    if (!std::exchange(seen[send.sender], true)) {
      sender.settled = send.first_number - 1;
      sender.before = sender.sent.size();
    }
    if (send.again) continue;
    for (std::size_t i = 0; i < send.count; ++i) {
      const std::uint64_t number = send.first_number + i;
      if (number != sender.sent.size() + 1) {
        Fail(kIntact, send.channel, 0, "the history misses what was sent");
        return;
      }
      std::uint64_t& last = sender.last[send.channel];
      if (last != 0) sender.sent[last - 1].next = number;
      const bool numbered = send.first_producer_sequence != 0;
      sender.sent.push_back(
          {.channel = send.channel,
           .producer_id = send.producer_id,
           .producer_sequence = numbered ? send.first_producer_sequence + i : 0,
           .batch_first = send.first_number,
           .batch_last = send.first_number + send.count - 1,
           .previous = last,
           .expected_last = send.expected_last});
      last = number;
      ++totals_.sent;
    }
  }
}

void Checker::CheckReceipts(const Send& send) {
  Sender& sender = senders_[send.sender];
  const std::string who = "a receipt of " + send.sender;
  for (std::size_t i = 0; i < send.receipts.size(); ++i) {
    const Receipt& receipt = send.receipts[i];
    const std::uint64_t number = send.first_number + i;
    const std::uint64_t sequence = receipt.position.sequence;
    if (receipt.duplicate && !send.again) {
      Fail(kUnique, send.channel, sequence,
           fmt::format("{}/{} was sent once, and its receipt is a duplicate",
                       send.sender, number));
    }
    totals_.duplicates += receipt.duplicate ? 1 : 0;
    totals_.conditional += send.expected_last ? 1U : 0U;
    ++totals_.acknowledged;
    // Of a named producer, what is there need not be known to be where.
    if (sequence == 0 && receipt.duplicate && send.producer_generation != 0) {
      continue;
    }
    See(send.channel, sequence, receipt.send_time, &sender, number, who);
  }
  if (send.receipts.size() == send.count) {
    CheckTogether(sender, send.first_number,
                  send.first_number + send.count - 1);
  }
}

void Checker::CheckRefusal(const Send& send) {
  Sender& sender = senders_[send.sender];
  const auto fail = [&](std::string_view guarantee, std::uint64_t sequence,
                        std::string_view what) {
    Fail(guarantee, send.channel, sequence,
         fmt::format("{}/{} {}", send.sender, send.first_number, what));
  };
  if (send.refused_at) CountRefusal(send, sender);
  for (std::size_t i = 0; i < send.count; ++i) {
    Sent& sent = sender.sent[send.first_number + i - 1];
    sent.refused = true;
    if (sent.sequence == 0) continue;
    return fail(kUnique, sent.sequence, "is there, and was refused");
  }
  if (!send.refused_at) return;
  const Position& last = *send.refused_at;
  if (!send.expected_last) {
    return fail(kUnique, last.sequence, "was refused for no condition");
  }
  // What is told is there for good, or the condition might hold again.
  Extend(send.channel, last.sequence);
  // It expects what was there.
  const std::uint64_t epoch = send.expected_last->epoch;
  if ((epoch == 0 || epoch == last.epoch) &&
      send.expected_last->sequence >= last.sequence) {
    fail(kUnique, last.sequence,
         fmt::format("expects {}, and was refused when the last one was {}",
                     send.expected_last->sequence, last.sequence));
  }
}

void Checker::CountRefusal(const Send& send, const Sender& sender) {
  ++totals_.refused;
  if (!sender.sent[send.first_number - 1].refused) return;
  ++totals_.refused_again;
  if (send.first_number <= sender.before) ++totals_.refused_later;
}

void Checker::CheckEnd(const Round& round, const SendEnd& end) {
  if (end.status.ok() || absl::IsUnavailable(end.status)) return;
  const auto refused =
      std::find_if(round.sends.begin(), round.sends.end(), [&](const Send& s) {
        return s.sender == end.sender && s.receipts.size() < s.count &&
               !s.refused();
      });
  // What is not there cannot be compared.
  if (absl::IsFailedPrecondition(end.status) && refused != round.sends.end() &&
      refused->again &&
      MayBeDropped(senders_[end.sender].sent[refused->first_number - 1])) {
    return;
  }
  Fail(absl::IsFailedPrecondition(end.status) ? kUnique : kDurable, "", 0,
       fmt::format("{} was refused: {}", end.sender, end.status.ToString()));
}

bool Checker::MayBeDropped(const Sent& sent) {
  const Channel& channel = channels_[sent.channel];
  if (sent.sequence != 0) return sent.sequence < channel.first;
  for (std::uint64_t i = channel.old_head;
       i < std::min(channel.first - 1, channel.head()); ++i) {
    if (channel.stored[i].sender == nullptr) return true;
  }
  return false;
}

// ---------------------------------------------------------------------------
// What was read

void Checker::CheckReading(const Round& round, const Reading& reading) {
  const bool disk_is_gone = round.after == Ending::kPowerCut;
  if (!reading.end.ok() && !absl::IsUnavailable(reading.end) &&
      !absl::IsCancelled(reading.end) &&
      !(disk_is_gone && absl::IsInternal(reading.end))) {
    Fail(absl::IsOutOfRange(reading.end) ? kResumable : kComplete,
         reading.channel, 0,
         fmt::format("{}, which reads from {}:{}, ended: {}", reading.reader,
                     reading.start.position.epoch,
                     reading.start.position.sequence, reading.end.ToString()));
  }
  const std::optional<std::uint64_t> first = FirstOf(reading);
  if (!first) return;
  const std::uint64_t next = Follow(round, reading, *first);
  if (reading.end.ok() && next != reading.joined->head + 1) {
    Fail(kComplete, reading.channel, next,
         fmt::format("{} has caught up before {}, and the head is {}",
                     reading.reader, next, reading.joined->head));
  }
}

std::optional<std::uint64_t> Checker::FirstOf(const Reading& reading) {
  if (!reading.joined) return std::nullopt;
  const Channel& channel = channels_[reading.channel];
  const std::uint64_t next = reading.joined->next_sequence;
  const bool has_gap =
      !reading.events.empty() && std::holds_alternative<Gap>(reading.events[0]);
  if (reading.start.kind != Start::Kind::kAfter) {
    // What was the earliest may be dropped before it is delivered.
    return has_gap ? std::get<Gap>(reading.events[0]).first_missing : next;
  }
  const Position& after = reading.start.position;
  const auto ended = channel.ended.find(after.epoch);
  if (after.epoch != reading.joined->epoch && ended != channel.ended.end() &&
      after.sequence > ended->second) {
    if (!has_gap ||
        std::get<Gap>(reading.events[0]).reason != Gap::Reason::kNewEpoch) {
      Fail(kResumable, reading.channel, after.sequence,
           fmt::format("{} has read up to {}, and is not told that there is "
                       "nothing left after {}",
                       reading.reader, after.sequence, ended->second));
    }
    return after.sequence + 1;
  }
  if (!has_gap && next != after.sequence + 1) {
    Fail(kComplete, reading.channel, after.sequence + 1,
         fmt::format("{} has read up to {}, and goes on with {}",
                     reading.reader, after.sequence, next));
    return next;
  }
  return after.sequence + 1;
}

std::uint64_t Checker::Follow(const Round& round, const Reading& reading,
                              std::uint64_t next) {
  bool first = true;
  for (const auto& event : reading.events) {
    if (const Gap* const gap = std::get_if<Gap>(&event)) {
      CheckGap(round, reading, *gap, next, first);
      next = gap->next;
    } else {
      const auto& seen = std::get<Reading::Seen>(event);
      if (seen.sequence < next) {
        Fail(kUnique, reading.channel, seen.sequence,
             fmt::format("{} gets {} after {}", reading.reader, seen.sequence,
                         next - 1));
      } else if (seen.sequence > next) {
        Fail(kComplete, reading.channel, next,
             fmt::format("{} gets {} after {}, and is told of no gap",
                         reading.reader, seen.sequence, next - 1));
      }
      SeeText(reading.channel, seen, reading.reader);
      ++totals_.read;
      next = seen.sequence + 1;
    }
    first = false;
  }
  return next;
}

void Checker::CheckGap(const Round& round, const Reading& reading,
                       const Gap& gap, std::uint64_t expected, bool first) {
  const auto fail = [&](std::string_view guarantee, std::string_view why) {
    Fail(guarantee, reading.channel, gap.first_missing,
         fmt::format(
             "{} is told of a gap from {} to {} ({}) when {} is next: {}",
             reading.reader, gap.first_missing, gap.next, ToString(gap.reason),
             expected, why));
  };
  if (gap.first_missing != expected) {
    return fail(kComplete, "it begins elsewhere");
  }
  switch (gap.reason) {
    case Gap::Reason::kRetention:
      if (gap.next <= gap.first_missing) return fail(kComplete, "it is empty");
      return CheckDropped(round, reading.channel, gap.next);
    case Gap::Reason::kNewEpoch: {
      const Channel& channel = channels_[reading.channel];
      const auto ended = channel.ended.find(reading.start.position.epoch);
      if (!first || reading.start.kind != Start::Kind::kAfter ||
          ended == channel.ended.end() || expected <= ended->second + 1) {
        return fail(kResumable, "nothing is missing");
      }
      if (gap.next != ended->second + 1 && gap.next > channel.first) {
        return fail(kResumable, "it ends elsewhere");
      }
      ++totals_.announced_losses;
      return;
    }
    case Gap::Reason::kRolledBack:
      return fail(kResumable, "it had read that");
    default:
      return fail(kComplete, "nothing was deleted or damaged");
  }
}

void Checker::CheckDropped(const Round& round, const std::string& name,
                           std::uint64_t first) {
  Channel& channel = channels_[name];
  if (first <= channel.first) return;
  totals_.dropped += first - channel.first;
  channel.first = first;
  Extend(name, first - 1);
  // By the round before, or by this one.
  const std::uint64_t limit =
      std::min(round.retention_bytes, last_retention_bytes_);
  std::uint64_t bytes = MostDroppedAtOnce(limit);
  for (std::uint64_t i = first - 1; i < channel.head(); ++i) {
    bytes += channel.stored[i].bytes + kMostOverhead;
  }
  if (bytes >= limit) return;
  Fail(kDurable, name, first,
       fmt::format("of {} bytes that are kept, only those from {} on are there",
                   limit, first));
}

// ---------------------------------------------------------------------------
// One message

bool Checker::Extend(const std::string& name, std::uint64_t head) {
  std::vector<Stored>& stored = channels_[name].stored;
  // No channel has more than what was sent.
  if (head > totals_.sent) {
    Fail(kOrdered, name, head, "there cannot be so many messages");
    return false;
  }
  if (stored.size() < head) stored.resize(head);
  return true;
}

void Checker::SeeText(const std::string& channel, const Reading::Seen& seen,
                      std::string_view who) {
  const std::optional<Origin> origin = OriginOf(seen.text);
  const auto found = origin ? senders_.find(origin->sender) : senders_.end();
  if (found == senders_.end() || origin->number == 0 ||
      origin->number > found->second.sent.size()) {
    return Fail(kIntact, channel, seen.sequence,
                fmt::format("{} gets what nobody has sent: \"{:.60}\"", who,
                            seen.text));
  }
  const Sent& sent = found->second.sent[origin->number - 1];
  if (sent.channel != channel || sent.producer_id != seen.producer_id ||
      sent.producer_sequence != seen.producer_sequence) {
    return Fail(kIntact, channel, seen.sequence,
                fmt::format("{} gets {}/{}, which was sent to {} with the "
                            "producer sequence {}",
                            who, origin->sender, origin->number, sent.channel,
                            sent.producer_sequence));
  }
  const Data data = DataOf(origin->sender, origin->number);
  if (seen.data != data.bytes || seen.content_type != data.content_type) {
    return Fail(kIntact, channel, seen.sequence,
                fmt::format("{} gets {}/{} with other data: {} bytes, and {} "
                            "were sent",
                            who, origin->sender, origin->number,
                            seen.data.size(), data.bytes.size()));
  }
  See(channel, seen.sequence, seen.send_time, &found->second, origin->number,
      who);
}

void Checker::CheckCondition(const std::string& name, std::uint64_t sequence,
                             const Sent& sent, std::uint64_t number,
                             std::string_view who) {
  const auto fail = [&](std::string_view what) {
    Fail(kUnique, name, sequence,
         fmt::format("{}: number {} {}", who, number, what));
  };
  if (sent.refused) fail("is there, and was refused");
  if (!sent.expected_last) return;
  const Position& last = *sent.expected_last;
  if (sequence != last.sequence + 1 + (number - sent.batch_first)) {
    fail(fmt::format("is there, and its request expects {} before it",
                     last.sequence));
  }
  const Channel& channel = channels_[name];
  // Of the lives before the last one, nobody keeps what was stored in which.
  if (sequence <= channel.old_head && sequence <= channel.settled_head) return;
  const std::uint64_t epoch =
      sequence > channel.settled_head ? epoch_ : last_epoch_;
  if (last.epoch != 0 && last.epoch != epoch) {
    fail(fmt::format("expects the epoch {:x}, and was stored in {:x}",
                     last.epoch, epoch));
  }
}

void Checker::See(const std::string& name, std::uint64_t sequence,
                  Timestamp time, Sender* sender, std::uint64_t number,
                  std::string_view who) {
  std::vector<Stored>& stored = channels_[name].stored;
  Sent& sent = sender->sent[number - 1];
  const auto fail = [&](std::string_view guarantee, std::string what) {
    Fail(guarantee, name, sequence, fmt::format("{}: {}", who, what));
  };
  if (sent.sequence != 0 && sent.sequence != sequence) {
    return fail(kUnique, fmt::format("number {} is at {} and at {}", number,
                                     sent.sequence, sequence));
  }
  if (sequence == 0) return fail(kOrdered, "there is no sequence 0");
  if (!Extend(name, sequence)) return;
  Stored& place = stored[sequence - 1];
  if (place.sender != nullptr &&
      (place.sender != sender || place.number != number)) {
    return fail(kDurable,
                fmt::format("number {} is where number {} of {} was", number,
                            place.number,
                            place.sender == sender ? "the same" : "another"));
  }
  if (place.sender != nullptr && place.time != time) {
    return fail(kDurable, "its time was another one");
  }
  if (place.sender == nullptr) {
    CheckCondition(name, sequence, sent, number, who);
    place.bytes = TextOf(sender->name, number).size();
    const Data data = DataOf(sender->name, number);
    place.bytes += data.bytes.size() + data.content_type.size();
  }
  place.sender = sender;
  place.number = number;
  place.time = time;
  sent.sequence = sequence;

  const auto later = [&](std::uint64_t other) {
    return stored[other - 1].sender != nullptr && stored[other - 1].time > time;
  };
  const auto earlier = [&](std::uint64_t other) {
    return stored[other - 1].sender != nullptr && stored[other - 1].time < time;
  };
  if ((sequence > 1 && later(sequence - 1)) ||
      (sequence < stored.size() && earlier(sequence + 1))) {
    fail(kOrdered, "time goes backwards");
  }
  const auto place_of = [&](std::uint64_t other) {
    return other == 0 ? 0 : sender->sent[other - 1].sequence;
  };
  const std::uint64_t next = place_of(sent.next);
  if (place_of(sent.previous) > sequence || (next != 0 && next < sequence)) {
    fail(kOrdered,
         fmt::format("number {} is not in the order in which it was sent",
                     number));
  }
}

}  // namespace messenger::test
