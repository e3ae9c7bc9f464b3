#include "log/named_producers.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/reason.h"
#include "base/status.h"
#include "support/log_access.h"
#include "support/printing.h"

namespace messenger::named_producers_test {
namespace {

using std::chrono::seconds;
using test::BatchOf;
using test::By;
using test::Producer;

constexpr Timestamp kTime{seconds(1'767'225'600)};

NamedProducer Open(NamedProducers& producers, std::string_view name,
                   std::string_view channel = "c",
                   std::string_view owner = {}) {
  const auto opened = producers.PrepareOpening(
      {.channel = std::string(channel), .name = std::string(name)}, owner,
      kTime);
  REQUIRE(opened.ok());
  return *opened;
}

AppendBatch Batch(const NamedProducer& producer, std::uint64_t first,
                  std::size_t count = 1, std::string_view channel = "c") {
  AppendBatch batch =
      BatchOf(channel, producer.id, first, std::vector<std::string>(count));
  batch.producer_generation = producer.generation;
  return batch;
}

// The last sequence, or the reason of the refusal.
std::string Find(const NamedProducers& producers, const AppendBatch& batch) {
  const auto found = producers.Find(batch);
  if (!found.ok()) {
    CHECK(absl::IsFailedPrecondition(found.status()));
    return ReasonOf(found.status());
  }
  return *found ? std::to_string(**found) : "none";
}

std::vector<std::string> Names(const NamedProducers& producers,
                               std::string_view channel = "",
                               const ProducerKey& after = {},
                               std::size_t max = 100) {
  std::vector<std::string> names;
  for (const ProducerInfo& info : producers.List(channel, after, max, 7)) {
    CHECK(info.epoch == 7);
    names.push_back(info.channel + "/" + info.name);
  }
  return names;
}

using Strings = std::vector<std::string>;

TEST_CASE("named producers: each opening begins a generation") {
  NamedProducers producers(10);
  const NamedProducer first = Open(producers, "p");
  CHECK(first.generation == 1);
  CHECK(first.last_sequence == 0);
  CHECK(Find(producers, Batch(first, 5)) == "0");
  CHECK(producers.PrepareAppend(Batch(first, 5, 3), kTime + seconds(1)).ok());
  producers.Commit();
  const NamedProducer second = Open(producers, "p");
  CHECK(second.generation == 2);
  CHECK(second.id == first.id);
  CHECK(second.last_sequence == 7);
  CHECK(second.last_used == kTime + seconds(1));
  CHECK(Find(producers, Batch(second, 8)) == "7");
  CHECK(Find(producers, Batch(first, 8)) == "PRODUCER_FENCED");
  CHECK(ReasonDetail(producers.Find(Batch(first, 8)).status(), "generation") ==
        "2");
  CHECK(ReasonOf(producers.PrepareAppend(Batch(first, 8), kTime)) ==
        "PRODUCER_FENCED");
}

TEST_CASE("named producers: who is none, and who is not known") {
  NamedProducers producers(10);
  CHECK(Find(producers, BatchOf("c", Producer(1), 1, {"a"})) == "none");
  NamedProducer named = Open(producers, "p");
  CHECK(Find(producers, BatchOf("c", Producer(1), 1, {"a"})) == "none");
  CHECK(Find(producers, BatchOf("c", named.id, 1, {"a"})) == "PRODUCER_FENCED");
  CHECK(Find(producers, BatchOf("d", named.id, 1, {"a"})) == "PRODUCER_FENCED");
  CHECK(Find(producers, Batch(named, 1, 1, "d")) == "PRODUCER_UNKNOWN");
  CHECK(Find(producers, Batch({.id = Producer(1), .generation = 1}, 1)) ==
        "PRODUCER_UNKNOWN");
  ++named.generation;
  CHECK(Find(producers, Batch(named, 1)) == "PRODUCER_UNKNOWN");
}

TEST_CASE("named producers: what is prepared is listed once it is committed") {
  NamedProducers producers(10);
  const NamedProducer p = Open(producers, "p");
  CHECK(Names(producers).empty());
  CHECK(producers.size() == 0);
  producers.Commit();
  CHECK(Names(producers) == Strings{"c/p"});
  CHECK(producers.PrepareAppend(Batch(p, 1), kTime).ok());
  CHECK(producers.List("", {}, 1, 7).front().last_producer_sequence == 0);
  CHECK(producers.PrepareDeletion({"c", "p"}).ok());
  CHECK(Names(producers) == Strings{"c/p"});
  CHECK(absl::IsNotFound(producers.PrepareDeletion({"c", "p"}).status()));
  producers.Commit();
  CHECK(Names(producers).empty());
  CHECK(Find(producers, Batch(p, 2)) == "PRODUCER_UNKNOWN");
}

TEST_CASE("named producers: what is undone leaves nothing behind") {
  NamedProducers producers(3);
  const NamedProducer p = Open(producers, "p");
  const NamedProducer q = Open(producers, "q");
  CHECK(producers.PrepareAppend(Batch(p, 10), kTime).ok());
  producers.Commit();

  CHECK(producers.PrepareAppend(Batch(p, 11, 5), kTime + seconds(1)).ok());
  const NamedProducer opened = Open(producers, "p");
  CHECK(opened.last_sequence == 15);
  CHECK(producers.PrepareAppend(Batch(opened, 16), kTime).ok());
  CHECK(producers.PrepareDeletion({"c", "q"}).ok());
  const NamedProducer again = Open(producers, "q");
  CHECK(again.id != q.id);
  CHECK(again.generation == 1);
  const NamedProducer added = Open(producers, "r");
  producers.Undo();

  CHECK(Names(producers) == Strings{"c/p", "c/q"});
  CHECK(Find(producers, Batch(p, 11)) == "10");
  CHECK(Find(producers, Batch(q, 11)) == "0");
  CHECK(Find(producers, Batch(opened, 11)) == "PRODUCER_UNKNOWN");
  CHECK(Find(producers, Batch(again, 11)) == "PRODUCER_UNKNOWN");
  CHECK(Find(producers, Batch(added, 11)) == "PRODUCER_UNKNOWN");
  CHECK(producers.FindById(p.id)->producer.last_used == kTime);
  CHECK_FALSE(producers.FindById(again.id).has_value());
  // Nor do they count.
  Open(producers, "s");
}

TEST_CASE("named producers: beyond the limit, opening is refused") {
  NamedProducers producers(2);
  Open(producers, "p");
  Open(producers, "p", "d");
  const absl::Status refusal =
      producers.PrepareOpening({"c", "q"}, "", kTime).status();
  CHECK(absl::IsResourceExhausted(refusal));
  CHECK(ReasonOf(refusal) == "LIMIT_REACHED");
  CHECK(ReasonDetail(refusal, "limit") == "max_named_producers");
  CHECK(ReasonDetail(refusal, "value") == "2");
  CHECK(Open(producers, "p").generation == 2);
  CHECK(producers.PrepareDeletion({"c", "p"}).ok());
  Open(producers, "q");
}

// The reason why `owner` may not open it; empty if that one may.
std::string RefusalOfOpening(const NamedProducers& producers,
                             const ProducerKey& key, std::string_view owner) {
  const absl::Status refusal = producers.CheckOpening(key, owner);
  if (!refusal.ok()) CHECK(absl::IsPermissionDenied(refusal));
  return ReasonOf(refusal);
}

TEST_CASE("named producers: who opens one first owns it, until it is deleted") {
  NamedProducers producers(10);
  const ProducerKey key = {.channel = "c", .name = "p"};
  // Who is not known owns nothing.
  CHECK(Open(producers, "p").owner.empty());
  CHECK(RefusalOfOpening(producers, key, "ann").empty());
  const NamedProducer first = Open(producers, "p", "c", "ann");
  CHECK(first.owner == "ann");
  producers.Commit();
  for (const char* other : {"bob", "", "an", "annn"}) {
    CAPTURE(other);
    CHECK(RefusalOfOpening(producers, key, other) == "PRODUCER_OWNED");
    const absl::Status refusal =
        producers.PrepareOpening(key, other, kTime).status();
    CHECK(absl::IsPermissionDenied(refusal));
    CHECK(MessageOf(refusal) == "name: \"p\" belongs to another identity");
  }
  CHECK(Open(producers, "p", "c", "ann").generation == first.generation + 1);
  // It is one of its channel.
  CHECK(Open(producers, "p", "d", "bob").owner == "bob");
  producers.Commit();
  CHECK(producers.List("", {}, 2, 7)[0].owner == "ann");
  CHECK(producers.List("", {}, 2, 7)[1].owner == "bob");
  CHECK(producers.PrepareDeletion(key).ok());
  CHECK(Open(producers, "p", "c", "bob").owner == "bob");
}

TEST_CASE(
    "named producers: as another's, nothing is sent, and nothing is told of "
    "it") {
  NamedProducers producers(10);
  NamedProducer p = Open(producers, "p", "c", "ann");
  CHECK(producers.PrepareAppend(By("ann", Batch(p, 3)), kTime).ok());
  const NamedProducer older = p;
  p = Open(producers, "p", "c", "ann");
  NamedProducer newer = p;
  ++newer.generation;
  for (const char* other : {"bob", ""}) {
    for (const AppendBatch& batch :
         {Batch(p, 4), Batch(p, 3), Batch(older, 4), Batch(newer, 4),
          Batch(p, 4, 1, "d"), BatchOf("c", p.id, 4, {"a"})}) {
      const absl::Status refusal = producers.Find(By(other, batch)).status();
      CHECK(absl::IsPermissionDenied(refusal));
      CHECK(ReasonOf(refusal) == "PRODUCER_OWNED");
      CHECK(MessageOf(refusal) == "producer_id: belongs to another identity");
      CHECK(producers.PrepareAppend(By(other, batch), kTime) == refusal);
    }
  }
  CHECK(Find(producers, By("ann", Batch(p, 4))) == "3");
  CHECK(Find(producers, By("ann", Batch(older, 4))) == "PRODUCER_FENCED");
}

TEST_CASE("named producers: sending makes nobody the owner") {
  NamedProducers producers(10);
  const NamedProducer p = Open(producers, "p");
  CHECK(producers.PrepareAppend(By("ann", Batch(p, 1)), kTime).ok());
  CHECK(Find(producers, By("bob", Batch(p, 2))) == "1");
  CHECK(RefusalOfOpening(producers, {"c", "p"}, "bob").empty());
}

TEST_CASE("named producers: an owner is undone, restored and outlasts epochs") {
  NamedProducers producers(10);
  Open(producers, "p");
  producers.Commit();
  Open(producers, "p", "c", "ann");
  producers.Undo();
  CHECK(RefusalOfOpening(producers, {"c", "p"}, "bob").empty());
  const NamedProducer p = Open(producers, "p", "c", "bob");
  producers.Commit();
  producers.BeginEpoch();
  NamedProducers restored(10);
  for (const NamedProducers::Kept& kept : producers.Save()) {
    CHECK(restored.Restore(kept));
  }
  CHECK(restored.RestoreAppend(p.id, 5, kTime));
  CHECK(RefusalOfOpening(restored, {"c", "p"}, "ann") == "PRODUCER_OWNED");
  CHECK(RefusalOfOpening(restored, {"c", "p"}, "bob").empty());
}

TEST_CASE("named producers: they are listed by channel and name") {
  NamedProducers producers(10);
  for (const char* name : {"b", "a", "ab"}) {
    for (const char* channel : {"d", "c", "c.d"}) {
      Open(producers, name, channel);
    }
  }
  producers.Commit();
  CHECK(Names(producers) == Strings{"c/a", "c/ab", "c/b", "c.d/a", "c.d/ab",
                                    "c.d/b", "d/a", "d/ab", "d/b"});
  CHECK(Names(producers, "c") == Strings{"c/a", "c/ab", "c/b"});
  CHECK(Names(producers, "c", {"c", "a"}) == Strings{"c/ab", "c/b"});
  CHECK(Names(producers, "d", {"c", "b"}) == Strings{"d/a", "d/ab", "d/b"});
  CHECK(Names(producers, "c", {"d", "a"}).empty());
  CHECK(Names(producers, "", {"c", "b"}, 2) == Strings{"c.d/a", "c.d/ab"});
  CHECK(Names(producers, "e").empty());
}

TEST_CASE("named producers: what is restored is what was there") {
  NamedProducers producers(10);
  const NamedProducer p = Open(producers, "p");
  const NamedProducer q = Open(producers, "q");
  producers.Commit();
  NamedProducers restored(1);  // more than there may be now
  CHECK_FALSE(restored.RestoreAppend(p.id, 1, kTime));
  for (const NamedProducers::Kept& kept : producers.Save()) {
    CHECK(restored.Restore(kept));
  }
  CHECK(Names(restored) == Strings{"c/p", "c/q"});
  CHECK_FALSE(restored.Restore({.key = {"c", "other"}, .producer = p}));
  CHECK(restored.RestoreAppend(p.id, 5, kTime));
  CHECK(restored.RestoreAppend(p.id, 4, kTime));
  CHECK_FALSE(restored.RestoreAppend(Producer(1), 4, kTime));
  CHECK(Find(restored, Batch(p, 6)) == "5");
  CHECK(restored.List("", {}, 1, 7).front().last_producer_sequence == 5);
  // Once more than there is of it.
  for (int i = 0; i < 2; ++i) restored.RestoreDeletion({"c", "q"});
  CHECK(Find(restored, Batch(q, 1)) == "PRODUCER_UNKNOWN");
}

}  // namespace
}  // namespace messenger::named_producers_test
