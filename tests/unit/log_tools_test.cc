// Verifying, repairing and dumping logs that are damaged in every way that
// there is.
#include "messenger/log_tools.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/status.h"
#include "log/durable/durable_log.h"
#include "log/durable/repair.h"
#include "log/durable/segment_format.h"
#include "log/durable/survey.h"
#include "log/durable/verify.h"
#include "support/fake_clock.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/printing.h"

namespace messenger {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

using CrashMode = FaultyFileSystem::CrashMode;
using Operation = FaultyFileSystem::Operation;

// ---------------------------------------------------------------------------
// Disks

// All files of a disk, by path.
using Image = std::map<std::string, std::string>;

Image ImageOf(const FaultyFileSystem& files) {
  Image image;
  for (const std::string& path : files.Files()) {
    image[path] = files.Contents(path);
  }
  return image;
}

std::shared_ptr<FaultyFileSystem> DiskWith(const Image& image) {
  auto files = std::make_shared<FaultyFileSystem>();
  for (const auto& [path, contents] : image) files->SetContents(path, contents);
  return files;
}

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// The checkpoints of a log that this thread opens fail, and no room is given in
// advance.
void KeepJournals(FaultyFileSystem& files) {
  files.SetFault(
      [opener = std::this_thread::get_id()](
          Operation operation, const std::string& path) -> absl::Status {
        const bool creates_journal = operation == Operation::kOpen &&
                                     Contains(path, ".journal") &&
                                     std::this_thread::get_id() != opener;
        return creates_journal || operation == Operation::kAllocate
                   ? absl::InternalError(path + ": is broken")
                   : absl::OkStatus();
      });
}

void GiveNoRoom(FaultyFileSystem& files) {
  files.SetFault(
      [](Operation operation, const std::string& path) -> absl::Status {
        return operation == Operation::kAllocate
                   ? absl::InternalError(path + ": is broken")
                   : absl::OkStatus();
      });
}

void Require(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error(what);
}

// ---------------------------------------------------------------------------
// A small log with something of everything, as a killed process leaves it.

// The texts by sequence, from 1 on.
using History = std::map<std::string, std::vector<std::string>>;
using Messages = std::set<std::pair<std::string, std::uint64_t>>;

struct Round {
  std::string journal;
  std::size_t begin = 0;
  std::size_t end = 0;
  Messages messages;
};

struct SmallLog {
  Image image;
  History history;
  std::uint64_t epoch = 0;
  std::vector<Round> rounds;
};

const LogOptions kOptions = {.retention = {.max_age = std::chrono::hours(8)}};

class Maker {
 public:
  explicit Maker(LogOptions options = kOptions) : options_(options) {}

  void Open() {
    KeepJournals(*files_);
    auto log = DurableLog::Open(
        "/log", options_,
        {.clock = {.now = [this] { return clock_.now(); },
                   .steady_now = [this] { return clock_.steady_now(); }},
         .files = files_});
    Require(log.ok(), log.status().ToString());
    log_ = *std::move(log);
    small_.epoch = log_->epoch();
  }
  void Close() {
    GiveNoRoom(*files_);
    log_.reset();
    // A segment takes messages for an eighth of the age limit.
    clock_.Advance(std::chrono::hours(2));
  }
  void Kill() {
    files_->Stop();
    log_.reset();
    std::mt19937_64 random(1);
    files_->Crash(CrashMode::kKillProcess, random);
  }
  // One round.
  void Send(const std::string& channel, std::size_t count,
            std::size_t padding = 0) {
    std::vector<std::string>& known = small_.history[channel];
    const std::uint64_t first = known.size() + 1;
    Round round = {.journal = Journal()};
    round.begin = files_->Contents(round.journal).size();
    std::vector<std::string> texts;
    for (std::uint64_t i = 0; i < count; ++i) {
      texts.push_back(
          fmt::format("{}{}{}", channel, first + i, std::string(padding, '.')));
      round.messages.emplace(channel, first + i);
    }
    MustAppend(*log_, BatchOf(channel, Producer(1), first, texts));
    known.insert(known.end(), texts.begin(), texts.end());
    round.end = files_->Contents(round.journal).size();
    small_.rounds.push_back(std::move(round));
  }
  std::string Journal() const {
    std::string newest;
    for (const std::string& path : files_->Files()) {
      if (path.ends_with(".journal")) newest = path;
    }
    return newest;
  }
  DurableLog& log() { return *log_; }
  FaultyFileSystem& files() { return *files_; }
  SmallLog Take() {
    small_.image = ImageOf(*files_);
    return std::move(small_);
  }

