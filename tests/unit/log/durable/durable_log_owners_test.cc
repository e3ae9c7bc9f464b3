// Whose producers and idempotency keys are, on the disk.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/reason.h"
#include "base/status.h"
#include "log/durable/checkpoint.h"
#include "log/durable/durable_log.h"
#include "log/durable/journal.h"
#include "log/durable/journal_replay.h"
#include "log/durable/table_coding.h"
#include "log/owner.h"
#include "log/tools/repair.h"
#include "log/tools/survey.h"
#include "messenger/log.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/printing.h"
#include "unit/log/durable/log_on_disk.h"

namespace messenger::durable_log_owners_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

using End = LogOnDisk::End;

using Texts = std::vector<std::string>;

bool IsOfAnother(const absl::Status& status) {
  return absl::IsPermissionDenied(status) &&
         ReasonOf(status) == "PRODUCER_OWNED";
}

// Whether `other` is refused as this producer, whatever it sends.
bool IsKeptFrom(MessageLog& log, std::string_view other,
                std::string_view channel, const ProducerId& producer,
                std::uint64_t next) {
  for (const std::uint64_t first : {std::uint64_t{1}, next, next + 5}) {
    if (!IsOfAnother(
            Append(log, By(other, BatchOf(channel, producer, first, {"?"})))
                .status())) {
      return false;
    }
  }
  return true;
}

std::string ReasonOfAppend(MessageLog& log, AppendBatch batch) {
  return ReasonOf(Append(log, std::move(batch)).status());
}

std::uint32_t VersionOn(FileSystem& files) {
  const auto checkpoint = LoadCheckpoint(files, "/log");
  REQUIRE(checkpoint.ok());
  return checkpoint->log.version;
}

void Fill(LogOnDisk& log) {
  MustAppend(log.log(), BatchOf("filler", Texts{std::string(1500, 'x')}));
}

// ---------------------------------------------------------------------------
// Opening it again

// What has an owner, and who that is.
class Owned {
 public:
  explicit Owned(LogOnDisk& log) : log_(log) {
    MessageLog& to = log_.log();
    MustAppend(to, By("ann", BatchOf("c", Producer(1), 1, {"a"})));
    // Of nobody at first.
    MustAppend(to, BatchOf("c", Producer(2), 1, {"b"}));
    MustAppend(to, By("bob", BatchOf("c", Producer(2), 2, {"c"})));
    MustAppend(to, BatchOf("c", Producer(3), 1, {"d"}));
    MustAppend(to, By("ann", BatchOf("deleted", Producer(1), 1, {"a"})));
    CHECK(Delete(to, "deleted").ok());
    named_ = MustOpenProducer(to, "c", "p", "ann");
    MustAppend(to, By("ann", BatchOf(named_, 1, {"e"})));
    MustOpenProducer(to, "c", "taken over");
    MustOpenProducer(to, "c", "taken over", "bob");
    MustOpenProducer(to, "c", "of nobody");
    MustOpenProducer(to, "c", "deleted", "ann");
    CHECK(DeleteProducer(to, "c", "deleted").ok());
    for (const char* owner : {"ann", "bob", ""}) {
      keyed_.push_back(MustAppend(to, Keyed(owner)).front());
    }
  }

  void Check() {
    MessageLog& in = log_.log();
    CHECK(IsKeptFrom(in, "bob", "c", Producer(1), 2));
    CHECK(IsKeptFrom(in, "", "c", Producer(1), 2));
    CHECK(IsKeptFrom(in, "ann", "c", Producer(2), 3));
    CHECK(IsKeptFrom(in, "", "deleted", Producer(1), 2));
    CHECK(IsKeptFrom(in, "bob", "c", named_.producer_id, 2));
    CHECK(
        IsOfAnother(Append(in, By("bob", BatchOf(named_, 2, {"?"}))).status()));
    CHECK(IsOfAnother(OpenProducer(in, "c", "p", "bob").status()));
    CHECK(IsOfAnother(OpenProducer(in, "c", "taken over").status()));
    // Who may, does.
    CHECK(Repeats("ann", BatchOf("c", Producer(1), 1, {"a"}), 1));
    CHECK(Repeats("bob", BatchOf("c", Producer(2), 1, {"b", "c"}), 2));
    CHECK(Repeats("eve", BatchOf("c", Producer(3), 1, {"d"}), 4));
    CHECK(Repeats("ann", BatchOf(named_, 1, {"e"}), 5));
    CHECK(ReasonOfAppend(
              in, By("ann", BatchOf("deleted", Producer(1), 3, {"?"}))) ==
          "PRODUCER_SEQUENCE_SKIPS");
    std::size_t i = 0;
    for (const char* owner : {"ann", "bob", ""}) {
      CHECK(Repeats(owner, Keyed(owner), keyed_[i++].sequence));
    }
    CHECK(ReasonOfAppend(in, By("ann", BatchWithKey("c", "k", "?"))) ==
          "IDEMPOTENCY_KEY_REUSED");
    std::vector<std::string> owners;
    for (const ProducerInfo& info : MustListProducers(in)) {
      owners.push_back(info.name + ": " + info.owner);
    }
    CHECK(owners == Texts{"of nobody: ", "p: ann", "taken over: bob"});
  }

