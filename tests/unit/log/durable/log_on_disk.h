// A log in a directory over a disk that fails, as one careful client sees it.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "log/durable/durable_log.h"
#include "log/message_log.h"
#include "messenger/log.h"
#include "messenger/message.h"
#include "support/disk_image.h"
#include "support/fake_clock.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/printing.h"

namespace messenger::test {

using CrashMode = FaultyFileSystem::CrashMode;
using Operation = FaultyFileSystem::Operation;
using Fault = FaultyFileSystem::Fault;

// By number.
std::vector<std::string> JournalsOn(const FaultyFileSystem& files);

absl::Status Broken(const std::string& path);

// Fails these operations on paths that contain `part`.
Fault Failing(std::initializer_list<Operation> operations, std::string part);

// Keeps the threads of a log that this thread opens from making checkpoints.
Fault WithoutCheckpoints();

std::size_t SizeWithoutZeros(std::string_view bytes);

// By which they can be told apart from others.
std::string AuthorOf(std::string_view text);

AppendBatch Signed(std::string_view channel, std::uint64_t producer_sequence,
                   const std::vector<std::string>& texts);

// A message that was acknowledged; its place in a vector is its sequence, and
// its producer's, but for 1.
struct Acknowledged {
  std::string text;
  Timestamp time;
};
using History = std::map<std::string, std::vector<Acknowledged>>;

// What is wrong with a message that is taken for this one; "" if nothing is.
std::string Compare(const OwnedMessage& message, const Acknowledged& expected);

// All that a reader gets.
struct Contents {
  std::vector<OwnedMessage> messages;
  std::vector<Gap> gaps;
  absl::Status status;  // why it has ended before the head
};

// Throws if there is a hole that no gap explains.
Contents ReadAll(MessageLog& log, std::string_view channel, const Start& start,
                 MessageLog::ReaderOptions options = {});

// A log on a disk that fails, as one careful client sees it: what is refused is
// sent again, before anything else.
class LogOnDisk {
 public:
  enum class End : std::uint8_t { kClose, kKill, kPowerCut };

  explicit LogOnDisk(LogOptions options = {}, DurableLogOptions durable = {},
                     std::shared_ptr<FaultyFileSystem> files =
                         std::make_shared<FaultyFileSystem>())
      : options_(std::move(options)),
        durable_(std::move(durable)),
        files_(std::move(files)) {
    options_.on_notice = [this](std::string_view notice) {
      const std::lock_guard lock(mutex_);
      notices_.emplace_back(notice);
      noticed_.notify_all();
    };
    durable_.clock = {
        .now = [this] { return clock_.now(); },
        .steady_now =
            [this] { return clock_.steady_now() - since_boot_.load(); }};
    durable_.files = files_;
    Heal();
  }

  // From now on the disk fails like this; or not at all, but for giving room in
  // advance, which it never does: journals are as small as what is in them.
  void Fail(Fault fault) {
    files_->SetFault([fault = std::move(fault)](Operation operation,
                                                const std::string& path) {
      return operation == Operation::kAllocate ? Broken(path)
                                               : fault(operation, path);
    });
  }
  void Heal() {
    Fail([](auto, const auto&) { return absl::OkStatus(); });
  }

  absl::Status TryOpen() {
    auto log = DurableLog::Open("/log", options_, durable_);
    if (!log.ok()) return log.status();
    log_ = *std::move(log);
    return absl::OkStatus();
  }
  // While it is open.
  absl::Status TryOpenAgain() const {
    return DurableLog::Open("/log", options_, durable_).status();
  }
  void Open() {
    const absl::Status s = TryOpen();
    if (!s.ok()) throw std::runtime_error("Open: " + s.ToString());
  }
  void Close() { log_.reset(); }
  // Ends the process, or cuts the power, without closing anything.
  void Crash(CrashMode mode, std::uint64_t seed = 1) {
    std::mt19937_64 random(seed);
    files_->Stop();
    log_.reset();
    Heal();
    files_->Crash(mode, random);
  }
  // Whatever has ended it, it is opened again.
  void Reopen(End end) {
    if (end == End::kClose) {
      Close();
    } else {
      Crash(end == End::kKill ? CrashMode::kKillProcess : CrashMode::kPowerCut);
    }
    Open();
  }
  // While the log is closed.
  void Reboot() { since_boot_ = clock_.steady_now().time_since_epoch(); }

