// Named producers and idempotency keys on the disk, and the version of a log
// that uses them.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/reason.h"
#include "base/status.h"
#include "log/durable/checkpoint.h"
#include "log/durable/disk_coding.h"
#include "log/durable/durable_log.h"
#include "messenger/log.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/printing.h"
#include "unit/log/durable/log_on_disk.h"

namespace messenger::durable_log_producers_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

using End = LogOnDisk::End;

using Texts = std::vector<std::string>;

std::uint32_t VersionOn(const FaultyFileSystem& files) {
  return GetLittleEndian<std::uint32_t>(&files.Contents("/log/checkpoint")[8]);
}

std::size_t BytesInJournals(const FaultyFileSystem& files) {
  std::size_t bytes = 0;
  for (const std::string& path : JournalsOn(files)) {
    bytes += SizeWithoutZeros(files.Contents(path));
  }
  return bytes;
}

std::uint64_t SequenceOf(const AppendResult& result) {
  return ReceiptsOf(result).front().sequence;
}

AppendBatch WithData() {
  return BatchOf("c", std::vector<NewMessage>{{.data = "d"}});
}
AppendBatch WithContentType() {
  return BatchOf("c", std::vector<NewMessage>{{.content_type = "text/plain"}});
}

TEST_CASE(
    "durable log: named producers and idempotency keys are there when it "
    "is opened again, however it ended") {
  for (const End end : {End::kClose, End::kKill, End::kPowerCut}) {
    for (const bool checkpoints : {false, true}) {
      CAPTURE(static_cast<int>(end));
      CAPTURE(checkpoints);
      LogOnDisk log({.directory = {.max_journal_bytes =
                                       checkpoints ? kTinyJournal
                                                   : std::uint64_t{64} << 20}});
      log.Open();
      const ProducerInfo gone = MustOpenProducer(log.log(), "c", "gone");
      ProducerInfo p = MustOpenProducer(log.log(), "c", "p");
      const ProducerInfo idle = MustOpenProducer(log.log(), "idle", "p");
      CHECK(Append(log.log(), BatchOf(gone, 1, {"x"})).ok());
      CHECK(Append(log.log(), BatchOf(p, 5, {"a", "b"})).ok());
      CHECK(Append(log.log(), BatchOf(p, 10, {"c"})).ok());
      CHECK(DeleteProducer(log.log(), "c", "gone").ok());
      const auto keyed =
          ReceiptsOf(Append(log.log(), BatchWithKey("c", "k", "keyed")));
      for (std::uint64_t i = 0; i < 3; ++i) {
        log.Reopen(end);
        log.clock().Advance(std::chrono::minutes(1));
        CHECK(Append(log.log(), BatchOf("c", Texts{std::string(1500, 'x')}))
                  .ok());
        const std::vector<ProducerInfo> listed = MustListProducers(log.log());
        REQUIRE(listed.size() == 2);
        CHECK(listed[0].producer_id == p.producer_id);
        CHECK(listed[0].generation == p.generation);
        CHECK(listed[0].last_producer_sequence == 10U + i);
        CHECK(listed[1].channel == "idle");
        CHECK(listed[1].producer_id == idle.producer_id);
        CHECK(listed[1].generation == 1);
        // The runs are remembered on both sides of the hole.
        const auto repeated =
            ReceiptsOf(Append(log.log(), BatchOf(p, 5, Texts(6, "?"))));
        CHECK(repeated[0].sequence == 2);
        CHECK(repeated[1].sequence == 3);
        CHECK(repeated[2].sequence == 0);
        CHECK(repeated[5].sequence == 4);
        for (const Stored& stored : repeated) CHECK(stored.duplicate);
        const ProducerInfo old = p;
        p = MustOpenProducer(log.log(), "c", "p");
        CHECK(p.generation == old.generation + 1);
        CHECK(ReasonOf(Append(log.log(), BatchOf(old, 20, {"?"})).status()) ==
              "PRODUCER_FENCED");
        CHECK(ReasonOf(Append(log.log(), BatchOf(gone, 2, {"?"})).status()) ==
              "PRODUCER_UNKNOWN");
        CHECK(Append(log.log(), BatchOf(p, 11U + i, {"more"})).ok());
        const auto again =
            ReceiptsOf(Append(log.log(), BatchWithKey("c", "k", "keyed")));
        CHECK(again[0].duplicate);
        CHECK(again[0].sequence == keyed[0].sequence);
        CHECK(again[0].send_time == keyed[0].send_time);
        CHECK(ReasonOf(
                  Append(log.log(), BatchWithKey("c", "k", "else")).status()) ==
              "IDEMPOTENCY_KEY_REUSED");
      }
    }
  }
}

