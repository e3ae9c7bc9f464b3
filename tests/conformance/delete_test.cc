// Deleting channels, and what readers are told of it.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/status.h"
#include "conformance/conformance.h"
#include "log/message_log.h"
#include "messenger/message.h"
#include "support/log_access.h"
#include "support/printing.h"

namespace messenger::test {
namespace {

LOG_TEST_CASE("log: a deleted channel is not there any more") {
  LogUnderTest t(kind);
  t.Append({"a", "b"});
  t.Append({"other"}, "d");
  CHECK(Delete(*t.log, "c").ToString() == "OK");
  CHECK(GetChannel(*t.log, "c").status().code() == absl::StatusCode::kNotFound);
  const std::vector<ChannelInfo> list = ListChannels(*t.log, "", 10);
  REQUIRE(list.size() == 1);
  CHECK(list[0].name == "d");
}

LOG_TEST_CASE("log: a channel that is not there cannot be deleted") {
  LogUnderTest t(kind);
  const absl::Status status = Delete(*t.log, "c");
  CHECK(status.code() == absl::StatusCode::kNotFound);
  CHECK(Contains(MessageOf(status), "\"c\""));
  t.Append({"a"});
  CHECK(Delete(*t.log, "c").ok());
  CHECK(Delete(*t.log, "c").code() == absl::StatusCode::kNotFound);
}

LOG_TEST_CASE(
    "log: a deleted channel continues its sequence, and readers are told of "
    "the gap") {
  LogUnderTest t(kind);
  t.Append(Texts(5, "old"));
  const auto reader = t.Open(Start::Earliest());
  const ReadResult before =
      Read(*reader, {.max_bytes = std::size_t{1} << 20, .max_count = 2});
  const std::uint64_t next = before.next_sequence + before.count;
  const auto caught_up = t.Open(Start::NewOnly());
  Read(*caught_up);
  REQUIRE(Delete(*t.log, "c").ok());

  CHECK(reader->Behind());
  const ReadResult after = Read(*reader);
  REQUIRE(after.gap.has_value());
  CHECK(*after.gap ==
        Gap{.first_missing = next, .next = 6, .reason = Gap::Reason::kDeleted});
  CHECK(after.count == 0);
  CHECK(after.next_sequence == 6);
  CHECK_FALSE(reader->Behind());

  CHECK(SequencesOf(t.Append({"new"})) == Sequences(6, 6));
  for (LogReader* const each : {reader.get(), caught_up.get()}) {
    CHECK(each->Behind());
    const ReadToHead rest(*each);
    CHECK(rest.gaps.empty());
    CHECK(rest.sequences() == Sequences(6, 6));
    CHECK(rest.texts() == Texts{"new"});
  }
  const auto info = GetChannel(*t.log, "c");
  REQUIRE(info.ok());
  CHECK(info->first_sequence == 6);
  CHECK(info->head == 6);
}

LOG_TEST_CASE(
    "log: a start in what was deleted begins with a gap, or is refused if "
    "strict") {
  LogUnderTest t(kind);
  t.Append(Texts(5, "old"));
  REQUIRE(Delete(*t.log, "c").ok());
  const std::uint64_t epoch = t.log->epoch();
  const auto check = [&](const char* when) {
    CAPTURE(when);
    for (const Start& start : {Start::At(3), Start::After({epoch, 2})}) {
      const auto reader = t.Open(start);
      const ReadResult result = Read(*reader);
      REQUIRE(result.gap.has_value());
      CHECK(*result.gap == Gap{.first_missing = 3,
                               .next = 6,
                               .reason = Gap::Reason::kDeleted});
      CHECK(result.next_sequence == 6);
      const std::string error = t.StartErrorOf(start, /*strict=*/true);
      CAPTURE(error);
      CHECK(Contains(error, "deleted"));
    }
    const auto earliest = t.Open(Start::Earliest());
    const ReadResult all = Read(*earliest);
    REQUIRE(all.gap.has_value());
    CHECK(*all.gap ==
          Gap{.first_missing = 1, .next = 6, .reason = Gap::Reason::kDeleted});
    CHECK(all.next_sequence == 6);
    CHECK(Contains(t.StartErrorOf(Start::Earliest(), /*strict=*/true),
                   "deleted"));
    CHECK(t.NextAt(Start::At(6), /*strict=*/true) == 6);
    CHECK(t.NextAt(Start::After({epoch, 5}), /*strict=*/true) == 6);
  };
  check("before the next message");
  CHECK(t.NextAt(Start::NewOnly(), /*strict=*/true) == 6);
  t.Append({"new"});
  check("after the next message");
}

LOG_TEST_CASE(
    "log: what retention dropped after a deletion is told from what was "
    "deleted") {
  LogUnderTest t(kind, SmallRetention());
  t.Append(Texts(5, "old"));
  REQUIRE(Delete(*t.log, "c").ok());
  t.AppendUntilDropped(10);
  const std::uint64_t first = t.First();
  const auto deleted = t.Open(Start::At(5));
  CHECK(*Read(*deleted).gap == Gap{.first_missing = 5,
                                   .next = first,
                                   .reason = Gap::Reason::kDeleted});
  const auto dropped = t.Open(Start::At(6));
  CHECK(*Read(*dropped).gap == Gap{.first_missing = 6,
                                   .next = first,
                                   .reason = Gap::Reason::kRetention});
}

}  // namespace
}  // namespace messenger::test
