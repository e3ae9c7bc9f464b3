// What is left of deleted channels, in memory and on the disk.
#include "log/tombstones.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <malloc.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "log/durable/checkpoint.h"
#include "log/durable/disk_coding.h"
#include "log/durable/durable_log.h"
#include "log/durable/encoded_tombstones.h"
#include "log/memory_log.h"
#include "messenger/log.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/printing.h"
#include "support/sanitized.h"

namespace messenger::tombstones_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

using Texts = std::vector<std::string>;

Tombstone TombstoneAt(std::uint64_t head, std::size_t producers = 0) {
  Tombstone tombstone;
  tombstone.head = head;
  tombstone.epoch = 7;
  tombstone.last_time = Timestamp(std::chrono::seconds(1));
  std::vector<ProducerTable::Snapshot> snapshots;
  for (std::size_t i = 0; i < producers; ++i) {
    snapshots.push_back(
        {.id = Producer(static_cast<std::uint8_t>(i + 1)),
         .runs = {{.producer_sequence = 3, .sequence = 5, .count = 2}},
         .last_used = {},
         .owner = i == 0 ? "" : "ann"});
  }
  tombstone.SetProducers(snapshots);
  return tombstone;
}

// Of the heap, and of what is too large for it.
std::size_t BytesInUse() {
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

std::string NameOf(int i) {
  return fmt::format("a-channel-of-30-bytes-{:08}", i);
}

// ---------------------------------------------------------------------------

TEST_CASE("tombstones: they are found by name until they are erased") {
  Tombstones tombstones;
  CHECK(tombstones.Find("a") == nullptr);
  tombstones.Put("a", TombstoneAt(3));
  tombstones.Put("b", TombstoneAt(4));
  tombstones.Put("a", TombstoneAt(5));
  CHECK(tombstones.size() == 2);
  CHECK(tombstones.Find("a")->head == 5);
  tombstones.Erase("a");
  tombstones.Erase("a");
  CHECK(tombstones.Find("a") == nullptr);
  CHECK(tombstones.Find("b")->head == 4);
}

TEST_CASE(
    "tombstones: of a producer, its last message and its owner are "
    "remembered") {
  const Tombstone tombstone = TombstoneAt(6, /*producers=*/2);
  const auto snapshots = tombstone.ProducerSnapshots();
  REQUIRE(snapshots.size() == 2);
  CHECK(snapshots[0].id == Producer(1));
  REQUIRE(snapshots[0].runs.size() == 1);
  CHECK(snapshots[0].runs[0].producer_sequence == 4);
  CHECK(snapshots[0].runs[0].sequence == 6);
  CHECK(snapshots[0].runs[0].count == 1);
  CHECK(snapshots[0].owner.empty());
  CHECK(snapshots[1].owner == "ann");
}

TEST_CASE(
    "tombstones: beyond the limit, the producers of the oldest one are "
    "forgotten") {
  Tombstones tombstones(/*max_producers=*/5);
  const auto remembers = [&](std::string_view name) {
    return tombstones.Find(name)->producers != nullptr;
  };
  tombstones.Put("a", TombstoneAt(1, 2));
  tombstones.Put("none", TombstoneAt(1));
  tombstones.Put("b", TombstoneAt(1, 2));
  tombstones.Put("c", TombstoneAt(1, 1));
  CHECK(tombstones.producers() == 5);
  // Deleted once more, so no longer the oldest.
  tombstones.Put("a", TombstoneAt(2, 2));
  CHECK(tombstones.producers() == 5);
  tombstones.Put("d", TombstoneAt(1, 1));
  CHECK(remembers("a"));
  CHECK_FALSE(remembers("b"));
  CHECK(remembers("c"));
  CHECK(tombstones.producers() == 4);
  tombstones.Erase("c");
  CHECK(tombstones.producers() == 3);
  tombstones.Put("e", TombstoneAt(1, 6));
  CHECK_FALSE(remembers("e"));
  CHECK(tombstones.producers() == 0);
  CHECK(tombstones.size() == 5);
}

TEST_CASE("tombstones: the heads of epochs that came after it are its own") {
  Tombstone tombstone = TombstoneAt(9);
  tombstone.epoch = 3;
  tombstone.epoch_heads = {4, 6};
  using Heads = std::vector<std::uint64_t>;
  CHECK(tombstone.HeadsIn(Heads{1, 2, 3}) == Heads{4, 6});
  CHECK(tombstone.HeadsIn(Heads{1, 2, 3, 4, 5}) == Heads{4, 6, 9, 9});
  // The first ones are forgotten.
  CHECK(tombstone.HeadsIn(Heads{3, 4}) == Heads{9});
  CHECK(tombstone.HeadsIn(Heads{3}) == Heads{});
  CHECK(tombstone.HeadsIn(Heads{4, 5, 6}) == Heads{9, 9});
}

TEST_CASE("tombstones: what a checkpoint has changes when it is applied") {
  EncodedTombstones tombstones;
  const auto put = [&](const std::string& name, std::uint64_t head) {
    tombstones.Change(name, EncodeTombstone(name, TombstoneAt(head)));
  };
  const auto saved = [&] {
    FaultyFileSystem files;
    REQUIRE(WriteCheckpoint(files, "/", {.epochs = {7}}, {}, tombstones).ok());
    const auto loaded = LoadCheckpoint(files, "/");
    REQUIRE(loaded.ok());
    std::string all;
    for (const ChannelState& state : loaded->channels) {
      CHECK(IsDeleted(state));
      CHECK(state.first_sequence == state.head + 1);
      all += fmt::format("{} {} ", state.name, state.head);
    }
    return all;
  };
  put("b", 2);
  CHECK(saved().empty());
  put("a", 1);
  put("c", 3);
  tombstones.Apply();
  CHECK(saved() == "a 1 b 2 c 3 ");
  put("c", 4);
  put("d", 5);
  tombstones.Change("a", "");
  tombstones.Change("x", "");
  tombstones.Apply();
  CHECK(saved() == "b 2 c 4 d 5 ");
  tombstones.Apply();
  CHECK(saved() == "b 2 c 4 d 5 ");
}

TEST_CASE("tombstones: less than 300 bytes each, with what is on the disk") {
  if (kSanitized) return;
  constexpr int kCount = 50'000;
  const std::size_t before = BytesInUse();
  Tombstones tombstones;
  EncodedTombstones encoded;
  for (int i = 0; i < kCount; ++i) {
    Tombstone tombstone = TombstoneAt(1'000'000);
    tombstone.epoch_heads = {100'000, 500'000};
    encoded.Change(NameOf(i), EncodeTombstone(NameOf(i), tombstone));
    tombstones.Put(NameOf(i), std::move(tombstone));
  }
  encoded.Apply();
  const std::size_t each = (BytesInUse() - before) / kCount;
  MESSAGE(each << " bytes each, and " << encoded.fields().size() / kCount
               << " on the disk");
  CHECK(each < 300);
  CHECK(encoded.fields().size() / kCount < 100);
}

// ---------------------------------------------------------------------------

void CreateAndDelete(MessageLog& log, int from, int to) {
  std::atomic<int> failed{0};
  test::Completion<absl::Status> last;
  for (int i = from; i < to; ++i) {
    log.Append(BatchOf(NameOf(i), Texts{"text"}),
               [&failed](const AppendResult& result) {
                 if (!result.ok()) ++failed;
               });
    log.DeleteChannel(NameOf(i), [&failed](const absl::Status& status) {
      if (!status.ok()) ++failed;
    });
  }
  log.DeleteChannel("nothing", last.Callback());
  CHECK(absl::IsNotFound(last.Wait("the last deletion")));
  CHECK(failed == 0);
}

TEST_CASE("tombstones: a deleted channel of a memory log takes no more") {
  if (kSanitized) return;
  MemoryLog log({.max_channels = 1});
  CreateAndDelete(log, 0, 1000);
  constexpr int kCount = 20'000;
  const std::size_t before = BytesInUse();
  CreateAndDelete(log, 1000, 1000 + kCount);
  const std::size_t each = (BytesInUse() - before) / kCount;
  MESSAGE(each << " bytes each");
  CHECK(each < 300);
}

std::shared_ptr<MessageLog> MustOpen(
    const std::shared_ptr<FaultyFileSystem>& files, const LogOptions& options) {
  auto log = DurableLog::Open("/log", options, {.files = files});
  if (!log.ok()) throw std::runtime_error(log.status().ToString());
  return *std::move(log);
}

TEST_CASE(
    "durable log: deleted channels become tombstones before there are too many "
    "of them") {
  const auto files = std::make_shared<FaultyFileSystem>();
  const LogOptions options{.max_channels = 1};
  constexpr int kCount = 25'000;
  auto log = MustOpen(files, options);
  // As many at once as go into a round or so.
  for (int i = 0; i < kCount; i += 2'500) CreateAndDelete(*log, i, i + 2'500);
  // The journal has not been too large.
  CHECK(files->Contents("/log/checkpoint").size() > 10'000 * 50);
  log.reset();
  CHECK(files->Contents("/log/checkpoint").size() < kCount * 100);
  log = MustOpen(files, options);
  CHECK(ListChannels(*log, "", 10).empty());
  CHECK(MustAppend(*log, BatchOf(NameOf(17), Texts{"again"}))[0].sequence == 2);
}

TEST_CASE(
    "durable log: a tombstone knows sequences, times, producers and epochs "
    "again") {
  const auto files = std::make_shared<FaultyFileSystem>();
  std::mt19937_64 random(1);  // kills a process: nothing is random about it
  const LogOptions options{.directory = {.durability = Durability::kOs}};
  std::vector<std::uint64_t> epochs;
  std::shared_ptr<MessageLog> log;
  const auto open = [&] {
    log = MustOpen(files, options);
    if (epochs.empty() || epochs.back() != log->epoch()) {
      epochs.push_back(log->epoch());
    }
  };
  const auto crash = [&] {
    files->Stop();
    log.reset();
    files->Crash(FaultyFileSystem::CrashMode::kKillProcess, random);
  };
  open();
  MustAppend(*log, BatchOf("c", Producer(1), 1, Texts{"a", "b", "c"}));
  crash();
  open();
  MustAppend(*log, BatchOf("c", Producer(1), 4, Texts{"d", "e"}));
  REQUIRE(Delete(*log, "c").ok());
  log.reset();  // a checkpoint
  open();
  REQUIRE(epochs.size() == 2);
  for (int i = 0; i < 2; ++i) {
    // Something happens, so that the epoch changes.
    MustAppend(*log, BatchOf("other", Texts{"x"}));
    crash();
    open();
  }
  REQUIRE(epochs.size() == 4);
  const auto first_read = [&](const Start& start) {
    const auto reader = log->OpenReader("c", start, {});
    return Read(*reader);
  };
  for (int i = 0; i < 2; ++i) {
    CAPTURE(i);
    CHECK(absl::IsNotFound(GetChannel(*log, "c").status()));
    const ReadResult common = first_read(Start::After({epochs[0], 3}));
    REQUIRE(common.gap.has_value());
    CHECK(*common.gap ==
          Gap{.first_missing = 4, .next = 6, .reason = Gap::Reason::kDeleted});
    const ReadResult lost = first_read(Start::After({epochs[0], 4}));
    REQUIRE(lost.gap.has_value());
    CHECK((lost.gap->reason == Gap::Reason::kNewEpoch));
    for (std::size_t e = 1; e < epochs.size(); ++e) {
      const ReadResult end = first_read(Start::After({epochs[e], 5}));
      CHECK_FALSE(end.gap.has_value());
      CHECK(end.next_sequence == 6);
    }
    const auto again =
        Append(*log, BatchOf("c", Producer(1), 1, Texts{"a", "b", "c"}));
    CHECK(absl::IsFailedPrecondition(again.status()));
    log.reset();
    open();
  }
  CHECK(
      MustAppend(*log, BatchOf("c", Producer(1), 6, Texts{"f"}))[0].sequence ==
      6);
}

TEST_CASE("durable log: of a deleted channel, no directory is left") {
  const auto files = std::make_shared<FaultyFileSystem>();
  const auto directories = [&] {
    const auto names = files->List("/log/channels");
    return names.ok() ? names->size() : 1000;
  };
  for (std::uint64_t i = 1; i <= 3; ++i) {
    auto log = MustOpen(files, {});
    CHECK(MustAppend(*log, BatchOf("c", Texts{"a"}))[0].sequence == i);
    log.reset();
    CHECK(directories() == 1);
    log = MustOpen(files, {});
    REQUIRE(Delete(*log, "c").ok());
    log.reset();
    CHECK(directories() == 0);
  }
}

TEST_CASE(
    "durable log: a checkpoint of version 1 is read, and one that is not known "
    "is not") {
  const auto files = std::make_shared<FaultyFileSystem>();
  auto log = MustOpen(files, {});
  MustAppend(*log, BatchOf("c", Texts{"a"}));
  log.reset();
  // As version 1 has a deleted channel.
  auto checkpoint = LoadCheckpoint(*files, "/log");
  REQUIRE(checkpoint.ok());
  EncodedChannels channels;
  for (const ChannelState& state : checkpoint->channels) {
    channels[state.name] = EncodeChannelState(state);
  }
  ChannelState deleted{.name = "deleted",
                       .head = 41,
                       .first_sequence = 42,
                       .deleted_head = 41,
                       .last_time = Timestamp(std::chrono::seconds(7)),
                       .last_dropped_time = Timestamp(std::chrono::seconds(7))};
  channels["deleted"] = EncodeChannelState(deleted);
  REQUIRE(WriteCheckpoint(*files, "/log", checkpoint->log, channels).ok());
  const auto set_version = [&](std::uint32_t version) {
    std::string bytes = files->Contents("/log/checkpoint");
    PutLittleEndian<std::uint32_t>(&bytes[8], version);
    const std::string_view all(bytes);
    PutLittleEndian<std::uint64_t>(
        &bytes[24], SeededChecksum(0, all.substr(0, 24), all.substr(32)));
    files->SetContents("/log/checkpoint", bytes);
  };
  set_version(kCheckpointVersion + 1);
  const auto unknown = DurableLog::Open("/log", {}, {.files = files}).status();
  CHECK(absl::IsFailedPrecondition(unknown));
  CHECK(Contains(unknown.ToString(), "version 4"));
  set_version(1);
  for (int i = 0; i < 2; ++i) {
    log = MustOpen(files, {.max_channels = 2});
    CHECK(ListChannels(*log, "", 10).size() == 1);
    const auto reader = log->OpenReader("deleted", Start::Earliest(), {});
    const ReadResult result = Read(*reader);
    REQUIRE(result.gap.has_value());
    CHECK(*result.gap ==
          Gap{.first_missing = 1, .next = 42, .reason = Gap::Reason::kDeleted});
    // A checkpoint of version 2.
    MustAppend(*log, BatchOf("c", Texts{"b"}));
    log.reset();
    CHECK(files->Contents("/log/checkpoint")[8] == 2);
  }
  log = MustOpen(files, {.max_channels = 2});
  CHECK(MustAppend(*log, BatchOf("deleted", Texts{"x"}))[0].sequence == 42);
}

}  // namespace
}  // namespace messenger::tombstones_test
