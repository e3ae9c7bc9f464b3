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
#include "log/durable/checkpoint.h"
#include "log/durable/durable_log.h"
#include "log/durable/segment_format.h"
#include "log/tools/dump.h"
#include "log/tools/repair.h"
#include "log/tools/survey.h"
#include "support/disk_image.h"
#include "support/fake_clock.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/printing.h"
#include "support/sanitized.h"

namespace messenger::log_tools_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

using CrashMode = FaultyFileSystem::CrashMode;
using Operation = FaultyFileSystem::Operation;

// ---------------------------------------------------------------------------
// Disks

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
  explicit Maker(LogOptions options = kOptions)
      : options_(std::move(options)) {}

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
SmallLog MakeSmallLog(const LogOptions& options = kOptions) {
  Maker maker(options);
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
        // After a repair it may be very large.
        const std::uint64_t known = texts.size() + 1;
        for (; next < std::min(read.gap->next, known); ++next) {
          contents.missing.emplace(name, next);
        }
        next = read.gap->next;
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
  if (result != nullptr) *result = *repair;
  const Image repaired = ImageOf(*files);
  const Contents contents = ReadLog(DiskWith(repaired), small.history);
  Messages lost = Without(AllOf(small.history), contents.messages);
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
  return lost;
}

// The first bit of a byte.
constexpr std::size_t BitOf(std::size_t byte) {
  return byte * 8;
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
    for (std::size_t bit = 0; bit < contents.size() * 8; bit += kBitStep) {
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
        // All of it is lost with any of its bits.
        if (path.ends_with("checkpoint") && bit % 32 != 0) continue;
        LogRepair repair;
        const Messages lost = LostByRepair(small, files, &repair);
        if (path.ends_with(".segment")) {
          const bool in_header = bit / 8 < kSegmentHeaderSize;
          Require(lost.size() == (in_header ? 0 : 1),
                  fmt::format("lost: {}", lost));
        } else {
          const Messages at_stake = AtStake(small, path, bit / 8);
          Require(Without(lost, at_stake).empty(),
                  fmt::format("lost: {}", lost));
          // What a header says is known otherwise.
          Require(path.ends_with("checkpoint") ||
                      repair.new_epoch == !at_stake.empty(),
                  "the epoch changes if messages may be lost");
        }
      } catch (const std::exception& e) {
        FAIL_CHECK(std::string(e.what()));
      }
    }
  }
}

// What a file's loss may cost.
Messages AtStake(const SmallLog& small, const std::string& path) {
  Messages messages;
  for (const Round& round : small.rounds) {
    if (round.journal == path) messages.merge(Messages(round.messages));
  }
  if (path.ends_with("a.channel/00000000000000000001.segment")) {
    messages = {{"a", 1}, {"a", 2}, {"a", 3}};
  }
  if (path.ends_with("a.channel/00000000000000000004.segment")) {
    messages = {{"a", 4}, {"a", 5}};
  }
  return messages;
}

// As opening a log says it.
std::vector<std::string> CutsIn(const Verified& verified) {
  std::vector<std::string> cuts;
  for (const LogFinding& finding : verified.findings) {
    if (!Contains(finding.what, "not completely written")) continue;
    cuts.push_back(fmt::format(
        "/log/{}: cut off {} bytes at offset {} that were not completely "
        "written",
        finding.file, finding.bytes, finding.offset));
  }
  return cuts;
}

void CheckOpensAsVerified(const Image& image, LogOptions options) {
  const auto files = DiskWith(image);
  const Verified verified = VerifyDisk(files);
  std::vector<std::string> cuts;
  options.on_notice = [&cuts](std::string_view notice) {
    if (Contains(notice, "cut off")) cuts.emplace_back(notice);
  };
  auto log = DurableLog::Open("/log", options, {.files = files});
  const absl::Status opened = log.status();
  if (log.ok()) log->reset();
  CHECK_MESSAGE(opened.ok() == verified.clean(), verified.ToString());
  if (opened.ok()) {
    CHECK(cuts == CutsIn(verified));
    return;
  }
  CHECK(absl::IsDataLoss(opened));
  const auto damage = std::find_if(
      verified.findings.begin(), verified.findings.end(),
      [](const LogFinding& f) { return f.kind == LogFinding::Kind::kDamage; });
  REQUIRE(damage != verified.findings.end());
  CHECK(Contains(opened.ToString(), damage->file + ": "));
  CHECK(Contains(opened.ToString(), damage->what));
}

