// The checker finds what it is there for: faults that are planted into a
// history without any.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "checker.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "history.h"

namespace messenger::test::chaos {
namespace {

constexpr std::uint64_t kEpoch = 7;
constexpr std::uint32_t kMessages = 10;  // of each producer

// Two producers take turns in the channel "c"; each fifth message of the second
// one goes to "d". Two readers got everything.
History GoodHistory() {
  History history;
  history.channels = {"c", "d"};
  history.producers.resize(2);
  history.producers[0].name = "ann";
  history.producers[1].name = "bea";
  history.truth = {{.reader = "the truth", .channel = 0},
                   {.reader = "the truth", .channel = 1}};
  for (Reading& truth : history.truth) {
    truth.events.push_back({.sequence = kEpoch, .kind = Event::Kind::kEpoch});
  }
  std::vector<std::uint64_t> heads(2);
  for (std::uint32_t number = 1; number <= kMessages; ++number) {
    for (std::uint16_t who = 0; who < 2; ++who) {
      const std::uint16_t channel = who == 1 && number % 5 == 0 ? 1 : 0;
      const std::uint64_t sequence = ++heads[channel];
      const auto time = static_cast<std::int64_t>(1000 + sequence);
      history.truth[channel].events.push_back({.sequence = sequence,
                                               .time = time,
                                               .number = number,
                                               .producer = who});
      Sent sent = {.channel = channel,
                   .fate = Sent::Fate::kStored,
                   .results = 1,
                   .order = number % 4 == 0 ? 0 : number};
      sent.receipt = {.position = {kEpoch, sequence},
                      .send_time = Timestamp(std::chrono::nanoseconds(time)),
                      .duplicate = number % 3 == 0};
      history.producers[who].sent.push_back(sent);
    }
  }
  for (const char* const reader : {"rob", "sue"}) {
    for (Reading reading : history.truth) {
      reading.reader = reader;
      history.readings.push_back(std::move(reading));
    }
  }
  return history;
}

// The names of the promises that were not kept.
std::string Names(const History& history) {
  std::vector<std::string_view> names;
  for (const Violation& violation : Check(history).violations) {
    if (std::find(names.begin(), names.end(), violation.guarantee) ==
        names.end()) {
      names.push_back(violation.guarantee);
    }
  }
  std::sort(names.begin(), names.end());
  std::string all;
  for (const std::string_view name : names) {
    if (!all.empty()) all += ' ';
    all += name;
  }
  return all;
}

void Remove(std::deque<Event>* from, std::size_t index) {
  from->erase(from->begin() + static_cast<std::ptrdiff_t>(index));
}

void Insert(std::deque<Event>* into, std::size_t index, const Event& event) {
  into->insert(into->begin() + static_cast<std::ptrdiff_t>(index), event);
}

class Planted {
 public:
  History history = GoodHistory();
  // What one reader was given of the channel "c": the epoch, then the messages,
  // so that the index is the sequence.
  std::deque<Event>& events = history.readings[0].events;
  std::deque<Event>& truth = history.truth[0].events;
  // Of "ann", by number - 1.
  std::vector<Sent>& sent = history.producers[0].sent;