 private:
  static AppendBatch Keyed(const std::string& owner) {
    return By(owner, BatchWithKey("c", "k", "of " + owner));
  }
  // The first of it has this sequence.
  bool Repeats(std::string_view owner, AppendBatch batch,
               std::uint64_t sequence) {
    const std::vector<Stored> stored =
        MustAppend(log_.log(), By(owner, std::move(batch)));
    return stored.front().duplicate && stored.front().sequence == sequence;
  }

  LogOnDisk& log_;
  ProducerInfo named_;
  std::vector<Stored> keyed_;
};

TEST_CASE(
    "durable log: owners are there when it is opened again, however it ended") {
  for (const End end : {End::kClose, End::kKill, End::kPowerCut}) {
    for (const bool checkpoints : {false, true}) {
      CAPTURE(static_cast<int>(end));
      CAPTURE(checkpoints);
      LogOnDisk log({.directory = {.max_journal_bytes =
                                       checkpoints ? kTinyJournal
                                                   : std::uint64_t{64} << 20}});
      log.Open();
      Owned owned(log);
      owned.Check();
      for (int i = 0; i < 3; ++i) {
        log.Reopen(end);
        owned.Check();
        Fill(log);
      }
    }
  }
}

TEST_CASE(
    "durable log: owners are there when their messages are carried over") {
  LogOnDisk log({}, {.max_small_segments = 0});
  log.Open();
  Owned owned(log);
  for (const End end : {End::kClose, End::kKill, End::kClose}) {
    log.Reopen(end);
    CHECK(JournalsOn(log.files()).size() > 0);
    owned.Check();
    Fill(log);
  }
}

TEST_CASE(
    "durable log: a producer that was forgotten, and used by nobody who is "
    "known, belongs to nobody after a restart either") {
  const auto files = std::make_shared<FaultyFileSystem>();
  {
    LogOnDisk log({.max_producers_per_channel = 1}, {}, files);
    log.Fail(WithoutCheckpoints());
    log.Open();
    MustAppend(log.log(), By("ann", BatchOf("c", Producer(1), 1, {"a"})));
    MustAppend(log.log(), By("ann", BatchOf("c", Producer(2), 1, {"b"})));
    MustAppend(log.log(), BatchOf("c", Producer(1), 1, {"c"}));
    log.Crash(CrashMode::kKillProcess);
  }
  // It remembers more in its replay than the log before did.
  LogOnDisk log({}, {}, files);
  log.Open();
  CHECK(IsKeptFrom(log.log(), "bob", "c", Producer(2), 2));
  CHECK(MustAppend(log.log(), By("bob", BatchOf("c", Producer(1), 2, {"d"})))
            .front()
            .sequence == 4);
}

TEST_CASE(
    "durable log: who owned a producer when an epoch ended owns it still") {
  LogOnDisk log({.directory = {.durability = Durability::kOs}});
  log.Open();
  const std::uint64_t epoch = log.log().epoch();
  MustAppend(log.log(), By("ann", BatchOf("c", Producer(1), 1, {"a"})));
  MustOpenProducer(log.log(), "c", "p", "ann");
  log.Reopen(End::kKill);
  CHECK(log.log().epoch() != epoch);
  CHECK(IsKeptFrom(log.log(), "bob", "c", Producer(1), 2));
  CHECK(IsOfAnother(OpenProducer(log.log(), "c", "p", "bob").status()));
}

// ---------------------------------------------------------------------------
// What is written

struct Record {
  JournalRecord::Type type = {};
  std::string channel;
  std::uint64_t number = 0;
  std::string entries;
};

