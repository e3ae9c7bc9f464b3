#include "log/producer_table.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/reason.h"
#include "base/status.h"
#include "support/log_access.h"
#include "support/printing.h"

namespace messenger::producer_table_test {
namespace {

using test::Producer;

using Time = ProducerTable::Clock::time_point;
using std::chrono::hours;

constexpr Time kStart{hours(1000)};

ProducerTable::Limits Limits(std::size_t max_producers = 100) {
  return {.max_producers = max_producers, .idle_timeout = hours(1)};
}

// What Find says, in a line: "1→101 ×3, 4→110 ×1" or the error.
std::string Find(const ProducerTable& table, const ProducerId& id,
                 std::uint64_t first, std::uint64_t count,
                 std::string_view user = {}) {
  const auto stored = table.Find(id, user, first, count);
  if (!stored.ok()) {
    CHECK((absl::IsFailedPrecondition(stored.status()) ||
           ReasonOf(stored.status()) == "PRODUCER_OWNED"));
    return std::string(MessageOf(stored.status()));
  }
  std::string line;
  for (const ProducerRun& run : *stored) {
    line += fmt::format("{}{}→{} ×{}", line.empty() ? "" : ", ",
                        run.producer_sequence, run.sequence, run.count);
  }
  return line.empty() ? "new" : line;
}

TEST_CASE("producer table: a producer that is not known starts at 1") {
  const ProducerTable table(Limits());
  CHECK(Find(table, Producer(1), 1, 5) == "new");
  CHECK(Find(table, Producer(1), 2, 5) ==
        "producer sequence 2: expected 1, since this producer is not known, or "
        "no longer known, in this channel");
}

TEST_CASE("producer table: before what is missing, all is forgotten") {
  ProducerTable table(Limits());
  table.Record(Producer(1), {1, 101, 3}, kStart);
  table.Record(Producer(1), {6, 110, 2}, kStart);
  CHECK(Find(table, Producer(1), 6, 2) == "6→110 ×2");
  CHECK(Find(table, Producer(1), 8, 1) == "new");
  CHECK(Find(table, Producer(1), 3, 1) ==
        "producer sequence 3: expected 8; what was stored before 6 is no "
        "longer remembered");
}

TEST_CASE(
    "producer table: what follows the last one is new, and what skips is "
    "refused with what was expected") {
  ProducerTable table(Limits());
  table.Record(Producer(1), {1, 101, 3}, kStart);
  CHECK(Find(table, Producer(1), 4, 2) == "new");
  CHECK(Find(table, Producer(1), 5, 2) == "producer sequence 5: expected 4");
  CHECK(Find(table, Producer(1), UINT64_MAX, 1) ==
        "producer sequence 18446744073709551615: expected 4");
}

TEST_CASE("producer table: repeated messages are found however they are cut") {
  ProducerTable table(Limits());
  table.Record(Producer(1), {1, 101, 3}, kStart);  // 1 2 3
  table.Record(Producer(1), {4, 110, 2}, kStart);  // 4 5
  table.Record(Producer(1), {6, 200, 1}, kStart);  // 6
  CHECK(Find(table, Producer(1), 1, 3) == "1→101 ×3");
  CHECK(Find(table, Producer(1), 2, 1) == "2→102 ×1");
  CHECK(Find(table, Producer(1), 3, 1) == "3→103 ×1");
  CHECK(Find(table, Producer(1), 4, 1) == "4→110 ×1");
  CHECK(Find(table, Producer(1), 2, 3) == "2→102 ×2, 4→110 ×1");
  CHECK(Find(table, Producer(1), 3, 4) == "3→103 ×1, 4→110 ×2, 6→200 ×1");
  CHECK(Find(table, Producer(1), 6, 1) == "6→200 ×1");
}

TEST_CASE("producer table: only the leading part of a batch may be repeated") {
  ProducerTable table(Limits());
  table.Record(Producer(1), {1, 101, 3}, kStart);
  CHECK(Find(table, Producer(1), 3, 10) == "3→103 ×1");
}

TEST_CASE(
    "producer table: batches next to each other in the channel are one "
    "run") {
  ProducerTable table(Limits());
  for (std::uint64_t i = 0; i < ProducerTable::kMaxRuns * 4; ++i) {
    table.Record(Producer(1), {1 + i, 101 + i, 1}, kStart);
  }
  CHECK(Find(table, Producer(1), 1, 1024) == "1→101 ×1024");
}

TEST_CASE(
    "producer table: so many runs are remembered, then the oldest are "
    "not") {
  ProducerTable table(Limits());
  std::uint64_t next = 1;
  const auto record_run = [&] {
    table.Record(Producer(1), {next, 10 * next, 2}, kStart);
    next += 2;
  };
  for (std::size_t i = 0; i < ProducerTable::kMaxRuns; ++i) record_run();
  CHECK(Find(table, Producer(1), 1, 2) == "1→10 ×2");
  record_run();
  CHECK(Find(table, Producer(1), 2, 2) ==
        "producer sequence 2: expected 515; what was stored before 3 is no "
        "longer remembered");
  CHECK(Find(table, Producer(1), 3, 2) == "3→30 ×2");
  CHECK(Find(table, Producer(1), next, 1) == "new");
}

TEST_CASE("producer table: there is never memory for more runs than that") {
  ProducerTable table(Limits());
  for (std::uint64_t i = 1; i <= 3 * ProducerTable::kMaxRuns; ++i) {
    table.Record(Producer(1), {i, 10 * i, 1}, kStart);
    REQUIRE(table.run_capacity() <= ProducerTable::kMaxRuns);
  }
  // What messenger/log.h promises, with room for what else is kept.
  constexpr std::size_t kPromised = std::size_t{6} << 10;
  static_assert(ProducerTable::kMaxRuns * sizeof(ProducerRun) <= kPromised);
}

TEST_CASE(
    "producer table: when nothing is stored any more, a producer goes on where "
    "it was, and can repeat nothing else") {
  ProducerTable table(Limits());
  for (std::uint64_t i = 1; i <= 100; ++i) {
    table.Record(Producer(1), {i, 10 * i, 1}, kStart);
    table.Record(Producer(2), {2 * i - 1, 10 * i + 1, 2}, kStart);
  }
  table.ForgetStored(kStart);
  CHECK(table.size() == 2);
  CHECK(table.run_capacity() == 2);
  CHECK(Find(table, Producer(1), 101, 1) == "new");
  CHECK(Find(table, Producer(1), 102, 1) ==
        "producer sequence 102: expected 101");
  CHECK(Find(table, Producer(1), 100, 1) == "100→1000 ×1");
  CHECK(Find(table, Producer(1), 1, 100) ==
        "producer sequence 1: expected 101; what was stored before 100 is no "
        "longer remembered");
  CHECK(Find(table, Producer(2), 201, 1) == "new");
  CHECK(Find(table, Producer(2), 200, 2) == "200→1002 ×1");
  table.Record(Producer(2), {201, 2000, 1}, kStart);
  CHECK(Find(table, Producer(2), 201, 1) == "201→2000 ×1");
}

TEST_CASE(
    "producer table: when nothing is stored any more, those idle for longer "
    "than the timeout are forgotten") {
  ProducerTable table(Limits());
  table.Record(Producer(1), {1, 101, 1}, kStart);
  table.Record(Producer(2), {1, 102, 1}, kStart + hours(1));
  table.ForgetStored(kStart + hours(2));
  CHECK(table.size() == 1);
  CHECK(Find(table, Producer(2), 2, 1) == "new");
}

TEST_CASE(
    "producer table: a producer that does not go on where it was is a new "
    "one") {
  ProducerTable table(Limits());
  table.Record(Producer(1), {1, 101, 3}, kStart);
  table.Record(Producer(1), {1, 104, 2}, kStart);
  CHECK(Find(table, Producer(1), 1, 2) == "1→104 ×2");
  CHECK(Find(table, Producer(1), 3, 1) == "new");
  CHECK(Find(table, Producer(1), 4, 1) == "producer sequence 4: expected 3");
}

TEST_CASE("producer table: producers do not see each other") {
  ProducerTable table(Limits());
  table.Record(Producer(1), {1, 101, 3}, kStart);
  table.Record(Producer(2), {1, 104, 1}, kStart);
  CHECK(Find(table, Producer(1), 1, 3) == "1→101 ×3");
  CHECK(Find(table, Producer(2), 1, 3) == "1→104 ×1");
  CHECK(Find(table, Producer(3), 1, 3) == "new");
  CHECK(table.size() == 2);
}

TEST_CASE(
    "producer table: beyond the limit, the one idle longest is "
    "forgotten") {
  ProducerTable table(Limits(2));
  table.Record(Producer(1), {1, 101, 1}, kStart);
  table.Record(Producer(2), {1, 102, 1}, kStart);
  table.Record(Producer(1), {2, 103, 1}, kStart);
  table.Record(Producer(3), {1, 104, 1}, kStart);
  CHECK(table.size() == 2);
  CHECK(Find(table, Producer(1), 3, 1) == "new");
  CHECK(Find(table, Producer(3), 2, 1) == "new");
  CHECK(test::Contains(Find(table, Producer(2), 2, 1), "expected 1"));
}

TEST_CASE(
    "producer table: those idle for longer than the timeout are forgotten "
    "when another one comes") {
  ProducerTable table(Limits());
  table.Record(Producer(1), {1, 101, 1}, kStart);
  table.Record(Producer(2), {1, 102, 1}, kStart + hours(1));
  CHECK(table.size() == 2);
  table.Record(Producer(2), {2, 103, 1}, kStart + hours(2));
  CHECK(table.size() == 2);
  table.Record(Producer(3), {1, 104, 1}, kStart + hours(2));
  CHECK(table.size() == 2);
  CHECK(test::Contains(Find(table, Producer(1), 2, 1), "expected 1"));
  CHECK(Find(table, Producer(2), 3, 1) == "new");
}

TEST_CASE("producer table: a forgotten producer may start again") {
  ProducerTable table(Limits(1));
  table.Record(Producer(1), {1, 101, 1}, kStart);
  table.Record(Producer(2), {1, 102, 1}, kStart);
  REQUIRE(Find(table, Producer(1), 1, 1) == "new");
  table.Record(Producer(1), {1, 103, 1}, kStart);
  CHECK(Find(table, Producer(1), 1, 1) == "1→103 ×1");
}

TEST_CASE(
    "producer table: a producer that counts with holes is remembered on "
    "both sides of them") {
  ProducerTable table(Limits());
  using enum ProducerTable::Counts;
  table.Record(Producer(1), {5, 101, 3}, kStart, kWithHoles);
  table.Record(Producer(1), {10, 104, 2}, kStart, kWithHoles);
  const auto recorded =
      table.Record(Producer(1), {20, 106, 1}, kStart, kWithHoles);
  const auto remembered = [&](std::uint64_t first, std::uint64_t count) {
    std::string line;
    for (const ProducerRun& run :
         table.FindRemembered(Producer(1), first, count)) {
      line += fmt::format("{}→{} ×{} ", run.producer_sequence, run.sequence,
                          run.count);
    }
    return line;
  };
  CHECK(remembered(1, 100) == "5→101 ×3 10→104 ×2 20→106 ×1 ");
  CHECK(remembered(6, 5) == "6→102 ×2 10→104 ×1 ");
  CHECK(remembered(8, 2).empty());
  CHECK(remembered(11, 9) == "11→105 ×1 ");
  CHECK(table.FindRemembered(Producer(2), 1, 10).empty());
  table.Undo(recorded);
  CHECK(remembered(1, 100) == "5→101 ×3 10→104 ×2 ");
  // Once it is no named one any more, what lies in a hole is too old.
  CHECK(Find(table, Producer(1), 10, 3) == "10→104 ×2");
  CHECK(Find(table, Producer(1), 12, 1) == "new");
  CHECK(Find(table, Producer(1), 7, 4) ==
        "producer sequence 7: expected 12; what was stored before 5 is no "
        "longer remembered");
}

// ---- Owners.

// Of Producer(1); "new" if that is not known.
std::string OwnerIn(const ProducerTable& table) {
  for (const ProducerTable::Snapshot& producer : table.Save()) {
    if (producer.id == Producer(1)) return producer.owner;
  }
  return "new";
}

ProducerTable::Recorded RecordBy(std::string_view user, ProducerTable& table,
                                 const ProducerRun& run, Time now = kStart) {
  return table.Record(Producer(1), run, now,
                      ProducerTable::Counts::kConsecutively, user);
}

constexpr std::string_view kOfAnother =
    "producer_id: belongs to another identity";

TEST_CASE(
    "producer table: who uses a producer first owns it, and nobody else is "
    "told anything of it") {
  ProducerTable table(Limits());
  CHECK(RecordBy("ann", table, {1, 101, 3}).sets_owner);
  CHECK(Find(table, Producer(1), 2, 5, "ann") == "2→102 ×2");
  CHECK(Find(table, Producer(1), 4, 1, "ann") == "new");
  for (const char* other : {"bob", "", "an", "annn"}) {
    for (const std::uint64_t first : {1U, 3U, 4U, 9U}) {
      CHECK(Find(table, Producer(1), first, 2, other) == kOfAnother);
    }
  }
  // Another id is another producer.
  CHECK(Find(table, Producer(2), 1, 1, "bob") == "new");
}

TEST_CASE("producer table: who is not known owns nothing, and is taken over") {
  ProducerTable table(Limits());
  CHECK_FALSE(RecordBy("", table, {1, 101, 3}).sets_owner);
  CHECK(Find(table, Producer(1), 4, 1, "ann") == "new");
  CHECK(RecordBy("ann", table, {4, 104, 1}).sets_owner);
  CHECK_FALSE(RecordBy("ann", table, {5, 105, 1}).sets_owner);
  CHECK(Find(table, Producer(1), 6, 1) == kOfAnother);
}

TEST_CASE("producer table: an owner that was set is undone") {
  ProducerTable table(Limits());
  table.Record(Producer(1), {1, 101, 3}, kStart);
  const auto first = RecordBy("ann", table, {4, 104, 1});
  const auto second = RecordBy("ann", table, {5, 105, 1});
  table.Undo(second);
  CHECK(OwnerIn(table) == "ann");
  table.Undo(first);
  CHECK(OwnerIn(table).empty());
  CHECK(Find(table, Producer(1), 4, 1, "bob") == "new");
  table.Undo(table.Record(Producer(2), {1, 104, 1}, kStart,
                          ProducerTable::Counts::kConsecutively, "ann"));
  CHECK(Find(table, Producer(2), 1, 1, "bob") == "new");
}

TEST_CASE("producer table: a producer that is forgotten has no owner") {
  ProducerTable table(Limits(1));
  RecordBy("ann", table, {1, 101, 3});
  table.Record(Producer(2), {1, 104, 1}, kStart);
  CHECK(OwnerIn(table) == "new");
  CHECK(RecordBy("bob", table, {1, 105, 1}).sets_owner);
  CHECK(OwnerIn(table) == "bob");
  ProducerTable idle(Limits());
  RecordBy("ann", idle, {1, 101, 3});
  idle.ForgetStored(kStart + hours(2));
  CHECK(OwnerIn(idle) == "new");
}

TEST_CASE("producer table: an owner outlasts what is stored, and is restored") {
  ProducerTable table(Limits());
  RecordBy("ann", table, {1, 101, 3});
  table.ForgetStored(kStart);
  CHECK(OwnerIn(table) == "ann");
  ProducerTable restored(Limits());
  for (ProducerTable::Snapshot& producer : table.Save()) {
    restored.Restore(std::move(producer));
  }
  CHECK(OwnerIn(restored) == "ann");
  CHECK(Find(restored, Producer(1), 4, 1, "bob") == kOfAnother);
  restored.RestoreOwner(Producer(2), "bob");
  CHECK(restored.size() == 1);
}

TEST_CASE(
    "producer table: in a replay, a producer that begins at 1 again has lost "
    "its owner, and one of which messages are missing has not") {
  ProducerTable table(Limits());
  RecordBy("", table, {1, 101, 3});
  table.RestoreOwner(Producer(1), "ann");
  RecordBy("", table, {6, 110, 1});
  CHECK(OwnerIn(table) == "ann");
  RecordBy("", table, {1, 120, 1});
  CHECK(OwnerIn(table).empty());
  table.RestoreOwner(Producer(1), "bob");
  CHECK(OwnerIn(table) == "bob");
}

}  // namespace
}  // namespace messenger::producer_table_test
