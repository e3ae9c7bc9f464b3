// Idempotency keys: a message that is sent once more is stored once.
#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "conformance/conformance.h"
#include "log/message_log.h"
#include "support/log_access.h"
#include "support/printing.h"

namespace messenger::test {
namespace {

AppendBatch BatchWith(std::string_view key, std::string_view text,
                      std::string_view channel = "c") {
  return BatchWithKey(channel, key, std::string(text));
}

Stored AppendWith(LogUnderTest& t, std::string_view key, std::string_view text,
                  std::string_view channel = "c") {
  return MustAppend(*t.log, BatchWith(key, text, channel)).front();
}

Stored AsDuplicate(Stored stored) {
  stored.duplicate = true;
  return stored;
}

LOG_TEST_CASE(
    "log: a message that is sent once more with its key is stored "
    "once, and gets the original receipt") {
  LogUnderTest t(kind);
  const Stored original = AppendWith(t, "k", "a");
  CHECK(original == Stored{1, t.clock.now(), false});
  t.clock.Advance(std::chrono::seconds(1));
  CHECK(AppendWith(t, "other", "a").sequence == 2);
  CHECK(t.Append({"a"}).front().sequence == 3);
  CHECK(AppendWith(t, "k", "a") == AsDuplicate(original));
  CHECK(t.Head() == 3);
  CHECK(t.log->Stats().idempotency_keys == 2);
}

LOG_TEST_CASE("log: a key with another content is refused") {
  LogUnderTest t(kind);
  const Stored original = AppendWith(t, "k", "a");
  CHECK(ReasonOfRefusal(t, BatchWith("k", "b")) == "IDEMPOTENCY_KEY_REUSED");
  AppendBatch batch =
      BatchOf("c", std::vector<NewMessage>{{.text = "a", .data = "d"}});
  batch.idempotency_key = "k";
  CHECK(ReasonOfRefusal(t, std::move(batch)) == "IDEMPOTENCY_KEY_REUSED");
  CHECK(t.Head() == 1);
  CHECK(AppendWith(t, "k", "a") == AsDuplicate(original));
}

LOG_TEST_CASE("log: a key is one of its channel") {
  LogUnderTest t(kind);
  AppendWith(t, "k", "a", "c");
  CHECK_FALSE(AppendWith(t, "k", "b", "d").duplicate);
  CHECK(AppendWith(t, "k", "a", "c").duplicate);
}

LOG_TEST_CASE("log: a key is looked up before the condition") {
  LogUnderTest t(kind);
  const auto append = [&](std::string_view key, std::uint64_t expected) {
    AppendBatch batch = BatchWith(key, "a");
    batch.expected_last_sequence = expected;
    return Append(*t.log, std::move(batch));
  };
  const Stored original = ReceiptsOf(append("k", 0)).front();
  CHECK(ReceiptsOf(append("k", 0)).front() == AsDuplicate(original));
  CHECK(absl::IsAborted(append("other", 0).status()));
  // What was refused is not remembered.
  CHECK_FALSE(ReceiptsOf(append("other", 1)).front().duplicate);
}

LOG_TEST_CASE("log: a key is known when its message is gone") {
  LogUnderTest t(kind, SmallRetention());
  const Stored original = AppendWith(t, "k", "a");
  t.AppendUntilDropped(1);
  CHECK(AppendWith(t, "k", "a") == AsDuplicate(original));
  REQUIRE(Delete(*t.log, "c").ok());
  CHECK(AppendWith(t, "k", "a") == AsDuplicate(original));
  CHECK(ReasonOfRefusal(t, BatchWith("k", "b")) == "IDEMPOTENCY_KEY_REUSED");
  CHECK(absl::IsNotFound(GetChannel(*t.log, "c").status()));
  CHECK(ListChannels(*t.log, "", 10).empty());
}

LOG_TEST_CASE("log: beyond the number of keys, the oldest is forgotten") {
  LogUnderTest t(kind, {.max_idempotency_keys = 2});
  AppendWith(t, "1", "a");
  AppendWith(t, "2", "a", "d");
  // It does not become newer by that.
  CHECK(AppendWith(t, "1", "a").duplicate);
  AppendWith(t, "3", "a");
  CHECK(AppendWith(t, "2", "a", "d").duplicate);
  CHECK(AppendWith(t, "3", "a").duplicate);
  CHECK_FALSE(AppendWith(t, "1", "a").duplicate);
  CHECK(t.log->Stats().idempotency_keys == 2);
}

LOG_TEST_CASE(
    "log: a key is remembered for a time since its message was "
    "stored") {
  LogUnderTest t(kind, {.idempotency_key_timeout = std::chrono::hours(1)});
  AppendWith(t, "k", "a");
  t.clock.Advance(std::chrono::minutes(59));
  CHECK(AppendWith(t, "k", "a").duplicate);
  t.clock.Advance(std::chrono::minutes(2));
  const Stored again = AppendWith(t, "k", "b");
  CHECK_FALSE(again.duplicate);
  CHECK(again.sequence == 2);
  CHECK(AppendWith(t, "k", "b") == AsDuplicate(again));
}

LOG_TEST_CASE("log: keys forget no producer") {
  LogUnderTest t(kind,
                 {.max_producers_per_channel = 1, .max_idempotency_keys = 1});
  const std::vector<Stored> original = t.AppendAs(Producer(1), 1, {"a"});
  const ProducerInfo named = MustOpenProducer(*t.log, "c", "p");
  for (int i = 0; i < 100; ++i) AppendWith(t, std::to_string(i), "x");
  CHECK(t.AppendAs(Producer(1), 1, {"a"}).front() ==
        AsDuplicate(original.front()));
  CHECK(MustListProducers(*t.log).size() == 1);
}

}  // namespace
}  // namespace messenger::test