TEST_CASE("log tools: of journals, verify finds what opening makes of them") {
  LogOptions os = kOptions;
  os.directory.durability = Durability::kOs;
  const SmallLog unsynced = MakeSmallLog(os);
  for (const SmallLog* const small : {&TheSmallLog(), &unsynced}) {
    for (const auto& file : small->image) {
      const std::string& path = file.first;
      if (!path.ends_with(".journal")) continue;
      CAPTURE(path);
      for (std::size_t at = 0; at < file.second.size(); at += 11) {
        CAPTURE(at);
        CheckOpensAsVerified(WithFlip(small->image, path, at * 8), kOptions);
        Image shorter = small->image;
        shorter[path].resize(at);
        CheckOpensAsVerified(shorter, kOptions);
      }
    }
  }
}

TEST_CASE("log tools: every missing file is found, and repaired") {
  const SmallLog& small = TheSmallLog();
  for (const auto& file : small.image) {
    const std::string& path = file.first;
    // That there was another journal, nobody can know; the others need not be
    // there.
    if (path == small.rounds.back().journal || path.ends_with("LOCK") ||
        path.ends_with(".index")) {
      continue;
    }
    CAPTURE(path);
    Image image = small.image;
    image.erase(path);
    const auto files = DiskWith(image);
    const Verified verified = VerifyDisk(files);
    CHECK_MESSAGE(!verified.clean(), verified.ToString());
    CHECK_MESSAGE(verified.Has("is missing"), verified.ToString());
    Messages lost;
    CHECK_NOTHROW(lost = LostByRepair(small, files));
    CHECK(lost == AtStake(small, path));
  }
}

TEST_CASE("log tools: what is damaged is kept aside as it was") {
  const SmallLog& small = TheSmallLog();
  const std::string segment =
      "/log/channels/a.channel/00000000000000000001.segment";
  const Image image =
      WithFlip(small.image, segment, small.image.at(segment).size() * 8 - 1);
  const auto files = DiskWith(image);
  LogRepair repair;
  CHECK(LostByRepair(small, files, &repair) == Messages{{"a", 3}});
  REQUIRE(repair.losses.size() == 1);
  CHECK(!repair.losses[0].maybe);
  CHECK(repair.losses[0].bytes > 0);
  CHECK(repair.losses[0].kept_in ==
        repair.kept_in + segment.substr(std::string("/log").size()));
  CHECK(files->Contents("/log/" + repair.losses[0].kept_in) ==
        image.at(segment));
  CHECK(files->Contents("/log/" + repair.kept_in + "/checkpoint") ==
        image.at("/log/checkpoint"));
  CHECK(VerifyDisk(files).Has("kept aside"));
}

// The log can be opened and has lost nothing but these, as of now or after
// another repair.
void CheckCanBeRepaired(const SmallLog& small,
                        const std::shared_ptr<FaultyFileSystem>& files,
                        const Messages& lost) {
  const auto repair = Repair(ContextOf(files), {});
  Require(repair.ok(), repair.status().ToString());
  const Verified verified = VerifyDisk(files);
  Require(verified.clean(), verified.ToString());
  const Contents contents = ReadLog(files, small.history);
  Require(Without(AllOf(small.history), contents.messages) == lost,
          fmt::format("lost: {}",
                      Without(AllOf(small.history), contents.messages)));
}

