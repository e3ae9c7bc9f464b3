#include "log/channel_writer.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/reason.h"
#include "support/fake_clock.h"
#include "support/log_access.h"
#include "support/printing.h"

namespace messenger::channel_writer_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

using Texts = std::vector<std::string>;

// A writer whose committed messages can be found, and its clock.
class Channel {
 public:
  AppendResult Prepare(const AppendBatch& batch) {
    auto prepared = writer.Prepare(
        batch, [this](std::uint64_t sequence) -> absl::StatusOr<LogBytes> {
          if (entries.empty() || sequence < entries.first_sequence()) {
            return LogBytes();
          }
          return entries.FindMessage(sequence);
        });
    if (!prepared.ok()) return prepared.status();
    return std::move(prepared->receipts);
  }
  void Commit() {
    for (EntryRun& run : writer.Commit()) entries.Push(std::move(run));
  }

  FakeClock clock;
  const ChannelContext context{
      .options = {},
      .clock = {.now = [this] { return clock.now(); },
                .steady_now = [this] { return clock.steady_now(); }},
      .epochs = {7}};
  ChannelWriter writer{context, {}, {}};
  EntryQueue entries;
};

TEST_CASE("channel writer: what is prepared follows what was prepared before") {
  Channel channel;
  const auto first =
      ReceiptsOf(channel.Prepare(BatchOf("c", Producer(1), 1, {"a", "b"})));
  // Known before it is committed.
  const auto second =
      ReceiptsOf(channel.Prepare(BatchOf("c", Producer(1), 2, {"b", "c"})));
  REQUIRE(first.size() == 2);
  CHECK(second[0] == Stored{2, first[1].send_time, /*duplicate=*/true});
  CHECK(second[1].sequence == 3);
  CHECK_FALSE(second[1].duplicate);
  CHECK(channel.writer.place().head == 3);
  channel.Commit();
  CHECK(channel.entries.end_sequence() == 4);
  const auto again = ReceiptsOf(
      channel.Prepare(BatchOf("c", Producer(1), 1, {"a", "b", "c"})));
  CHECK(again[2].sequence == 3);
  CHECK(again[2].duplicate);
  CHECK(channel.writer.Commit().empty());
}

TEST_CASE("channel writer: time does not go backwards") {
  Channel channel;
  const auto first = ReceiptsOf(channel.Prepare(BatchOf("c", Texts{"a"})));
  channel.clock.StepWallClock(-std::chrono::hours(1));
  const auto second = ReceiptsOf(channel.Prepare(BatchOf("c", Texts{"b"})));
  CHECK(second[0].send_time == first[0].send_time);
}

TEST_CASE("channel writer: what is undone leaves nothing behind") {
  Channel channel;
  ReceiptsOf(channel.Prepare(BatchOf("c", Producer(1), 1, {"a"})));
  channel.Commit();
  const ChannelWriter::Place before = channel.writer.place();
  channel.clock.Advance(std::chrono::seconds(1));
  ReceiptsOf(channel.Prepare(BatchOf("c", Producer(1), 2, {"b", "c"})));
  ReceiptsOf(channel.Prepare(BatchOf("c", Producer(2), 1, {"d"})));
  channel.writer.PrepareDeletion(channel.clock.steady_now());
  ReceiptsOf(channel.Prepare(BatchOf("c", Producer(1), 4, {"e"})));
  CHECK(channel.writer.place().head == 5);
  CHECK(channel.writer.place().deleted_head == 4);
  channel.writer.Undo();
  CHECK(channel.writer.place().head == before.head);
  CHECK(channel.writer.place().deleted_head == 0);
  CHECK(channel.writer.place().last_time == before.last_time);
  CHECK(channel.writer.SaveProducers().size() == 1);
  // Neither the message that was there is forgotten, nor is what was not
  // stored remembered. It is encoded where the others were.
  const auto again =
      ReceiptsOf(channel.Prepare(BatchOf("c", Producer(1), 1, {"a", "x"})));
  CHECK(again[0].duplicate);
  CHECK(again[1].sequence == 2);
  channel.Commit();
  CHECK(channel.entries.run_count() == 1);
}

// A named producer of channel c.
ProducerInfo OpenNamed(const Channel& channel) {
  const ProducerKey key = {.channel = "c", .name = "p"};
  const auto opened =
      channel.context.named_producers->PrepareOpening(key, "", {});
  REQUIRE(opened.ok());
  channel.context.named_producers->Commit();
  return InfoOf(key, *opened, channel.context.epoch());
}

TEST_CASE(
    "channel writer: what is undone is not in the tables of the log "
    "either") {
  Channel channel;
  const ProducerInfo producer = OpenNamed(channel);
  ReceiptsOf(channel.Prepare(BatchOf(producer, 3, {"a"})));
  ReceiptsOf(channel.Prepare(BatchWithKey("c", "kept", "b")));
  channel.Commit();
  for (int i = 0; i < 2; ++i) {
    // Known before they are committed.
    CHECK_FALSE(
        ReceiptsOf(channel.Prepare(BatchOf(producer, 7, {"c"})))[0].duplicate);
    CHECK(
        ReceiptsOf(channel.Prepare(BatchOf(producer, 5, {"?"})))[0].duplicate);
    CHECK_FALSE(
        ReceiptsOf(channel.Prepare(BatchWithKey("c", "k", "d")))[0].duplicate);
    CHECK(
        ReceiptsOf(channel.Prepare(BatchWithKey("c", "k", "d")))[0].duplicate);
    CHECK(channel.writer.place().head == 4);
    channel.writer.Undo();
    CHECK(channel.writer.place().head == 2);
    CHECK(channel.context.idempotency_keys->size() == 1);
  }
  CHECK(ReceiptsOf(channel.Prepare(BatchOf(producer, 4, {"e"})))[0].sequence ==
        3);
  CHECK(
      ReceiptsOf(channel.Prepare(BatchWithKey("c", "kept", "b")))[0].sequence ==
      2);
}