// The newest journal, and its rounds.
struct Journal {
  JournalId id;
  JournalTraits traits;
  struct Round {
    JournalRoundInfo info;
    std::vector<Record> records;
  };
  std::vector<Round> rounds;

  explicit Journal(FaultyFileSystem& files) {
    const std::string path = JournalsOn(files).back();
    id.number = *ParseJournalFileName(
        std::string_view(path).substr(path.rfind('/') + 1));
    id.key = LoadCheckpoint(files, "/log")->log.key;
    auto reader = JournalReader::Open(files, "/log/journals", id);
    REQUIRE(reader.ok());
    traits = reader->traits();
    while (reader->Next()) {
      Round& round = rounds.emplace_back();
      round.info = reader->round();
      REQUIRE(reader
                  ->ForEachRecord([&round](const JournalRecord& record) {
                    round.records.push_back(
                        {.type = record.type,
                         .channel = std::string(record.channel),
                         .number = record.number,
                         .entries = std::string(record.entries)});
                    return absl::OkStatus();
                  })
                  .ok());
    }
  }

  // Of the records of each round.
  std::string Types() const {
    std::string types;
    for (const Round& round : rounds) {
      for (const Record& record : round.records) {
        types += static_cast<char>('0' + static_cast<int>(record.type));
      }
      types += ' ';
    }
    return types;
  }
};

TEST_CASE(
    "durable log: an owner is written once, with the message that has set it, "
    "and nothing where there is none") {
  LogOnDisk log;
  log.Fail(WithoutCheckpoints());
  log.Open();
  const auto append = [&](std::string_view owner, std::uint8_t producer,
                          std::uint64_t first) {
    MustAppend(log.log(),
               By(owner, BatchOf("c", Producer(producer), first, {"x"})));
  };
  append("", 1, 1);
  append("ann", 1, 2);
  append("ann", 1, 3);
  append("bob", 2, 1);
  append("bob", 2, 1);
  const ProducerInfo named = MustOpenProducer(log.log(), "c", "p", "ann");
  MustAppend(log.log(), By("ann", BatchOf(named, 1, {"x"})));
  MustAppend(log.log(), By("ann", BatchOf("c", Texts{"x"})));
  CHECK(Journal(log.files()).Types() == "1 17 1 17 4 1 1 ");
  log.files().Stop();
}

TEST_CASE("durable log: what could not be written leaves no owner behind") {
  LogOnDisk log;
  log.Open();
  MustAppend(log.log(), BatchOf("c", Producer(1), 1, {"a"}));
  MustOpenProducer(log.log(), "c", "p");
  MustAppend(log.log(), By("ann", BatchOf("c", Producer(9), 1, {"b"})));
  log.Fail(Failing({Operation::kWrite}, ".journal"));
  const auto refused = [&](const absl::Status& status) {
    return absl::IsUnavailable(status);
  };
  CHECK(
      refused(Append(log.log(), By("ann", BatchOf("c", Producer(1), 2, {"b"})))
                  .status()));
  CHECK(
      refused(Append(log.log(), By("ann", BatchOf("c", Producer(2), 1, {"b"})))
                  .status()));
  CHECK(refused(OpenProducer(log.log(), "c", "p", "ann").status()));
  CHECK(refused(
      Append(log.log(), By("ann", BatchWithKey("c", "k", "a"))).status()));
  log.Heal();
  for (int i = 0; i < 2; ++i) {
    CHECK(IsKeptFrom(log.log(), "bob", "c", Producer(9), 2));
    CHECK(MustListProducers(log.log()).front().owner.empty());
    log.Reopen(End::kKill);
  }
  MustAppend(log.log(), By("bob", BatchOf("c", Producer(1), 2, {"b"})));
  MustAppend(log.log(), By("bob", BatchOf("c", Producer(2), 1, {"b"})));
  CHECK(MustOpenProducer(log.log(), "c", "p", "bob").owner == "bob");
  CHECK_FALSE(MustAppend(log.log(), By("ann", BatchWithKey("c", "k", "b")))
                  .front()
                  .duplicate);
}

