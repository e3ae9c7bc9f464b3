// What retention drops, and what readers are told of it.
#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "conformance/conformance.h"
#include "log/message_log.h"
#include "messenger/message.h"
#include "support/log_access.h"
#include "support/printing.h"

namespace messenger::test {
namespace {

LOG_TEST_CASE("log: a channel keeps at most so many bytes") {
  LogUnderTest t(kind, SmallRetention());
  for (std::uint64_t i = 1; i <= 500; ++i) {
    t.Append({std::string(1000, 'x')});
    const auto info = GetChannel(*t.log, "c");
    REQUIRE(info.ok());
    CHECK(info->head == i);
    CHECK(info->bytes <= kSmallestRetention);
    CHECK(info->first_sequence <= i);
  }
  CHECK(t.First() > 1);
  const auto reader = t.Open(Start::At(t.First()), /*strict=*/true);
  CHECK(ReadToHead(*reader).sequences() == Sequences(t.First(), 500));
}

LOG_TEST_CASE(
    "log: a message that is larger than what is kept is there until the next") {
  LogUnderTest t(kind, SmallRetention());
  const std::string large(3 * kSmallestRetention, 'x');
  t.Append({"a"});
  for (std::uint64_t i = 2; i <= 6; ++i) {
    t.Append({large});
    CHECK(t.First() == i);
    const auto reader = t.Open(Start::At(i), /*strict=*/true);
    CHECK(ReadToHead(*reader).texts() == Texts{large});
  }
}

LOG_TEST_CASE("log: the bytes of a channel are those of its stored messages") {
  LogUnderTest t(kind, SmallRetention());
  const auto stored_bytes = [&t] {
    const auto reader = t.Open(Start::Earliest());
    std::size_t bytes = 0;
    for (;;) {
      const ReadResult result = Read(*reader);
      if (result.count == 0) return bytes;
      bytes += BytesIn(result);
    }
  };
  t.Append({"a", "b"});
  CHECK(GetChannel(*t.log, "c")->bytes == stored_bytes());
  t.AppendUntilDropped(0);
  CHECK(GetChannel(*t.log, "c")->bytes == stored_bytes());
}

LOG_TEST_CASE(
    "log: a reader that retention overtakes is told exactly what it misses") {
  LogUnderTest t(kind, SmallRetention());
  t.Append(Texts(5, "early"));
  const auto reader = t.Open(Start::Earliest());
  const ReadResult early =
      Read(*reader, {.max_bytes = std::size_t{1} << 20, .max_count = 3});
  const std::uint64_t next = early.next_sequence + early.count;
  t.AppendUntilDropped(next + 3);
  const std::uint64_t first = t.First();
  CHECK(reader->Behind());
  const ReadResult result = Read(*reader);
  REQUIRE(result.gap.has_value());
  CHECK(*result.gap == Gap{.first_missing = next,
                           .next = first,
                           .reason = Gap::Reason::kRetention});
  CHECK(result.next_sequence == first);
  REQUIRE(result.count >= 1);
  MessagesIn(result);
  // Once is enough.
  const ReadToHead rest(*reader);
  CHECK(rest.gaps.empty());
  CHECK(rest.next_sequence == t.Head() + 1);
}

LOG_TEST_CASE(
    "log: a start that retention has overtaken begins with a gap, or is "
    "refused if strict") {
  LogUnderTest t(kind, SmallRetention());
  t.AppendUntilDropped(5);
  const std::uint64_t first = t.First();
  const std::uint64_t head = t.Head();
  const std::uint64_t epoch = t.log->epoch();
  struct Case {
    Start start;
    std::uint64_t first_missing;
  };
  for (const Case& c :
       {Case{Start::Earliest(), 1}, Case{Start::At(1), 1},
        Case{Start::At(first - 1), first - 1},
        Case{Start::After({epoch, 0}), 1}, Case{Start::After({epoch, 2}), 3},
        Case{Start::Last(head), 1},
        Case{Start::Last(head - first + 2), first - 1}}) {
    CAPTURE(static_cast<int>(c.start.kind));
    CAPTURE(c.first_missing);
    const auto reader = t.Open(c.start);
    const ReadToHead rest(*reader);
    REQUIRE(rest.gaps.size() == 1);
    CHECK(rest.gaps[0] == Gap{.first_missing = c.first_missing,
                              .next = first,
                              .reason = Gap::Reason::kRetention});
    CHECK(rest.sequences() == Sequences(first, head));
    const std::string error = t.StartErrorOf(c.start, /*strict=*/true);
    CAPTURE(error);
    CHECK(Contains(error, "strict"));
    CHECK(Contains(error, std::to_string(first)));
  }
  for (const Start& start : {Start::At(first), Start::After({epoch, first - 1}),
                             Start::Last(head - first + 1)}) {
    CAPTURE(static_cast<int>(start.kind));
    const auto reader = t.Open(start, /*strict=*/true);
    const ReadToHead rest(*reader);
    CHECK(rest.gaps.empty());
    CHECK(rest.sequences() == Sequences(first, head));
  }
}

LOG_TEST_CASE("log: a start by time before what is stored begins with a gap") {
  LogUnderTest t(kind, SmallRetention());
  const Timestamp begin = t.clock.now();
  t.AppendUntilDropped(5);  // message n is sent n seconds after `begin`
  const std::uint64_t first = t.First();
  const auto time_of = [begin](std::uint64_t sequence) {
    return begin + std::chrono::seconds(sequence);
  };
  for (const Timestamp time : {begin, time_of(2), time_of(first - 1)}) {
    const auto reader = t.Open(Start::Since(time));
    const ReadResult result = Read(*reader);
    REQUIRE(result.gap.has_value());
    CAPTURE(*result.gap);
    CHECK((result.gap->reason == Gap::Reason::kRetention));
    CHECK(result.gap->next == first);
    // The oldest one that may be among the missing ones.
    CHECK(result.gap->first_missing >= 1);
    CHECK((time_of(result.gap->first_missing) <= time || time == begin));
    CHECK(result.next_sequence == first);
    t.StartErrorOf(Start::Since(time), /*strict=*/true);
  }
  CHECK(t.NextAt(Start::Since(time_of(first)), /*strict=*/true) == first);
  CHECK(t.NextAt(Start::Since(time_of(first - 1) + std::chrono::nanoseconds(1)),
                 /*strict=*/true) == first);
}

LOG_TEST_CASE(
    "log: messages older than the age limit are gone when the channel is next "
    "looked at") {
  LogUnderTest t(kind, OneHourRetention());
  t.Append({"a", "b", "c"});
  const auto reader = t.Open(Start::Earliest());
  Read(*reader, {.max_bytes = std::size_t{1} << 20, .max_count = 1});
  t.clock.Advance(std::chrono::hours(1));
  CHECK(t.First() == 1);
  t.clock.Advance(std::chrono::nanoseconds(1));
  SUBCASE("by a reader") {
    CHECK(reader->Behind());
    const ReadResult result = Read(*reader);
    REQUIRE(result.gap.has_value());
    CHECK(*result.gap == Gap{.first_missing = 2,
                             .next = 4,
                             .reason = Gap::Reason::kRetention});
    CHECK(result.count == 0);
    CHECK(result.next_sequence == 4);
    CHECK(result.head == 3);
    CHECK_FALSE(reader->Behind());
  }
  SUBCASE("by a reader that starts") {
    for (const Start& start : {Start::At(1), Start::Earliest()}) {
      const auto other = t.Open(start);
      const ReadResult result = Read(*other);
      REQUIRE(result.gap.has_value());
      CHECK(*result.gap == Gap{.first_missing = 1,
                               .next = 4,
                               .reason = Gap::Reason::kRetention});
      CHECK(result.count == 0);
      t.StartErrorOf(start, /*strict=*/true);
    }
    CHECK(t.NextAt(Start::At(4), /*strict=*/true) == 4);
  }
  SUBCASE("by name") {
    const auto info = GetChannel(*t.log, "c");
    REQUIRE(info.ok());
    CHECK(info->first_sequence == 4);
    CHECK(info->head == 3);
    CHECK(info->bytes == 0);
  }
  SUBCASE("in a list") {
    const std::vector<ChannelInfo> list = ListChannels(*t.log, "", 10);
    REQUIRE(list.size() == 1);
    CHECK(list[0].first_sequence == 4);
    CHECK(list[0].bytes == 0);
  }
  // The next message follows.
  CHECK(SequencesOf(t.Append({"d"})) == Sequences(4, 4));
  CHECK(t.First() == 4);
  const auto rest = t.Open(Start::Earliest());
  const ReadToHead all(*rest);
  REQUIRE(all.gaps.size() == 1);
  CHECK(all.gaps[0] ==
        Gap{.first_missing = 1, .next = 4, .reason = Gap::Reason::kRetention});
  CHECK(all.texts() == Texts{"d"});
}

LOG_TEST_CASE(
    "log: age is by the steady clock, so setting the wall clock drops "
    "nothing") {
  LogUnderTest t(kind, OneHourRetention());
  t.Append({"a"});
  t.clock.StepWallClock(std::chrono::hours(1000));
  CHECK(t.First() == 1);
  t.clock.StepWallClock(-std::chrono::hours(2000));
  CHECK(t.First() == 1);
  // A machine that comes up in 2098, and learns the time later.
  constexpr std::chrono::hours kYears{24 * 365 * 72};
  t.clock.StepWallClock(kYears);
  t.Append({"b"});
  CHECK(t.First() == 1);
  t.clock.StepWallClock(-kYears);
  CHECK(t.First() == 1);
  t.clock.Advance(std::chrono::hours(2));
  CHECK(t.First() == 3);
}

}  // namespace
}  // namespace messenger::test