  // Nobody reads, so that only what is there can be wrong.
  void LeaveTruthAlone() { history.readings.clear(); }
};

TEST_CASE_FIXTURE(Planted,
                  "a history without faults is approved, and counted") {
  const Verdict verdict = Check(history);
  CHECK(verdict.violations.empty());
  CHECK(verdict.all == 0);
  CHECK(verdict.acknowledged == 2 * kMessages);
  CHECK(verdict.duplicates == 6);
  CHECK(verdict.stored == 2 * kMessages);
  CHECK(verdict.received == 4 * kMessages);
}

// ---------------------------------------------------------------------------
// Readers

TEST_CASE_FIXTURE(Planted, "a message that a reader does not get: Complete") {
  SUBCASE("in the middle") {
    Remove(&events, 5);
  }
  SUBCASE("the first") {
    Remove(&events, 1);
  }
  SUBCASE("the last") {
    events.pop_back();
  }
  SUBCASE("all") {
    events.clear();
  }
  CHECK(Names(history) == "Complete");
}

TEST_CASE_FIXTURE(Planted, "a gap, though nothing was dropped: Complete") {
  events[5] = {.sequence = 5,
               .time = 6,
               .kind = Event::Kind::kGap,
               .reason = Gap::Reason::kRetention};
  CHECK(Names(history) == "Complete");
}

TEST_CASE_FIXTURE(Planted, "a message that a reader gets again: Unique") {
  SUBCASE("at once") {
    Insert(&events, 6, events[5]);
  }
  SUBCASE("later") {
    events.push_back(events[5]);
  }
  SUBCASE("all of them") {
    const std::deque<Event> again(events.begin() + 1, events.end());
    events.insert(events.end(), again.begin(), again.end());
  }
  CHECK(Names(history) == "Unique");
}

TEST_CASE_FIXTURE(Planted,
                  "messages that a reader gets out of order: Ordered") {
  SUBCASE("two") {
    std::swap(events[5], events[6]);
  }
  SUBCASE("one long after its place") {
    events.push_back(events[5]);
    Remove(&events, 5);
  }
  CHECK(Names(history) == "Ordered");
}

TEST_CASE_FIXTURE(Planted, "a text that is not what was sent: Intact") {
  SUBCASE("that nobody has sent") {
    events[5].kind = Event::Kind::kChanged;
  }
  SUBCASE("of another message") {
    events[5].number = events[7].number;
  }
  SUBCASE("of another producer") {
    events[5].producer = 1;
  }
  CHECK(Names(history) == "Intact");
}

TEST_CASE_FIXTURE(Planted, "another time than others get: Intact") {
  events.back().time += 5;
  CHECK(Names(history) == "Intact");
}

TEST_CASE_FIXTURE(Planted, "a time that goes backwards: Ordered") {
  truth[5].time = 1;
  history.readings[0].events[5].time = 1;
  history.readings[2].events[5].time = 1;
  sent[2].receipt.send_time = Timestamp(std::chrono::nanoseconds(1));
  CHECK(Names(history) == "Ordered");
}

TEST_CASE_FIXTURE(Planted, "a message that was read and is gone: Durable") {
  events.push_back({.sequence = events.back().sequence + 1,
                    .time = events.back().time,
                    .number = 1});
  CHECK(Names(history) == "Durable");
}

TEST_CASE_FIXTURE(Planted, "another epoch: Resumable") {
  SUBCASE("in the middle of a read") {
    Insert(&events, 5, {.sequence = kEpoch + 1, .kind = Event::Kind::kEpoch});
  }
  SUBCASE("in a receipt") {
    sent[4].receipt.position.epoch = kEpoch + 1;
  }
  CHECK(Names(history) == "Resumable");
}

TEST_CASE_FIXTURE(Planted, "a reader that ends by itself: Resumable") {
  history.readings[1].end = absl::UnavailableError("gave up");
  CHECK(Names(history) == "Resumable");
}

// ---------------------------------------------------------------------------
// Senders

TEST_CASE_FIXTURE(Planted, "acknowledged, and nowhere: Durable") {
  LeaveTruthAlone();
  const Event last = truth.back();
  REQUIRE(last.producer == 0);
  truth.pop_back();
  CHECK(Names(history) == "Durable");
}

TEST_CASE_FIXTURE(Planted, "acknowledged at another place: Durable") {
  ++sent[4].receipt.position.sequence;
  CHECK(Names(history) == "Durable");
}

TEST_CASE_FIXTURE(Planted, "acknowledged with another time: Durable") {
  sent[4].receipt.send_time += std::chrono::nanoseconds(1);
  CHECK(Names(history) == "Durable");
}

TEST_CASE_FIXTURE(Planted, "stored twice: Unique") {
  LeaveTruthAlone();
  Event again = truth[5];
  again.sequence = truth.back().sequence + 1;
  again.time = truth.back().time;
  truth.push_back(again);
  CHECK(Names(history) == "Unique");
}

TEST_CASE_FIXTURE(Planted, "stored in another order than sent: Ordered") {
  LeaveTruthAlone();
  REQUIRE(truth[1].producer == truth[3].producer);
  std::swap(truth[1].number, truth[3].number);
  std::swap(sent[0].receipt, sent[1].receipt);
  CHECK(Names(history) == "Ordered");
}

TEST_CASE_FIXTURE(Planted, "stored though nobody has sent it there: Intact") {
  LeaveTruthAlone();
  truth.push_back({.sequence = truth.back().sequence + 1,
                   .time = truth.back().time,
                   .number = 5,
                   .producer = 1});
  SUBCASE("but elsewhere") {}
  SUBCASE("nor anywhere") {
    truth.back().number = kMessages + 1;
  }
  CHECK(Names(history) == "Intact");
}

TEST_CASE_FIXTURE(Planted,
                  "stored with a text that nobody has sent: Intact, "
                  "and what was acknowledged there is gone") {
  LeaveTruthAlone();
  truth[5].kind = Event::Kind::kChanged;
  CHECK(Names(history) == "Durable Intact");
}

TEST_CASE_FIXTURE(Planted, "what is there misses a sequence: Complete") {
  LeaveTruthAlone();
  Remove(&truth, 5);
  CHECK(Names(history) == "Complete Durable");
}

TEST_CASE_FIXTURE(Planted, "a send without a result: Live") {
  sent[4] = {};
  CHECK(Names(history) == "Live");
}

TEST_CASE_FIXTURE(Planted, "a send with two results: Unique") {
  sent[4].results = 2;
  CHECK(Names(history) == "Unique");
}

TEST_CASE_FIXTURE(Planted, "a send that failed: Live") {
  sent[4].fate = Sent::Fate::kMayBeStored;
  CHECK(Names(history) == "Live");
}

TEST_CASE_FIXTURE(Planted,
                  "a send that failed for good, and is there: Unique") {
  sent[4].fate = Sent::Fate::kNotStored;
  CHECK(Names(history) == "Live Unique");
}

TEST_CASE_FIXTURE(Planted, "results out of the order of the sends: Ordered") {
  std::swap(sent[4].order, sent[5].order);
  CHECK(Names(history) == "Ordered");
}

// ---------------------------------------------------------------------------
// Conditional appends, and timeouts

// Three more of ann: one that is at the end of "c", behind what it expects, one
// that was refused for that, and one whose time was up, which is not there.
class PlantedConditional {
 public:
  PlantedConditional() {
    for (Reading& truth : history.truth) Append(&truth);
    for (Reading& reading : history.readings) Append(&reading);
    Sent stored = {.fate = Sent::Fate::kStored,
                   .results = 1,
                   .order = kMessages + 1,
                   .expected = head};
    stored.receipt = {.position = {kEpoch, head + 1},
                      .send_time = Timestamp(std::chrono::nanoseconds(9000))};
    sent.push_back(stored);
    sent.push_back({.fate = Sent::Fate::kRefused,
                    .results = 1,
                    .expected = head,
                    .refused_at = {kEpoch, head + 1}});
    sent.push_back({.fate = Sent::Fate::kMayBeStored,
                    .results = 1,
                    .out_of_time = true,
                    .expected = head + 1});
  }

