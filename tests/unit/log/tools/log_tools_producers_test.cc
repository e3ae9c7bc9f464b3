// Verifying, repairing and dumping logs with named producers and idempotency
// keys.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/reason.h"
#include "log/durable/checkpoint.h"
#include "log/durable/disk_coding.h"
#include "log/durable/durable_log.h"
#include "log/tools/dump.h"
#include "log/tools/repair.h"
#include "log/tools/survey.h"
#include "messenger/log_tools.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/printing.h"

namespace messenger::log_tools_producers_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

using Operation = FaultyFileSystem::Operation;
using Texts = std::vector<std::string>;

// A disk with a log.
struct Disk {
  void Open(bool checkpoints) {
    files->SetFault([checkpoints, opener = std::this_thread::get_id()](
                        Operation operation,
                        const std::string& path) -> absl::Status {
      const bool creates_journal =
          !checkpoints && operation == Operation::kOpen &&
          path.ends_with(".journal") && std::this_thread::get_id() != opener;
      return creates_journal || operation == Operation::kAllocate
                 ? absl::InternalError(path + ": is broken")
                 : absl::OkStatus();
    });
    auto opened = DurableLog::Open("/log", {}, {.files = files});
    REQUIRE(opened.status().ToString() == "OK");
    log = *std::move(opened);
  }
  void Kill() {
    files->Stop();
    log.reset();
    std::mt19937_64 random(1);
    files->Crash(FaultyFileSystem::CrashMode::kKillProcess, random);
  }

  LogToolContext context() const {
    return {.directory = "/log", .files = files};
  }
  LogRepair MustRepair() {
    const auto repair = Repair(context(), {});
    REQUIRE(repair.ok());
    CHECK(repair->repaired);
    CHECK(repair->after.damages == 0);
    return *repair;
  }
  void Damage(const std::string& path, std::size_t offset) const {
    std::string bytes = files->Contents(path);
    bytes[offset] ^= 1;
    files->SetContents(path, bytes);
  }
  std::string Newest(std::string_view suffix) const {
    std::string newest;
    for (const std::string& path : files->Files()) {
      if (path.ends_with(suffix)) newest = path;
    }
    return newest;
  }
  std::size_t JournalSize() const {
    return files->Contents(Newest(".journal")).find_last_not_of('\0') + 1;
  }
  std::uint32_t Version() const {
    return GetLittleEndian<std::uint32_t>(
        &files->Contents("/log/checkpoint")[8]);
  }

  const std::shared_ptr<FaultyFileSystem> files =
      std::make_shared<FaultyFileSystem>();
  std::shared_ptr<MessageLog> log;
};

// A log with named producers and keys, some in the checkpoint and some in the
// last journal, as a killed process leaves it.
struct Lab : Disk {
  Lab() {
    Open(/*checkpoints=*/true);
    q = MustOpenProducer(*log, "c", "q");
    MustOpenProducer(*log, "c", "gone");
    p = MustOpenProducer(*log, "c", "p");
    MustAppend(*log, BatchOf(p, 1, {"one"}));
    keyed = MustAppend(*log, BatchWithKey("c", "old", "x")).front();
    log.reset();
    Open(/*checkpoints=*/false);
    p = MustOpenProducer(*log, "c", "p");
    MustAppend(*log, BatchOf(p, 5, {"five", "six"}));
    MustAppend(*log, BatchWithKey("c", "new", "y"));
    REQUIRE(DeleteProducer(*log, "c", "gone").ok());
    // It is opened and deleted within one journal.
    MustOpenProducer(*log, "c", "short");
    REQUIRE(DeleteProducer(*log, "c", "short").ok());
    last_round = JournalSize();
    MustAppend(*log, BatchOf("d", Texts{"last"}));
    Kill();
  }

  ProducerInfo p;
  ProducerInfo q;
  Stored keyed;
  std::size_t last_round = 0;  // where the last round begins
};

