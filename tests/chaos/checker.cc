#include "checker.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace messenger::test::chaos {
namespace {

// Of each promise and channel; a fault rarely comes alone.
constexpr std::size_t kMostShown = 5;

class Judge {
 public:
  explicit Judge(const History& history)
      : history_(history), stored_(history.channels.size()) {
    for (const Producer& producer : history.producers) {
      stored_at_.emplace_back(producer.sent.size());
    }
  }

  Verdict Run() {
    for (const Reading& truth : history_.truth) {
      Follow(truth);
      Store(truth);
    }
    for (std::size_t i = 0; i < history_.producers.size(); ++i) {
      CheckSends(i);
      CheckRepeats(i);
      CheckOpenings(i);
    }
    for (const Reading& reading : history_.readings) {
      Follow(reading);
      Compare(reading);
    }
    return std::move(verdict_);
  }

 private:
  // A message that is there when all is over.
  struct Stored {
    std::uint32_t number = 0;
    std::uint16_t producer = 0;
    bool known = false;  // who has sent it
    std::int64_t time = 0;
  };

  const std::string& Name(std::size_t channel) const {
    return history_.channels[channel];
  }

  void Fail(std::string_view guarantee, std::size_t channel,
            std::uint64_t sequence, std::string what) {
    ++verdict_.all;
    if (++shown_[{guarantee, channel}] > kMostShown) return;
    verdict_.violations.push_back({.guarantee = guarantee,
                                   .what = std::move(what),
                                   .channel = Name(channel),
                                   .sequence = sequence});
  }

  // ---- What a reader is given makes sense by itself

  void Follow(const Reading& reading) {
    std::uint64_t next = 1;
    std::int64_t time = 0;
    std::set<std::uint64_t> missing;  // before `next`
    for (const Event& event : reading.events) {
      if (event.kind == Event::Kind::kEpoch) {
        FollowEpoch(reading, event);
        continue;
      }
      if (event.kind == Event::Kind::kGap) {
        Fail(
            kComplete, reading.channel, event.sequence,
            fmt::format("{} was told that it misses up to {} ({}), but nothing "
                        "was dropped",
                        reading.reader, event.time, ToString(event.reason)));
        if (event.time > 0) next = static_cast<std::uint64_t>(event.time);
        continue;
      }
      if (!FollowMessage(reading, event, &next, &missing)) continue;
      if (event.time < time) {
        Fail(kOrdered, reading.channel, event.sequence,
             reading.reader + " got a time before that of the last message");
      }
      time = event.time;
    }
    if (!missing.empty()) {
      Fail(kComplete, reading.channel, *missing.begin(),
           fmt::format("{} did not get it, and was told of no gap; {} in all",
                       reading.reader, missing.size()));
    }
    if (!reading.end.ok()) {
      Fail(kResumable, reading.channel, next,
           fmt::format("{} ended here by itself: {}", reading.reader,
                       reading.end.ToString()));
    }
  }

  void FollowEpoch(const Reading& reading, const Event& event) {
    if (epoch_ == 0) epoch_ = event.sequence;
    if (event.sequence == epoch_) return;
    Fail(kResumable, reading.channel, 0,
         fmt::format("{} saw epoch {:x}, though it is {:x}", reading.reader,
                     event.sequence, epoch_));
  }

  // False if it is not later than all before it.
  bool FollowMessage(const Reading& reading, const Event& event,
                     std::uint64_t* next, std::set<std::uint64_t>* missing) {
    if (event.kind == Event::Kind::kChanged) {
      Fail(kIntact, reading.channel, event.sequence,
           reading.reader + " got what nobody has sent");
    }
    if (event.sequence < *next) {
      if (missing->erase(event.sequence) > 0) {
        Fail(kOrdered, reading.channel, event.sequence,
             fmt::format("{} got it after {}", reading.reader, *next - 1));
      } else {
        Fail(kUnique, reading.channel, event.sequence,
             fmt::format("{} got it again, after {}", reading.reader,
                         *next - 1));
      }
      return false;
    }
    // Of what nobody can have skipped, some is enough.
    constexpr std::uint64_t kMostMissing = 1'000'000;
    for (std::uint64_t i = *next;
         i < event.sequence && missing->size() < kMostMissing; ++i) {
      missing->insert(i);
    }
    *next = event.sequence + 1;
    return true;
  }