  History history = GoodHistory();
  std::vector<Sent>& sent = history.producers[0].sent;
  const std::uint64_t head = history.truth[0].events.back().sequence;
  Sent& stored() { return sent[kMessages]; }
  Sent& refused() { return sent[kMessages + 1]; }
  Sent& given_up() { return sent[kMessages + 2]; }

  // Stores one of ann at the end, where it is read, too.
  void Store(std::uint32_t number) {
    for (std::deque<Event>* const events : ReadingsOfC()) {
      Event event = events->back();
      ++event.sequence;
      event.number = number;
      events->push_back(event);
    }
  }
  std::vector<std::deque<Event>*> ReadingsOfC() {
    std::vector<std::deque<Event>*> all = {&history.truth[0].events};
    for (Reading& reading : history.readings) {
      if (reading.channel == 0) all.push_back(&reading.events);
    }
    return all;
  }

 private:
  void Append(Reading* reading) const {
    if (reading->channel != 0) return;
    reading->events.push_back(
        {.sequence = head + 1, .time = 9000, .number = kMessages + 1});
  }
};

TEST_CASE_FIXTURE(PlantedConditional,
                  "a condition that is met, one that is not, and a timeout are "
                  "approved, and counted") {
  const Verdict verdict = Check(history);
  CHECK(Names(history) == "");
  CHECK(verdict.acknowledged == 2 * kMessages + 1);
  CHECK(verdict.conditional == 1);
  CHECK(verdict.refused == 1);
  CHECK(verdict.out_of_time == 1);
}

TEST_CASE_FIXTURE(PlantedConditional, "refused, and there: Unique") {
  refused().expected = head + 1;
  refused().refused_at.sequence = head + 2;
  Store(kMessages + 2);
  CHECK(Names(history) == "Unique");
}

TEST_CASE_FIXTURE(PlantedConditional,
                  "what is not known to be stored may be: where it expects to "
                  "be") {
  Store(kMessages + 3);
  SUBCASE("there") {
    CHECK(Names(history) == "");
  }
  SUBCASE("elsewhere: Unique") {
    given_up().expected = head;
    CHECK(Names(history) == "Unique");
  }
  SUBCASE("it is said not to be: Unique") {
    given_up().fate = Sent::Fate::kNotStored;
    CHECK(Names(history) == "Unique");
  }
}

TEST_CASE_FIXTURE(PlantedConditional,
                  "acknowledged, and not behind what it expects: Unique") {
  SUBCASE("but later") {
    stored().expected = head - 1;
  }
  SUBCASE("but earlier") {
    stored().expected = head + 1;
  }
  CHECK(Names(history) == "Unique");
}

TEST_CASE_FIXTURE(PlantedConditional,
                  "refused, though nothing came between: Unique") {
  SUBCASE("what it expects is the last one") {
    refused().refused_at.sequence = head;
  }
  SUBCASE("or will be") {
    refused().refused_at.sequence = head - 1;
  }
  SUBCASE("it expects nothing") {
    refused().expected.reset();
  }
  CHECK(Names(history) == "Unique");
}

TEST_CASE_FIXTURE(PlantedConditional, "refused for what is lost: Durable") {
  refused().refused_at.sequence = head + 2;
  CHECK(Names(history) == "Durable");
}

TEST_CASE_FIXTURE(PlantedConditional, "refused in another epoch: Resumable") {
  refused().refused_at.epoch = kEpoch + 1;
  CHECK(Names(history) == "Resumable");
}

TEST_CASE_FIXTURE(PlantedConditional,
                  "a conditional append that fails otherwise: Live") {
  given_up().out_of_time = false;
  CHECK(Names(history) == "Live");
}

// ---------------------------------------------------------------------------
// Named producers

// Ann is a named producer in "c", whose numbers are twice those of its
// messages, but for three more: one that was sent again, and has two receipts
// beside the one of its first time; one without a receipt, of which an opening
// has told; and one that was sent after the fence. She opened it before she
// began, in the middle, and at the end.
class PlantedNamed {
 public:
  PlantedNamed() {
    for (std::uint32_t i = 0; i < kMessages; ++i) {
      sent[i].producer_sequence = std::uint64_t{2} * (i + 1);
    }
    repeated().times = 3;
    repeated().results = 3;
    repeated().receipt.duplicate = true;
    Receipt original = repeated().receipt;
    original.duplicate = false;
    producer.repeats = {{.number = kRepeated, .receipt = original},
                        {.number = kRepeated, .receipt = {.duplicate = true}}};
    told().fate = Sent::Fate::kTold;
    told().receipt = {};
    told().order = 0;
    sent.push_back({.fate = Sent::Fate::kFenced,
                    .results = 1,
                    .producer_sequence = kToldNumber + 2,
                    .after_fence = true});
    producer.openings = {{.generation = 1},
                         {.generation = 3,
                          .last_producer_sequence = kToldNumber,
                          .acknowledged = kToldNumber - 2},
                         {.generation = 4,
                          .last_producer_sequence = kLastNumber,
                          .acknowledged = kLastNumber}};
  }