TEST_CASE("durable log: the bounds of idempotency keys hold over restarts") {
  LogOnDisk log({.directory = {.max_journal_bytes = kTinyJournal},
                 .max_idempotency_keys = 500,
                 .idempotency_key_timeout = std::chrono::hours(1)});
  log.Open();
  const auto send = [&](int key) {
    return ReceiptsOf(Append(log.log(),
                             BatchWithKey("c", fmt::format("k{}", key), "x")))
        .front();
  };
  for (int i = 0; i < 1000; ++i) {
    send(i);
    if (i % 300 == 299) log.Reopen(End::kKill);
  }
  log.Reopen(End::kClose);
  CHECK(log.log().Stats().idempotency_keys == 500);
  CHECK(send(500).duplicate);
  CHECK(send(999).duplicate);
  log.clock().Advance(std::chrono::minutes(59));
  log.Reopen(End::kClose);
  CHECK(send(999).duplicate);
  log.clock().Advance(std::chrono::minutes(2));
  log.Reopen(End::kClose);
  CHECK_FALSE(send(999).duplicate);
  CHECK_FALSE(send(500).duplicate);
}

TEST_CASE(
    "durable log: what could not be written leaves no trace of a named "
    "producer, nor of a key") {
  LogOnDisk log;
  log.Open();
  const ProducerInfo p = MustOpenProducer(log.log(), "c", "p");
  CHECK(Append(log.log(), BatchOf(p, 1, {"a"})).ok());
  log.Fail(Failing({Operation::kWrite}, ".journal"));
  CHECK(absl::IsUnavailable(OpenProducer(log.log(), "c", "p").status()));
  CHECK(absl::IsUnavailable(OpenProducer(log.log(), "c", "q").status()));
  CHECK(absl::IsUnavailable(DeleteProducer(log.log(), "c", "p")));
  CHECK(absl::IsUnavailable(Append(log.log(), BatchOf(p, 2, {"b"})).status()));
  CHECK(absl::IsUnavailable(
      Append(log.log(), BatchWithKey("c", "k", "b")).status()));
  log.Heal();
  const auto listed = MustListProducers(log.log());
  REQUIRE(listed.size() == 1);
  CHECK(listed[0].generation == 1);
  CHECK(listed[0].last_producer_sequence == 1);
  CHECK(SequenceOf(Append(log.log(), BatchOf(p, 2, {"b"}))) == 2);
  const auto keyed =
      ReceiptsOf(Append(log.log(), BatchWithKey("c", "k", "another")));
  CHECK_FALSE(keyed[0].duplicate);
  CHECK(MustOpenProducer(log.log(), "c", "p").generation == 2);
}

TEST_CASE(
    "durable log: a round that could not be written leaves no trace of any of "
    "its openings, deletions, messages and keys") {
  LogOnDisk log;
  log.Open();
  MustOpenProducer(log.log(), "c", "gone");
  const ProducerInfo p = MustOpenProducer(log.log(), "c", "p");
  CHECK(Append(log.log(), BatchOf(p, 1, {"a"})).ok());
  const std::vector<ProducerInfo> before = MustListProducers(log.log());
  // While the disk is busy with one round, the next one gathers.
  std::promise<void> busy;
  std::promise<void> gathered;
  std::atomic<int> writes{0};
  log.Fail([&, released = gathered.get_future().share()](
               Operation operation, const std::string& path) {
    if (operation != Operation::kWrite || !path.ends_with(".journal")) {
      return absl::OkStatus();
    }
    if (writes++ > 0) return Broken(path);
    busy.set_value();
    released.wait();
    return absl::OkStatus();
  });
  Completion<AppendResult> first;
  log.log().Append(BatchOf("c", Texts{"first"}), first.Callback());
  busy.get_future().wait();
  Completion<absl::StatusOr<ProducerInfo>> opened_again;
  Completion<absl::StatusOr<ProducerInfo>> opened;
  Completion<absl::Status> deleted;
  Completion<AppendResult> named;
  Completion<AppendResult> keyed;
  log.log().OpenProducer("c", "p", "", opened_again.Callback());
  ProducerInfo next = p;
  next.generation = p.generation + 1;
  log.log().Append(BatchOf(next, 2, {"b"}), named.Callback());
  log.log().OpenProducer("c", "q", "", opened.Callback());
  log.log().DeleteProducer("c", "gone", deleted.Callback());
  log.log().Append(BatchWithKey("c", "k", "x"), keyed.Callback());
  gathered.set_value();
  CHECK(first.Wait("Append").ok());
  CHECK(absl::IsUnavailable(opened_again.Wait("OpenProducer").status()));
  CHECK(absl::IsUnavailable(named.Wait("Append").status()));
  CHECK(absl::IsUnavailable(opened.Wait("OpenProducer").status()));
  CHECK(absl::IsUnavailable(deleted.Wait("DeleteProducer")));
  CHECK(absl::IsUnavailable(keyed.Wait("Append").status()));
  log.Heal();
  for (int i = 0; i < 2; ++i) {
    const std::vector<ProducerInfo> after = MustListProducers(log.log());
    REQUIRE(after.size() == 2);
    for (std::size_t k = 0; k < 2; ++k) {
      CHECK(after[k].producer_id == before[k].producer_id);
      CHECK(after[k].generation == before[k].generation);
      CHECK(after[k].last_producer_sequence ==
            before[k].last_producer_sequence);
    }
    log.Reopen(End::kKill);
  }
  CHECK(SequenceOf(Append(log.log(), BatchOf(p, 2, {"b"}))) == 3);
  CHECK_FALSE(ReceiptsOf(Append(log.log(), BatchWithKey("c", "k", "other")))
                  .front()
                  .duplicate);
}

