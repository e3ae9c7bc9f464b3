// Where a reader starts.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "conformance/conformance.h"
#include "log/message_log.h"
#include "messenger/message.h"
#include "support/log_access.h"
#include "support/printing.h"

namespace messenger::test {
namespace {

LOG_TEST_CASE(
    "log: a new-only reader gets what is appended after its first read") {
  LogUnderTest t(kind);
  t.Append({"a"});
  const auto reader = t.Open(Start::NewOnly());
  t.Append({"b"});
  const ReadResult joined = Read(*reader);
  CHECK(joined.count == 0);
  CHECK(joined.next_sequence == 3);
  CHECK(joined.head == 2);
  CHECK_FALSE(joined.gap.has_value());
  t.Append({"c"});
  CHECK(ReadToHead(*reader).texts() == Texts{"c"});
}

LOG_TEST_CASE("log: an earliest reader gets all that is stored") {
  LogUnderTest t(kind);
  t.Append({"a", "b"});
  const auto reader = t.Open(Start::Earliest(), /*strict=*/true);
  CHECK(ReadToHead(*reader).texts() == Texts{"a", "b"});
  CHECK(Read(*reader).count == 0);
  t.Append({"c"});
  CHECK(ReadToHead(*reader).texts() == Texts{"c"});
}

LOG_TEST_CASE(
    "log: a start by sequence is inclusive, up to one past the head") {
  LogUnderTest t(kind);
  t.Append({"a", "b", "c"});
  for (std::uint64_t sequence = 1; sequence <= 4; ++sequence) {
    CAPTURE(sequence);
    const auto reader = t.Open(Start::At(sequence), /*strict=*/true);
    const ReadToHead rest(*reader);
    CHECK(rest.sequences() == Sequences(sequence, 3));
    CHECK(rest.next_sequence == 4);
  }
}

LOG_TEST_CASE("log: a start beyond the head is refused, naming both") {
  LogUnderTest t(kind);
  t.Append({"a", "b", "c"});
  for (const std::uint64_t sequence : {std::uint64_t{5}, UINT64_MAX}) {
    const std::string error = t.StartErrorOf(Start::At(sequence));
    CAPTURE(error);
    CHECK(Contains(error, "sequence"));
    CHECK(Contains(error, std::to_string(sequence)));
    CHECK(Contains(error, "\"c\""));
    CHECK(Contains(error, "3"));
  }
}

LOG_TEST_CASE(
    "log: a position beyond the head goes on after the head and says so, or is "
    "refused if strict") {
  LogUnderTest t(kind);
  t.Append({"a", "b", "c"});
  const std::uint64_t epoch = t.log->epoch();
  for (const std::uint64_t sequence : {std::uint64_t{4}, UINT64_MAX - 1}) {
    const auto reader = t.Open(Start::After({epoch, sequence}));
    const ReadToHead rest(*reader);
    CHECK(rest.gaps ==
          std::vector<Gap>{{sequence + 1, 4, Gap::Reason::kRolledBack}});
    CHECK(rest.sequences().empty());
    CHECK(rest.next_sequence == 4);

    const auto strict =
        t.Open(Start::After({epoch, sequence}), /*strict=*/true);
    const auto refused = TryRead(*strict, {.max_bytes = 1000});
    REQUIRE(absl::IsOutOfRange(refused.status()));
    const std::string error(refused.status().message());
    CAPTURE(error);
    CHECK(Contains(error, "resume_after"));
    CHECK(Contains(error, std::to_string(sequence)));
    CHECK(Contains(error, "3"));
  }
  // The largest sequence has none after it.
  const auto reader = t.Open(Start::After({epoch, UINT64_MAX}));
  CHECK(ReadToHead(*reader).gaps ==
        std::vector<Gap>{{UINT64_MAX, 4, Gap::Reason::kRolledBack}});
}

LOG_TEST_CASE("log: a start by time is the first message not sent before it") {
  LogUnderTest t(kind);
  using std::chrono::nanoseconds;
  std::vector<Timestamp> times;
  for (int i = 0; i < 4; ++i) {
    t.clock.Advance(std::chrono::seconds(1));
    t.Append({"a", "b"});  // 1 2, 3 4, 5 6, 7 8
    times.push_back(t.clock.now());
  }
  CHECK(t.NextAt(Start::Since(Timestamp())) == 1);
  CHECK(t.NextAt(Start::Since(times[0] - nanoseconds(1))) == 1);
  CHECK(t.NextAt(Start::Since(times[0])) == 1);
  CHECK(t.NextAt(Start::Since(times[0] + nanoseconds(1))) == 3);
  CHECK(t.NextAt(Start::Since(times[2])) == 5);
  CHECK(t.NextAt(Start::Since(times[3] - nanoseconds(1))) == 7);
  CHECK(t.NextAt(Start::Since(times[3])) == 7);
  CHECK(t.NextAt(Start::Since(times[3] + nanoseconds(1))) == 9);
  CHECK(t.NextAt(Start::Since(times[3] + std::chrono::hours(1))) == 9);
}

LOG_TEST_CASE("log: a start by time finds its message among very many") {
  LogUnderTest t(kind);
  std::vector<Timestamp> times;
  for (int i = 0; i < 1000; ++i) {
    // Several batches share a time.
    if (i % 3 == 0) t.clock.Advance(std::chrono::milliseconds(5));
    t.Append({std::string(static_cast<std::size_t>(i), 'x')});
    times.push_back(t.clock.now());
  }
  for (std::size_t i = 0; i < times.size(); i += 7) {
    const auto first =
        std::lower_bound(times.begin(), times.end(), times[i]) - times.begin();
    CAPTURE(i);
    CHECK(t.NextAt(Start::Since(times[i])) ==
          static_cast<std::uint64_t>(first) + 1);
  }
}

LOG_TEST_CASE("log: a start by count is so many before the end") {
  LogUnderTest t(kind);
  t.Append({"a", "b", "c"});
  CHECK(t.NextAt(Start::Last(0), /*strict=*/true) == 4);
  CHECK(t.NextAt(Start::Last(1), /*strict=*/true) == 3);
  CHECK(t.NextAt(Start::Last(3), /*strict=*/true) == 1);
  CHECK(t.NextAt(Start::Last(4), /*strict=*/true) == 1);
  CHECK(t.NextAt(Start::Last(UINT64_MAX), /*strict=*/true) == 1);
}

LOG_TEST_CASE("log: a position resumes right after it") {
  LogUnderTest t(kind);
  t.Append({"a", "b", "c"});
  const std::uint64_t epoch = t.log->epoch();
  for (std::uint64_t sequence = 0; sequence <= 3; ++sequence) {
    CAPTURE(sequence);
    const auto reader =
        t.Open(Start::After({epoch, sequence}), /*strict=*/true);
    const ReadToHead rest(*reader);
    CHECK(rest.gaps.empty());
    CHECK(rest.sequences() == Sequences(sequence + 1, 3));
  }
}

LOG_TEST_CASE(
    "log: a position of another epoch begins with the oldest message and says "
    "so") {
  LogUnderTest t(kind);
  t.Append({"a", "b", "c"});
  const std::uint64_t other = t.log->epoch() ^ 1U;
  for (const std::uint64_t sequence : {0U, 2U, 3U, 7U}) {
    const auto reader = t.Open(Start::After({other, sequence}));
    const ReadToHead all(*reader);
    REQUIRE(all.gaps.size() == 1);
    CHECK(all.gaps[0] == Gap{.first_missing = sequence + 1,
                             .next = 1,
                             .reason = Gap::Reason::kNewEpoch});
    CHECK(all.sequences() == Sequences(1, 3));
  }
  const std::string error =
      t.StartErrorOf(Start::After({other, 2}), /*strict=*/true);
  CAPTURE(error);
  CHECK(Contains(error, "strict"));
  CHECK(Contains(error, "epoch"));
}

LOG_TEST_CASE(
    "log: a channel that does not exist yet can be read from any start at its "
    "beginning") {
  LogUnderTest t(kind);
  const std::uint64_t epoch = t.log->epoch();
  for (const Start& start : {Start::NewOnly(), Start::Earliest(), Start::At(1),
                             Start::Since(t.clock.now()), Start::Last(5),
                             Start::Last(0), Start::After({epoch, 0})}) {
    CAPTURE(static_cast<int>(start.kind));
    const std::string channel =
        fmt::format("{}-{}", static_cast<int>(start.kind), start.number);
    const auto reader = t.Open(start, /*strict=*/true, channel);
    const ReadResult joined = Read(*reader);
    CHECK(joined.count == 0);
    CHECK(joined.head == 0);
    CHECK(joined.next_sequence == 1);
    CHECK_FALSE(joined.gap.has_value());
    CHECK_FALSE(reader->Behind());
    t.Append({"a"}, channel);
    CHECK(reader->Behind());
    CHECK(ReadToHead(*reader).texts() == Texts{"a"});
  }
}

LOG_TEST_CASE(
    "log: in a channel that does not exist yet, all but its beginning is "
    "beyond the head") {
  LogUnderTest t(kind);
  CHECK(Contains(t.StartErrorOf(Start::At(2)), "2"));
  CHECK(ReadToHead(*t.Open(Start::After({t.log->epoch(), 1}))).gaps ==
        std::vector<Gap>{{2, 1, Gap::Reason::kRolledBack}});
  const auto reader = t.Open(Start::After({t.log->epoch() ^ 1U, 7}));
  const ReadResult joined = Read(*reader);
  REQUIRE(joined.gap.has_value());
  CHECK(*joined.gap ==
        Gap{.first_missing = 8, .next = 1, .reason = Gap::Reason::kNewEpoch});
  CHECK(joined.next_sequence == 1);
}

LOG_TEST_CASE("log: to read a channel does not create it") {
  LogUnderTest t(kind);
  const auto reader = t.Open(Start::Earliest());
  Read(*reader);
  CHECK(GetChannel(*t.log, "c").status().code() == absl::StatusCode::kNotFound);
  CHECK(ListChannels(*t.log, "", 10).empty());
}

}  // namespace
}  // namespace messenger::test
