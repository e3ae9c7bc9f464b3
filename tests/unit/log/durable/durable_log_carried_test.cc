// What checkpoints carry over, and how a log is closed in time
// (log/durable/checkpointer.h).
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "log/durable/durable_log.h"
#include "log/tools/repair.h"
#include "log/tools/survey.h"
#include "messenger/log.h"
#include "support/disk_image.h"
#include "support/fake_clock.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/printing.h"

namespace messenger::durable_log_carried_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

using CrashMode = FaultyFileSystem::CrashMode;
using Operation = FaultyFileSystem::Operation;
using Texts = std::vector<std::string>;

class CarryingLog {
 public:
  explicit CarryingLog(LogOptions options = {}, DurableLogOptions durable = {},
                       std::shared_ptr<FaultyFileSystem> files =
                           std::make_shared<FaultyFileSystem>())
      : options_(std::move(options)),
        durable_(std::move(durable)),
        files_(std::move(files)) {
    durable_.files = files_;
    durable_.clock = {.now = [this] { return clock_.now(); },
                      .steady_now = [this] { return clock_.steady_now(); }};
    options_.on_notice = [this](std::string_view notice) {
      notices_.emplace_back(notice);
    };
  }

  absl::Status TryOpen() {
    auto log = DurableLog::Open("/log", options_, durable_);
    if (!log.ok()) return log.status();
    log_ = *std::move(log);
    return absl::OkStatus();
  }
  void Open() {
    const absl::Status s = TryOpen();
    if (!s.ok()) throw std::runtime_error(s.ToString());
  }
  void Close() { log_.reset(); }
  // Which makes a checkpoint.
  void Reopen() {
    Close();
    Open();
  }
  void Crash(CrashMode mode, std::uint64_t seed = 1) {
    files_->Stop();
    log_.reset();
    std::mt19937_64 random(seed);
    files_->Crash(mode, random);
  }

  void Send(const std::string& channel, const std::string& text) {
    MustAppend(*log_, BatchOf(channel, {text}));
    texts_[channel].push_back(text);
  }
  // Something to each of so many channels.
  void SendToAll(int channels) {
    for (int i = 0; i < channels; ++i) {
      const std::string channel = fmt::format("c{}", i);
      Send(channel, fmt::format("{} of {}", texts_[channel].size(), channel));
    }
  }

  Texts Read(const std::string& channel) {
    const auto reader = log_->OpenReader(channel, Start::Earliest(), {});
    return ReadToHead(*reader).texts();
  }
  // A channel that is not as it should be; "" if there is none.
  std::string Difference() {
    for (const auto& [channel, texts] : texts_) {
      if (Read(channel) != texts) return channel;
    }
    return "";
  }

  std::ptrdiff_t CountFiles(std::string_view part) const {
    const std::vector<std::string> files = files_->Files();
    return std::count_if(files.begin(), files.end(), [&](const auto& path) {
      return Contains(path, part);
    });
  }
  std::string NewestJournal() const {
    std::string newest;
    for (const std::string& path : files_->Files()) {
      if (path.ends_with(".journal")) newest = path;
    }
    return newest;
  }

  MessageLog& log() { return *log_; }
  FaultyFileSystem& files() { return *files_; }
  const std::shared_ptr<FaultyFileSystem>& disk() { return files_; }
  FakeClock& clock() { return clock_; }
  std::map<std::string, Texts>& texts() { return texts_; }
  const std::vector<std::string>& notices() const { return notices_; }

 private:
  LogOptions options_;
  DurableLogOptions durable_;
  const std::shared_ptr<FaultyFileSystem> files_;
  FakeClock clock_;
  std::map<std::string, Texts> texts_;
  std::vector<std::string> notices_;
  std::shared_ptr<MessageLog> log_;
};

TEST_CASE("durable log: a checkpoint of many channels takes one file") {
  CarryingLog log;
  log.Open();
  log.SendToAll(200);
  const std::uint64_t before = log.files().syncs();
  const std::uint64_t directories = log.files().directory_syncs();
  log.Close();
  CHECK(log.files().syncs() - before < 10);
  CHECK(log.files().directory_syncs() - directories < 10);
  CHECK(log.CountFiles(".segment") == 0);
  CHECK(log.CountFiles(".carried") == 1);
  log.Open();
  CHECK(log.Difference() == "");

  // Again and again, also those that have nothing new.
  for (int i = 0; i < 3; ++i) {
    log.SendToAll(70);
    log.Reopen();
    CHECK(log.CountFiles(".carried") == 1);
    CHECK(log.Difference() == "");
  }
}