  // Appends these, after what was refused before.
  absl::Status Send(const std::string& channel,
                    std::vector<std::string> texts) {
    std::vector<std::string>& refused = refused_[channel];
    if (!refused.empty()) {
      absl::Status s = Retry(channel);
      if (!s.ok()) return s;
    }
    refused = std::move(texts);
    return Retry(channel);
  }
  // What was refused.
  absl::Status Retry(const std::string& channel) {
    std::vector<std::string>& texts = refused_[channel];
    if (texts.empty()) return absl::OkStatus();
    std::vector<Acknowledged>& known = history_[channel];
    const AppendResult result =
        test::Append(*log_, Signed(channel, known.size() + 1, texts));
    if (!result.ok()) return result.status();
    Acknowledge(channel, std::exchange(texts, {}), ReceiptsOf(result));
    return absl::OkStatus();
  }
  void Acknowledge(const std::string& channel,
                   const std::vector<std::string>& texts,
                   const std::vector<Stored>& receipts) {
    std::vector<Acknowledged>& known = history_[channel];
    if (receipts.size() != texts.size()) {
      throw std::runtime_error("as many receipts as messages");
    }
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (receipts[i].sequence != known.size() + 1) {
        throw std::runtime_error(fmt::format("{}: sequence {} follows {}",
                                             channel, receipts[i].sequence,
                                             known.size()));
      }
      known.push_back({.text = texts[i], .time = receipts[i].send_time});
    }
  }
  // A text that no other message has.
  std::string NextText(std::size_t padding = 0) {
    return fmt::format("t{}{}", ++texts_, std::string(padding, '.'));
  }

  // How what can be read differs from what was acknowledged, from
  // `first_sequence` on; "" if it does not. What was refused may be there,
  // once.
  std::string Difference(std::uint64_t first_sequence = 1) {
    for (const auto& [name, known] : history_) {
      const Contents contents = ReadAll(*log_, name, Start::At(first_sequence));
      if (!contents.status.ok()) return contents.status.ToString();
      std::vector<Acknowledged> expected = known;
      const std::size_t found = contents.messages.size() + first_sequence - 1;
      if (found > known.size()) {
        for (const std::string& text : refused_[name]) {
          const auto at = expected.size() + 1 - first_sequence;
          if (at >= contents.messages.size()) break;
          expected.push_back(
              {.text = text, .time = contents.messages[at].send_time});
        }
      }
      if (found != expected.size()) {
        return fmt::format("{}: {} messages instead of {}", name, found,
                           expected.size());
      }
      Timestamp last = Timestamp::min();
      for (const OwnedMessage& message : contents.messages) {
        const std::string difference =
            Compare(message, expected[message.sequence - 1]);
        if (!difference.empty()) {
          return fmt::format("{}: {}", name, difference);
        }
        if (message.send_time < last) {
          return fmt::format("{}: the time goes backwards at {}", name,
                             message.sequence);
        }
        last = message.send_time;
      }
    }
    return "";
  }

  std::vector<std::string> notices() {
    const std::lock_guard lock(mutex_);
    return notices_;
  }
  bool HasNotice(std::string_view part) {
    const std::lock_guard lock(mutex_);
    return FindNotice(part);
  }
  std::ptrdiff_t CountNotices(std::string_view part) {
    const std::lock_guard lock(mutex_);
    return std::count_if(
        notices_.begin(), notices_.end(),
        [&](const std::string& notice) { return Contains(notice, part); });
  }
  void AwaitNotice(std::string_view part) {
    std::unique_lock lock(mutex_);
    if (!noticed_.wait_for(lock, kLogDeadline,
                           [&] { return FindNotice(part); })) {
      throw std::runtime_error(fmt::format("no notice \"{}\"", part));
    }
  }
  void ForgetNotices() {
    const std::lock_guard lock(mutex_);
    notices_.clear();
  }

  MessageLog& log() { return *log_; }
  FaultyFileSystem& files() { return *files_; }
  FakeClock& clock() { return clock_; }
  const History& history() const { return history_; }
  // Takes over what another log was known to contain.
  void Expect(History history) { history_ = std::move(history); }

 private:
  bool FindNotice(std::string_view part) const {
    return std::any_of(
        notices_.begin(), notices_.end(),
        [&](const std::string& notice) { return Contains(notice, part); });
  }

  LogOptions options_;
  DurableLogOptions durable_;
  const std::shared_ptr<FaultyFileSystem> files_;
  FakeClock clock_;
  std::atomic<std::chrono::nanoseconds> since_boot_{
      std::chrono::nanoseconds(0)};

  std::mutex mutex_;
  std::condition_variable noticed_;
  std::vector<std::string> notices_;

  History history_;
  std::map<std::string, std::vector<std::string>> refused_;
  std::uint64_t texts_ = 0;

  std::shared_ptr<MessageLog> log_;  // last: its threads use all of the above
};

// A small log with something of everything, as a killed process leaves it: a
// channel with two segments, and one without; and three journals, of which the
// first one is empty, since the log was closed, and the others have a round
// and two. The last round is of both channels.
struct SmallLog {
  Image image;
  History history;
  std::string newest_journal;
  std::size_t last_round = 0;  // its offset in there
  // Messages of each channel that are in it.
  static constexpr std::size_t kInLastRound = 1;
};

const SmallLog& TheSmallLog();

// What is there without the last round.
History WithoutLastRound(const SmallLog& small);

// With it, checkpoints are made all the time.
inline constexpr std::uint64_t kTinyJournal = 2000;

// Keeps nothing in memory, and opens hardly anything.
DurableLogOptions Restless();

// Sends so many batches to two channels.
void SendMany(LogOnDisk& log, int count, std::size_t padding);

}  // namespace messenger::test