// Damages of all kinds.
std::vector<Image> DamagedImages(const SmallLog& small) {
  const std::string segment =
      "/log/channels/a.channel/00000000000000000001.segment";
  const std::string journal = small.rounds.back().journal;
  Image missing = small.image;
  missing.erase("/log/channels/a.channel/00000000000000000004.segment");
  return {
      WithFlip(small.image, segment, BitOf(60)),
      WithFlip(small.image, segment, BitOf(20)),
      WithFlip(small.image, "/log/checkpoint", BitOf(50)),
      WithFlip(small.image, journal,
               small.rounds[small.rounds.size() - 2].begin * 8),
      missing,
      WithFlip(WithFlip(missing, "/log/checkpoint", BitOf(50)), segment,
               BitOf(20)),
  };
}

TEST_CASE("log tools: a repair that is cut off anywhere can be run again") {
  const SmallLog& small = TheSmallLog();
  for (const Image& image : DamagedImages(small)) {
    const auto whole = DiskWith(image);
    int operations = 0;
    whole->SetFault([&](Operation, const std::string&) {
      ++operations;
      return absl::OkStatus();
    });
    REQUIRE(Repair(ContextOf(whole), {}).ok());
    const Messages lost =
        Without(AllOf(small.history), ReadLog(whole, small.history).messages);
    for (int end = 0; end < operations; ++end) {
      for (const CrashMode mode :
           {CrashMode::kKillProcess, CrashMode::kPowerCut}) {
        CAPTURE(end);
        const auto files = DiskWith(image);
        int count = 0;
        files->SetFault([&](Operation, const std::string&) {
          return count++ < end ? absl::OkStatus()
                               : absl::InternalError("cut off");
        });
        files->SetShortWrites(static_cast<std::uint64_t>(end));
        Repair(ContextOf(files), {}).status().IgnoreError();
        std::mt19937_64 random(static_cast<std::uint64_t>(end));
        files->Crash(mode, random);
        GiveNoRoom(*files);
        try {
          CheckCanBeRepaired(small, files, lost);
        } catch (const std::exception& e) {
          FAIL_CHECK(std::string(e.what()));
        }
      }
    }
  }
}

TEST_CASE("log tools: a disk that fails is not a damaged one") {
  const SmallLog& small = TheSmallLog();
  for (const char* const part : {"checkpoint", ".journal", ".segment"}) {
    CAPTURE(part);
    const auto files = DiskWith(small.image);
    files->SetFault(
        [&](Operation operation, const std::string& path) -> absl::Status {
          return operation == Operation::kRead && Contains(path, part)
                     ? absl::InternalError(path + ": is broken")
                     : absl::OkStatus();
        });
    CHECK(absl::IsInternal(VerifyDisk(files).status));
    CHECK(absl::IsInternal(Repair(ContextOf(files), {}).status()));
    CHECK(ImageOf(*files) == small.image);
  }
}

TEST_CASE("log tools: whatever garbage there is, the log opens afterwards") {
  const SmallLog& small = TheSmallLog();
  std::mt19937_64 random(1);
  const auto below = [&](std::size_t n) { return random() % n; };
  for (int i = 0; i < 300; ++i) {
    CAPTURE(i);
    Image image = small.image;
    for (std::size_t n = 1 + below(4); n > 0; --n) {
      auto file = std::next(image.begin(),
                            static_cast<std::ptrdiff_t>(below(image.size())));
      std::string& bytes = file->second;
      if (file->first.ends_with("LOCK")) continue;
      switch (below(5)) {
        case 0:
          bytes.resize(below(bytes.size() + 1));
          break;
        case 1:
          for (char& byte : bytes) byte = static_cast<char>(random());
          break;
        case 2:
          bytes.insert(below(bytes.size() + 1), below(100), '\0');
          break;
        case 3:
          bytes = std::next(image.begin(),
                            static_cast<std::ptrdiff_t>(below(image.size())))
                      ->second;
          break;
        default:
          for (int k = 0; k < 4 && !bytes.empty(); ++k) {
            bytes[below(bytes.size())] = static_cast<char>(random());
          }
      }
    }
    const auto files = DiskWith(image);
    const Verified before = VerifyDisk(files);
    CHECK_MESSAGE(before.status.ok(), before.ToString());
    const auto repair = Repair(ContextOf(files), {});
    CHECK_MESSAGE(repair.ok(), repair.status().ToString());
    const Verified after = VerifyDisk(files);
    CHECK_MESSAGE(after.clean(), (before.ToString() + after.ToString()));
    try {
      ReadLog(files, small.history);
    } catch (const std::exception& e) {
      FAIL_CHECK((std::string(e.what()) + before.ToString()));
    }
  }
}

