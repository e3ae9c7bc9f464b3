// The checker finds what it is there for: faults that are planted into a
// history without any.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "checker.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "history.h"

namespace messenger::test {
namespace {

using Seen = Reading::Seen;

constexpr std::uint64_t kEpoch = 7;
constexpr std::uint64_t kNextEpoch = 8;
constexpr std::uint64_t kKeepAll = std::uint64_t{1} << 40U;

Timestamp At(std::int64_t seconds) {
  return Timestamp(std::chrono::seconds(seconds));
}

ProducerId IdOf(std::string_view sender) {
  ProducerId id{};
  id.fill(static_cast<std::uint8_t>(sender.back()));
  return id;
}

// Two messages a request, all of one sender to one channel, so that its
// numbers, its producer sequences, and the sequences are the same.
Send Request(std::uint64_t first, std::uint64_t receipts = 2) {
  Send send = {.sender = "ann",
               .channel = "c",
               .first_number = first,
               .count = 2,
               .producer_id = IdOf("ann"),
               .first_producer_sequence = first};
  for (std::uint64_t i = 0; i < receipts; ++i) {
    send.receipts.push_back(
        {.position = {kEpoch, first + i},
         .send_time = At(static_cast<std::int64_t>(first))});
  }
  return send;
}

// With its text and data.
Seen MessageOf(std::string_view sender, std::uint64_t number) {
  Data data = DataOf(sender, number);
  return {.text = TextOf(sender, number),
          .data = std::move(data.bytes),
          .content_type = std::move(data.content_type)};
}

Seen Message(std::uint64_t number) {
  const std::uint64_t first = number - (number + 1) % 2;
  Seen seen = MessageOf("ann", number);
  seen.sequence = number;
  seen.send_time = At(static_cast<std::int64_t>(first));
  seen.producer_id = IdOf("ann");
  seen.producer_sequence = number;
  return seen;
}

// Of the messages from `first` to `head`, after what `start` asks for.
Reading Read(const Start& start, std::uint64_t first, std::uint64_t head) {
  Reading reading = {
      .reader = "bob",
      .channel = "c",
      .start = start,
      .joined = Joined{.epoch = kEpoch, .next_sequence = first, .head = head}};
  for (std::uint64_t i = first; i <= head; ++i) {
    reading.events.emplace_back(Message(i));
  }
  return reading;
}

Reading Contents(std::uint64_t head) {
  return Read(Start::At(1), 1, head);
}

Seen& SeenAt(Reading& reading, std::size_t event) {
  return std::get<Seen>(reading.events[event]);
}

// Six requests in two rounds, and a look at what is there after both. The
// receipts of the third one did not come; it is sent again in round 2.
std::vector<Round> GoodHistory() {
  std::vector<Round> rounds(3);
  for (std::uint64_t i = 0; i < 3; ++i) {
    rounds[i].number = i + 1;
    rounds[i].retention_bytes = kKeepAll;
    rounds[i].before = i == 0 ? Ending::kNone : Ending::kKilled;
    rounds[i].after = Ending::kKilled;
  }
  rounds[0].contents = {Contents(0)};
  rounds[0].sends = {Request(1), Request(3), Request(5, 0)};
  rounds[0].ends = {
      {.sender = "ann", .status = absl::UnavailableError("killed")}};
  rounds[0].readings = {Read(Start::Earliest(), 1, 4)};
  rounds[0].readings[0].end = absl::UnavailableError("killed");

  rounds[1].contents = {Contents(6)};
  Send again = Request(5);
  again.again = true;
  for (Receipt& receipt : again.receipts) receipt.duplicate = true;
  rounds[1].sends = {again, Request(7), Request(9), Request(11, 0)};
  rounds[1].ends = rounds[0].ends;
  rounds[1].readings = {
      Read(Start::After({.epoch = kEpoch, .sequence = 4}), 5, 8)};
  rounds[1].readings[0].end = absl::UnavailableError("killed");

  rounds[2].contents = {Contents(12)};
  return rounds;
}

// What the checker says, up to the first round with which something is wrong.
std::vector<Violation> Judge(const std::vector<Round>& rounds,
                             Durability durability = Durability::kFsync) {
  Checker checker(durability);
  for (const Round& round : rounds) {
    std::vector<Violation> violations = checker.Check(round);
    if (!violations.empty()) return violations;
  }
  return {};
}

std::string Names(const std::vector<Violation>& violations) {
  std::string names;
  for (const Violation& violation : violations) {
    if (names.find(violation.guarantee) != std::string::npos) continue;
    names += std::string(violation.guarantee) + " ";
  }
  return names;
}

bool Breaks(const std::vector<Round>& rounds, std::string_view guarantee) {
  const std::vector<Violation> violations = Judge(rounds);
  for (const Violation& violation : violations) {
    INFO(violation.what);
    if (violation.guarantee == guarantee) return true;
  }
  FAIL_CHECK("not ", guarantee, " but ", Names(violations));
  return false;
}

// Of the oldest `missing` messages.
void PlantGap(Reading* reading, std::uint64_t missing, Gap::Reason reason) {
  auto& events = reading->events;
  events.erase(events.begin(),
               events.begin() + static_cast<std::ptrdiff_t>(missing));
  events.insert(events.begin(),
                Gap{.first_missing = 1, .next = missing + 1, .reason = reason});
  reading->joined->next_sequence = missing + 1;
}

TEST_CASE("a history without faults is accepted") {
  CHECK(Names(Judge(GoodHistory())) == "");
}

TEST_CASE("what was not acknowledged may be there or not, as a whole") {
  std::vector<Round> rounds = GoodHistory();
  rounds[2].contents = {Contents(10)};
  CHECK(Names(Judge(rounds)) == "");
  rounds[2].contents = {Contents(11)};
  CHECK(Breaks(rounds, "Ordered"));
}

TEST_CASE("acknowledged messages that are lost are found") {
  std::vector<Round> rounds = GoodHistory();
  rounds[2].contents = {Contents(8)};
  CHECK(Breaks(rounds, "Durable"));
}

TEST_CASE("messages that were read and are lost are found") {
  std::vector<Round> rounds = GoodHistory();
  rounds[0].sends = {Request(1), Request(3, 0), Request(5, 0)};
  rounds[1].contents = {Contents(2)};
  CHECK(Breaks(rounds, "Durable"));
}

TEST_CASE("a message that is lost in the middle is found") {
  std::vector<Round> rounds = GoodHistory();
  auto& events = rounds[2].contents[0].events;
  events.erase(events.begin() + 4);
  CHECK(Breaks(rounds, "Complete"));
}

TEST_CASE("a message whose place another one has taken is found") {
  std::vector<Round> rounds = GoodHistory();
  for (std::size_t i = 2; i < 6; ++i) {
    Seen& seen = SeenAt(rounds[2].contents[0], i);
    const std::uint64_t sequence = seen.sequence;
    seen = Message(sequence + 2);
    seen.sequence = sequence;
  }
  CHECK(Breaks(rounds, "Unique"));
}

TEST_CASE("a message that is stored again is found") {
  std::vector<Round> rounds = GoodHistory();
  Seen repeated = Message(6);
  repeated.sequence = 13;
  repeated.send_time = At(12);
  rounds[2].contents[0].events.emplace_back(repeated);
  rounds[2].contents[0].joined->head = 13;
  CHECK(Breaks(rounds, "Unique"));
}

TEST_CASE("a retry that is stored again is found") {
  std::vector<Round> rounds = GoodHistory();
  for (Receipt& receipt : rounds[1].sends[0].receipts) {
    receipt.position.sequence += 2;
    receipt.duplicate = false;
  }
  CHECK(Breaks(rounds, "Unique"));
}

TEST_CASE("a retry that is refused is found") {
  std::vector<Round> rounds = GoodHistory();
  rounds[1].ends[0].status = absl::FailedPreconditionError("expected 7");
  CHECK(Breaks(rounds, "Unique"));
}

TEST_CASE("a retry of what retention has dropped may be refused") {
  std::vector<Round> rounds = GoodHistory();
  rounds.pop_back();
  rounds[1].sends.resize(1);
  rounds[1].sends[0].receipts.clear();
  rounds[1].readings.clear();
  rounds[1].ends[0].status = absl::FailedPreconditionError("is not there");
  rounds[1].retention_bytes = 65536;
  CHECK(Breaks(rounds, "Unique"));
  PlantGap(rounds[1].contents.data(), 6, Gap::Reason::kRetention);
  CHECK(Names(Judge(rounds)) == "");
}

TEST_CASE("a receipt that is falsely of an earlier attempt is found") {
  std::vector<Round> rounds = GoodHistory();
  rounds[1].sends[1].receipts[0].duplicate = true;
  CHECK(Breaks(rounds, "Unique"));
}

TEST_CASE("a message that is read twice is found") {
  std::vector<Round> rounds = GoodHistory();
  auto& events = rounds[1].readings[0].events;
  events.insert(events.begin() + 1, events[0]);
  CHECK(Breaks(rounds, "Unique"));
}

TEST_CASE("a reader that gets again what it has read before is found") {
  std::vector<Round> rounds = GoodHistory();
  rounds[1].readings[0] =
      Read(Start::After({.epoch = kEpoch, .sequence = 4}), 4, 8);
  CHECK(Breaks(rounds, "Complete"));
}

TEST_CASE("messages that are read in another order are found") {
  std::vector<Round> rounds = GoodHistory();
  auto& events = rounds[1].readings[0].events;
  std::swap(events[1], events[2]);
  CHECK(Breaks(rounds, "Complete"));
}

TEST_CASE("messages that are stored in another order are found") {
  std::vector<Round> rounds = GoodHistory();
  // The two requests of round 2 have changed places.
  for (Receipt& receipt : rounds[1].sends[1].receipts) {
    receipt.position.sequence += 2;
  }
  for (Receipt& receipt : rounds[1].sends[2].receipts) {
    receipt.position.sequence -= 2;
    receipt.send_time = At(7);
  }
  rounds[1].readings.clear();
  CHECK(Breaks(rounds, "Ordered"));
}

TEST_CASE("what is there without what was sent before it is found") {
  std::vector<Round> rounds = GoodHistory();
  rounds[1].sends[2].receipts.clear();
  Reading& contents = rounds[2].contents[0];
  contents = Contents(8);
  for (const std::uint64_t number : {11U, 12U}) {
    Seen seen = Message(number);
    seen.sequence = number - 2;
    contents.events.emplace_back(seen);
  }
  contents.joined->head = 10;
  CHECK(Breaks(rounds, "Ordered"));
}

TEST_CASE("a time that differs from that of the receipt is found") {
  std::vector<Round> rounds = GoodHistory();
  SeenAt(rounds[2].contents[0], 2).send_time += std::chrono::nanoseconds(1);
  CHECK(Breaks(rounds, "Durable"));
}

TEST_CASE("a time that goes backwards is found") {
  std::vector<Round> rounds = GoodHistory();
  for (std::size_t i : {10U, 11U}) {
    SeenAt(rounds[2].contents[0], i).send_time = At(1);
  }
  CHECK(Breaks(rounds, "Ordered"));
}

TEST_CASE("a message that a reader does not get is found") {
  std::vector<Round> rounds = GoodHistory();
  auto& events = rounds[1].readings[0].events;
  events.erase(events.begin() + 1);
  CHECK(Breaks(rounds, "Complete"));
}

TEST_CASE("a reader that goes on further ahead is found") {
  std::vector<Round> rounds = GoodHistory();
  rounds[1].readings[0] =
      Read(Start::After({.epoch = kEpoch, .sequence = 4}), 7, 8);
  CHECK(Breaks(rounds, "Complete"));
}

TEST_CASE("a reader that is refused is found") {
  std::vector<Round> rounds = GoodHistory();
  rounds[1].readings[0].joined.reset();
  rounds[1].readings[0].events.clear();
  rounds[1].readings[0].end = absl::OutOfRangeError("beyond the head");
  CHECK(Breaks(rounds, "Resumable"));
  rounds[1].readings[0].end = absl::DataLossError("damaged");
  CHECK(Breaks(rounds, "Complete"));
}

TEST_CASE("a reader that is told that it has read too much is found") {
  std::vector<Round> rounds = GoodHistory();
  auto& events = rounds[1].readings[0].events;
  events.insert(
      events.begin(),
      Gap{.first_missing = 5, .next = 5, .reason = Gap::Reason::kRolledBack});
  CHECK(Breaks(rounds, "Resumable"));
}

TEST_CASE("another text is found") {
  std::vector<Round> rounds = GoodHistory();
  SeenAt(rounds[2].contents[0], 3).text.back() ^= 1;
  CHECK(Breaks(rounds, "Intact"));
}

TEST_CASE("other data is found") {
  const auto found = [](std::uint64_t number, auto change) {
    std::vector<Round> rounds = GoodHistory();
    change(SeenAt(rounds[2].contents[0], number - 1));
    return Breaks(rounds, "Intact");
  };
  // One that has data, and one that has none.
  std::uint64_t with = 1;
  while (DataOf("ann", with).bytes.empty()) ++with;
  REQUIRE(with <= 12);
  std::uint64_t without = 1;
  while (!DataOf("ann", without).bytes.empty()) ++without;
  CHECK(found(with, [](Seen& seen) { seen.data.back() ^= 1; }));
  CHECK(found(with, [](Seen& seen) { seen.data.pop_back(); }));
  CHECK(found(with, [](Seen& seen) { seen.data.clear(); }));
  CHECK(found(without, [](Seen& seen) { seen.data = "\xff"; }));
  for (const std::uint64_t number : {with, without}) {
    CHECK(found(number, [](Seen& seen) { seen.content_type += "x"; }));
  }
}

TEST_CASE("what nobody has sent is found") {
  std::vector<Round> rounds = GoodHistory();
  Seen strange = Message(13);
  rounds[2].contents[0].events.emplace_back(strange);
  rounds[2].contents[0].joined->head = 13;
  CHECK(Breaks(rounds, "Intact"));
}

TEST_CASE("a message of another channel is found") {
  std::vector<Round> rounds = GoodHistory();
  rounds[2].contents.push_back(Contents(1));
  rounds[2].contents[1].channel = "d";
  CHECK(Breaks(rounds, "Intact"));
}

TEST_CASE("another epoch is found") {
  std::vector<Round> rounds = GoodHistory();
  rounds[2].contents[0].joined->epoch = kNextEpoch;
  CHECK(Breaks(rounds, "Resumable"));
  rounds = GoodHistory();
  rounds[1].readings[0].joined->epoch = kNextEpoch;
  CHECK(Breaks(rounds, "Resumable"));
}

TEST_CASE("what retention drops is missing rightly, if it keeps little") {
  std::vector<Round> rounds = GoodHistory();
  PlantGap(rounds[2].contents.data(), 4, Gap::Reason::kRetention);
  CHECK(Breaks(rounds, "Durable"));
  rounds[2].retention_bytes = 65536;
  CHECK(Names(Judge(rounds)) == "");
}

TEST_CASE("a gap for another reason is found") {
  for (const Gap::Reason reason :
       {Gap::Reason::kDeleted, Gap::Reason::kDamaged}) {
    std::vector<Round> rounds = GoodHistory();
    PlantGap(rounds[2].contents.data(), 4, reason);
    CHECK(Breaks(rounds, "Complete"));
  }
  std::vector<Round> rounds = GoodHistory();
  PlantGap(rounds[2].contents.data(), 4, Gap::Reason::kNewEpoch);
  CHECK(Breaks(rounds, "Resumable"));
}

TEST_CASE("a gap that says too little is found") {
  std::vector<Round> rounds = GoodHistory();
  rounds[2].retention_bytes = 65536;
  PlantGap(rounds[2].contents.data(), 4, Gap::Reason::kRetention);
  std::get<Gap>(rounds[2].contents[0].events[0]).first_missing = 2;
  CHECK(Breaks(rounds, "Complete"));
}

// ---------------------------------------------------------------------------
// Conditional appends

// Of cat, two messages that expect this sequence to be the last one.
Send If(std::uint64_t expected, std::uint64_t first,
        std::uint64_t producer_sequence) {
  return {.sender = "cat",
          .channel = "c",
          .first_number = first,
          .count = 2,
          .producer_id = IdOf("cat"),
          .first_producer_sequence = producer_sequence,
          .expected_last = Position{.epoch = kEpoch, .sequence = expected}};
}
Send Again(Send send) {
  send.again = true;
  return send;
}
Send Stored(Send send, std::uint64_t sequence) {
  for (std::uint64_t i = 0; i < send.count; ++i) {
    send.receipts.push_back({.position = {kEpoch, sequence + i},
                             .send_time = At(0),
                             .duplicate = send.again});
  }
  return send;
}
Send Refused(Send send, std::uint64_t last) {
  send.refused_at = Position{.epoch = kEpoch, .sequence = last};
  return send;
}
Send Behind(Send send) {
  send.follows_refused = true;
  return send;
}
// Of dan, one without a condition, nor a producer.
Send Plain(std::uint64_t number) {
  return {.sender = "dan", .channel = "c", .first_number = number, .count = 1};
}

struct Place {
  std::string_view sender;
  std::uint64_t number = 0;
  std::uint64_t producer_sequence = 0;
};
// In the order of what cat and dan have there, when all is over.
const std::vector<Place> kPlaces = {{"cat", 1, 1},  {"cat", 2, 2}, {"dan", 1},
                                    {"cat", 7, 3},  {"cat", 8, 4}, {"dan", 2},
                                    {"cat", 11, 5}, {"cat", 12, 6}};

Reading There(const std::vector<Place>& places) {
  Reading reading = {
      .reader = "the driver",
      .channel = "c",
      .start = Start::At(1),
      .joined =
          Joined{.epoch = kEpoch, .next_sequence = 1, .head = places.size()}};
  for (const Place& place : places) {
    Seen seen = MessageOf(place.sender, place.number);
    seen.sequence = reading.events.size() + 1;
    seen.send_time = At(0);
    if (place.producer_sequence != 0) seen.producer_id = IdOf(place.sender);
    seen.producer_sequence = place.producer_sequence;
    reading.events.emplace_back(std::move(seen));
  }
  return reading;
}

class Conditional {
 public:
  Conditional() {
    for (std::uint64_t i = 0; i < rounds.size(); ++i) {
      rounds[i].number = i + 1;
      rounds[i].retention_bytes = kKeepAll;
      rounds[i].before = i == 0 ? Ending::kNone : Ending::kKilled;
      rounds[i].after = Ending::kKilled;
    }
    rounds[0].contents = {There({})};
    rounds[1].contents = {There({kPlaces.begin(), kPlaces.begin() + 5})};
    rounds[2].contents = {There(kPlaces)};
  }