TEST_CASE(
    "channel writer: a named producer that is opened while its batch is "
    "prepared is fenced off, and nothing is prepared") {
  Channel channel;
  const ProducerInfo old = OpenNamed(channel);
  ReceiptsOf(channel.Prepare(BatchOf(old, 1, {"a"})));
  channel.Commit();
  const auto prepare = [&](const AppendBatch& batch, bool opens) {
    return channel.writer.Prepare(
        batch, [&](std::uint64_t sequence) -> absl::StatusOr<LogBytes> {
          if (opens) OpenNamed(channel);
          return channel.entries.FindMessage(sequence);
        });
  };
  const auto fenced = prepare(BatchOf(old, 1, {"a", "b"}), /*opens=*/true);
  CHECK(absl::IsFailedPrecondition(fenced.status()));
  CHECK(ReasonOf(fenced.status()) == "PRODUCER_FENCED");
  CHECK(channel.writer.place().head == 1);
  ProducerInfo present = OpenNamed(channel);
  CHECK(present.last_producer_sequence == 1);
  // What comes next is where that was to be.
  const auto next = prepare(BatchOf(present, 1, {"a", "c"}), /*opens=*/false);
  REQUIRE(next.ok());
  CHECK(next->receipts.size() == 2);
  CHECK(next->receipts[1].first_sequence == 2);
  channel.Commit();
  CHECK(channel.entries.run_count() == 1);
}

TEST_CASE(
    "channel writer: whose a producer is counts with its first message, and is "
    "undone with it") {
  Channel channel;
  const auto prepare = [&](std::string_view owner, std::uint64_t first,
                           const Texts& texts) {
    auto prepared = channel.writer.Prepare(
        By(owner, BatchOf("c", Producer(1), first, texts)),
        [&](std::uint64_t sequence) -> absl::StatusOr<LogBytes> {
          return channel.entries.FindMessage(sequence);
        });
    if (!prepared.ok()) return ReasonOf(prepared.status());
    return std::string(prepared->sets_owner ? "owner" : "");
  };
  CHECK(prepare("", 1, {"a"}).empty());
  channel.Commit();
  for (int i = 0; i < 2; ++i) {
    // What is there already makes nobody the owner.
    CHECK(prepare("bob", 1, {"a"}).empty());
    CHECK(prepare("ann", 1, {"a", "b"}) == "owner");
    CHECK(prepare("ann", 3, {"c"}).empty());
    CHECK(prepare("bob", 1, {"a"}) == "PRODUCER_OWNED");
    CHECK(prepare("", 9, {"?"}) == "PRODUCER_OWNED");
    channel.writer.Undo();
  }
  CHECK(prepare("bob", 2, {"b"}) == "owner");
  channel.Commit();
  CHECK(prepare("ann", 3, {"c"}) == "PRODUCER_OWNED");
  channel.writer.PrepareDeletion(channel.clock.steady_now());
  CHECK(channel.writer.Commit().empty());
  CHECK(prepare("ann", 3, {"c"}) == "PRODUCER_OWNED");
  CHECK(prepare("bob", 3, {"c"}).empty());
}

TEST_CASE(
    "channel writer: a named producer is its owner's, and nobody's once it is "
    "deleted") {
  Channel channel;
  NamedProducers& named = *channel.context.named_producers;
  const ProducerKey key = {.channel = "c", .name = "p"};
  const auto opened = named.PrepareOpening(key, "ann", {});
  REQUIRE(opened.ok());
  named.Commit();
  const ProducerInfo p = InfoOf(key, *opened, channel.context.epoch());
  ReceiptsOf(channel.Prepare(By("ann", BatchOf(p, 5, {"a"}))));
  channel.Commit();
  CHECK(ReasonOf(channel.Prepare(By("bob", BatchOf(p, 6, {"b"}))).status()) ==
        "PRODUCER_OWNED");
  CHECK(named.PrepareDeletion(key).ok());
  named.Commit();
  // Then it is like any other one.
  CHECK(ReceiptsOf(channel.Prepare(
            By("bob", BatchOf("c", p.producer_id, 6, {"b"}))))[0]
            .sequence == 2);
}

TEST_CASE("channel writer: after a deletion a producer goes on where it was") {
  Channel channel;
  ReceiptsOf(channel.Prepare(BatchOf("c", Producer(1), 1, {"a", "b"})));
  channel.Commit();
  channel.writer.PrepareDeletion(channel.clock.steady_now());
  const auto gone = channel.Prepare(BatchOf("c", Producer(1), 2, {"b"}));
  CHECK(absl::IsFailedPrecondition(gone.status()));
  CHECK(channel.writer.Commit().empty());
  const auto next =
      ReceiptsOf(channel.Prepare(BatchOf("c", Producer(1), 3, {"c"})));
  CHECK(next[0].sequence == 3);
}

TEST_CASE("channel writer: without memory, it asks for room once") {
  Channel channel;
  const auto budget = std::make_shared<MemoryBudget>(0);
  ChannelWriter writer(channel.context, {}, {}, budget);
  int asked = 0;
  const auto refused = writer.Prepare(
      BatchOf("c", Texts{"a"}),
      [](std::uint64_t /*sequence*/) { return LogBytes(); },
      [&](std::size_t bytes) {
        CHECK(bytes > 0);
        ++asked;
        return true;
      });
  CHECK(absl::IsResourceExhausted(refused.status()));
  CHECK(asked == 1);
  CHECK(writer.place().head == 0);
}

}  // namespace
}  // namespace messenger::channel_writer_test