TEST_CASE("log tools: a hole is a gap for readers, also when the log goes on") {
  Maker maker;
  maker.Open();
  maker.Send("a", 3);
  maker.Close();
  maker.Open();
  maker.Send("a", 2);
  maker.Kill();
  const SmallLog small = maker.Take();
  Image image = small.image;
  image.erase("/log/channels/a.channel/00000000000000000001.segment");
  const auto files = DiskWith(image);
  REQUIRE(Repair(ContextOf(files), {}).ok());
  GiveNoRoom(*files);
  std::uint64_t next = 6;
  for (int session = 0; session < 3; ++session) {
    CAPTURE(session);
    const auto log = DurableLog::Open("/log", {}, {.files = files});
    REQUIRE(log.ok());
    const auto reader = (*log)->OpenReader("a", Start::Earliest(), {});
    const ReadResult first = test::Read(*reader);
    CHECK(first.gap ==
          Gap{.first_missing = 1, .next = 4, .reason = Gap::Reason::kDamaged});
    const auto resumed =
        (*log)->OpenReader("a", Start::After({(*log)->epoch(), 2}), {});
    CHECK(test::Read(*resumed).gap ==
          Gap{.first_missing = 3, .next = 4, .reason = Gap::Reason::kDamaged});
    CHECK(MustAppend(**log, BatchOf("a", {std::string("x")}))[0].sequence ==
          next++);
  }
}

TEST_CASE("log tools: what a damaged round has taken changes the epoch") {
  const SmallLog& small = TheSmallLog();
  // The round of b's messages 2 and 3; after it there is one of a.
  const Round& round = small.rounds[small.rounds.size() - 2];
  const Image image = WithFlip(small.image, round.journal, round.end * 8 - 1);
  const auto files = DiskWith(image);
  LogRepair repair;
  CHECK(LostByRepair(small, files, &repair) == round.messages);
  CHECK(repair.new_epoch);
  REQUIRE(repair.losses.size() == 1);
  CHECK(repair.losses[0].channel == "b");
  CHECK(repair.losses[0].maybe);
  CHECK(repair.losses[0].first_sequence == 2);
  CHECK(repair.losses[0].last_sequence >= 3);
  const auto log = DurableLog::Open("/log", {}, {.files = files});
  REQUIRE(log.ok());
  // Who has read the lost messages is told; who has not, and readers of the
  // other channel, resume.
  const auto first_gap = [&](const char* channel, std::uint64_t sequence) {
    const auto reader =
        (*log)->OpenReader(channel, Start::After({small.epoch, sequence}), {});
    return test::Read(*reader).gap;
  };
  REQUIRE(first_gap("b", 3));
  CHECK(first_gap("b", 3)->reason == Gap::Reason::kNewEpoch);
  REQUIRE(first_gap("b", 1));
  CHECK(first_gap("b", 1)->reason == Gap::Reason::kDamaged);
  CHECK(first_gap("b", 1)->first_missing == 2);
  CHECK(!first_gap("a", 6));
}