  // ---- What is there, and what was sent

  void Store(const Reading& truth) {
    std::vector<Stored>& stored = stored_[truth.channel];
    std::vector<std::uint32_t> last(history_.producers.size());
    for (const Event& event : truth.events) {
      const bool is_message = event.kind == Event::Kind::kMessage ||
                              event.kind == Event::Kind::kChanged;
      // Not in order: Follow has complained.
      if (!is_message || event.sequence <= stored.size()) continue;
      stored.resize(event.sequence);
      if (event.kind == Event::Kind::kChanged) continue;
      stored.back() = {.number = event.number,
                       .producer = event.producer,
                       .known = true,
                       .time = event.time};
      StoreOne(truth.channel, event, &last[event.producer]);
    }
    verdict_.stored += stored.size();
  }

  void StoreOne(std::size_t channel, const Event& event, std::uint32_t* last) {
    const Producer& producer = history_.producers[event.producer];
    const auto fail = [&](std::string_view guarantee, std::string_view what) {
      Fail(guarantee, channel, event.sequence,
           fmt::format("{}/{} {}", producer.name, event.number, what));
    };
    if (event.number == 0 || event.number > producer.sent.size()) {
      return fail(kIntact, "is there, but was never sent");
    }
    const Sent& sent = producer.sent[event.number - 1];
    if (sent.channel != channel) {
      return fail(kIntact, fmt::format("is there, but was sent to {}",
                                       Name(sent.channel)));
    }
    std::uint64_t& at = stored_at_[event.producer][event.number - 1];
    if (at != 0) {
      return fail(kUnique, fmt::format("is there again, as at {}", at));
    }
    at = event.sequence;
    if (event.number < *last) {
      return fail(
          kOrdered,
          fmt::format("is there after {}, which was sent later", *last));
    }
    *last = event.number;
    if (sent.has_key) ++verdict_.keyed;
    if (sent.producer_sequence != 0) StoreNumber(channel, event, sent);
    if (sent.expected && event.sequence != *sent.expected + 1) {
      fail(kUnique,
           fmt::format("is there, and expects {} before it", *sent.expected));
    }
    if (sent.fate == Sent::Fate::kRefused) {
      fail(kUnique, "is there, though it was refused for its condition");
    }
    if (sent.fate == Sent::Fate::kNotStored) {
      fail(kUnique,
           "is there, though its send has failed for good: who sends "
           "it again stores it twice");
    }
  }

  // Each number of a named producer is there once, in ascending order.
  void StoreNumber(std::size_t channel, const Event& event, const Sent& sent) {
    const std::string& name = history_.producers[event.producer].name;
    const auto fail = [&](std::string_view guarantee, std::string_view what) {
      Fail(guarantee, channel, event.sequence,
           fmt::format("{}/{}, number {} of its producer, is there {}", name,
                       event.number, sent.producer_sequence, what));
    };
    ++verdict_.named;
    if (sent.after_fence) {
      return fail(kUnique,
                  "though another client had opened it before this was sent");
    }
    std::vector<std::uint64_t>& numbers = numbers_[{event.producer, channel}];
    const std::uint64_t last = numbers.empty() ? 0 : numbers.back();
    if (sent.producer_sequence > last) {
      numbers.push_back(sent.producer_sequence);
      return;
    }
    if (Contains(numbers, sent.producer_sequence)) {
      return fail(kUnique, "as another message with this number is");
    }
    fail(kOrdered, fmt::format("after number {}", last));
  }

  static bool Contains(const std::vector<std::uint64_t>& ascending,
                       std::uint64_t number) {
    return std::binary_search(ascending.begin(), ascending.end(), number);
  }

  void CheckSends(std::size_t number) {
    const Producer& producer = history_.producers[number];
    std::vector<std::uint32_t> last_order(history_.channels.size());
    for (std::size_t i = 0; i < producer.sent.size(); ++i) {
      const Sent& sent = producer.sent[i];
      CheckSend(fmt::format("{}/{}", producer.name, i + 1), producer, sent,
                stored_at_[number][i]);
      if (sent.order == 0) continue;
      std::uint32_t& last = last_order[sent.channel];
      if (sent.order < last) {
        Fail(kOrdered, sent.channel, sent.receipt.position.sequence,
             fmt::format("the result of {}/{} came before that of an earlier "
                         "send",
                         producer.name, i + 1));
      }
      last = sent.order;
    }
  }

