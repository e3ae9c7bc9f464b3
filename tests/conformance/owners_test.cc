// A producer, named or not, and an idempotency key belong to the identity that
// used them first.
#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/reason.h"
#include "base/status.h"
#include "conformance/conformance.h"
#include "log/message_log.h"
#include "messenger/message.h"
#include "support/log_access.h"
#include "support/printing.h"

namespace messenger::test {
namespace {

std::vector<std::uint64_t> AppendBy(LogUnderTest& t, std::string_view owner,
                                    AppendBatch batch) {
  return SequencesOf(MustAppend(*t.log, By(owner, std::move(batch))));
}

constexpr std::string_view kIdOfAnother =
    "producer_id: belongs to another identity";

// The message of the PERMISSION_DENIED that it must be.
std::string DenialOf(const absl::Status& status) {
  CHECK(absl::IsPermissionDenied(status));
  CHECK(ReasonOf(status) == "PRODUCER_OWNED");
  return std::string(MessageOf(status));
}

std::string DenialOf(LogUnderTest& t, std::string_view owner,
                     AppendBatch batch) {
  return DenialOf(Append(*t.log, By(owner, std::move(batch))).status());
}

using Sequence = std::vector<std::uint64_t>;

LOG_TEST_CASE(
    "log: a producer belongs to who used it first, and others are refused, "
    "whatever they send") {
  LogUnderTest t(kind);
  CHECK(AppendBy(t, "ann", BatchOf("c", Producer(1), 1, {"a", "b"})) ==
        Sequence{1, 2});
  for (const char* other : {"bob", "", "an", "annn", "Ann"}) {
    CAPTURE(other);
    // The next one, one that is there, one with another content, one that
    // skips.
    for (const std::uint64_t first : {3U, 1U, 2U, 9U}) {
      CHECK(DenialOf(t, other, BatchOf("c", Producer(1), first, {"a"})) ==
            kIdOfAnother);
    }
  }
  CHECK(t.Head() == 2);
  // Its sender is not broken by it.
  CHECK(AppendBy(t, "ann", BatchOf("c", Producer(1), 2, {"b", "c"})) ==
        Sequence{2, 3});
}

LOG_TEST_CASE(
    "log: of another's producer, neither a condition nor a limit is told") {
  LogUnderTest t(kind);
  AppendBy(t, "ann", BatchOf("c", Producer(1), 1, {"a"}));
  AppendBatch batch = BatchOf("c", Producer(1), 2, {"b"});
  batch.expected_last_sequence = 7;
  CHECK(DenialOf(t, "bob", batch) == kIdOfAnother);
  CHECK(absl::IsAborted(Append(*t.log, By("ann", batch)).status()));
}

LOG_TEST_CASE(
    "log: a producer of nobody is taken over by the first who is known and "
    "stores something") {
  LogUnderTest t(kind);
  t.AppendAs(Producer(1), 1, {"a"});
  // Repeated, or refused: nothing is stored.
  CHECK(AppendBy(t, "bob", BatchOf("c", Producer(1), 1, {"a"})) == Sequence{1});
  CHECK(absl::IsFailedPrecondition(
      Append(*t.log, By("bob", BatchOf("c", Producer(1), 3, {"c"}))).status()));
  CHECK(SequencesOf(t.AppendAs(Producer(1), 2, {"b"})) == Sequence{2});
  CHECK(AppendBy(t, "ann", BatchOf("c", Producer(1), 2, {"b", "c"})) ==
        Sequence{2, 3});
  CHECK(DenialOf(t, "", BatchOf("c", Producer(1), 4, {"d"})) == kIdOfAnother);
  CHECK(DenialOf(t, "bob", BatchOf("c", Producer(1), 4, {"d"})) ==
        kIdOfAnother);
}

LOG_TEST_CASE("log: the same producer id in another channel is another one") {
  LogUnderTest t(kind);
  AppendBy(t, "ann", BatchOf("c", Producer(1), 1, {"a"}));
  CHECK(AppendBy(t, "bob", BatchOf("d", Producer(1), 1, {"a"})) == Sequence{1});
  CHECK(DenialOf(t, "ann", BatchOf("d", Producer(1), 2, {"b"})) ==
        kIdOfAnother);
}

LOG_TEST_CASE(
    "log: what follows a message of another's producer is not looked at") {
  LogUnderTest t(kind);
  AppendBy(t, "ann", BatchOf("c", Producer(1), 1, {"a"}));
  const auto appender = t.log->OpenAppender();
  Completion<AppendResult> denied;
  Completion<AppendResult> behind;
  appender->Append(By("bob", BatchOf("c", Producer(1), 2, {"b"})),
                   denied.Callback());
  appender->Append(By("bob", BatchOf("c", Producer(2), 1, {"c"})),
                   behind.Callback());
  CHECK(DenialOf(denied.Wait("Append").status()) == kIdOfAnother);
  CHECK(absl::IsAborted(behind.Wait("Append").status()));
  CHECK(AppendBy(t, "bob", BatchOf("c", Producer(2), 1, {"c"})) == Sequence{2});
}

LOG_TEST_CASE("log: the deletion of a channel leaves the owners of producers") {
  LogUnderTest t(kind);
  AppendBy(t, "ann", BatchOf("c", Producer(1), 1, {"a", "b"}));
  REQUIRE(Delete(*t.log, "c").ok());
  for (const std::uint64_t first : {1U, 2U, 3U, 9U}) {
    CHECK(DenialOf(t, "bob", BatchOf("c", Producer(1), first, {"b"})) ==
          kIdOfAnother);
  }
  CHECK(absl::IsNotFound(GetChannel(*t.log, "c").status()));
  CHECK(AppendBy(t, "ann", BatchOf("c", Producer(1), 3, {"c"})) == Sequence{3});
  CHECK(DenialOf(t, "", BatchOf("c", Producer(1), 4, {"d"})) == kIdOfAnother);
}

LOG_TEST_CASE("log: a producer that is forgotten belongs to nobody") {
  LogUnderTest t(kind, {.max_producers_per_channel = 1});
  AppendBy(t, "ann", BatchOf("c", Producer(1), 1, {"a"}));
  AppendBy(t, "ann", BatchOf("c", Producer(2), 1, {"b"}));
  CHECK(AppendBy(t, "bob", BatchOf("c", Producer(1), 1, {"c"})) == Sequence{3});
  CHECK(DenialOf(t, "ann", BatchOf("c", Producer(1), 2, {"d"})) ==
        kIdOfAnother);
}

// ---- Named producers.

LOG_TEST_CASE(
    "log: a name belongs to who opened it first, and nobody else opens it") {
  LogUnderTest t(kind);
  const ProducerInfo first = MustOpenProducer(*t.log, "c", "p", "ann");
  CHECK(first.owner == "ann");
  for (const char* other : {"bob", "", "an", "annn"}) {
    CAPTURE(other);
    CHECK(DenialOf(OpenProducer(*t.log, "c", "p", other).status()) ==
          R"(name: "p" belongs to another identity)");
  }
  // Its sender has not been fenced off.
  CHECK(AppendBy(t, "ann", BatchOf(first, 1, {"a"})) == Sequence{1});
  CHECK(MustOpenProducer(*t.log, "c", "p", "ann").generation == 2);
  // Elsewhere, the name is another producer's.
  CHECK(MustOpenProducer(*t.log, "d", "p", "bob").generation == 1);
  const std::vector<ProducerInfo> listed = MustListProducers(*t.log);
  REQUIRE(listed.size() == 2);
  CHECK(listed[0].owner == "ann");
  CHECK(listed[1].owner == "bob");
}

LOG_TEST_CASE(
    "log: as another's named producer, nothing is sent, and nothing is told of "
    "it") {
  LogUnderTest t(kind);
  const ProducerInfo old = MustOpenProducer(*t.log, "c", "p", "ann");
  AppendBy(t, "ann", BatchOf(old, 5, {"five"}));
  const ProducerInfo present = MustOpenProducer(*t.log, "c", "p", "ann");
  ProducerInfo next = present;
  ++next.generation;
  ProducerInfo elsewhere = present;
  elsewhere.channel = "d";
  ProducerInfo unnamed = present;
  unnamed.generation = 0;
  for (const char* other : {"bob", ""}) {
    for (const ProducerInfo& as : {present, old, next, elsewhere, unnamed}) {
      CAPTURE(as.generation);
      CAPTURE(as.channel);
      for (const std::uint64_t first : {6U, 5U, 1U}) {
        CHECK(DenialOf(t, other, BatchOf(as, first, {"x"})) == kIdOfAnother);
      }
    }
  }
  CHECK(t.Head() == 1);
  CHECK(absl::IsNotFound(GetChannel(*t.log, "d").status()));
  CHECK(AppendBy(t, "ann", BatchOf(present, 6, {"six"})) == Sequence{2});
  CHECK(MustListProducers(*t.log).front().last_producer_sequence == 6);
}

LOG_TEST_CASE(
    "log: a named producer of nobody is taken over by who is known and opens "
    "it, not by who sends") {
  LogUnderTest t(kind);
  ProducerInfo p = MustOpenProducer(*t.log, "c", "p");
  CHECK(p.owner.empty());
  AppendBy(t, "bob", BatchOf(p, 1, {"a"}));
  AppendBy(t, "", BatchOf(p, 2, {"b"}));
  CHECK(MustListProducers(*t.log).front().owner.empty());
  p = MustOpenProducer(*t.log, "c", "p", "ann");
  CHECK(p.last_producer_sequence == 2);
  CHECK(DenialOf(t, "bob", BatchOf(p, 3, {"c"})) == kIdOfAnother);
  CHECK(DenialOf(t, "", BatchOf(p, 3, {"c"})) == kIdOfAnother);
  CHECK(AppendBy(t, "ann", BatchOf(p, 3, {"c"})) == Sequence{3});
}

LOG_TEST_CASE("log: a named producer that is deleted belongs to nobody") {
  LogUnderTest t(kind);
  const ProducerInfo gone = MustOpenProducer(*t.log, "c", "p", "ann");
  AppendBy(t, "ann", BatchOf(gone, 1, {"a"}));
  REQUIRE(DeleteProducer(*t.log, "c", "p").ok());
  CHECK(ReasonOf(Append(*t.log, By("bob", BatchOf(gone, 2, {"b"}))).status()) ==
        "PRODUCER_UNKNOWN");
  const ProducerInfo p = MustOpenProducer(*t.log, "c", "p", "bob");
  CHECK(p.owner == "bob");
  CHECK(AppendBy(t, "bob", BatchOf(p, 1, {"b"})) == Sequence{2});
  DenialOf(OpenProducer(*t.log, "c", "p", "ann").status());
}

LOG_TEST_CASE("log: the deletion of a channel leaves the owners of names") {
  LogUnderTest t(kind);
  const ProducerInfo p = MustOpenProducer(*t.log, "c", "p", "ann");
  AppendBy(t, "ann", BatchOf(p, 1, {"a"}));
  REQUIRE(Delete(*t.log, "c").ok());
  CHECK(DenialOf(t, "bob", BatchOf(p, 2, {"b"})) == kIdOfAnother);
  DenialOf(OpenProducer(*t.log, "c", "p", "bob").status());
  CHECK(AppendBy(t, "ann", BatchOf(p, 2, {"b"})) == Sequence{2});
}

LOG_TEST_CASE(
    "log: that a name is another's is told before that there are too many") {
  LogUnderTest t(kind, {.max_named_producers = 1});
  MustOpenProducer(*t.log, "c", "p", "ann");
  DenialOf(OpenProducer(*t.log, "c", "p", "bob").status());
  CHECK(absl::IsResourceExhausted(
      OpenProducer(*t.log, "c", "q", "bob").status()));
}

// ---- Idempotency keys.

LOG_TEST_CASE("log: the same key of another owner is another key") {
  LogUnderTest t(kind);
  const auto append = [&](std::string_view owner, const std::string& text) {
    return MustAppend(*t.log, By(owner, BatchWithKey("c", "k", text))).front();
  };
  CHECK(append("ann", "a").sequence == 1);
  CHECK(append("bob", "b").sequence == 2);
  CHECK(append("", "c").sequence == 3);
  t.clock.Advance(std::chrono::seconds(1));
  const auto check_again = [&](std::string_view owner, const std::string& text,
                               std::uint64_t sequence) {
    CAPTURE(owner);
    const Stored again = append(owner, text);
    CHECK(again.duplicate);
    CHECK(again.sequence == sequence);
    CHECK(ReasonOfRefusal(t, By(owner, BatchWithKey("c", "k", "?"))) ==
          "IDEMPOTENCY_KEY_REUSED");
  };
  check_again("ann", "a", 1);
  check_again("bob", "b", 2);
  check_again("", "c", 3);
  CHECK(t.log->Stats().idempotency_keys == 3);
  REQUIRE(Delete(*t.log, "c").ok());
  CHECK(append("bob", "b").duplicate);
  CHECK(append("eve", "b").sequence == 4);
}

}  // namespace
}  // namespace messenger::test