TEST_CASE(
    "durable log: a producer with an owner needs the new version, and one "
    "without does not") {
  LogOnDisk log;
  log.Open();
  MustAppend(log.log(), BatchOf("c", Producer(1), 1, {"a"}));
  MustAppend(log.log(), By("ann", BatchOf("c", Texts{"a"})));
  // Neither what is there nor what is refused sets an owner.
  MustAppend(log.log(), By("ann", BatchOf("c", Producer(1), 1, {"a"})));
  CHECK(ReasonOfAppend(log.log(),
                       By("ann", BatchOf("c", Producer(2), 2, {"a"}))) ==
        "PRODUCER_UNKNOWN");
  log.Reopen(End::kClose);
  CHECK(VersionOn(log.files()) == kBasicCheckpointVersion);
  log.Fail(Failing({Operation::kRename}, "checkpoint.new"));
  const absl::Status refusal =
      Append(log.log(), By("ann", BatchOf("c", Producer(1), 2, {"b"})))
          .status();
  CHECK(ReasonOf(refusal) == "STORAGE_FAILED");
  MustAppend(log.log(), BatchOf("c", Producer(1), 2, {"b"}));
  log.Heal();
  MustAppend(log.log(), By("ann", BatchOf("c", Producer(1), 3, {"c"})));
  CHECK(VersionOn(log.files()) == kCheckpointVersion);
  log.Reopen(End::kPowerCut);
  CHECK(VersionOn(log.files()) == kCheckpointVersion);
  CHECK(IsKeptFrom(log.log(), "bob", "c", Producer(1), 4));
}

// ---------------------------------------------------------------------------
// What cannot be

TEST_CASE("durable log: an owner is encoded as it is") {
  const ProducerOwner owner = {.channel = "c",
                               .id = Producer(1),
                               .owner = std::string(kMaxOwnerSize, 'a'),
                               .sequence = 7};
  CHECK(DecodeProducerOwner(EncodeProducerOwner(owner)) == owner);
  const auto refused = [&](const std::function<void(ProducerOwner&)>& change) {
    ProducerOwner changed = owner;
    change(changed);
    return !DecodeProducerOwner(EncodeProducerOwner(changed)).has_value();
  };
  CHECK(refused([](ProducerOwner& o) { o.channel = ""; }));
  CHECK(refused([](ProducerOwner& o) { o.channel = "/"; }));
  CHECK(refused([](ProducerOwner& o) { o.id = {}; }));
  CHECK(refused([](ProducerOwner& o) { o.owner = ""; }));
  CHECK(refused([](ProducerOwner& o) { o.owner += 'a'; }));
  CHECK(refused([](ProducerOwner& o) { o.sequence = 0; }));
  CHECK(refused([](ProducerOwner& o) { o.sequence = UINT64_MAX; }));
  CHECK_FALSE(DecodeProducerOwner("no message").has_value());
  // Those of the tables, too.
  NamedProducers::Kept kept = {
      .key = {.channel = "c", .name = "p"},
      .producer = {.id = Producer(1), .generation = 1, .owner = owner.owner}};
  CHECK(DecodeNamedProducer(EncodeNamedProducer(kept))->producer ==
        kept.producer);
  kept.producer.owner += 'a';
  CHECK_FALSE(DecodeNamedProducer(EncodeNamedProducer(kept)).has_value());
  IdempotencyKey key = {
      .channel = "c", .key = "k", .sequence = 1, .owner = owner.owner};
  CHECK(DecodeIdempotencyKey(EncodeIdempotencyKey(key)) == key);
  CHECK(EncodeIdempotencyKey(key).size() <= EncodedSize(key));
  key.owner += 'a';
  CHECK_FALSE(DecodeIdempotencyKey(EncodeIdempotencyKey(key)).has_value());
}

TEST_CASE("durable log: an owner is the one that its record names") {
  const std::string entries = EncodeProducerOwner(
      {.channel = "c", .id = Producer(1), .owner = "ann", .sequence = 7});
  JournalRecord record = {.type = JournalRecord::Type::kProducerOwner,
                          .channel = "c",
                          .number = 7,
                          .entries = entries};
  CHECK(OwnerIn(record)->owner == "ann");
  record.number = 8;
  CHECK_FALSE(OwnerIn(record).has_value());
  record.number = 7;
  record.channel = "d";
  CHECK_FALSE(OwnerIn(record).has_value());
}

// A killed log with a message of Producer(1), and its owner.
struct Killed {
  Killed() {
    log.Fail(WithoutCheckpoints());
    log.Open();
    MustAppend(log.log(), BatchOf("c", Texts{"before"}));
    MustAppend(log.log(), By("ann", BatchOf("c", Producer(1), 1, {"a", "b"})));
    log.Crash(CrashMode::kKillProcess);
  }