TEST_CASE("log tools: deletions, epochs and retention are not damage") {
  for (const Durability durability : {Durability::kFsync, Durability::kOs}) {
    Maker maker({.directory = {.durability = durability}});
    maker.Open();
    maker.Send("a", 3);
    maker.Send("gone", 3);
    maker.Close();
    maker.Open();
    maker.Send("a", 2);
    CHECK(Delete(maker.log(), "gone").ok());
    maker.Kill();
    maker.Open();
    maker.Send("a", 1);
    maker.Kill();
    SmallLog small = maker.Take();
    const auto files = DiskWith(small.image);
    const Verified verified = VerifyDisk(files);
    CHECK_MESSAGE(verified.clean(), verified.ToString());
    CHECK(verified.result.summary.channels == 1);
    CHECK(verified.result.summary.messages == 6);
    // What is repaired for another reason, neither.
    Image image = WithFlip(
        small.image, "/log/channels/a.channel/00000000000000000001.segment",
        BitOf(60));
    const auto damaged = DiskWith(image);
    small.history.erase("gone");
    LogRepair repair;
    CHECK(LostByRepair(small, damaged, &repair) == Messages{{"a", 1}});
    const auto log = DurableLog::Open("/log", {}, {.files = damaged});
    REQUIRE(log.ok());
    CHECK(absl::IsNotFound(GetChannel(**log, "gone").status()));
    CHECK(MustAppend(**log, BatchOf("gone", {std::string("x")}))[0].sequence ==
          4);
  }
}

TEST_CASE("log tools: producers are known after the checkpoint is lost") {
  const SmallLog& small = TheSmallLog();
  const auto files =
      DiskWith(WithFlip(small.image, "/log/checkpoint", BitOf(50)));
  REQUIRE(Repair(ContextOf(files), {}).ok());
  const auto log = DurableLog::Open("/log", {}, {.files = files});
  REQUIRE(log.ok());
  for (const auto& [name, texts] : small.history) {
    for (std::uint64_t s = 1; s <= texts.size(); ++s) {
      const auto receipts =
          MustAppend(**log, BatchOf(name, Producer(1), s, {texts[s - 1]}));
      CHECK(receipts[0].sequence == s);
      CHECK(receipts[0].duplicate);
    }
  }
}

TEST_CASE("log tools: a segment's index is mended") {
  Maker maker;
  maker.Open();
  for (int i = 0; i < 4; ++i) maker.Send("a", 1, kIndexInterval);
  maker.Close();
  const SmallLog small = maker.Take();
  const std::string path = "/log/channels/a.channel/00000000000000000001.index";
  const std::string index = small.image.at(path);
  REQUIRE(index.size() == 3 * kIndexEntrySize);
  for (std::size_t bit = 0; bit < index.size() * 8; bit += 3) {
    CAPTURE(bit);
    const auto files = DiskWith(WithFlip(small.image, path, bit));
    const Verified verified = VerifyDisk(files);
    CHECK(verified.Has("none is lost"));
    CHECK(!verified.clean());
    const auto repair = Repair(ContextOf(files), {});
    REQUIRE(repair.ok());
    CHECK(repair->after.damages == 0);
    CHECK(files->Contents(path) == index);
    CHECK(files->Contents("/log/checkpoint") ==
          small.image.at("/log/checkpoint"));
  }
  // One that is not there, or of which a power cut has left zeros, is none.
  Image image = small.image;
  image[path].assign(index.size(), '\0');
  CHECK(VerifyDisk(DiskWith(image)).clean());
  image.erase(path);
  const Verified missing = VerifyDisk(DiskWith(image));
  CHECK(missing.clean());
  CHECK(missing.Has("the index of channel \"a\" is missing"));
}

TEST_CASE("log tools: files of others are left alone") {
  const SmallLog& small = TheSmallLog();
  Image image = small.image;
  const std::vector<std::string> strange = {
      "/log/notes.txt", "/log/journals/old.tar", "/log/channels/x/y",
      "/log/channels/a.channel/00000000000000000002.segment"};
  for (const std::string& path : strange) image[path] = "strange";
  const Verified verified = VerifyDisk(DiskWith(image));
  CHECK_MESSAGE(verified.clean(), verified.ToString());
  CHECK(verified.result.notices == strange.size());
  const auto files = DiskWith(
      WithFlip(image, "/log/channels/a.channel/00000000000000000004.segment",
               BitOf(60)));
  CHECK_NOTHROW(LostByRepair(small, files));
  for (const std::string& path : strange) {
    CHECK(files->Contents(path) == "strange");
  }
}