 private:
  const LogOptions options_;
  FakeClock clock_;
  std::shared_ptr<FaultyFileSystem> files_ =
      std::make_shared<FaultyFileSystem>();
  SmallLog small_;
  std::shared_ptr<DurableLog> log_;
};

// Of channel a two segments; journals with one round, with three, and before
// them one without.
SmallLog MakeSmallLog() {
  Maker maker;
  maker.Open();
  maker.Send("a", 3);
  maker.Close();
  maker.Open();
  maker.Send("a", 2);
  maker.Close();
  maker.Open();
  maker.Send("b", 1);
  maker.Kill();
  maker.Open();
  maker.Send("a", 1);
  maker.Send("b", 2);
  maker.Send("a", 1);
  maker.Kill();
  return maker.Take();
}

const SmallLog& TheSmallLog() {
  static const SmallLog small = MakeSmallLog();
  return small;
}

// ---------------------------------------------------------------------------
// Tools

struct Verified {
  absl::Status status;
  LogVerification result;
  std::vector<LogFinding> findings;

  bool clean() const { return status.ok() && result.damages == 0; }
  std::string ToString() const {
    std::string text = status.ToString();
    for (const LogFinding& f : findings) {
      text +=
          fmt::format("\n  {} {} at {}: {}",
                      f.kind == LogFinding::Kind::kDamage ? "damage" : "notice",
                      f.file, f.offset, f.what);
    }
    return text;
  }
  bool Has(std::string_view part) const {
    return std::any_of(
        findings.begin(), findings.end(), [part](const LogFinding& finding) {
          return Contains(finding.file + ": " + finding.what, part);
        });
  }
};

LogToolContext ContextOf(std::shared_ptr<FaultyFileSystem> files) {
  static const FakeClock clock;
  return {.directory = "/log",
          .files = std::move(files),
          .clock = {.now = [] { return clock.now(); },
                    .steady_now = [] { return clock.steady_now(); }}};
}

Verified VerifyDisk(const std::shared_ptr<FaultyFileSystem>& files) {
  Verified verified;
  const auto result =
      Verify(ContextOf(files), {.on_finding = [&](const LogFinding& finding) {
               verified.findings.push_back(finding);
             }});
  verified.status = result.status();
  if (result.ok()) verified.result = *result;
  return verified;
}

// All that a reader gets who does not skip damage.
struct Contents {
  History history;  // without what is missing
  Messages messages;
  Messages missing;  // in gaps
  std::map<std::string, std::uint64_t> heads;
  std::uint64_t epoch = 0;
};

Contents ReadLog(const std::shared_ptr<FaultyFileSystem>& files,
                 const History& expected) {
  GiveNoRoom(*files);
  FakeClock clock;
  auto log = DurableLog::Open(
      "/log", {},
      {.clock = {.now = [&] { return clock.now(); },
                 .steady_now = [&] { return clock.steady_now(); }},
       .files = files});
  Require(log.ok(), log.status().ToString());
  Contents contents;
  contents.epoch = (*log)->epoch();
  for (const auto& [name, texts] : expected) {
    const auto reader = (*log)->OpenReader(name, Start::At(1), {});
    std::uint64_t next = 1;
    do {
      const ReadResult read = test::Read(*reader);
      contents.heads[name] = read.head;
      if (read.gap) {
        Require(read.gap->reason == Gap::Reason::kDamaged,
                fmt::format("{}: a gap with reason {}", name,
                            ToString(read.gap->reason)));
        Require(read.gap->first_missing == next, "a gap from elsewhere on");
        for (; next < read.gap->next; ++next) {
          contents.missing.emplace(name, next);
        }
      }
      Require(read.next_sequence == next, "a hole without a gap");
      Require(read.gap || read.count > 0 || next > read.head, "no message");
      for (const OwnedMessage& message : MessagesIn(read)) {
        Require(message.sequence <= texts.size() &&
                    message.text == texts[message.sequence - 1],
                fmt::format("{}: message {} is \"{}\"", name, message.sequence,
                            message.text));
        contents.messages.emplace(name, message.sequence);
      }
      next += read.count;
    } while (next <= contents.heads[name]);
    // New messages get new sequences.
    const auto receipts = MustAppend(**log, BatchOf(name, {std::string("x")}));
    Require(receipts[0].sequence == contents.heads[name] + 1, "the sequence");
  }
  files->Stop();
  return contents;
}

Messages AllOf(const History& history) {
  Messages messages;
  for (const auto& [name, texts] : history) {
    for (std::uint64_t s = 1; s <= texts.size(); ++s) messages.emplace(name, s);
  }
  return messages;
}

Messages Without(Messages all, const Messages& some) {
  for (const auto& message : some) all.erase(message);
  return all;
}

// Which messages a log has lost after it was repaired, having been found to be
// damaged; checks all that a repair promises.
Messages LostByRepair(const SmallLog& small,
                      const std::shared_ptr<FaultyFileSystem>& files,
                      LogRepair* result = nullptr) {
  const auto repair = Repair(ContextOf(files), {});
  Require(repair.ok(), "repair: " + repair.status().ToString());
  Require(repair->repaired, "it was not repaired");
  Require(repair->after.damages == 0, "damage after the repair");
  const Verified after = VerifyDisk(files);
  Require(after.clean(), "after the repair: " + after.ToString());
  if (result != nullptr) *result = *repair;
  const Image repaired = ImageOf(*files);
  const Contents contents = ReadLog(DiskWith(repaired), small.history);
  const Messages lost = Without(AllOf(small.history), contents.messages);
  // What a reader is told, and the operator.
  for (const auto& [name, sequence] : lost) {
    const bool told =
        std::any_of(repair->losses.begin(), repair->losses.end(),
                    [&, n = name, s = sequence](const LogLoss& loss) {
                      return loss.channel == n && loss.first_sequence <= s &&
                             s <= loss.last_sequence;
                    });
    Require(told,
            fmt::format("{} {} is lost, and nobody is told", name, sequence));
  }
  for (const auto& [name, texts] : small.history) {
    Require(contents.heads.at(name) >= texts.size(),
            fmt::format("{}: a sequence is given out again", name));
  }
  Require(repair->new_epoch == (contents.epoch != small.epoch), "the epoch");
  // Nothing is lost that was there: it is kept aside.
  return lost;
}

Image WithFlip(const Image& image, const std::string& path, std::size_t bit) {
  Image flipped = image;
  char& byte = flipped.at(path)[bit / 8];
  byte = static_cast<char>(byte ^ static_cast<char>(1U << (bit % 8)));
  return flipped;
}

// What a flip in this file, at this byte, may cost.
Messages AtStake(const SmallLog& small, const std::string& path,
                 std::size_t byte) {
  for (const Round& round : small.rounds) {
    if (round.journal == path && byte >= round.begin && byte < round.end) {
      return round.messages;
    }
  }
  return {};
}

// ---------------------------------------------------------------------------

TEST_CASE("log tools: a healthy log is clean, and stays as it is") {
  const SmallLog& small = TheSmallLog();
  const auto files = DiskWith(small.image);
  const Verified verified = VerifyDisk(files);
  CHECK_MESSAGE(verified.clean(), verified.ToString());
  CHECK(verified.findings.empty());
  CHECK(verified.result.summary.channels == 2);
  CHECK(verified.result.summary.segments == 2);
  CHECK(verified.result.summary.journals == 3);
  CHECK(verified.result.summary.messages == AllOf(small.history).size());
  CHECK(ImageOf(*files) == small.image);
  const auto repair = Repair(ContextOf(files), {});
  REQUIRE(repair.ok());
  CHECK(!repair->repaired);
  CHECK(repair->kept_in.empty());
  CHECK(ImageOf(*files) == small.image);
}

TEST_CASE("log tools: every flipped bit is found, and repaired") {
  const SmallLog& small = TheSmallLog();
  const Round& last = small.rounds.back();
  for (const auto& file : small.image) {
    const std::string& path = file.first;
    const std::string& contents = file.second;
    CAPTURE(path);
    for (std::size_t bit = 0; bit < contents.size() * 8; ++bit) {
      CAPTURE(bit / 8);
      const Image image = WithFlip(small.image, path, bit);
      const auto files = DiskWith(image);
      const Verified verified = VerifyDisk(files);
      try {
        Require(verified.status.ok(), verified.status.ToString());
        if (path.ends_with("LOCK")) {
          Require(verified.findings.empty(), "the lock matters");
          continue;
        }
        Require(!verified.findings.empty(), "it is not found");
        if (path == last.journal && bit / 8 >= last.begin) {
          // As a crash would leave it.
          Require(verified.clean(), verified.ToString());
          Require(verified.Has("cut off"), verified.ToString());
          continue;
        }
        Require(!verified.clean(), "no damage");
        Require(path.ends_with(verified.findings[0].file), verified.ToString());
        const Messages lost = LostByRepair(small, files);
        if (path.ends_with(".segment")) {
          const bool in_header = bit / 8 < kSegmentHeaderSize;
          Require(lost.size() == (in_header ? 0 : 1),
                  fmt::format("lost: {}", lost));
        } else {
          const Messages at_stake = AtStake(small, path, bit / 8);
          Require(Without(lost, at_stake).empty(),
                  fmt::format("lost: {}", lost));
        }
      } catch (const std::exception& e) {
        FAIL_CHECK(std::string(e.what()));
      }
    }
  }
}

}  // namespace
}  // namespace messenger
