// A disk filled to the last byte (log/durable/reserve.h).
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <iterator>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "log/durable/durable_log.h"
#include "messenger/log.h"
#include "support/fake_clock.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/printing.h"

namespace messenger::durable_log_full_disk_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

using CrashMode = FaultyFileSystem::CrashMode;
using Operation = FaultyFileSystem::Operation;

constexpr std::uint64_t kReserve = 10'000;
constexpr std::uint64_t kDisk = 200'000;

class SmallDisk {
 public:
  explicit SmallDisk(
      LogOptions options = {.directory = {.max_journal_bytes = 20'000}})
      : options_(std::move(options)) {
    options_.on_notice = [this](std::string_view notice) {
      const std::lock_guard lock(mutex_);
      notices_.emplace_back(notice);
      changed_.notify_all();
    };
    files_->SetCapacity(kDisk);
    // Journals take no room in advance; the reserve does.
    files_->SetFault([](Operation operation, const std::string& path) {
      return operation == Operation::kAllocate && path.ends_with(".journal")
                 ? absl::InternalError(path)
                 : absl::OkStatus();
    });
  }

  absl::Status TryOpen() {
    auto log =
        DurableLog::Open("/log", options_,
                         {.files = files_,
                          .max_cached_bytes = 0,
                          .reserve_bytes = kReserve,
                          .room_interval = std::chrono::milliseconds(10)});
    if (!log.ok()) return log.status();
    log_ = *std::move(log);
    return absl::OkStatus();
  }
  void Close() { log_.reset(); }
  void Kill() {
    files_->Stop();
    log_.reset();
    std::mt19937_64 random(1);
    files_->Crash(CrashMode::kKillProcess, random);
  }

  absl::Status Send(const std::string& channel, std::size_t size) {
    return Append(*log_, BatchOf(channel, {std::string(size, 'x')})).status();
  }
  // Until nothing goes any more, however small. Returns the refusal.
  absl::Status Fill() {
    absl::Status refused;
    for (const std::size_t size : {5000U, 500U, 50U, 1U}) {
      refused = absl::OkStatus();
      for (int i = 0; refused.ok(); ++i) {
        if (i > 100'000) throw std::runtime_error("the disk is never full");
        refused = Send(fmt::format("c{}", i % 5), size);
      }
    }
    return refused;
  }
  // Others take all that is left, but for what the log keeps.
  void FillTheRest() {
    std::uint64_t used = 0;
    for (const std::string& path : files_->Files()) {
      used += files_->Contents(path).size();
    }
    files_->SetCapacity(used);
  }

  // Passes over what came before; what has come since stays: a checkpoint
  // may have made room in the meantime, and that is said only once.
  void Await(std::string_view part) {
    std::unique_lock lock(mutex_);
    auto found = notices_.end();
    const bool came = changed_.wait_for(lock, kLogDeadline, [&] {
      found = std::find_if(notices_.begin(), notices_.end(),
                           [&](const auto& n) { return Contains(n, part); });
      return found != notices_.end();
    });
    INFO("a notice with ", part);
    CHECK(came);
    if (came) notices_.erase(notices_.begin(), std::next(found));
  }

  MessageLog& log() { return *log_; }
  FaultyFileSystem& files() { return *files_; }

 private:
  const std::shared_ptr<FaultyFileSystem> files_ =
      std::make_shared<FaultyFileSystem>();
  LogOptions options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> notices_;
  std::shared_ptr<MessageLog> log_;
};

// Appends until one is accepted: room comes a little after a deletion.
absl::Status SendSoon(SmallDisk& disk) {
  const auto deadline = std::chrono::steady_clock::now() + kLogDeadline;
  absl::Status s;
  do {
    s = disk.Send("new", 3000);
  } while (absl::IsResourceExhausted(s) &&
           std::chrono::steady_clock::now() < deadline);
  return s;
}

TEST_CASE("durable log: on a full disk, channels are deleted to make room") {
  SmallDisk disk;
  REQUIRE(disk.TryOpen().ok());
  const absl::Status refused = disk.Fill();
  CHECK(absl::IsResourceExhausted(refused));
  disk.FillTheRest();
  disk.Await("appends are refused");
  for (int i = 0; i < 5; ++i) {
    CHECK(Delete(disk.log(), fmt::format("c{}", i)) == absl::OkStatus());
  }
  CHECK(SendSoon(disk) == absl::OkStatus());
  disk.Await("appends are accepted again");
  disk.Close();
  REQUIRE(disk.TryOpen().ok());
  CHECK(ListChannels(disk.log(), "", 100).size() == 1);
}

TEST_CASE("durable log: on a full disk, a log opens, and reads") {
  for (const bool closed : {true, false}) {
    CAPTURE(closed);
    SmallDisk disk;
    REQUIRE(disk.TryOpen().ok());
    CHECK(absl::IsResourceExhausted(disk.Fill()));
    const std::vector<ChannelInfo> before = ListChannels(disk.log(), "", 100);
    disk.FillTheRest();
    if (closed) {
      disk.Close();
    } else {
      disk.Kill();
    }
    disk.FillTheRest();
    REQUIRE(disk.TryOpen() == absl::OkStatus());
    const std::vector<ChannelInfo> after = ListChannels(disk.log(), "", 100);
    REQUIRE(after.size() == before.size());
    for (std::size_t i = 0; i < after.size(); ++i) {
      CHECK(after[i].head == before[i].head);
      const auto reader =
          disk.log().OpenReader(after[i].name, Start::At(1), {});
      CHECK(ReadToHead(*reader).messages.size() == after[i].head);
    }
    CHECK(absl::IsResourceExhausted(disk.Send("c1", 3000)));
    for (int i = 0; i < 5; ++i) {
      CHECK(Delete(disk.log(), fmt::format("c{}", i)) == absl::OkStatus());
    }
    CHECK(SendSoon(disk) == absl::OkStatus());
  }
}

// Hears whether the log takes appends.
class Availability final : public LogListener {
 public:
  explicit Availability(MessageLog& log) : log_(log) { log_.AddListener(this); }
  ~Availability() override { log_.RemoveListener(this); }
  Availability(const Availability&) = delete;
  Availability& operator=(const Availability&) = delete;

  void OnAvailability(const absl::Status& refusal) override {
    const std::lock_guard lock(mutex_);
    heard_.push_back(refusal.code());
    changed_.notify_all();
  }

  bool AwaitLast(absl::StatusCode code) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kLogDeadline, [&] {
      return !heard_.empty() && heard_.back() == code;
    });
  }
  std::vector<absl::StatusCode> heard() {
    const std::lock_guard lock(mutex_);
    return heard_;
  }

 private:
  MessageLog& log_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<absl::StatusCode> heard_;
};

constexpr auto kFull = absl::StatusCode::kResourceExhausted;
constexpr auto kRoom = absl::StatusCode::kOk;

TEST_CASE("durable log: it finds by itself that there is room again") {
  SmallDisk disk;
  REQUIRE(disk.TryOpen().ok());
  Availability availability(disk.log());
  // Whatever checkpoints give free.
  disk.files().SetCapacity(0);
  CHECK(absl::IsResourceExhausted(disk.Fill()));
  CHECK(availability.AwaitLast(kFull));
  {
    // Whoever comes later hears of it, too.
    Availability later(disk.log());
    CHECK(later.heard().size() == 1);
    CHECK(later.AwaitLast(kFull));
  }
  // Nobody sends.
  disk.files().SetCapacity(2 * kDisk);
  CHECK(availability.AwaitLast(kRoom));
  CHECK(disk.Send("new", 3000) == absl::OkStatus());
}

TEST_CASE("durable log: one that is opened on a full disk says so") {
  SmallDisk disk;
  REQUIRE(disk.TryOpen().ok());
  CHECK(absl::IsResourceExhausted(disk.Fill()));
  disk.Close();
  disk.FillTheRest();
  REQUIRE(disk.TryOpen().ok());
  Availability availability(disk.log());
  REQUIRE_FALSE(availability.heard().empty());
  CHECK(availability.heard().front() == kFull);
  disk.files().SetCapacity(2 * kDisk);
  CHECK(availability.AwaitLast(kRoom));
}

TEST_CASE("durable log: what is too large for the disk is refused alone") {
  SmallDisk disk;
  REQUIRE(disk.TryOpen().ok());
  Availability availability(disk.log());
  CHECK(absl::IsResourceExhausted(disk.Send("large", 2 * kDisk)));
  CHECK(availability.AwaitLast(kFull));
  CHECK(disk.Send("small", 10) == absl::OkStatus());
  disk.files().SetCapacity(10 * kDisk);
  CHECK(availability.AwaitLast(kRoom));
  CHECK(disk.Send("large", 2 * kDisk) == absl::OkStatus());
}

TEST_CASE("durable log: nothing is dropped to make room") {
  SmallDisk disk;
  REQUIRE(disk.TryOpen().ok());
  CHECK(absl::IsResourceExhausted(disk.Fill()));
  for (const ChannelInfo& info : ListChannels(disk.log(), "", 100)) {
    CHECK(info.first_sequence == 1);
  }
}

// What is in memory then is ahead of what the old journals, which are kept, go
// on from.
TEST_CASE(
    "durable log: a checkpoint for which there is no room is not written half, "
    "to make room") {
  SmallDisk disk;
  REQUIRE(disk.TryOpen().ok());
  for (const std::string channel : {"kept", "deleted"}) {
    REQUIRE(disk.Send(channel, 3000).ok());
  }
  disk.Close();  // into segments
  REQUIRE(disk.TryOpen().ok());
  REQUIRE(Delete(disk.log(), "deleted").ok());  // which leaves one to remove

  // There is no room for the checkpoint, nor with the reserve. When the next
  // one is there, and before anything that it replaces is removed, the process
  // ends.
  std::atomic<int> refused{0};
  std::atomic<bool> written{false};
  disk.files().SetFault([&](Operation operation, const std::string& path) {
    if (operation == Operation::kAllocate && path.ends_with(".journal")) {
      return absl::InternalError(path);
    }
    if (path.ends_with("checkpoint.new")) {
      if (operation == Operation::kOpen && refused++ < 2) {
        return absl::ResourceExhaustedError(path);
      }
      if (operation == Operation::kRename) written = true;
    } else if (operation == Operation::kRemove && written) {
      disk.files().Stop();
    }
    return absl::OkStatus();
  });
  // The last one makes it time for a checkpoint.
  for (int i = 0; i < 7; ++i) CHECK(disk.Send("kept", 3000).ok());
  disk.Await("trying again");
  disk.Kill();
  disk.files().SetFault({});

  REQUIRE(disk.TryOpen() == absl::OkStatus());
  const std::vector<ChannelInfo> channels = ListChannels(disk.log(), "", 100);
  REQUIRE(channels.size() == 1);
  CHECK(channels[0].head == 8);
  const auto reader = disk.log().OpenReader("kept", Start::At(1), {});
  CHECK(ReadToHead(*reader).messages.size() == 8);
}

TEST_CASE("durable log: a log that cannot be created leaves nothing behind") {
  for (std::uint64_t capacity = 0; capacity < 2000; capacity += 7) {
    CAPTURE(capacity);
    SmallDisk disk;
    disk.files().SetCapacity(capacity);
    if (disk.TryOpen().ok()) {
      CHECK(capacity > 32);
      continue;
    }
    CHECK(disk.files().Files() == std::vector<std::string>());
    CHECK(absl::IsNotFound(disk.files().List("/log").status()));
  }
}

}  // namespace
}  // namespace messenger::durable_log_full_disk_test