  void CheckSend(const std::string& what, const Producer& producer,
                 const Sent& sent, std::uint64_t at) {
    if (sent.results > sent.times) {
      Fail(kUnique, sent.channel, at,
           fmt::format("{} was sent {} times, and had {} results", what,
                       sent.times, sent.results));
    } else if (sent.results < sent.times && sent.fate != Sent::Fate::kUnknown) {
      Fail(kLive, sent.channel, at,
           fmt::format("{} was sent {} times, and had {} results only", what,
                       sent.times, sent.results));
    }
    switch (sent.fate) {
      case Sent::Fate::kUnknown:
        return Fail(kLive, sent.channel, at,
                    fmt::format("the send of {} had no result", what));
      case Sent::Fate::kRefused:
        return CheckRefusal(what, sent);
      case Sent::Fate::kFenced:
        ++verdict_.fenced;
        return;
      case Sent::Fate::kTold:
        ++verdict_.told;
        if (at != 0) return;
        return Fail(kDurable, sent.channel, at,
                    fmt::format("{} is nowhere, though its producer's opening "
                                "told that it is there",
                                what));
      case Sent::Fate::kNotStored:
      case Sent::Fate::kMayBeStored:
        if (sent.out_of_time) {
          ++verdict_.out_of_time;
          return;
        }
        return Fail(kLive, sent.channel, at,
                    fmt::format("the send of {} has failed; the first failure: "
                                "{}",
                                what, producer.failure.ToString()));
      case Sent::Fate::kStored:
        break;
    }
    ++verdict_.acknowledged;
    if (sent.receipt.duplicate) ++verdict_.duplicates;
    if (sent.expected) ++verdict_.conditional;
    if (sent.after_fence) {
      return Fail(kUnique, sent.channel, sent.receipt.position.sequence,
                  what +
                      " was acknowledged, though another client had opened "
                      "its producer before it was sent");
    }
    CheckReceipt(what, sent, sent.receipt, at);
  }

  // Of all receipts of a message one at most is not that of a duplicate, and
  // all of them name the place where it is.
  void CheckRepeats(std::size_t number) {
    const Producer& producer = history_.producers[number];
    std::set<std::uint32_t> originals;
    for (const Repeat& repeat : producer.repeats) {
      const Sent& sent = producer.sent[repeat.number - 1];
      const std::string what =
          fmt::format("{}/{}", producer.name, repeat.number);
      CheckReceipt(what, sent, repeat.receipt,
                   stored_at_[number][repeat.number - 1]);
      if (repeat.receipt.duplicate) continue;
      if (!sent.receipt.duplicate || !originals.insert(repeat.number).second) {
        Fail(kUnique, sent.channel, repeat.receipt.position.sequence,
             what + " has several receipts that do not tell of a duplicate");
      }
    }
  }

  void CheckOpenings(std::size_t number) {
    const Producer& producer = history_.producers[number];
    std::map<std::size_t, Opening> last;  // by channel
    for (const Opening& opening : producer.openings) {
      const auto fail = [&](std::string_view guarantee, std::string_view what) {
        Fail(guarantee, opening.channel, 0,
             fmt::format("{} was opened with the generation {}, and {} as the "
                         "last number: {}",
                         producer.name, opening.generation,
                         opening.last_producer_sequence, what));
      };
      const Opening& before = last[opening.channel];
      if (opening.generation <= before.generation) {
        fail(kUnique,
             fmt::format("the generation was {} already", before.generation));
      }
      const std::uint64_t least =
          std::max(before.last_producer_sequence, opening.acknowledged);
      if (opening.last_producer_sequence < least) {
        fail(kDurable, fmt::format("{} was there already", least));
      }
      if (opening.last_producer_sequence > 0 &&
          !Contains(numbers_[{number, opening.channel}],
                    opening.last_producer_sequence)) {
        fail(kDurable, "which is not there");
      }
      last[opening.channel] = opening;
    }
    // All but the first and the last one of each.
    const std::size_t ends = 2 * last.size();
    if (producer.openings.size() > ends) {
      verdict_.reopened += producer.openings.size() - ends;
    }
  }