TEST_CASE("log tools: named producers and keys are no damage, and are shown") {
  const Lab lab;
  const auto found = Verify(lab.context(), {});
  REQUIRE(found.ok());
  CHECK(found->damages == 0);
  const auto overview = Inspect(lab.context(), {});
  REQUIRE(overview.ok());
  REQUIRE(overview->named_producers.size() == 2);
  const ProducerInfo& shown = overview->named_producers[0];
  CHECK(shown.channel == "c");
  CHECK(shown.name == "p");
  CHECK(shown.producer_id == lab.p.producer_id);
  CHECK(shown.generation == 2);
  CHECK(shown.last_producer_sequence == 6);
  CHECK(overview->idempotency_keys == 2);
}

TEST_CASE("log tools: a repair keeps named producers and keys") {
  Lab lab;
  lab.Damage(lab.Newest(".segment"), 60);
  CHECK_FALSE(lab.MustRepair().new_epoch);
  CHECK(lab.Version() == kCheckpointVersion);
  for (int i = 0; i < 2; ++i) {
    lab.Open(/*checkpoints=*/true);
    const auto listed = MustListProducers(*lab.log);
    REQUIRE(listed.size() == 2);
    CHECK(listed[0].producer_id == lab.p.producer_id);
    CHECK(listed[0].generation == 2);
    CHECK(listed[0].last_producer_sequence == 6);
    CHECK(listed[1].producer_id == lab.q.producer_id);
    const auto repeated =
        MustAppend(*lab.log, BatchOf(lab.p, 4, {"?", "?", "?"}));
    CHECK(repeated[0].sequence == 0);
    CHECK(repeated[1].sequence == 3);
    CHECK(repeated[2].sequence == 4);
    const Stored again =
        MustAppend(*lab.log, BatchWithKey("c", "old", "x")).front();
    CHECK(again.duplicate);
    CHECK(again.sequence == lab.keyed.sequence);
    CHECK(
        MustAppend(*lab.log, BatchWithKey("c", "new", "y")).front().duplicate);
    lab.log.reset();
  }
}

TEST_CASE("log tools: where rounds are lost, named producers are fenced off") {
  Lab lab;
  // Before the last round, and so after all that they have sent.
  lab.Damage(lab.Newest(".journal"), lab.last_round - 1);
  CHECK(lab.MustRepair().new_epoch);
  lab.Open(/*checkpoints=*/true);
  CHECK(ReasonOf(Append(*lab.log, BatchOf(lab.p, 7, {"seven"})).status()) ==
        "PRODUCER_FENCED");
  CHECK(MustOpenProducer(*lab.log, "c", "p").generation > 1'000'000);
}

TEST_CASE(
    "log tools: without the checkpoint, named producers and keys of the "
    "journals are kept, and that others are not is told") {
  Lab lab;
  REQUIRE(lab.files->Remove("/log/checkpoint").ok());
  const LogRepair repair = lab.MustRepair();
  CHECK(std::any_of(repair.remarks.begin(), repair.remarks.end(),
                    [](const std::string& remark) {
                      return Contains(remark,
                                      "any other named producer is refused");
                    }));
  CHECK(lab.Version() == kCheckpointVersion);
  lab.Open(/*checkpoints=*/true);
  const auto listed = MustListProducers(*lab.log);
  REQUIRE(listed.size() == 1);
  CHECK(listed[0].producer_id == lab.p.producer_id);
  CHECK(listed[0].last_producer_sequence == 6);
  CHECK(ReasonOf(Append(*lab.log, BatchOf(lab.q, 1, {"?"})).status()) ==
        "PRODUCER_UNKNOWN");
  CHECK(MustAppend(*lab.log, BatchWithKey("c", "new", "y")).front().duplicate);
}

TEST_CASE(
    "log tools: without the checkpoint, a log has the version that what "
    "is in it needs") {
  for (const bool in_journal : {false, true}) {
    for (const bool has_data : {false, true}) {
      CAPTURE(in_journal);
      CAPTURE(has_data);
      Disk lab;
      lab.Open(/*checkpoints=*/!in_journal);
      MustAppend(*lab.log,
                 BatchOf("c", std::vector<NewMessage>{
                                  {.text = "t", .data = has_data ? "d" : ""}}));
      if (!in_journal) {
        lab.log.reset();
      } else {
        lab.Kill();
      }
      REQUIRE(lab.files->Remove("/log/checkpoint").ok());
      lab.files->SetFault(nullptr);
      lab.MustRepair();
      CHECK(lab.Version() ==
            (has_data ? kCheckpointVersion : kBasicCheckpointVersion));
    }
  }
}