  static constexpr std::uint32_t kRepeated = 3;
  static constexpr std::uint32_t kTold = 5;
  // The number of hers that was told, and of her last one.
  static constexpr std::uint64_t kToldNumber = 10;
  static constexpr std::uint64_t kLastNumber = 20;

  History history = GoodHistory();
  Producer& producer = history.producers[0];
  std::vector<Sent>& sent = producer.sent;
  std::deque<Event>& truth = history.truth[0].events;
  Sent& repeated() { return sent[kRepeated - 1]; }
  Sent& told() { return sent[kTold - 1]; }
  Sent& fenced() { return sent[kMessages]; }
  Opening& opening() { return producer.openings[1]; }

  // Stores one of hers at the end. Nobody reads.
  void Store(std::uint32_t number) {
    history.readings.clear();
    Event event = truth.back();
    ++event.sequence;
    event.number = number;
    event.producer = 0;
    truth.push_back(event);
  }
  // Stores the one at the end that was sent last, and is not fenced off.
  void StoreAsOrdinary() {
    Store(kMessages + 1);
    fenced().after_fence = false;
    fenced().fate = Sent::Fate::kTold;
  }
};

TEST_CASE_FIXTURE(PlantedNamed,
                  "a named producer that is opened again, repeats and is "
                  "fenced off is approved, and counted") {
  const Verdict verdict = Check(history);
  CHECK(Names(history) == "");
  CHECK(verdict.named == kMessages);
  CHECK(verdict.reopened == 1);
  CHECK(verdict.told == 1);
  CHECK(verdict.fenced == 1);
  // Hers that are by three, and one of the repeats.
  CHECK(verdict.named_duplicates == 4);
}

TEST_CASE_FIXTURE(PlantedNamed, "sent after the fence, and there: Unique") {
  Store(kMessages + 1);
  CHECK(Names(history) == "Unique");
}

TEST_CASE_FIXTURE(PlantedNamed,
                  "sent after the fence, and acknowledged: Unique") {
  fenced().fate = Sent::Fate::kStored;
  SUBCASE("at a place") {
    fenced().receipt = sent[kMessages - 1].receipt;
  }
  SUBCASE("as a duplicate") {
    fenced().receipt.duplicate = true;
  }
  CHECK(Names(history) == "Unique");
}

TEST_CASE_FIXTURE(PlantedNamed,
                  "sent after the fence, and told something else: Live") {
  SUBCASE("another failure") {
    fenced().fate = Sent::Fate::kMayBeStored;
  }
  SUBCASE("nothing") {
    fenced().fate = Sent::Fate::kUnknown;
    fenced().results = 0;
  }
  CHECK(Names(history) == "Live");
}

TEST_CASE_FIXTURE(PlantedNamed, "a number of it that is there twice: Unique") {
  StoreAsOrdinary();
  CHECK(Names(history) == "Unique");
}

TEST_CASE_FIXTURE(PlantedNamed,
                  "a number of it that is there after a higher one: Ordered") {
  StoreAsOrdinary();
  SUBCASE("in a hole") {
    --fenced().producer_sequence;
    CHECK(Names(history) == "Ordered");
  }
  SUBCASE("though behind the last one all is well") {
    fenced().producer_sequence = kLastNumber + 1;
    CHECK(Names(history) == "");
  }
}

TEST_CASE_FIXTURE(PlantedNamed, "an opening tells a last one: Durable") {
  SUBCASE("that is not there") {
    ++opening().last_producer_sequence;
  }
  SUBCASE("below what was acknowledged") {
    opening().acknowledged = kToldNumber + 2;
  }
  SUBCASE("below that of an earlier opening") {
    producer.openings[0].last_producer_sequence = kToldNumber + 2;
  }
  CHECK(Names(history) == "Durable");
}

TEST_CASE_FIXTURE(PlantedNamed, "a generation that does not rise: Unique") {
  SUBCASE("but stays") {
    opening().generation = 1;
  }
  SUBCASE("but falls") {
    opening().generation = 5;
  }
  CHECK(Names(history) == "Unique");
}

TEST_CASE_FIXTURE(PlantedNamed,
                  "what an opening told, or a receipt without a place, is "
                  "nowhere: Durable") {
  history.readings.clear();
  Sent& last = sent[kMessages - 1];
  const Event event = truth.back();
  REQUIRE(event.producer == 0);
  truth.pop_back();
  // The last opening would tell it, too.
  producer.openings.pop_back();
  SUBCASE("told") {
    last.fate = Sent::Fate::kTold;
  }
  SUBCASE("acknowledged") {
    last.receipt = {.duplicate = true};
  }
  CHECK(Names(history) == "Durable");
}

TEST_CASE_FIXTURE(PlantedNamed, "a receipt without a place: Durable") {
  SUBCASE("that is not a duplicate's") {
    producer.repeats[0].receipt.position = {};
  }
  SUBCASE("not of a named producer") {
    history.producers[1].sent[2].receipt = {.duplicate = true};
  }
  CHECK(Names(history) == "Durable");
}

TEST_CASE_FIXTURE(PlantedNamed, "results: one each time that it was sent") {
  SUBCASE("fewer: Live") {
    repeated().results = 2;
    CHECK(Names(history) == "Live");
  }
  SUBCASE("more: Unique") {
    repeated().results = 4;
    CHECK(Names(history) == "Unique");
  }
}

// ---------------------------------------------------------------------------
// Idempotency keys

// Bea's messages have keys. One of them was sent again, and has the receipt of
// a duplicate beside that of its first time.
class PlantedKeyed {
 public:
  PlantedKeyed() {
    for (Sent& one : sent) one.has_key = true;
    repeated().times = 2;
    repeated().results = 2;
    repeated().receipt.duplicate = false;
    Receipt duplicate = repeated().receipt;
    duplicate.duplicate = true;
    producer.repeats = {{.number = kRepeated, .receipt = duplicate}};
  }