  void CheckRefusal(const std::string& what, const Sent& sent) {
    ++verdict_.refused;
    const Position& last = sent.refused_at;
    if (!sent.expected || last.sequence <= *sent.expected) {
      return Fail(
          kUnique, sent.channel, last.sequence,
          fmt::format(
              "{} was refused for its condition, though it expects {}", what,
              sent.expected ? std::to_string(*sent.expected) : "nothing"));
    }
    if (last.sequence > stored_[sent.channel].size()) {
      Fail(kDurable, sent.channel, last.sequence,
           what + " was refused for this one, which is not there");
    }
    if (last.epoch != epoch_) {
      Fail(kResumable, sent.channel, last.sequence,
           fmt::format("{} was refused with epoch {:x}, though it is {:x}",
                       what, last.epoch, epoch_));
    }
  }

  void CheckReceipt(const std::string& what, const Sent& sent,
                    const Receipt& receipt, std::uint64_t at) {
    const std::uint64_t sequence = receipt.position.sequence;
    if (receipt.duplicate) {
      if (sent.producer_sequence != 0) ++verdict_.named_duplicates;
      if (sent.has_key) ++verdict_.key_duplicates;
    }
    if (at == 0) {
      return Fail(kDurable, sent.channel, sequence,
                  what + " was acknowledged here, and is nowhere");
    }
    // The log need not remember the place of a named producer's message.
    if (sequence == 0 && sent.producer_sequence != 0 && receipt.duplicate) {
      return;
    }
    if (at != sequence) {
      return Fail(
          kDurable, sent.channel, sequence,
          fmt::format("{} was acknowledged here, and is at {}", what, at));
    }
    if (receipt.position.epoch != epoch_) {
      Fail(kResumable, sent.channel, sequence,
           fmt::format("{} was acknowledged with epoch {:x}, though it is {:x}",
                       what, receipt.position.epoch, epoch_));
    }
    if (receipt.send_time.time_since_epoch().count() !=
        stored_[sent.channel][at - 1].time) {
      Fail(kDurable, sent.channel, sequence,
           what + " was acknowledged with another time");
    }
  }

  // ---- What readers were given is what is there

  void Compare(const Reading& reading) {
    const std::vector<Stored>& stored = stored_[reading.channel];
    std::uint64_t last = 0;
    for (const Event& event : reading.events) {
      if (event.kind == Event::Kind::kGap ||
          event.kind == Event::Kind::kEpoch) {
        continue;
      }
      last = std::max(last, event.sequence);
      ++verdict_.received;
      CompareOne(reading, event);
    }
    if (last < stored.size()) {
      Fail(kComplete, reading.channel, last + 1,
           fmt::format("{} never got it, nor anything after it: the head is {}",
                       reading.reader, stored.size()));
    }
  }

  void CompareOne(const Reading& reading, const Event& event) {
    const std::vector<Stored>& stored = stored_[reading.channel];
    if (event.sequence == 0 || event.sequence > stored.size()) {
      return Fail(kDurable, reading.channel, event.sequence,
                  reading.reader + " has read it, and it is not there");
    }
    const Stored& there = stored[event.sequence - 1];
    if (event.kind == Event::Kind::kChanged || !there.known) return;
    if (event.producer != there.producer || event.number != there.number) {
      return Fail(kIntact, reading.channel, event.sequence,
                  reading.reader +
                      " got another message than the one that is "
                      "there");
    }
    if (event.time != there.time) {
      Fail(kIntact, reading.channel, event.sequence,
           reading.reader + " got another time than the one that is there");
    }
  }

  const History& history_;
  std::uint64_t epoch_ = 0;
  std::vector<std::vector<Stored>> stored_;            // by channel
  std::vector<std::vector<std::uint64_t>> stored_at_;  // by producer
  // Of named producers, that are there: by producer and channel, ascending.
  std::map<std::pair<std::size_t, std::size_t>, std::vector<std::uint64_t>>
      numbers_;
  std::map<std::pair<std::string_view, std::size_t>, std::size_t> shown_;
  Verdict verdict_;
};

}  // namespace

Verdict Check(const History& history) {
  return Judge(history).Run();
}

}  // namespace messenger::test::chaos