TEST_CASE("log tools: a log that is open, or none, is refused") {
  Maker maker;
  maker.Open();
  const std::shared_ptr<FaultyFileSystem> files(&maker.files(), [](auto*) {});
  const Verified open = VerifyDisk(files);
  CHECK(absl::IsFailedPrecondition(open.status));
  CHECK(Contains(open.ToString(), "stop the server first"));
  CHECK(absl::IsFailedPrecondition(Repair(ContextOf(files), {}).status()));
  const auto empty = std::make_shared<FaultyFileSystem>();
  CHECK(absl::IsNotFound(VerifyDisk(empty).status));
  CHECK(empty->CreateDirectory("/log").ok());
  CHECK(absl::IsFailedPrecondition(VerifyDisk(empty).status));
  CHECK(empty->Files().empty());
  CHECK(absl::IsInvalidArgument(VerifyLog("memory:").status()));
}

TEST_CASE("log tools: a log that was just created is clean") {
  Maker maker;
  maker.Open();
  maker.Kill();
  const auto files = DiskWith(maker.Take().image);
  CHECK(files->CreateDirectory("/log/channels").ok());
  CHECK(VerifyDisk(files).findings.empty());
  // It has no rounds, so that it is one that was being created.
  CHECK(files->Remove("/log/checkpoint").ok());
  CHECK(files->Remove("/log/journals/00000000000000000002.journal").ok());
  const Verified verified = VerifyDisk(files);
  CHECK_MESSAGE(verified.clean(), verified.ToString());
}

// ---------------------------------------------------------------------------

TEST_CASE("log tools: the overview shows how the log is made up") {
  const SmallLog& small = TheSmallLog();
  const auto overview = Inspect(ContextOf(DiskWith(small.image)), {});
  REQUIRE(overview.ok());
  CHECK(overview->epochs == std::vector<std::uint64_t>{small.epoch});
  REQUIRE(overview->channels.size() == 2);
  const LogChannel& a = overview->channels[0];
  CHECK(a.name == "a");
  CHECK(a.first_sequence == 1);
  CHECK(a.head == small.history.at("a").size());
  CHECK(a.messages == a.head);
  CHECK(a.producers == 1);
  REQUIRE(a.segments.size() == 2);
  CHECK(a.segments[1].first_sequence == 4);
  CHECK(a.segments[1].last_sequence == 5);
  CHECK(a.segments[0].last_time < a.segments[1].first_time);
  REQUIRE(overview->journals.size() == 3);
  CHECK(overview->journals[0].rounds == 0);
  CHECK(overview->journals[1].rounds == 1);
  CHECK(overview->journals[2].rounds == 3);
}