TEST_CASE("durable log: few channels, and large ones, get segments") {
  CarryingLog log;
  log.Open();
  log.SendToAll(10);
  log.Reopen();
  CHECK(log.CountFiles(".segment") == 10);
  CHECK(log.CountFiles(".carried") == 0);
  log.SendToAll(100);
  log.Send("c50", std::string(100'000, 'x'));
  log.Reopen();
  CHECK(log.CountFiles("c50.channel") == 2);  // segment and index
  CHECK(log.CountFiles(".segment") == 11);
  CHECK(log.CountFiles(".carried") == 1);
  CHECK(log.Difference() == "");
}

TEST_CASE("durable log: what is carried over is written when few are left") {
  CarryingLog log;
  log.Open();
  log.SendToAll(100);
  log.Reopen();
  CHECK(log.CountFiles(".carried") == 1);
  for (int i = 0; i < 60; ++i) {
    const std::string channel = fmt::format("c{}", i);
    CHECK(Delete(log.log(), channel).ok());
    log.texts().erase(channel);
  }
  log.Reopen();
  CHECK(log.CountFiles(".carried") == 0);
  CHECK(log.CountFiles(".segment") == 40);
  CHECK(log.Difference() == "");
}

TEST_CASE("durable log: more than a few are written with one sync") {
  CarryingLog log;
  log.Open();
  for (int i = 0; i < 100; ++i) {
    log.Send(fmt::format("c{}", i), std::string(66'000, 'x'));
  }
  const std::uint64_t before = log.files().syncs();
  log.Close();
  CHECK(log.files().syncs() - before < 10);
  log.Crash(CrashMode::kPowerCut);
  CHECK(log.CountFiles(".segment") == 100);
  log.Open();
  CHECK(log.Difference() == "");
}

TEST_CASE("durable log: what is carried over survives crashes and deletions") {
  for (const CrashMode mode : {CrashMode::kKillProcess, CrashMode::kPowerCut}) {
    CarryingLog log;
    log.Open();
    log.SendToAll(100);
    log.Reopen();
    log.SendToAll(30);
    CHECK(Delete(log.log(), "c1").ok());
    CHECK(Delete(log.log(), "c90").ok());
    log.texts()["c1"].clear();
    log.texts().erase("c90");
    log.Send("c1", "after");
    log.Crash(mode);
    log.Open();
    CHECK(log.Difference() == "");
    CHECK(absl::IsNotFound(GetChannel(log.log(), "c90").status()));
    CHECK(
        MustAppend(log.log(), BatchOf("c90", {std::string("x")}))[0].sequence ==
        2);
    log.Reopen();
    CHECK(log.Difference() == "");
  }
}

TEST_CASE("durable log: producers are known, though nothing is in segments") {
  CarryingLog log;
  log.Open();
  log.SendToAll(100);
  AppendBatch batch = BatchOf("c5", Producer(1), 1, {std::string("once")});
  const std::vector<Stored> receipts = MustAppend(log.log(), batch);
  log.texts()["c5"].push_back("once");
  log.Reopen();
  log.Crash(CrashMode::kKillProcess);
  log.Open();
  CHECK(MustAppend(log.log(), batch)[0].sequence == receipts[0].sequence);
  CHECK(log.Difference() == "");
}

TEST_CASE("durable log: what is carried over grows old all the same") {
  CarryingLog log({.retention = {.max_age = std::chrono::hours(8)}});
  log.Open();
  log.SendToAll(100);
  for (int i = 0; i < 7; ++i) {
    log.clock().Advance(std::chrono::hours(1));
    log.Reopen();
    CHECK(log.Difference() == "");
  }
  log.clock().Advance(std::chrono::hours(2));
  CHECK(log.Read("c3").empty());
  log.Reopen();
  CHECK(log.Read("c4").empty());
}

// ---------------------------------------------------------------------------
// Damage

const std::map<std::string, Texts>& CarriedTexts() {
  static const std::map<std::string, Texts> kTexts = [] {
    std::map<std::string, Texts> texts;
    for (int i = 0; i < 70; ++i) {
      const std::string channel = fmt::format("c{}", i);
      texts[channel] = {"first of " + channel, "second of " + channel};
    }
    return texts;
  }();
  return kTexts;
}

// A log of which most is carried over, but for a channel with a segment, and
// some is in the journal.
Image CarriedImage() {
  CarryingLog log;
  log.files().SetFault([](Operation operation, const std::string& path) {
    return operation == Operation::kAllocate
               ? absl::ResourceExhaustedError(path)
               : absl::OkStatus();
  });
  log.Open();
  for (const auto& [channel, texts] : CarriedTexts()) {
    log.Send(channel, texts[0]);
  }
  log.Send("large", std::string(70'000, 'x'));
  log.Reopen();
  for (const auto& [channel, texts] : CarriedTexts()) {
    log.Send(channel, texts[1]);
  }
  log.Crash(CrashMode::kKillProcess);
  return ImageOf(log.files());
}

LogToolContext ToolsFor(const std::shared_ptr<FaultyFileSystem>& files) {
  return {.directory = "/log", .files = files, .clock = {}};
}

TEST_CASE("log tools: what is carried over is verified") {
  const auto files = DiskWith(CarriedImage());
  std::vector<std::string> found;
  const auto verified =
      Verify(ToolsFor(files), {.on_finding = [&](const LogFinding& finding) {
               found.push_back(finding.file + " " + finding.what);
             }});
  REQUIRE(verified.ok());
  CHECK(found.empty());
  CHECK(verified->damages == 0);
  CHECK(verified->summary.messages == 141);
  CHECK(verified->summary.channels == 71);
}

TEST_CASE(
    "log tools: damage to what is carried over is found, refused and "
    "repaired") {
  const Image image = CarriedImage();
  const auto carried = std::find_if(
      image.begin(), image.end(),
      [](const auto& file) { return file.first.ends_with(".carried"); });
  REQUIRE(carried != image.end());
  const std::string& path = carried->first;
  const std::string& bytes = carried->second;
  std::vector<std::string> contents = {"", bytes.substr(0, bytes.size() / 2)};
  for (std::size_t at = 0; at < bytes.size(); at += 97) {
    contents.push_back(bytes);
    contents.back()[at] = static_cast<char>(contents.back()[at] ^ 1);
  }
  for (const std::string& damaged : contents) {
    CAPTURE(damaged.size());
    const auto files = DiskWith(image);
    files->SetContents(path, damaged);
    CarryingLog log({}, {}, files);
    const absl::Status refused = log.TryOpen();
    CHECK(absl::IsDataLoss(refused));
    CHECK(Contains(MessageOf(refused), path));

    const auto repaired = Repair(ToolsFor(files), {});
    REQUIRE(repaired.ok());
    CHECK(repaired->found.damages > 0);
    CHECK(repaired->after.damages == 0);
    log.Open();
    std::size_t lost = 0;
    for (const auto& [channel, texts] : CarriedTexts()) {
      const auto reader = log.log().OpenReader(channel, Start::At(1), {});
      const ReadResult first = Read(*reader);
      if (!first.gap) {
        CHECK(log.Read(channel) == texts);
        continue;
      }
      ++lost;
      CHECK(first.gap->reason == Gap::Reason::kDamaged);
      CHECK(first.gap->first_missing == 1);
      CHECK(first.gap->next == 2);
      // What came later is in the journal.
      CHECK(ReadToHead(*reader).texts() == Texts{texts[1]});
    }
    // It is all in one round, unless only the header is damaged.
    CHECK((lost == 0 || lost == CarriedTexts().size()));
    CHECK(log.Read("large").size() == 1);
  }
}

TEST_CASE("log tools: without a checkpoint, what is carried over is found") {
  Image image = CarriedImage();
  image.erase("/log/checkpoint");
  const auto files = DiskWith(image);
  CarryingLog log({}, {}, files);
  CHECK(absl::IsDataLoss(log.TryOpen()));
  REQUIRE(Repair(ToolsFor(files), {}).ok());
  log.Open();
  log.texts() = CarriedTexts();
  CHECK(log.Difference() == "");
}

TEST_CASE("durable log: a file that goes with no checkpoint is removed") {
  const Image image = CarriedImage();
  const auto files = DiskWith(image);
  const std::string stray = "/log/journals/00000000000000000009.carried";
  files->SetContents(stray, "cut off");
  CarryingLog log({}, {}, files);
  log.Open();
  CHECK(log.CountFiles(stray) == 0);
  log.texts() = CarriedTexts();
  CHECK(log.Difference() == "");
}

// ---------------------------------------------------------------------------
// Closing

TEST_CASE(
    "durable log: closing takes no longer than it may, and loses nothing") {
  for (const Durability durability : {Durability::kFsync, Durability::kOs}) {
    CarryingLog log({.directory = {.durability = durability}},
                    {.close_timeout = std::chrono::milliseconds(-1)});
    log.Open();
    const std::uint64_t epoch = log.log().epoch();
    log.SendToAll(100);
    log.Close();
    CHECK(log.CountFiles(".segment") + log.CountFiles(".carried") == 0);
    log.Crash(CrashMode::kPowerCut);
    log.Open();
    CHECK(log.log().epoch() == epoch);
    CHECK(log.notices().empty());
    CHECK(log.Difference() == "");
    log.SendToAll(3);
    log.Reopen();
    CHECK(log.log().epoch() == epoch);
    CHECK(log.Difference() == "");
    // Verified as it was opened.
    log.Close();
    const auto verified = Verify(ToolsFor(log.disk()), {});
    REQUIRE(verified.ok());
    CHECK(verified->damages == 0);
  }
}

TEST_CASE(
    "durable log: os: a log that was killed after it was closed in time has a "
    "new epoch") {
  CarryingLog log({.directory = {.durability = Durability::kOs}},
                  {.close_timeout = std::chrono::milliseconds(-1)});
  log.Open();
  const std::uint64_t epoch = log.log().epoch();
  log.SendToAll(3);
  log.Reopen();
  CHECK(log.log().epoch() == epoch);
  log.SendToAll(3);
  log.Crash(CrashMode::kKillProcess);
  log.Open();
  CHECK(log.log().epoch() != epoch);
  CHECK(log.Difference() == "");
}

// ---------------------------------------------------------------------------
// Senders that are gone, and rounds

// Holds the sync of journals while it lives.
class HeldSync {
 public:
  explicit HeldSync(FaultyFileSystem* files) : files_(*files) {
    files_.SetFault([this](Operation operation, const std::string& path) {
      if (operation == Operation::kSync && path.ends_with(".journal")) {
        std::unique_lock lock(mutex_);
        ++waiting_;
        changed_.notify_all();
        changed_.wait(lock, [this] { return !held_; });
      }
      return absl::OkStatus();
    });
  }
  void AwaitSync() {
    std::unique_lock lock(mutex_);
    CHECK(
        changed_.wait_for(lock, kLogDeadline, [this] { return waiting_ > 0; }));
  }
  void Release() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }

 private:
  FaultyFileSystem& files_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = true;
  int waiting_ = 0;
};

TEST_CASE(
    "durable log: of a sender that is gone, what is not in a round is dropped, "
    "from one point on") {
  CarryingLog log;
  log.Open();
  HeldSync sync(&log.files());
  const auto gone = log.log().OpenAppender();
  const auto other = log.log().OpenAppender();
  std::mutex mutex;
  std::vector<absl::StatusCode> results;
  const auto note = [&](const AppendResult& result) {
    const std::lock_guard lock(mutex);
    results.push_back(result.status().code());
  };
  gone->Append(BatchOf("a", {std::string("1")}), note);
  sync.AwaitSync();
  auto memory = std::make_shared<int>();
  const std::weak_ptr<int> freed = memory;
  AppendBatch batch = BatchOf("a", {std::string("2")});
  batch.backing = std::make_shared<
      std::pair<std::shared_ptr<const void>, std::shared_ptr<int>>>(
      batch.backing, std::move(memory));
  gone->Append(std::move(batch), note);
  gone->Append(BatchOf("b", {std::string("3")}), note);
  Completion<AppendResult> stored;
  other->Append(BatchOf("a", {std::string("4")}), stored.Callback());
  gone->Cancel();
  CHECK(freed.expired());
  gone->Append(BatchOf("a", {std::string("5")}), note);
  sync.Release();
  CHECK(stored.Wait("Append").ok());
  log.texts() = {{"a", {"1", "4"}}, {"b", {}}};
  CHECK(log.Difference() == "");
  log.Close();
  CHECK(results ==
        std::vector{absl::StatusCode::kOk, absl::StatusCode::kCancelled,
                    absl::StatusCode::kAborted, absl::StatusCode::kAborted});
}

TEST_CASE("durable log: rounds are bounded by what is stored") {
  CarryingLog log({.directory = {.max_journal_bytes = std::uint64_t{1} << 30}});
  log.Open();
  const std::vector<NewMessage> empty(65'536);
  // Gathered while the first round is being synced.
  std::vector<Completion<AppendResult>> results(20);
  {
    HeldSync sync(&log.files());
    log.log().Append(BatchOf("first", {std::string("x")}),
                     results[0].Callback());
    sync.AwaitSync();
    for (std::size_t i = 1; i < results.size(); ++i) {
      log.log().Append(BatchOf(fmt::format("c{}", i), empty),
                       results[i].Callback());
    }
    sync.Release();
    for (auto& result : results) CHECK(result.Wait("Append").ok());
    log.files().SetFault(nullptr);
  }
  const std::string journal = log.files().Contents(log.NewestJournal());
  std::size_t largest = 0;
  std::size_t rounds = 0;
  std::size_t at = 32;
  while (journal.compare(at, 4, "RND1") == 0) {
    std::size_t size = 0;
    for (int i = 3; i >= 0; --i) {
      size = size << 8 | static_cast<unsigned char>(
                             journal[at + 4 + static_cast<std::size_t>(i)]);
    }
    largest = std::max(largest, size);
    ++rounds;
    at += 48 + size;
  }
  CHECK(rounds >= 8);
  CHECK(largest < (16U << 20));
  CHECK(largest > (1U << 20));
}

}  // namespace
}  // namespace messenger::durable_log_carried_test