// A log in which everything has an owner: of "ann" in the checkpoint, of "bob"
// in the last journal, as a killed process leaves it.
struct OwnersLab : Disk {
  OwnersLab() {
    Open(/*checkpoints=*/true);
    Use("ann", 1);
    log.reset();
    Open(/*checkpoints=*/false);
    Use("bob", 2);
    Kill();
  }

  void Use(const std::string& owner, std::uint8_t producer) {
    MustAppend(*log, By(owner, BatchOf("c", Producer(producer), 1, {"a"})));
    MustAppend(*log,
               By(owner, BatchOf("deleted", Producer(producer), 1, {"a"})));
    REQUIRE(Delete(*log, "deleted").ok());
    MustOpenProducer(*log, "c", owner, owner);
    MustAppend(*log, By(owner, BatchWithKey("c", "k", "of " + owner)));
  }

  // What of `owner` others can use; "" if nothing.
  std::string OpenToOthers(const std::string& owner, std::uint8_t producer) {
    std::string open;
    for (const char* channel : {"c", "deleted"}) {
      const AppendBatch next = BatchOf(channel, Producer(producer), 9, {"?"});
      if (ReasonOf(Append(*log, By("eve", next)).status()) !=
          "PRODUCER_OWNED") {
        open += fmt::format("producer in {}, ", channel);
      }
    }
    if (ReasonOf(OpenProducer(*log, "c", owner, "eve").status()) !=
        "PRODUCER_OWNED") {
      open += "name, ";
    }
    if (!MustAppend(*log, By(owner, BatchWithKey("c", "k", "of " + owner)))
             .front()
             .duplicate) {
      open += "key, ";
    }
    return open;
  }
};

TEST_CASE("log tools: owners are no damage, and are shown") {
  const OwnersLab lab;
  const auto found = Verify(lab.context(), {});
  REQUIRE(found.ok());
  CHECK(found->damages == 0);
  const auto overview = Inspect(lab.context(), {});
  REQUIRE(overview.ok());
  REQUIRE(overview->named_producers.size() == 2);
  CHECK(overview->named_producers[0].owner == "ann");
  CHECK(overview->named_producers[1].owner == "bob");
  CHECK(overview->idempotency_keys == 2);
}

TEST_CASE("log tools: a repair keeps owners") {
  OwnersLab lab;
  lab.Damage(lab.Newest(".segment"), 60);
  lab.MustRepair();
  for (int i = 0; i < 2; ++i) {
    lab.Open(/*checkpoints=*/true);
    CHECK(lab.OpenToOthers("ann", 1) == "");
    CHECK(lab.OpenToOthers("bob", 2) == "");
    lab.log.reset();
  }
}

TEST_CASE(
    "log tools: without the checkpoint, owners in the journals are kept, and "
    "that others are not is told") {
  OwnersLab lab;
  REQUIRE(lab.files->Remove("/log/checkpoint").ok());
  const LogRepair repair = lab.MustRepair();
  CHECK(std::any_of(repair.remarks.begin(), repair.remarks.end(),
                    [](const std::string& remark) {
                      return Contains(remark, "whose they are");
                    }));
  lab.Open(/*checkpoints=*/true);
  CHECK(lab.OpenToOthers("bob", 2) == "");
  CHECK(lab.OpenToOthers("ann", 1) ==
        "producer in c, producer in deleted, name, key, ");
}

TEST_CASE(
    "log tools: without the checkpoint, an owner in a journal needs the new "
    "version") {
  Disk lab;
  lab.Open(/*checkpoints=*/false);
  MustAppend(*lab.log, By("ann", BatchOf("c", Producer(1), 1, {"a"})));
  lab.Kill();
  REQUIRE(lab.files->Remove("/log/checkpoint").ok());
  lab.files->SetFault(nullptr);
  lab.MustRepair();
  CHECK(lab.Version() == kCheckpointVersion);
}

}  // namespace
}  // namespace messenger::log_tools_producers_test