TEST_CASE("log tools: a channel's messages are those that readers get") {
  const SmallLog& small = TheSmallLog();
  const auto dump = [&](const Image& image, const LogSelection& selection,
                        std::vector<LogFinding>* findings = nullptr) {
    std::vector<std::string> texts;
    const absl::Status s =
        ReadStored(ContextOf(DiskWith(image)), selection,
                   [&](const Message& message) {
                     CHECK(message.channel == selection.channel);
                     texts.emplace_back(message.text);
                   },
                   {.on_finding = [&](const LogFinding& finding) {
                     if (findings != nullptr) findings->push_back(finding);
                   }});
    CHECK(s == absl::OkStatus());
    return texts;
  };
  const std::vector<std::string>& all = small.history.at("a");
  CHECK(dump(small.image, {.channel = "a"}) == all);
  CHECK(dump(small.image, {.channel = "b"}) == small.history.at("b"));
  CHECK(dump(small.image, {.channel = "a", .from = 3, .limit = 3}) ==
        std::vector<std::string>(all.begin() + 2, all.begin() + 5));
  CHECK(dump(small.image, {.channel = "a", .from = 6}) ==
        std::vector<std::string>(all.begin() + 5, all.end()));
  std::vector<LogFinding> findings;
  const Image damaged = WithFlip(
      small.image, "/log/channels/a.channel/00000000000000000001.segment",
      BitOf(60));
  CHECK(dump(damaged, {.channel = "a"}, &findings) ==
        std::vector<std::string>(all.begin() + 1, all.end()));
  REQUIRE(findings.size() == 1);
  CHECK(findings[0].first_sequence == 1);
  CHECK(dump(WithFlip(small.image, "/log/checkpoint", BitOf(50)),
             {.channel = "a"}) == all);
  CHECK(absl::IsNotFound(ReadStored(ContextOf(DiskWith(small.image)),
                                    {.channel = "c"}, [](const Message&) {},
                                    {})));
}

// A checkpoint may know messages to be dropped that came after its head, and
// that the journals have lost since. Then their sequences are given out again.
SmallLog LogThatLostWhatWasDropped() {
  Maker maker;
  maker.Open();
  maker.Send("a", 2);
  maker.Send("b", 2);
  maker.Close();
  const auto checkpoint = LoadCheckpoint(maker.files(), "/log");
  Require(checkpoint.ok(), checkpoint.status().ToString());
  EncodedChannels channels;
  for (ChannelState state : checkpoint->channels) {
    if (state.name == "a") {
      state.segments.clear();
      state.first_sequence = 9;
    }
    channels.emplace(state.name, EncodeChannelState(state));
  }
  const absl::Status s =
      WriteCheckpoint(maker.files(), "/log", checkpoint->log, channels);
  Require(s.ok(), s.ToString());
  maker.Open();
  maker.Send("a", 2);
  maker.Kill();
  return maker.Take();
}

std::vector<std::uint64_t> StoredSequences(
    const std::shared_ptr<FaultyFileSystem>& files) {
  std::vector<std::uint64_t> sequences;
  const absl::Status s = ReadStored(
      ContextOf(files), {.channel = "a"},
      [&](const Message& message) { sequences.push_back(message.sequence); },
      {});
  Require(s.ok(), s.ToString());
  return sequences;
}

TEST_CASE("log tools: what was lost was not dropped, whoever reads it") {
  const SmallLog small = LogThatLostWhatWasDropped();
  const std::vector<std::uint64_t> sent_again = {3, 4};
  CHECK(StoredSequences(DiskWith(small.image)) == sent_again);
  const auto read = [](const Image& image) {
    const auto files = DiskWith(image);
    KeepJournals(*files);
    const auto log = DurableLog::Open("/log", {}, {.files = files});
    Require(log.ok(), log.status().ToString());
    const auto reader = (*log)->OpenReader("a", Start::At(1), {});
    std::vector<std::uint64_t> sequences;
    for (const OwnedMessage& message : MessagesIn(test::Read(*reader))) {
      sequences.push_back(message.sequence);
    }
    files->Stop();
    return sequences;
  };
  CHECK(read(small.image) == sent_again);
  // Something else is damaged, and repaired.
  std::string segment;
  for (const auto& file : small.image) {
    if (Contains(file.first, "/b") && file.first.ends_with(".segment")) {
      segment = file.first;
    }
  }
  REQUIRE(segment != "");
  const auto files = DiskWith(WithFlip(
      small.image, segment, BitOf(small.image.at(segment).size() - 3)));
  const auto repair = Repair(ContextOf(files), {});
  REQUIRE(repair.ok());
  CHECK(repair->repaired);
  CHECK(StoredSequences(DiskWith(ImageOf(*files))) == sent_again);
  CHECK(read(ImageOf(*files)) == sent_again);
}

}  // namespace
}  // namespace messenger::log_tools_test