TEST_CASE(
    "durable log: a named producer that is one too many does not need the new "
    "version") {
  LogOnDisk log({.max_named_producers = 0});
  log.Open();
  CHECK(absl::IsResourceExhausted(OpenProducer(log.log(), "c", "p").status()));
  CHECK(VersionOn(log.files()) == kBasicCheckpointVersion);
}

TEST_CASE(
    "durable log: a log that uses nothing new has the version of before, "
    "and from the first use on the new one") {
  LogOnDisk log({.directory = {.max_journal_bytes = kTinyJournal}});
  log.Open();
  const auto use = [&](int what) {
    switch (what) {
      case 0:
        return Append(log.log(), WithData()).ok();
      case 1:
        return Append(log.log(), WithContentType()).ok();
      case 2:
        return Append(log.log(), BatchWithKey("c", "k", "x")).ok();
      default:
        return OpenProducer(log.log(), "c", "p").ok();
    }
  };
  for (std::uint64_t i = 1; i <= 20; ++i) {
    AppendBatch batch =
        BatchOf("c", Producer(1), i, Texts{std::string(500, 'x')});
    batch.expected_last_sequence = i - 1;
    CHECK(Append(log.log(), std::move(batch)).ok());
  }
  CHECK(Delete(log.log(), "c").ok());
  CHECK(DeleteProducer(log.log(), "c", "p").code() ==
        absl::StatusCode::kNotFound);
  // What is refused is not used.
  AppendBatch refused = WithData();
  refused.expected_last_sequence = 999;
  CHECK(absl::IsAborted(Append(log.log(), std::move(refused)).status()));
  AppendBatch fenced = WithData();
  fenced.producer_id = Producer(9);
  fenced.first_producer_sequence = 1;
  fenced.producer_generation = 1;
  CHECK(absl::IsFailedPrecondition(
      Append(log.log(), std::move(fenced)).status()));
  CHECK(VersionOn(log.files()) == kBasicCheckpointVersion);
  log.Reopen(End::kClose);
  CHECK(VersionOn(log.files()) == kBasicCheckpointVersion);
  SUBCASE("data") {
    CHECK(use(0));
  }
  SUBCASE("a content type") {
    CHECK(use(1));
  }
  SUBCASE("a key") {
    CHECK(use(2));
  }
  SUBCASE("a named producer") {
    CHECK(use(3));
  }
  CHECK(VersionOn(log.files()) == kCheckpointVersion);
  log.Reopen(End::kPowerCut);
  CHECK(VersionOn(log.files()) == kCheckpointVersion);
  for (int i = 0; i < 20; ++i) {
    CHECK(Append(log.log(), BatchOf("c", Texts{std::string(500, 'x')})).ok());
  }
  log.Reopen(End::kClose);
  CHECK(VersionOn(log.files()) == kCheckpointVersion);
}