  static constexpr std::uint32_t kRepeated = 3;

  History history = GoodHistory();
  Producer& producer = history.producers[1];
  std::vector<Sent>& sent = producer.sent;
  Sent& repeated() { return sent[kRepeated - 1]; }
  Receipt& repeat() { return producer.repeats[0].receipt; }
};

TEST_CASE_FIXTURE(PlantedKeyed,
                  "keys, and what is sent again with one, are approved, and "
                  "counted") {
  const Verdict verdict = Check(history);
  CHECK(Names(history) == "");
  CHECK(verdict.keyed == kMessages);
  CHECK(verdict.key_duplicates == 3);
  SUBCASE("if the duplicate's receipt comes first") {
    std::swap(repeat(), repeated().receipt);
    CHECK(Names(history) == "");
  }
}

TEST_CASE_FIXTURE(PlantedKeyed, "a key that is stored twice: Unique") {
  history.readings.clear();
  std::deque<Event>& truth = history.truth[0].events;
  Event again = truth.back();
  ++again.sequence;
  again.number = kRepeated;
  again.producer = 1;
  truth.push_back(again);
  CHECK(Names(history) == "Unique");
}

TEST_CASE_FIXTURE(PlantedKeyed,
                  "two receipts that say that it was not a duplicate: Unique") {
  repeat().duplicate = false;
  SUBCASE("its first one, and another one") {}
  SUBCASE("two others") {
    repeated().receipt.duplicate = true;
    ++repeated().times;
    ++repeated().results;
    producer.repeats.push_back(producer.repeats[0]);
  }
  CHECK(Names(history) == "Unique");
}

TEST_CASE_FIXTURE(PlantedKeyed,
                  "a duplicate's receipt that is not the original one") {
  SUBCASE("in its place: Durable") {
    ++repeat().position.sequence;
    CHECK(Names(history) == "Durable");
  }
  SUBCASE("without a place: Durable") {
    repeat().position = {};
    CHECK(Names(history) == "Durable");
  }
  SUBCASE("in its time: Durable") {
    repeat().send_time += std::chrono::nanoseconds(1);
    CHECK(Names(history) == "Durable");
  }
  SUBCASE("in its epoch: Resumable") {
    ++repeat().position.epoch;
    CHECK(Names(history) == "Resumable");
  }
}

// ---------------------------------------------------------------------------
// What is printed

TEST_CASE_FIXTURE(Planted, "of one fault that comes often, some are shown") {
  for (std::size_t i = 1; i < events.size(); ++i) {
    events[i].kind = Event::Kind::kChanged;
  }
  const Verdict verdict = Check(history);
  CHECK(verdict.violations.size() == 5);
  CHECK(verdict.all == events.size() - 1);
}

TEST_CASE_FIXTURE(Planted,
                  "the place of a fault is shown as all have seen it") {
  Remove(&events, 5);
  const Violation violation = Check(history).violations.at(0);
  CHECK(violation.channel == "c");
  CHECK(violation.sequence == 5);
  const std::string text = Describe(history, "c", 5);
  CHECK(text.find("ann/3 was acknowledged at 5") != std::string::npos);
  CHECK(text.find("sue reads c") != std::string::npos);
  CHECK(text.find("event 6: 6: bea/3, time 1006") != std::string::npos);
  CHECK(text.find("reads d") == std::string::npos);
}

}  // namespace
}  // namespace messenger::test::chaos