  // Three lives; the last one only shows what is there.
  std::vector<Round> rounds = std::vector<Round>(3);
  std::vector<Send>& first = rounds[0].sends = {
      Stored(If(0, 1, 1), 1),
      Stored(Plain(1), 3),
      Refused(If(2, 3, 3), 3),
      Behind(If(4, 5, 5)),
      Refused(Again(If(2, 3, 3)), 3),
      // Then it was killed; the former was stored.
      If(3, 7, 3),
      If(5, 9, 5),
  };
  std::vector<Send>& second = rounds[1].sends = {
      Stored(Again(If(3, 7, 3)), 4),
      Stored(Plain(2), 6),
      Refused(Again(If(5, 9, 5)), 6),
      Stored(If(6, 11, 5), 7),
  };

  // What is there in the end, and these two of cat.
  void StoreAtTheEnd(std::uint64_t number, std::uint64_t producer_sequence) {
    std::vector<Place> places = kPlaces;
    places.push_back({"cat", number, producer_sequence});
    places.push_back({"cat", number + 1, producer_sequence + 1});
    rounds[2].contents = {There(places)};
  }
};

TEST_CASE_FIXTURE(Conditional,
                  "refused conditional appends are left out, and counted") {
  Checker checker(Durability::kFsync);
  for (const Round& round : rounds) CHECK(Names(checker.Check(round)) == "");
  CHECK(checker.totals().conditional == 6);
  CHECK(checker.totals().refused == 3);
  CHECK(checker.totals().refused_again == 1);
  CHECK(checker.totals().refused_later == 0);
}

TEST_CASE_FIXTURE(Conditional,
                  "what was refused before a crash may be refused after it") {
  second.insert(second.begin(), Refused(Again(If(2, 3, 3)), 5));
  Checker checker(Durability::kFsync);
  for (const Round& round : rounds) CHECK(Names(checker.Check(round)) == "");
  CHECK(checker.totals().refused_again == 2);
  CHECK(checker.totals().refused_later == 1);
}

TEST_CASE_FIXTURE(Conditional, "what was refused and is stored is found") {
  SUBCASE("at once") {
    StoreAtTheEnd(3, 3);
  }
  SUBCASE("when it was sent again, after a crash") {
    StoreAtTheEnd(9, 5);
  }
  SUBCASE("though it was sent behind what was refused") {
    StoreAtTheEnd(5, 5);
  }
  CHECK(Breaks(rounds, "Unique"));
}

TEST_CASE_FIXTURE(Conditional,
                  "what was refused, and has a receipt when it is sent again, "
                  "is found") {
  SUBCASE("at once") {
    first[4] = Stored(Again(If(2, 3, 3)), 4);
  }
  SUBCASE("after a crash") {
    second.insert(second.begin(), Stored(Again(If(2, 3, 3)), 6));
  }
  CHECK(Breaks(rounds, "Unique"));
}

TEST_CASE_FIXTURE(Conditional, "what is there, and is refused, is found") {
  SUBCASE("that was not answered before a crash") {
    second[0] = Refused(Again(If(3, 7, 3)), 5);
  }
  SUBCASE("that has a receipt") {
    second.push_back(Refused(Again(If(0, 1, 1)), 8));
  }
  CHECK(Breaks(rounds, "Unique"));
}

TEST_CASE_FIXTURE(Conditional,
                  "what does not follow what it expects is found") {
  SUBCASE("with a receipt") {
    second[3].expected_last->sequence = 5;
  }
  SUBCASE("that expects what comes later") {
    second[3].expected_last->sequence = 7;
  }
  SUBCASE("without a receipt") {
    first[5].expected_last->sequence = 2;
    second.clear();
    rounds[2].contents = rounds[1].contents;
  }
  CHECK(Breaks(rounds, "Unique"));
}

TEST_CASE_FIXTURE(Conditional, "what expects another epoch is found") {
  SUBCASE("with a receipt") {
    second[3].expected_last->epoch = kNextEpoch;
  }
  SUBCASE("without a receipt") {
    first[5].expected_last->epoch = kNextEpoch;
    second.clear();
    rounds[2].contents = rounds[1].contents;
  }
  CHECK(Breaks(rounds, "Unique"));
}

TEST_CASE_FIXTURE(Conditional,
                  "a refusal of what expects the last one is found") {
  SUBCASE("which it is") {
    first[2].refused_at->sequence = 2;
  }
  SUBCASE("which somebody has seen behind that") {
    first[2].refused_at->sequence = 1;
  }
  CHECK(Breaks(rounds, "Unique"));
}

TEST_CASE_FIXTURE(Conditional, "a refusal without a condition is found") {
  first[2].expected_last.reset();
  CHECK(Breaks(rounds, "Unique"));
}

TEST_CASE_FIXTURE(Conditional,
                  "a refusal for messages that are lost is found") {
  // All that were ever sent are not so many that this could not be.
  second[2].refused_at->sequence = 9;
  CHECK(Breaks(rounds, "Durable"));
}

TEST_CASE_FIXTURE(Conditional, "a refusal that names another epoch is found") {
  first[2].refused_at->epoch = kNextEpoch;
  CHECK(Breaks(rounds, "Resumable"));
}

TEST_CASE_FIXTURE(Conditional,
                  "what is there without what was sent before it, and not "
                  "refused, is found") {
  second[2].refused_at.reset();
  second[3].receipts.clear();
  CHECK(Breaks(rounds, "Ordered"));
}

TEST_CASE_FIXTURE(Conditional,
                  "of a conditional append all is there, or nothing") {
  std::vector<Place> places = kPlaces;
  places.pop_back();
  second[3].receipts.clear();
  rounds[2].contents = {There(places)};
  CHECK(Breaks(rounds, "Ordered"));
}

// ---------------------------------------------------------------------------
// Losses

// A log with the durability `os` whose power was cut, and which has lost all
// from 7 on.
std::vector<Round> LossyHistory() {
  std::vector<Round> rounds = GoodHistory();
  rounds.resize(2);
  rounds.push_back(GoodHistory()[0]);
  Round& cut = rounds[2];
  cut.before = Ending::kPowerCut;
  cut.sends.clear();
  cut.ends.clear();
  cut.contents = {Contents(6)};
  Reading resumed = Read(Start::After({.epoch = kEpoch, .sequence = 8}), 7, 6);
  resumed.events.emplace_back(
      Gap{.first_missing = 9, .next = 7, .reason = Gap::Reason::kNewEpoch});
  resumed.end = absl::UnavailableError("killed");
  cut.readings = {resumed};
  for (Reading* reading : {cut.contents.data(), cut.readings.data()}) {
    reading->joined->epoch = kNextEpoch;
  }
  // Killed before, which begins an epoch as well.
  rounds[1].before = Ending::kClosed;
  return rounds;
}

std::string NamesOs(const std::vector<Round>& rounds) {
  return Names(Judge(rounds, Durability::kOs));
}

TEST_CASE("os: a power cut takes the end, if readers are told") {
  CHECK(NamesOs(LossyHistory()) == "");
}

TEST_CASE("os: a loss without another epoch is found") {
  std::vector<Round> rounds = LossyHistory();
  rounds[2].contents[0].joined->epoch = kEpoch;
  rounds[2].readings[0].joined->epoch = kEpoch;
  CHECK(NamesOs(rounds).find("Resumable") != std::string::npos);
}

TEST_CASE("os: a reader that is not told of a loss is found") {
  std::vector<Round> rounds = LossyHistory();
  rounds[2].readings[0].events.clear();
  CHECK(NamesOs(rounds) == "Resumable ");
}

TEST_CASE("os: a reader that is told of a loss that there was not is found") {
  std::vector<Round> rounds = LossyHistory();
  rounds[2].readings[0].start = Start::After({kEpoch, 6});
  rounds[2].readings[0].events[0] =
      Gap{.first_missing = 7, .next = 8, .reason = Gap::Reason::kNewEpoch};
  CHECK(NamesOs(rounds) == "Resumable ");
}

// After the loss cat expects what there was in the epoch before, and is
// refused; then what there is.
class ConditionalLoss {
 public:
  static Send If(std::uint64_t epoch, std::uint64_t expected,
                 std::uint64_t first) {
    return {.sender = "cat",
            .channel = "c",
            .first_number = first,
            .count = 2,
            .producer_id = IdOf("cat"),
            .first_producer_sequence = 1,
            .expected_last = Position{.epoch = epoch, .sequence = expected}};
  }