TEST_CASE(
    "durable log: the checkpoint has the new version, durably, before "
    "anything that needs it is written") {
  LogOnDisk log;
  log.Open();
  CHECK(log.Send("c", {"plain"}).ok());
  const std::size_t before = BytesInJournals(log.files());
  std::atomic<int> steps{0};
  bool durable = false;
  SUBCASE("written") {
    log.Fail([&](Operation operation, const std::string& path) {
      if (operation == Operation::kSyncDirectory && path == "/log") ++steps;
      if (operation == Operation::kWrite && path.ends_with(".journal")) {
        CHECK(VersionOn(log.files()) == kCheckpointVersion);
        CHECK(steps == 1);
        ++steps;
      }
      return absl::OkStatus();
    });
    CHECK(Append(log.log(), WithData()).ok());
    CHECK(steps == 2);
    durable = true;
  }
  SUBCASE("not written") {
    log.Fail(Failing({Operation::kWrite}, "checkpoint.new"));
  }
  SUBCASE("not synced") {
    log.Fail(Failing({Operation::kSync}, "checkpoint.new"));
  }
  SUBCASE("not renamed") {
    log.Fail(Failing({Operation::kRename}, "checkpoint.new"));
  }
  SUBCASE("its name not synced") {
    log.Fail([](Operation operation, const std::string& path) {
      return operation == Operation::kSyncDirectory && path == "/log"
                 ? Broken(path)
                 : absl::OkStatus();
    });
  }
  if (!durable) {
    for (const absl::Status& refusal :
         {Append(log.log(), WithData()).status(),
          Append(log.log(), BatchWithKey("c", "k", "x")).status(),
          OpenProducer(log.log(), "c", "p").status()}) {
      CHECK(absl::IsUnavailable(refusal));
      CHECK(ReasonOf(refusal) == "STORAGE_FAILED");
      CHECK(Contains(std::string(MessageOf(refusal)),
                     "the checkpoint cannot be made one of format version 3"));
    }
    CHECK(BytesInJournals(log.files()) == before);
    // Everything else goes on.
    CHECK(log.Send("c", {"plain"}).ok());
    log.Heal();
    CHECK(Append(log.log(), WithData()).ok());
  }
  log.Heal();
  CHECK(VersionOn(log.files()) == kCheckpointVersion);
  log.Reopen(End::kPowerCut);
  CHECK(VersionOn(log.files()) == kCheckpointVersion);
}

TEST_CASE(
    "durable log: on a full disk, the version rises with the room of the "
    "reserve") {
  LogOnDisk log({}, {.reserve_bytes = 10'000});
  log.Open();
  bool lent = true;
  const auto fault = [&](Operation operation, const std::string& path) {
    const bool full = operation == Operation::kWrite &&
                      path == "/log/checkpoint.new" &&
                      (!lent || !log.files().Contents("/log/reserve").empty());
    return full ? absl::ResourceExhaustedError(path + ": the disk is full")
                : absl::OkStatus();
  };
  // The reserve has to have its room.
  log.files().SetFault(fault);
  lent = false;
  const absl::Status refusal = Append(log.log(), WithData()).status();
  CHECK(absl::IsResourceExhausted(refusal));
  CHECK(ReasonOf(refusal) == "STORAGE_FULL");
  CHECK(VersionOn(log.files()) == kBasicCheckpointVersion);
  lent = true;
  CHECK(Append(log.log(), WithData()).ok());
  CHECK(VersionOn(log.files()) == kCheckpointVersion);
  log.Heal();
}

TEST_CASE(
    "durable log: the version rises while checkpoints are made, and stays "
    "risen") {
  for (int round = 0; round < 10; ++round) {
    LogOnDisk log({.directory = {.max_journal_bytes = kTinyJournal}});
    log.Open();
    std::thread others([&log] {
      for (int i = 0; i < 100; ++i) {
        MustAppend(log.log(), BatchOf("d", Texts{std::string(300, 'x')}));
      }
    });
    for (int i = 0; i < 20 + round; ++i) {
      MustAppend(log.log(), BatchOf("c", Texts{std::string(300, 'x')}));
    }
    CHECK(VersionOn(log.files()) == kBasicCheckpointVersion);
    CHECK(Append(log.log(), WithData()).ok());
    CHECK(VersionOn(log.files()) == kCheckpointVersion);
    others.join();
    CHECK(VersionOn(log.files()) == kCheckpointVersion);
    log.Reopen(End::kClose);
    CHECK(VersionOn(log.files()) == kCheckpointVersion);
    const auto reader = log.log().OpenReader("d", Start::Earliest(), {});
    CHECK(ReadToHead(*reader).messages.size() == 100);
  }
}

TEST_CASE(
    "durable log: a new epoch fences off all named producers, since their "
    "messages may be lost") {
  LogOnDisk log({.directory = {.durability = Durability::kOs}});
  log.Open();
  const ProducerInfo before = MustOpenProducer(log.log(), "c", "p");
  CHECK(Append(log.log(), BatchOf(before, 1, {"a"})).ok());
  log.Reopen(End::kClose);
  CHECK(Append(log.log(), BatchOf(before, 2, {"b"})).ok());
  log.Reopen(End::kKill);
  CHECK(log.log().epoch() != before.epoch);
  CHECK(ReasonOf(Append(log.log(), BatchOf(before, 3, {"c"})).status()) ==
        "PRODUCER_FENCED");
  const ProducerInfo after = MustOpenProducer(log.log(), "c", "p");
  CHECK(after.generation > before.generation + 1'000'000);
  CHECK(after.last_producer_sequence == 2);
  // It does so once.
  log.Reopen(End::kClose);
  CHECK(MustOpenProducer(log.log(), "c", "p").generation ==
        after.generation + 1);
}

}  // namespace
}  // namespace messenger::durable_log_producers_test
