// Producers: what is repeated is stored once.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "conformance/conformance.h"
#include "log/message_log.h"
#include "messenger/message.h"
#include "support/log_access.h"
#include "support/printing.h"

namespace messenger::test {
namespace {

std::vector<Stored> AsDuplicates(std::vector<Stored> receipts) {
  for (Stored& receipt : receipts) receipt.duplicate = true;
  return receipts;
}

template <typename T>
std::vector<T> Concat(std::vector<T> a, const std::vector<T>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

LOG_TEST_CASE("log: a retry is stored once and gets the original receipt") {
  LogUnderTest t(kind);
  const std::vector<Stored> original =
      t.AppendAs(Producer(1), 1, {"a", "b", "c"});
  t.clock.Advance(std::chrono::seconds(1));
  t.Append({"in between"});
  const AppendResult retry =
      Append(*t.log, BatchOf("c", Producer(1), 1, {"a", "b", "c"}));
  CHECK(ReceiptsOf(retry) == AsDuplicates(original));
  CHECK(retry->size() == 1);
  CHECK(retry->front().epoch == t.log->epoch());
  CHECK(t.Head() == 4);
  // It does not count as a message of the producer either.
  CHECK(SequencesOf(t.AppendAs(Producer(1), 4, {"d"})) == Sequences(5, 5));
}

LOG_TEST_CASE(
    "log: a retry that is cut differently gets the original receipts") {
  LogUnderTest t(kind);
  const std::vector<Stored> first = t.AppendAs(Producer(1), 1, {"1", "2", "3"});
  t.clock.Advance(std::chrono::seconds(1));
  const std::vector<Stored> second = t.AppendAs(Producer(1), 4, {"4", "5"});
  t.clock.Advance(std::chrono::seconds(1));
  t.Append({"in between"});
  const std::vector<Stored> third = t.AppendAs(Producer(1), 6, {"6"});
  const Texts texts = {"1", "2", "3", "4", "5", "6"};
  const std::vector<Stored> all =
      AsDuplicates(Concat(Concat(first, second), third));
  for (std::size_t from = 0; from < all.size(); ++from) {
    for (std::size_t to = from + 1; to <= all.size(); ++to) {
      CAPTURE(from);
      CAPTURE(to);
      const auto at = [](const auto& v, std::size_t i) {
        return v.begin() + static_cast<std::ptrdiff_t>(i);
      };
      const std::vector<Stored> receipts =
          t.AppendAs(Producer(1), from + 1, {at(texts, from), at(texts, to)});
      CHECK(receipts == std::vector<Stored>(at(all, from), at(all, to)));
    }
  }
  CHECK(t.Head() == 7);
}

LOG_TEST_CASE(
    "log: a batch whose leading part is a retry gets both kinds of receipts") {
  LogUnderTest t(kind);
  const std::vector<Stored> original = t.AppendAs(Producer(1), 1, {"a", "b"});
  t.clock.Advance(std::chrono::seconds(1));
  const std::vector<Stored> receipts =
      t.AppendAs(Producer(1), 2, {"b", "c", "d"});
  const Timestamp now = t.clock.now();
  CHECK(receipts ==
        std::vector<Stored>{{original[1].sequence, original[1].send_time, true},
                            {3, now, false},
                            {4, now, false}});
  const auto reader = t.Open(Start::Earliest());
  const ReadToHead all(*reader);
  CHECK(all.texts() == Texts{"a", "b", "c", "d"});
  for (std::size_t i = 0; i < all.messages.size(); ++i) {
    CHECK(all.messages[i].producer_sequence == i + 1);
  }
}

LOG_TEST_CASE("log: a retry with another content is refused") {
  LogUnderTest t(kind);
  t.AppendAs(Producer(1), 1, {"a", "b"});
  const std::string error = t.RefusalOf(Producer(1), 1, {"a", "B"});
  CAPTURE(error);
  CHECK(Contains(error, "producer sequence 2"));
  // The same text by another author, too.
  AppendBatch batch =
      BatchOf("c", std::vector<NewMessage>{{.author = "x", .text = "a"}});
  batch.producer_id = Producer(1);
  batch.first_producer_sequence = 1;
  CHECK(Append(*t.log, std::move(batch)).status().code() ==
        absl::StatusCode::kFailedPrecondition);
  CHECK(t.Head() == 2);
}

LOG_TEST_CASE("log: a retry is compared in its data and type, too") {
  LogUnderTest t(kind);
  const NewMessage first = {
      .text = "a", .data = "\xff\xfe", .content_type = "image/png"};
  const auto append = [&t](const NewMessage& message) {
    AppendBatch batch = BatchOf("c", std::vector<NewMessage>{message});
    batch.producer_id = Producer(1);
    batch.first_producer_sequence = 1;
    return Append(*t.log, std::move(batch));
  };
  const AppendResult stored = append(first);
  REQUIRE(stored.ok());
  CHECK_FALSE(stored->front().duplicate);

  NewMessage other_data = first;
  other_data.data = "\xff\xff";
  NewMessage other_type = first;
  other_type.content_type = "image/gif";
  NewMessage no_data = first;
  no_data.data = {};
  NewMessage no_type = first;
  no_type.content_type = {};
  // The bytes are the same, but not whose they are.
  const NewMessage text_only = {.text = "a"};
  const NewMessage data_as_text = {.data = "a"};
  for (const NewMessage& other :
       {other_data, other_type, no_data, no_type, text_only, data_as_text}) {
    CHECK(append(other).status().code() ==
          absl::StatusCode::kFailedPrecondition);
  }

  const AppendResult repeated = append(first);
  REQUIRE(repeated.ok());
  CHECK(repeated->front().duplicate);
  CHECK(repeated->front().first_sequence == stored->front().first_sequence);
  CHECK(t.Head() == 1);
}

LOG_TEST_CASE(
    "log: a producer sequence that skips is refused with the expected one") {
  LogUnderTest t(kind);
  t.AppendAs(Producer(1), 1, {"a", "b"});
  const std::string error = t.RefusalOf(Producer(1), 4, {"d"});
  CAPTURE(error);
  CHECK(Contains(error, "expected 3"));
  CHECK(t.Head() == 2);
  t.AppendAs(Producer(1), 3, {"c"});
}

LOG_TEST_CASE("log: a producer that is not known starts at 1") {
  LogUnderTest t(kind);
  t.AppendAs(Producer(2), 1, {"other"});
  const std::string error = t.RefusalOf(Producer(1), 2, {"a"});
  CAPTURE(error);
  CHECK(Contains(error, "expected 1"));
  CHECK(t.Head() == 1);
  t.AppendAs(Producer(1), 1, {"a"});
}

LOG_TEST_CASE("log: a producer counts in each channel by itself") {
  LogUnderTest t(kind);
  t.AppendAs(Producer(1), 1, {"a", "b"}, "one");
  const std::vector<Stored> receipts = t.AppendAs(Producer(1), 1, {"a"}, "two");
  CHECK_FALSE(receipts.front().duplicate);
  CHECK(Contains(t.RefusalOf(Producer(1), 3, {"c"}, "two"), "expected 2"));
}

LOG_TEST_CASE("log: producers may take turns, and all may retry") {
  LogUnderTest t(kind);
  constexpr std::uint64_t kRounds = 50;
  std::map<std::uint8_t, std::vector<Stored>> originals;
  for (std::uint64_t round = 0; round < kRounds; ++round) {
    t.clock.Advance(std::chrono::seconds(1));
    for (std::uint8_t p = 1; p <= 3; ++p) {
      auto& original = originals[p];
      original = Concat(
          original, t.AppendAs(Producer(p), original.size() + 1,
                               Texts(p, fmt::format("{} in {}", p, round))));
    }
  }
  CHECK(t.Head() == 6 * kRounds);
  for (std::uint8_t p = 1; p <= 3; ++p) {
    CAPTURE(static_cast<int>(p));
    Texts texts;
    for (std::uint64_t round = 0; round < kRounds; ++round) {
      texts = Concat(texts, Texts(p, fmt::format("{} in {}", p, round)));
    }
    CHECK(t.AppendAs(Producer(p), 1, texts) == AsDuplicates(originals[p]));
  }
  CHECK(t.Head() == 6 * kRounds);
}

LOG_TEST_CASE(
    "log: a retry that is too old to be checked is refused, never stored "
    "again") {
  LogUnderTest t(kind);
  constexpr std::uint64_t kRounds = 1000;
  std::vector<Stored> originals;
  for (std::uint64_t round = 1; round <= kRounds; ++round) {
    originals = Concat(originals, t.AppendAs(Producer(1), round, {"a"}));
    t.AppendAs(Producer(2), round, {"b"});
  }
  bool remembered = false;
  for (std::uint64_t sequence = 1; sequence <= kRounds; ++sequence) {
    const AppendResult result =
        Append(*t.log, BatchOf("c", Producer(1), sequence, {"a"}));
    if (result.ok()) {
      remembered = true;
      const Stored& original = originals[sequence - 1];
      if (ReceiptsOf(result) != AsDuplicates({original})) {
        CHECK(ReceiptsOf(result) == AsDuplicates({original}));
      }
      continue;
    }
    if (remembered ||
        result.status().code() != absl::StatusCode::kFailedPrecondition) {
      CAPTURE(sequence);
      CHECK_FALSE(remembered);
      CHECK(result.status().ToString() == "FAILED_PRECONDITION");
    }
  }
  // The latest ones are remembered, and the producer can go on.
  CHECK(remembered);
  CHECK(t.Head() == 2 * kRounds);
  CHECK_FALSE(t.AppendAs(Producer(1), kRounds + 1, {"a"}).front().duplicate);
}

LOG_TEST_CASE("log: a retry of what retention has dropped is refused") {
  LogUnderTest t(kind, SmallRetention());
  t.AppendAs(Producer(1), 1, {"a"});
  t.AppendUntilDropped(1);
  const std::uint64_t head = t.Head();
  const std::string error = t.RefusalOf(Producer(1), 1, {"a"});
  CAPTURE(error);
  CHECK(Contains(error, "producer sequence 1"));
  CHECK(t.Head() == head);
  CHECK(SequencesOf(t.AppendAs(Producer(1), 2, {"b"})) ==
        Sequences(head + 1, head + 1));
}

LOG_TEST_CASE("log: a retry of what was deleted is refused") {
  LogUnderTest t(kind);
  for (std::uint64_t i = 1; i <= 5; ++i) {
    t.AppendAs(Producer(1), i, {"a"});
    t.AppendAs(Producer(2), 2 * i - 1, {"b", "b"});
  }
  REQUIRE(Delete(*t.log, "c").ok());
  for (std::uint64_t i = 1; i <= 5; ++i) {
    t.RefusalOf(Producer(1), i, {"a"});
    t.RefusalOf(Producer(2), 2 * i, {"b", "b"});
  }
  CHECK(GetChannel(*t.log, "c").status().code() == absl::StatusCode::kNotFound);
  CHECK(SequencesOf(t.AppendAs(Producer(1), 6, {"c"})) == Sequences(16, 16));
  CHECK(Contains(t.RefusalOf(Producer(2), 12, {"d"}), "expected 11"));
  CHECK(SequencesOf(t.AppendAs(Producer(2), 11, {"d"})) == Sequences(17, 17));
}

LOG_TEST_CASE(
    "log: beyond the limit, the producer idle longest is forgotten and "
    "refused") {
  LogUnderTest t(kind, {.max_producers_per_channel = 2});
  t.AppendAs(Producer(1), 1, {"a"});
  t.clock.Advance(std::chrono::seconds(1));
  t.AppendAs(Producer(2), 1, {"b"});
  t.clock.Advance(std::chrono::seconds(1));
  t.AppendAs(Producer(1), 2, {"c"});
  t.clock.Advance(std::chrono::seconds(1));
  t.AppendAs(Producer(3), 1, {"d"});
  CHECK(Contains(t.RefusalOf(Producer(2), 2, {"e"}), "expected 1"));
  CHECK(t.Head() == 4);
  t.AppendAs(Producer(1), 3, {"f"});
  t.AppendAs(Producer(3), 2, {"g"});
}

LOG_TEST_CASE(
    "log: a producer is remembered for the idle timeout, and then continues or "
    "is refused") {
  LogUnderTest t(kind, {.producer_idle_timeout = std::chrono::hours(1)});
  const std::vector<Stored> original = t.AppendAs(Producer(1), 1, {"a"});
  t.clock.Advance(std::chrono::minutes(59));
  t.AppendAs(Producer(2), 1, {"b"});
  CHECK(t.AppendAs(Producer(1), 1, {"a"}) == AsDuplicates(original));
  CHECK_FALSE(t.AppendAs(Producer(1), 2, {"c"}).front().duplicate);
  t.clock.Advance(std::chrono::hours(2));
  t.AppendAs(Producer(3), 1, {"d"});
  const AppendResult late = Append(*t.log, BatchOf("c", Producer(1), 3, {"e"}));
  if (late.ok()) {
    CHECK(SequencesOf(ReceiptsOf(late)) == Sequences(5, 5));
  } else {
    CHECK(late.status().code() == absl::StatusCode::kFailedPrecondition);
    CHECK(t.Head() == 4);
  }
}

}  // namespace
}  // namespace messenger::test
