// The log in a directory over a disk that fails and fills up: what exactly it
// then does.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "log/durable/durable_log.h"
#include "log/message_log.h"
#include "messenger/log.h"
#include "messenger/message.h"
#include "support/disk_image.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/printing.h"
#include "unit/log/durable/log_on_disk.h"

namespace messenger::durable_log_disk_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

// What has been acknowledged is there after a restart of any kind.
void CheckRestarts(LogOnDisk& log) {
  log.ForgetNotices();
  log.Close();
  CHECK(!log.HasNotice("was not closed"));
  log.Open();
  CHECK(log.Difference() == "");
  for (const CrashMode mode : {CrashMode::kKillProcess, CrashMode::kPowerCut}) {
    CHECK(log.Send("a", {log.NextText()}).ok());
    log.Crash(mode);
    log.Open();
    CHECK(log.Difference() == "");
  }
}

TEST_CASE("durable log: a full disk refuses appends until there is room") {
  LogOnDisk log;
  log.files().SetCapacity(50'000);
  log.Open();
  absl::Status refused;
  while (refused.ok()) refused = log.Send("a", {log.NextText(1000)});
  CHECK(absl::IsResourceExhausted(refused));
  CHECK(log.HasNotice("No space left on device; appends are refused"));
  CHECK(log.history().at("a").size() > 20);
  for (int i = 0; i < 3; ++i) CHECK(absl::IsResourceExhausted(log.Retry("a")));
  CHECK(log.Difference() == "");
  CHECK(log.CountNotices("accepted") + log.CountNotices("refused") == 1);

  log.files().SetCapacity(kUnlimited);
  CHECK(log.Retry("a").ok());
  CHECK(log.HasNotice("appends are accepted again"));
  SendMany(log, 4, 100);
  CHECK(log.Difference() == "");
  CheckRestarts(log);
}

TEST_CASE("durable log: a disk that is full of unwritten segments as well") {
  LogOnDisk log({.directory = {.max_journal_bytes = 4000}},
                {.max_cached_bytes = 0});
  log.Open();
  SendMany(log, 20, 500);
  log.files().SetCapacity(0);
  for (int i = 0; i < 20; ++i) {
    const absl::Status s = log.Send("a", {log.NextText()});
    if (!s.ok()) CHECK(absl::IsResourceExhausted(s));
  }
  CHECK(log.Difference() == "");
  log.Crash(CrashMode::kKillProcess);
  // It cannot be opened, but that does no harm.
  CHECK(!log.TryOpen().ok());
  log.files().SetCapacity(kUnlimited);
  log.Open();
  CHECK(log.Difference() == "");
  CHECK(log.Retry("a").ok());
  CheckRestarts(log);
}

TEST_CASE("durable log: what a failed sync leaves unknown is not built upon") {
  for (const CrashMode mode : {CrashMode::kKillProcess, CrashMode::kPowerCut}) {
    LogOnDisk log;
    log.Open();
    SendMany(log, 6, 100);
    log.Fail(Failing({Operation::kSync}, ".journal"));
    CHECK(absl::IsUnavailable(log.Send("a", {log.NextText()})));
    CHECK(
        log.HasNotice("nothing is accepted any more until the log is opened "
                      "again"));
    log.Heal();
    CHECK(absl::IsUnavailable(log.Retry("a")));
    CHECK(absl::IsUnavailable(log.Send("b", {log.NextText()})));
    CHECK(absl::IsUnavailable(log.Send("c", {log.NextText()})));
    CHECK(absl::IsUnavailable(Delete(log.log(), "a")));
    CHECK(log.CountNotices("accepted") + log.CountNotices("refused") == 1);
    CHECK(log.Difference() == "");

    log.Crash(mode);
    log.Open();
    CHECK(log.Difference() == "");
    for (const char* channel : {"a", "b", "c"}) CHECK(log.Retry(channel).ok());
    CHECK(log.Difference() == "");
    CheckRestarts(log);
  }
}

TEST_CASE("durable log: closing after a failed sync loses nothing") {
  LogOnDisk log;
  log.Open();
  SendMany(log, 6, 100);
  log.Fail(Failing({Operation::kSync}, ".journal"));
  CHECK(absl::IsUnavailable(log.Send("a", {log.NextText()})));
  log.Close();
  CHECK(log.HasNotice("the log was not closed"));
  log.Heal();
  log.Open();
  CHECK(log.Difference() == "");
  CHECK(log.Retry("a").ok());
  CheckRestarts(log);
}

TEST_CASE("durable log: a write that fails half-way is taken back") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    LogOnDisk log;
    log.files().SetShortWrites(seed);
    log.Open();
    for (int i = 0; i < 5; ++i) {
      SendMany(log, 2, 50);
      log.Fail(Failing({Operation::kWrite}, ".journal"));
      CHECK(absl::IsUnavailable(log.Send("a", {log.NextText(500)})));
      CHECK(absl::IsUnavailable(log.Send("b", {log.NextText()})));
      CHECK(log.Difference() == "");
      log.Heal();
    }
    CHECK(log.Retry("a").ok());
    CHECK(log.Retry("b").ok());
    CHECK(log.Difference() == "");
    log.ForgetNotices();
    log.Crash(seed % 2 == 0 ? CrashMode::kKillProcess : CrashMode::kPowerCut);
    log.Open();
    CHECK(log.Difference() == "");
    CHECK(!log.HasNotice("cut off"));
  }
}