  // Writes the last round, which has entries and `right`, in this way instead.
  void Rewrite(
      const std::function<void(std::string_view entries, ProducerOwner right,
                               JournalRound& round)>& write) {
    const Journal journal(log.files());
    auto writer = JournalWriter::Create(log.files(), "/log/journals",
                                        journal.id, journal.traits);
    REQUIRE(writer.ok());
    REQUIRE(journal.Types() == "1 17 ");
    for (const Journal::Round& round : journal.rounds) {
      JournalRound bytes;
      const Record& entries = round.records.front();
      if (round.records.size() == 1) {
        bytes.AddEntries(entries.channel, entries.number, entries.entries);
      } else {
        const auto owner = DecodeProducerOwner(round.records.back().entries);
        REQUIRE(owner);
        CHECK(*owner == ProducerOwner{.channel = "c",
                                      .id = Producer(1),
                                      .owner = "ann",
                                      .sequence = 3});
        write(entries.entries, *owner, bytes);
      }
      REQUIRE((*writer)->Write(bytes, round.info.number, round.info.time).ok());
    }
  }

  const std::shared_ptr<FaultyFileSystem> files =
      std::make_shared<FaultyFileSystem>();
  LogOnDisk log{{}, {}, files};
};

TEST_CASE(
    "durable log: an owner that cannot be is damage, which a repair mends") {
  Killed killed;
  bool intact = false;
  using Entries = std::string_view;
  SUBCASE("as it was") {
    intact = true;
    killed.Rewrite(
        [](Entries entries, const ProducerOwner& right, JournalRound& round) {
          round.AddEntries("c", 2, entries);
          round.AddProducerOwner(right);
        });
  }
  SUBCASE("empty") {
    killed.Rewrite(
        [](Entries entries, ProducerOwner right, JournalRound& round) {
          right.owner = "";
          round.AddEntries("c", 2, entries);
          round.AddProducerOwner(right);
        });
  }
  SUBCASE("too long") {
    killed.Rewrite(
        [](Entries entries, ProducerOwner right, JournalRound& round) {
          right.owner = std::string(kMaxOwnerSize + 1, 'a');
          round.AddEntries("c", 2, entries);
          round.AddProducerOwner(right);
        });
  }
  SUBCASE("of another producer") {
    killed.Rewrite(
        [](Entries entries, ProducerOwner right, JournalRound& round) {
          right.id = Producer(2);
          round.AddEntries("c", 2, entries);
          round.AddProducerOwner(right);
        });
  }
  SUBCASE("of a message before the last one") {
    killed.Rewrite(
        [](Entries entries, ProducerOwner right, JournalRound& round) {
          right.sequence = 2;
          round.AddEntries("c", 2, entries);
          round.AddProducerOwner(right);
        });
  }
  SUBCASE("of another channel") {
    killed.Rewrite(
        [](Entries entries, ProducerOwner right, JournalRound& round) {
          right.channel = "d";
          round.AddEntries("c", 2, entries);
          round.AddProducerOwner(right);
        });
  }
  SUBCASE("before the message") {
    killed.Rewrite(
        [](Entries entries, const ProducerOwner& right, JournalRound& round) {
          round.AddProducerOwner(right);
          round.AddEntries("c", 2, entries);
        });
  }
  SUBCASE("twice") {
    killed.Rewrite(
        [](Entries entries, const ProducerOwner& right, JournalRound& round) {
          round.AddEntries("c", 2, entries);
          round.AddProducerOwner(right);
          round.AddProducerOwner(right);
        });
  }
  const LogToolContext context = {.directory = "/log", .files = killed.files};
  const auto found = Verify(context, {});
  REQUIRE(found.ok());
  CHECK(found->damages == (intact ? 0 : 1));
  const absl::Status opened = killed.log.TryOpen();
  if (intact) {
    CHECK(opened.ok());
    CHECK(IsKeptFrom(killed.log.log(), "bob", "c", Producer(1), 3));
    return;
  }
  CHECK(absl::IsDataLoss(opened));
  CHECK(
      Contains(std::string(MessageOf(opened)), "has a record that cannot be"));
  const auto repair = Repair(context, {});
  REQUIRE(repair.ok());
  CHECK(repair->repaired);
  CHECK(repair->after.damages == 0);
  killed.log.Open();
  const auto reader = killed.log.log().OpenReader("c", Start::Earliest(), {});
  CHECK(ReadToHead(*reader).texts() == Texts{"before", "a", "b"});
}

}  // namespace
}  // namespace messenger::durable_log_owners_test