  std::vector<Round> rounds = LossyHistory();
  std::vector<Send>& sends =
      rounds[2].sends = {If(kEpoch, 6, 1), If(kNextEpoch, 6, 3)};
  Position& refused_at =
      sends[0].refused_at.emplace(Position{.epoch = kNextEpoch, .sequence = 6});
  ConditionalLoss() {
    for (const std::uint64_t sequence : {7U, 8U}) {
      sends[1].receipts.push_back(
          {.position = {kNextEpoch, sequence}, .send_time = At(20)});
    }
  }
};

TEST_CASE_FIXTURE(ConditionalLoss,
                  "os: what expects the epoch before a loss is refused") {
  CHECK(NamesOs(rounds) == "");
}

TEST_CASE_FIXTURE(ConditionalLoss,
                  "os: what expects the epoch before a loss and is stored is "
                  "found") {
  sends[1].expected_last->epoch = kEpoch;
  CHECK(NamesOs(rounds) == "Unique ");
}

TEST_CASE_FIXTURE(ConditionalLoss,
                  "os: a refusal of what expects the last one of the new epoch "
                  "is found") {
  sends[0].expected_last->epoch = kNextEpoch;
  CHECK(NamesOs(rounds) == "Unique ");
}

TEST_CASE("os: a loss by a kill is found") {
  std::vector<Round> rounds = LossyHistory();
  rounds[2].before = Ending::kKilled;
  CHECK(NamesOs(rounds) == "Durable ");
}

}  // namespace
}  // namespace messenger::test