TEST_CASE("durable log: a write that fails, and cannot be taken back either") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    LogOnDisk log;
    log.files().SetShortWrites(seed);
    log.Open();
    SendMany(log, 2, 50);
    log.Fail(Failing({Operation::kWrite, Operation::kTruncate}, ".journal"));
    CHECK(absl::IsUnavailable(log.Send("a", {log.NextText(500)})));
    log.Heal();
    if (seed % 3 == 0) CHECK(log.Send("b", {log.NextText()}).ok());
    if (seed % 3 == 1) CHECK(log.Retry("a").ok());
    CHECK(log.Difference() == "");
    log.Crash(seed % 2 == 0 ? CrashMode::kKillProcess : CrashMode::kPowerCut);
    log.Open();
    CHECK(log.Difference() == "");
    CHECK(log.Retry("a").ok());
    CheckRestarts(log);
  }
}

TEST_CASE("durable log: what could not be taken back is not in the way") {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    LogOnDisk log({.directory = {.max_journal_bytes = 2000}});
    log.files().SetShortWrites(seed);
    log.Open();
    log.Fail(Failing({Operation::kWrite, Operation::kTruncate}, ".journal"));
    CHECK(absl::IsUnavailable(log.Send("a", {log.NextText(50'000)})));
    // The next ones are in its place, but shorter, and the log goes on in
    // another journal.
    log.Fail(Failing({Operation::kOpen}, ".segment"));
    CHECK(log.Send("b", {log.NextText(3000)}).ok());
    log.AwaitNotice(".segment: is broken; trying again");
    CHECK(log.Send("b", {log.NextText()}).ok());
    log.Crash(CrashMode::kKillProcess);
    log.Open();
    CHECK(log.Difference() == "");
    CHECK(log.Retry("a").ok());
    CheckRestarts(log);
  }
}

TEST_CASE(
    "durable log: a round whose sync has failed is made durable, or gone") {
  for (const bool checkpoint : {false, true}) {
    CAPTURE(checkpoint);
    LogOnDisk log;
    log.Open();
    CHECK(log.Send("b", {log.NextText()}).ok());
    log.Fail(Failing({Operation::kSync, Operation::kTruncate}, ".journal"));
    CHECK(absl::IsUnavailable(log.Send("a", {log.NextText(2000)})));
    log.Crash(CrashMode::kKillProcess);
    if (!checkpoint) log.Fail(WithoutCheckpoints());
    log.Open();
    CHECK(log.Difference() == "");
    CHECK(log.Retry("a").ok());
    CHECK(log.Send("b", {log.NextText()}).ok());
    log.Crash(CrashMode::kPowerCut);
    log.Open();
    CHECK(log.Difference() == "");
  }
}

TEST_CASE(
    "durable log: a checkpoint that was not synced is, before what only the "
    "one before needs is removed") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    LogOnDisk log;
    log.Open();
    SendMany(log, 4, 100);
    // The process ends between the checkpoint's rename and its sync.
    log.Fail([&log](Operation operation, const std::string& path) {
      if (operation == Operation::kSyncDirectory && path == "/log") {
        log.files().Stop();
      }
      return absl::OkStatus();
    });
    log.Close();
    log.Crash(CrashMode::kKillProcess);
    log.Fail(WithoutCheckpoints());
    log.Open();
    CHECK(log.Difference() == "");
    log.Crash(CrashMode::kPowerCut, seed);
    log.Open();
    CHECK(log.Difference() == "");
  }
}

// What a checkpoint cannot do.
struct CheckpointFault {
  Operation operation;
  const char* path;
};
constexpr std::array<CheckpointFault, 15> kCheckpointFaults = {{
    {Operation::kOpen, ".journal"},
    {Operation::kOpen, ".segment"},
    {Operation::kOpen, ".index"},
    {Operation::kOpen, "checkpoint.new"},
    {Operation::kWrite, ".segment"},
    {Operation::kWrite, "checkpoint.new"},
    {Operation::kSync, ".segment"},
    {Operation::kSync, "checkpoint.new"},
    {Operation::kRename, "checkpoint.new"},
    {Operation::kSyncDirectory, "/journals"},
    {Operation::kSyncDirectory, ".channel"},
    {Operation::kSyncDirectory, "/log"},
    {Operation::kRemove, ".journal"},
    {Operation::kCreateDirectory, ".channel"},
    {Operation::kList, "/log"},
}};

TEST_CASE(
    "durable log: checkpoints that fail lose nothing, and are made when "
    "they can be") {
  // All of them at once, since a log waits before it tries again.
  std::vector<std::unique_ptr<LogOnDisk>> logs;
  for (const CheckpointFault& fault : kCheckpointFaults) {
    CAPTURE(static_cast<int>(fault.operation));
    CAPTURE(std::string(fault.path));
    auto& log = *logs.emplace_back(std::make_unique<LogOnDisk>(
        LogOptions{.retention = {.max_bytes = 1 << 20},
                   .directory = {.max_journal_bytes = kTinyJournal}},
        Restless()));
    log.files().SetShortWrites(1);
    log.Open();
    CHECK(log.Send("a", {log.NextText(100)}).ok());
    // The names of the segments to come are new.
    log.Fail(Failing({fault.operation}, fault.path));
    int accepted = 0;
    for (int i = 0; i < 40; ++i) {
      const absl::Status s =
          log.Send(i % 2 == 0 ? "a" : "b", {log.NextText(200)});
      if (!s.ok()) CHECK(absl::IsUnavailable(s));
      accepted += s.ok() ? 1 : 0;
    }
    CHECK(accepted >= 5);
    CHECK(accepted < 40);
    log.AwaitNotice("trying again");
    CHECK(log.Difference() == "");
    log.Heal();
  }
  for (std::size_t i = 0; i < logs.size(); ++i) {
    CAPTURE(static_cast<int>(kCheckpointFaults.at(i).operation));
    CAPTURE(std::string(kCheckpointFaults.at(i).path));
    LogOnDisk& log = *logs[i];
    log.AwaitNotice("the journals are written to segments again");
    CHECK(log.Retry("a").ok());
    CHECK(log.Retry("b").ok());
    SendMany(log, 10, 300);
    CHECK(log.Difference() == "");
    CheckRestarts(log);
    CHECK(!log.HasNotice("cut off"));
  }
}

TEST_CASE("durable log: closing on a disk that fails loses nothing") {
  for (const CheckpointFault& fault : kCheckpointFaults) {
    CAPTURE(static_cast<int>(fault.operation));
    CAPTURE(std::string(fault.path));
    LogOnDisk log;
    log.files().SetShortWrites(1);
    log.Fail(WithoutCheckpoints());
    log.Open();
    SendMany(log, 4, 100);
    log.Fail(Failing({fault.operation}, fault.path));
    log.Close();
    CHECK(log.HasNotice("the log was not closed"));
    log.Heal();
    log.Open();
    CHECK(log.Difference() == "");
    SendMany(log, 2, 100);
    CheckRestarts(log);
  }
}

TEST_CASE("durable log: a disk that cannot be read is not a damaged one") {
  for (const Operation operation : {Operation::kRead, Operation::kOpen}) {
    for (const bool skip_damaged : {false, true}) {
      LogOnDisk log({}, {.max_cached_bytes = 0});
      log.Open();
      SendMany(log, 4, 100);
      log.Close();
      log.Open();
      log.Fail(Failing({operation}, ".segment"));
      const Contents contents =
          ReadAll(log.log(), "a", Start::At(2), {.skip_damaged = skip_damaged});
      CHECK(absl::IsInternal(contents.status));
      CHECK(contents.messages.empty());
      CHECK(contents.gaps.empty());
      CHECK(log.CountNotices(".segment: is broken") == 1);
      // A retry, which has to be compared, is not stored again.
      CHECK(!test::Append(log.log(),
                          Signed("a", 1, {log.history().at("a")[0].text}))
                 .ok());
      log.Heal();
      CHECK(log.Difference() == "");
      const auto retried = MustAppend(
          log.log(), Signed("a", 1, {log.history().at("a")[0].text}));
      CHECK(retried.front().duplicate);
      SendMany(log, 2, 100);
      CheckRestarts(log);
    }
  }
}

TEST_CASE("durable log: repeated messages in segments are read in blocks") {
  std::atomic<int> reads{0};
  LogOnDisk log({}, {.max_cached_bytes = 0});
  log.Open();
  std::vector<std::string> texts;
  for (int i = 0; i < 1000; ++i) texts.push_back(log.NextText(100));
  CHECK(log.Send("a", texts).ok());
  log.Close();
  log.Open();
  log.Fail([&](Operation operation, const std::string& path) {
    if (operation == Operation::kRead && Contains(path, ".segment")) ++reads;
    return absl::OkStatus();
  });
  const auto repeated = MustAppend(log.log(), Signed("a", 1, texts));
  CHECK(repeated.size() == texts.size());
  CHECK(repeated.back().duplicate);
  CHECK(reads > 0);
  CHECK(reads < 30);
  // Here and there, as a rule in one round.
  for (int i = 0; i < 20; ++i) {
    std::array<Completion<AppendResult>, 4> completions;
    for (std::size_t k = 0; k < completions.size(); ++k) {
      const std::size_t from = 1 + k * 7 % 4 * 200;
      log.log().Append(
          Signed("a", from,
                 {texts.begin() + static_cast<std::ptrdiff_t>(from) - 1,
                  texts.begin() + static_cast<std::ptrdiff_t>(from) + 1}),
          completions[k].Callback());
    }
    for (std::size_t k = 0; k < completions.size(); ++k) {
      const AppendResult result = completions[k].Wait("Append");
      REQUIRE(result.ok());
      CHECK(ReceiptsOf(result).front().sequence == 1 + k * 7 % 4 * 200);
    }
  }
  // From the middle, and with what is not a repetition.
  texts.erase(texts.begin(), texts.begin() + 500);
  texts.push_back(log.NextText());
  const auto more = MustAppend(log.log(), Signed("a", 501, texts));
  CHECK(more.front().sequence == 501);
  CHECK(more.back().sequence == 1001);
  CHECK(!more.back().duplicate);
}

// Fails the nth operation of this thread from now on.
struct FailOnce {
  std::shared_ptr<std::atomic<int>> left;

  Fault fault() const {
    return [left = left, base = WithoutCheckpoints(),
            thread = std::this_thread::get_id()](Operation operation,
                                                 const std::string& path) {
      if (std::this_thread::get_id() == thread && --*left == 0) {
        return Broken(path);
      }
      return base(operation, path);
    };
  }
};

// Lets each operation fail that it takes to open the log, one at a time.
void FailOpening(const Image& image, const LogOptions& options,
                 const History& history) {
  for (const CrashMode mode : {CrashMode::kKillProcess, CrashMode::kPowerCut}) {
    // Without syncs, much may be lost.
    if (options.directory.durability == Durability::kOs &&
        mode == CrashMode::kPowerCut) {
      continue;
    }
    for (int n = 1;; ++n) {
      CAPTURE(n);
      LogOnDisk log(options, {}, DiskWith(image));
      log.Expect(history);
      const FailOnce once = {std::make_shared<std::atomic<int>>(n)};
      log.Fail(once.fault());
      const absl::Status opened = log.TryOpen();
      if (opened.ok()) CHECK(log.Difference() == "");
      const bool failed = *once.left <= 0;
      log.Crash(mode, static_cast<std::uint64_t>(n));
      log.Open();
      CHECK(log.Difference() == "");
      CHECK(log.Send("new", {log.NextText()}).ok());
      log.Crash(mode, static_cast<std::uint64_t>(n));
      log.Open();
      CHECK(log.Difference() == "");
      log.Close();
      if (!failed) {
        CHECK(n > 10);
        CHECK(opened.ok());
        break;
      }
    }
  }
}

TEST_CASE("durable log: opening that fails anywhere can be tried again") {
  const SmallLog& small = TheSmallLog();
  FailOpening({}, {}, {});
  FailOpening(small.image, {}, small.history);
  Image torn = small.image;
  torn[small.newest_journal].pop_back();
  FailOpening(torn, {}, WithoutLastRound(small));
}

TEST_CASE("durable log: so can opening that begins an epoch") {
  LogOnDisk log({.directory = {.durability = Durability::kOs}});
  log.Open();
  SendMany(log, 6, 100);
  log.Close();
  log.Open();
  SendMany(log, 6, 100);
  log.Crash(CrashMode::kKillProcess);
  FailOpening(ImageOf(log.files()),
              {.directory = {.durability = Durability::kOs}}, log.history());
}

}  // namespace
}  // namespace messenger::durable_log_disk_test
