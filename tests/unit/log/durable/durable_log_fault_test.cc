// The durable log over a disk that tears, flips, fails and fills up, and over
// clocks that step: what exactly it then does.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <future>
#include <initializer_list>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/status.h"
#include "log/durable/durable_log.h"
#include "log/durable/journal.h"
#include "log/durable/layout.h"
#include "log/durable/segment_format.h"
#include "messenger/log.h"
#include "support/disk_image.h"
#include "support/fake_clock.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/printing.h"
#include "support/sanitized.h"

namespace messenger::durable_log_fault_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

using CrashMode = FaultyFileSystem::CrashMode;
using Operation = FaultyFileSystem::Operation;
using Fault = FaultyFileSystem::Fault;

constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

// ---------------------------------------------------------------------------
// Disks

// By number.
std::vector<std::string> JournalsOn(const FaultyFileSystem& files) {
  std::vector<std::string> journals = files.Files();
  std::erase_if(journals, [](const std::string& path) {
    return !Contains(path, ".journal");
  });
  return journals;
}

absl::Status Broken(const std::string& path) {
  return absl::InternalError(path + ": is broken");
}

// Fails these operations on paths that contain `part`.
Fault Failing(std::initializer_list<Operation> operations, std::string part) {
  return
      [operations = std::vector<Operation>(operations), part = std::move(part)](
          Operation operation, const std::string& path) -> absl::Status {
        const bool fails = std::find(operations.begin(), operations.end(),
                                     operation) != operations.end() &&
                           Contains(path, part);
        return fails ? Broken(path) : absl::OkStatus();
      };
}

// Keeps the threads of a log that this thread opens from making checkpoints.
Fault WithoutCheckpoints() {
  return [opener = std::this_thread::get_id()](
             Operation operation, const std::string& path) -> absl::Status {
    const bool creates_journal = operation == Operation::kOpen &&
                                 Contains(path, ".journal") &&
                                 std::this_thread::get_id() != opener;
    return creates_journal ? Broken(path) : absl::OkStatus();
  };
}

std::size_t SizeWithoutZeros(std::string_view bytes) {
  return bytes.find_last_not_of('\0') + 1;
}

// ---------------------------------------------------------------------------
// Messages

// By which they can be told apart from others.
std::string AuthorOf(std::string_view text) {
  return "@" + std::string(text.substr(0, 8));
}

AppendBatch Signed(std::string_view channel, std::uint64_t producer_sequence,
                   const std::vector<std::string>& texts) {
  std::vector<std::string> authors;
  for (const std::string& text : texts) authors.push_back(AuthorOf(text));
  std::vector<NewMessage> messages;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    messages.push_back({.author = authors[i], .text = texts[i]});
  }
  AppendBatch batch = BatchOf(channel, messages);
  batch.producer_id = Producer(1);
  batch.first_producer_sequence = producer_sequence;
  return batch;
}

// A message that was acknowledged; its place in a vector is its sequence, and
// its producer's, but for 1.
struct Acknowledged {
  std::string text;
  Timestamp time;
};
using History = std::map<std::string, std::vector<Acknowledged>>;

// What is wrong with a message that is taken for this one; "" if nothing is.
std::string Compare(const OwnedMessage& message, const Acknowledged& expected) {
  if (message.text == expected.text &&
      message.author == AuthorOf(expected.text) &&
      message.send_time == expected.time &&
      message.producer_id == Producer(1) &&
      message.producer_sequence == message.sequence) {
    return "";
  }
  return fmt::format("message {} is \"{}\" of {}, not \"{}\"", message.sequence,
                     message.text, message.author, expected.text);
}

// All that a reader gets.
struct Contents {
  std::vector<OwnedMessage> messages;
  std::vector<Gap> gaps;
  absl::Status status;  // why it has ended before the head
};

// Throws if there is a hole that no gap explains.
Contents ReadAll(MessageLog& log, std::string_view channel, const Start& start,
                 MessageLog::ReaderOptions options = {}) {
  Contents contents;
  const auto reader = log.OpenReader(channel, start, options);
  std::optional<std::uint64_t> next;
  while (true) {
    auto result = TryRead(*reader);
    if (!result.ok()) {
      contents.status = result.status();
      return contents;
    }
    if (result->gap) {
      contents.gaps.push_back(*result->gap);
      if (next && result->gap->first_missing != *next) {
        throw std::runtime_error(fmt::format("a gap from {} on, not from {}",
                                             result->gap->first_missing,
                                             *next));
      }
      next = result->gap->next;
    }
    if (next && result->next_sequence != *next) {
      throw std::runtime_error(fmt::format("{} follows instead of {}",
                                           result->next_sequence, *next));
    }
    for (OwnedMessage& message : MessagesIn(*result)) {
      contents.messages.push_back(std::move(message));
    }
    next = result->next_sequence + result->count;
    if (*next > result->head) return contents;
    if (result->count == 0 && !result->gap) {
      throw std::runtime_error(fmt::format(
          "no message {} though the head is {}", *next, result->head));
    }
  }
}

// ---------------------------------------------------------------------------
// Logs

// A log on a disk that fails, as one careful client sees it: what is refused is
// sent again, before anything else.
class LogOnDisk {
 public:
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

// Messages that were given to a log, which has not answered yet.
class Given {
 public:
  // `after` so many that it has not acknowledged either.
  Given(LogOnDisk& log, std::string channel, std::size_t count,
        std::size_t after = 0)
      : log_(&log), channel_(std::move(channel)) {
    while (texts_.size() < count) texts_.push_back(log.NextText());
    const std::size_t known = log.history().at(channel_).size();
    log.log().Append(Signed(channel_, known + after + 1, texts_),
                     completion_.Callback());
  }

  void Acknowledge() {
    log_->Acknowledge(channel_, texts_, ReceiptsOf(completion_.Wait("Append")));
  }

 private:
  LogOnDisk* log_;
  std::string channel_;
  std::vector<std::string> texts_;
  Completion<AppendResult> completion_;
};

SmallLog MakeSmallLog() {
  SmallLog small;
  LogOnDisk log({.retention = {.max_age = std::chrono::hours(8)}});
  log.Fail(WithoutCheckpoints());
  for (int session = 0; session < 2; ++session) {
    log.Open();
    if (session == 0) {
      CHECK(log.Send("a", {log.NextText(), log.NextText()}).ok());
    }
    CHECK(log.Send("a", {log.NextText()}).ok());
    log.Heal();
    log.Close();
    log.Fail(WithoutCheckpoints());
    // A segment takes messages for an eighth of the age limit only.
    log.clock().Advance(std::chrono::hours(2));
  }
  log.Open();
  CHECK(log.Send("b", {log.NextText()}).ok());
  log.Crash(CrashMode::kKillProcess);
  log.Fail(WithoutCheckpoints());
  log.Open();
  small.newest_journal = JournalsOn(log.files()).back();
  // While one round is being synced, the next one gathers.
  std::promise<void> syncing;
  std::promise<void> gathered;
  log.Fail([&, base = WithoutCheckpoints(),
            first = std::make_shared<std::atomic<bool>>(true)](
               Operation operation, const std::string& path) {
    if (operation == Operation::kSync && path == small.newest_journal &&
        first->exchange(false)) {
      syncing.set_value();
      gathered.get_future().wait();
    }
    return base(operation, path);
  });
  std::vector<Given> given;
  given.emplace_back(log, "a", 1);
  syncing.get_future().wait();
  small.last_round = log.files().Contents(small.newest_journal).size();
  given.emplace_back(log, "a", SmallLog::kInLastRound, /*after=*/1);
  given.emplace_back(log, "b", SmallLog::kInLastRound);
  gathered.set_value();
  for (Given& g : given) g.Acknowledge();
  log.files().Stop();
  small.image = ImageOf(log.files());
  small.history = log.history();
  log.Crash(CrashMode::kKillProcess);
  return small;
}

const SmallLog& TheSmallLog() {
  static const SmallLog small = MakeSmallLog();
  return small;
}

// What is there without the last round.
History WithoutLastRound(const SmallLog& small) {
  History history = small.history;
  for (auto& [name, messages] : history) {
    messages.resize(messages.size() - SmallLog::kInLastRound);
  }
  return history;
}

// ---------------------------------------------------------------------------
// Torn tails

// Opens the log with this newest journal. Checks that there is everything but
// the last round.
void CheckTorn(const SmallLog& small, const std::string& journal) {
  Image image = small.image;
  image[small.newest_journal] = journal;
  LogOnDisk log({}, {}, DiskWith(image));
  log.Fail(WithoutCheckpoints());
  log.Expect(WithoutLastRound(small));
  log.Open();
  CHECK(log.Difference() == "");
  std::vector<std::string> expected;
  const std::size_t end = SizeWithoutZeros(journal);
  if (end > small.last_round) {
    expected.push_back(fmt::format(
        "{}: cut off {} bytes at offset {} that were not completely written",
        small.newest_journal, end - small.last_round, small.last_round));
  }
  std::vector<std::string> notices = log.notices();
  std::erase_if(notices, [](const std::string& notice) {
    return Contains(notice, "is broken; trying again");
  });
  CHECK(notices == expected);
  CHECK(SizeWithoutZeros(log.files().Contents(small.newest_journal)) <=
        small.last_round);
  // What was cut off is not there the next time either.
  CHECK(log.Send("b", {log.NextText()}).ok());
  log.Crash(CrashMode::kKillProcess);
  log.Fail(WithoutCheckpoints());
  log.ForgetNotices();
  log.Open();
  CHECK(log.Difference() == "");
  CHECK(!log.HasNotice("cut off"));
  log.files().Stop();
}

TEST_CASE("durable log: a round that is cut short was never there") {
  const SmallLog& small = TheSmallLog();
  const std::string& journal = small.image.at(small.newest_journal);
  for (std::size_t size = small.last_round; size < journal.size(); ++size) {
    CAPTURE(size);
    CheckTorn(small, journal.substr(0, size));
  }
}

TEST_CASE("durable log: a round that ends in zeros was never there") {
  const SmallLog& small = TheSmallLog();
  const std::string& journal = small.image.at(small.newest_journal);
  const std::size_t end = SizeWithoutZeros(journal);
  for (std::size_t size = small.last_round; size < end; ++size) {
    CAPTURE(size);
    std::string torn = journal.substr(0, size);
    torn.resize(journal.size() + 512);
    CheckTorn(small, torn);
  }
}

TEST_CASE("durable log: a round that ends in garbage was never there") {
  const SmallLog& small = TheSmallLog();
  const std::string& journal = small.image.at(small.newest_journal);
  for (std::size_t size = small.last_round; size < journal.size(); ++size) {
    CAPTURE(size);
    std::string torn = journal;
    for (std::size_t i = size; i < torn.size(); ++i) {
      torn[i] = static_cast<char>(~torn[i]);
    }
    CheckTorn(small, torn);
  }
}

// ---------------------------------------------------------------------------
// Flipped bits

enum class Effect : std::uint8_t { kNone, kRefused, kCut, kDamaged };

// Opens a log of which this file is damaged, and holds what can be read against
// what was written. Returns what the damage led to; throws if it is not what
// must come of damage.
class DamagedLog {
 public:
  DamagedLog(const SmallLog& small, const Image& image, std::string path)
      : small_(small),
        path_(std::move(path)),
        log_({.retention = {.max_bytes = 1 << 19}}, {}, DiskWith(image)) {
    log_.Fail(WithoutCheckpoints());
  }
  ~DamagedLog() { log_.files().Stop(); }
  DamagedLog(const DamagedLog&) = delete;
  DamagedLog& operator=(const DamagedLog&) = delete;

  Effect Check() {
    const absl::Status opened = log_.TryOpen();
    if (!opened.ok()) {
      Require(absl::IsDataLoss(opened) || absl::IsFailedPrecondition(opened),
              opened.ToString());
      Require(Contains(MessageOf(opened), path_),
              "the file is not named: " + opened.ToString());
      return Effect::kRefused;
    }
    for (const auto& [name, messages] : small_.history) {
      CheckChannel(name, messages);
    }
    return effect_;
  }

 private:
  static void Require(bool condition, const std::string& what) {
    if (!condition) throw std::runtime_error(what);
  }

  void CheckChannel(const std::string& name,
                    const std::vector<Acknowledged>& messages) {
    const auto info = GetChannel(log_.log(), name);
    Require(info.ok(), info.status().ToString());
    if (info->head != messages.size()) {
      Require(info->head == messages.size() - SmallLog::kInLastRound &&
                  path_ == small_.newest_journal,
              fmt::format("{}: the head is {}", name, info->head));
      Require(log_.HasNotice(path_ + ": cut off"), "nobody is told");
      effect_ = Effect::kCut;
    }
    const Contents rest =
        ReadAll(log_.log(), name, Start::Earliest(), {.skip_damaged = true});
    Require(rest.status.ok(), rest.status.ToString());
    std::vector<bool> found(info->head);
    for (const OwnedMessage& message : rest.messages) {
      const std::string difference =
          Compare(message, messages.at(message.sequence - 1));
      Require(difference.empty(), fmt::format("{}: {}", name, difference));
      found.at(message.sequence - 1) = true;
    }
    std::size_t missing = 0;
    for (const Gap& gap : rest.gaps) {
      Require(gap.reason == Gap::Reason::kDamaged, "a gap for another reason");
      for (std::uint64_t s = gap.first_missing; s < gap.next; ++s) {
        Require(!found.at(s - 1), "a gap with a message");
        ++missing;
        const auto at = ReadAll(log_.log(), name, Start::At(s)).status;
        Require(absl::IsDataLoss(at),
                fmt::format("{} is missing: {}", s, at.ToString()));
        Require(Contains(MessageOf(at), path_.substr(path_.rfind('/') + 1)),
                "the file is not named: " + at.ToString());
      }
    }
    Require(rest.messages.size() + missing == info->head, "a hole");
    if (missing > 0) {
      effect_ = Effect::kDamaged;
      CheckWithoutSkipping(name, rest.gaps.front().first_missing);
    }
    CheckRetries(name, messages, found);
  }

  // Who does not skip gets what comes before the damage, and is told.
  void CheckWithoutSkipping(const std::string& name, std::uint64_t missing) {
    const Contents all = ReadAll(log_.log(), name, Start::Earliest());
    Require(absl::IsDataLoss(all.status), all.status.ToString());
    Require(all.gaps.empty(), "a gap for one who does not skip");
    Require(all.messages.size() == missing - 1, "messages before the damage");
  }

  // None of the messages that are there is stored again.
  void CheckRetries(const std::string& name,
                    const std::vector<Acknowledged>& messages,
                    const std::vector<bool>& found) {
    std::vector<Completion<AppendResult>> retries(found.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      log_.log().Append(Signed(name, i + 1, {messages[i].text}),
                        retries[i].Callback());
    }
    for (std::size_t i = 0; i < found.size(); ++i) {
      const AppendResult result = retries[i].Wait("Append");
      if (!found[i] && !result.ok()) continue;
      Require(result.ok(), result.status().ToString());
      const Stored stored = ReceiptsOf(result).front();
      Require(stored == Stored{.sequence = i + 1,
                               .send_time = messages[i].time,
                               .duplicate = true},
              fmt::format("the retry of {} is stored as {}", i + 1,
                          stored.sequence));
    }
    const auto info = GetChannel(log_.log(), name);
    Require(info.ok() && info->head == found.size(), "a retry was stored");
  }

  const SmallLog& small_;
  const std::string path_;
  LogOnDisk log_;
  Effect effect_ = Effect::kNone;
};

// How many of so many bytes' bits are flipped.
int BitsOf(std::size_t bytes) {
  return static_cast<int>((bytes * 8 + kBitStep - 1) / kBitStep);
}

// Flips each bit of the file, one at a time, and counts what came of it.
std::map<Effect, int> FlipEachBit(const SmallLog& small,
                                  const std::string& path) {
  std::map<Effect, int> effects;
  Image image = small.image;
  std::string& contents = image.at(path);
  for (std::size_t bit = 0; bit < contents.size() * 8; bit += kBitStep) {
    const auto mask = static_cast<char>(1U << (bit % 8));
    contents[bit / 8] = static_cast<char>(contents[bit / 8] ^ mask);
    try {
      ++effects[DamagedLog(small, image, path).Check()];
    } catch (const std::exception& e) {
      FAIL_CHECK(fmt::format("{}: bit {} of byte {}: {}", path, bit % 8,
                             bit / 8, e.what()));
    }
    contents[bit / 8] = static_cast<char>(contents[bit / 8] ^ mask);
  }
  return effects;
}

TEST_CASE("durable log: no flipped bit goes unnoticed, nor does more harm") {
  const SmallLog& small = TheSmallLog();
  for (const auto& file : small.image) {
    const std::string& path = file.first;
    const std::string& contents = file.second;
    CAPTURE(path);
    const int bits = BitsOf(contents.size());
    std::map<Effect, int> effects = FlipEachBit(small, path);
    if (Contains(path, ".segment")) {
      CHECK(effects[Effect::kDamaged] == bits);
    } else if (path == small.newest_journal) {
      const int before = BitsOf(small.last_round);
      CHECK(effects[Effect::kRefused] == before);
      CHECK(effects[Effect::kCut] == bits - before);
    } else if (Contains(path, ".journal") || Contains(path, "checkpoint")) {
      CHECK(effects[Effect::kRefused] == bits);
    } else {
      // The lock, and indexes, which nothing depends on.
      CHECK(effects[Effect::kNone] == bits);
    }
  }
}

// A log with one segment that is large enough to have an index, and nothing
// else to speak of.
SmallLog MakeIndexedLog(int entries) {
  LogOnDisk log;
  log.Open();
  for (int i = 0; i < entries; ++i) {
    CHECK(log.Send("a", {log.NextText(kIndexInterval)}).ok());
    CHECK(log.Send("a", {log.NextText()}).ok());
  }
  log.Close();
  return {.image = ImageOf(log.files()), .history = log.history()};
}

TEST_CASE("durable log: nothing depends on an index") {
  const SmallLog indexed = MakeIndexedLog(1);
  const auto index = std::find_if(
      indexed.image.begin(), indexed.image.end(),
      [](const auto& file) { return Contains(file.first, ".index"); });
  REQUIRE(index != indexed.image.end());
  const int bits = BitsOf(index->second.size());
  CHECK(FlipEachBit(indexed, index->first)[Effect::kNone] == bits);
  Image image = indexed.image;
  image.erase(index->first);
  CHECK(DamagedLog(indexed, image, index->first).Check() == Effect::kNone);
}

TEST_CASE("durable log: an index does not hide what is damaged") {
  const SmallLog indexed = MakeIndexedLog(2);
  for (const auto& [path, contents] : indexed.image) {
    if (!Contains(path, ".segment")) continue;
    Image image = indexed.image;
    for (std::size_t at = 0; at < contents.size(); at += 5003) {
      CAPTURE(at);
      image[path] = contents;
      image[path][at] = static_cast<char>(~contents[at]);
      CHECK(DamagedLog(indexed, image, path).Check() == Effect::kDamaged);
    }
  }
}

TEST_CASE("durable log: no missing file goes unnoticed") {
  const SmallLog& small = TheSmallLog();
  for (const auto& file : small.image) {
    const std::string& path = file.first;
    CAPTURE(path);
    // That something was written to the newest journal, nobody can know.
    if (path == small.newest_journal) continue;
    Image image = small.image;
    image.erase(path);
    Effect effect = Effect::kNone;
    CHECK_NOTHROW(effect = DamagedLog(small, image, path).Check());
    if (Contains(path, ".segment")) CHECK(effect == Effect::kDamaged);
    if (Contains(path, ".journal")) CHECK(effect == Effect::kRefused);
    if (Contains(path, "checkpoint")) CHECK(effect == Effect::kRefused);
  }
}

TEST_CASE("durable log: a damaged segment is not in the way of new ones") {
  const SmallLog& small = TheSmallLog();
  for (const auto& file : small.image) {
    const std::string& path = file.first;
    const std::string& contents = file.second;
    if (!Contains(path, ".segment")) continue;
    CAPTURE(path);
    // In its header, at its end, a part of it, all of it.
    std::vector<std::optional<std::string>> damaged(4, contents);
    damaged[0]->at(20) ^= 1;
    damaged[1]->back() ^= 1;
    damaged[2]->resize(contents.size() / 2);
    damaged[3].reset();
    for (std::size_t i = 0; i < damaged.size(); ++i) {
      CAPTURE(i);
      Image image = small.image;
      image.erase(path);
      if (damaged[i]) image[path] = *damaged[i];
      LogOnDisk log({}, {}, DiskWith(image));
      log.Fail(WithoutCheckpoints());
      log.Expect(small.history);
      log.Open();
      const std::uint64_t next = small.history.at("a").size() + 1;
      CHECK(log.Send("a", {log.NextText()}).ok());
      CHECK(log.Send("b", {log.NextText()}).ok());
      log.Heal();
      log.Close();
      CHECK(!log.HasNotice("was not closed"));
      // Nothing was appended to the damage.
      if (damaged[i]) CHECK(log.files().Contents(path) == *damaged[i]);
      log.Open();
      const Contents rest =
          ReadAll(log.log(), "a", Start::Earliest(), {.skip_damaged = true});
      CHECK(rest.status == absl::OkStatus());
      CHECK((!rest.messages.empty() && rest.messages.back().sequence == next));
    }
  }
}

TEST_CASE("durable log: what a checkpoint has left behind is removed") {
  const SmallLog& small = TheSmallLog();
  const std::string directory = "/log/channels/a.channel";
  Image image = small.image;
  image[directory + "/00000000000000000099.segment"] = "left behind";
  LogOnDisk log({}, {}, DiskWith(image));
  log.Expect(small.history);
  log.Open();
  CHECK(log.Send("a", {log.NextText()}).ok());
  log.Close();
  const auto names = log.files().List(directory);
  REQUIRE(names.ok());
  for (const std::string& name : *names) CHECK(!Contains(name, "99"));
  log.Open();
  CHECK(log.Difference() == "");
}

TEST_CASE("durable log: a start in a damaged segment begins with it") {
  const SmallLog& small = TheSmallLog();
  for (const auto& file : small.image) {
    const std::string& path = file.first;
    if (!Contains(path, "a.channel") || !Contains(path, ".segment")) continue;
    CAPTURE(path);
    Image image = small.image;
    image[path].at(20) ^= 1;  // in the header
    LogOnDisk log({}, {}, DiskWith(image));
    log.Fail(WithoutCheckpoints());
    log.Expect(small.history);
    log.Open();
    // Strict readers are told that it is damage, not retention.
    const Contents strict = ReadAll(log.log(), "a", Start::Earliest(),
                                    {.strict = true, .skip_damaged = true});
    if (!strict.status.ok()) {
      CHECK(absl::IsOutOfRange(strict.status));
      CHECK(Contains(strict.status.ToString(), "(damaged)"));
    }
    for (const Acknowledged& message : small.history.at("a")) {
      const Start start = Start::Since(message.time);
      const Contents all = ReadAll(log.log(), "a", start, {});
      const Contents rest =
          ReadAll(log.log(), "a", start, {.skip_damaged = true});
      CHECK(rest.status == absl::OkStatus());
      CHECK(all.status.ok() == rest.gaps.empty());
      if (!all.status.ok()) CHECK(absl::IsDataLoss(all.status));
      // Nothing from then on is passed over in silence.
      std::uint64_t first = UINT64_MAX;
      if (!rest.messages.empty()) first = rest.messages.front().sequence;
      if (!rest.gaps.empty()) {
        first = std::min(first, rest.gaps.front().first_missing);
      }
      const Acknowledged& at = small.history.at("a").at(first - 1);
      CHECK(at.time <= message.time);
    }
  }
}

// ---------------------------------------------------------------------------
// Failing disks

// Sends so many batches to two channels.
void SendMany(LogOnDisk& log, int count, std::size_t padding) {
  for (int i = 0; i < count; ++i) {
    const absl::Status s = log.Send(i % 2 == 0 ? "a" : "b",
                                    {log.NextText(padding), log.NextText()});
    if (!s.ok()) throw std::runtime_error(s.ToString());
  }
}

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

constexpr std::uint64_t kTinyJournal = 2000;

DurableLogOptions Restless() {
  return {.max_open_segments = 2, .max_cached_bytes = 0};
}

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

// ---------------------------------------------------------------------------
// Clocks

constexpr std::chrono::hours kCentury{24 * 365 * 100};

// Waits until all of the channel is dropped that has been sent so far: what a
// checkpoint is about to write is kept until it is written.
void AwaitAllDropped(LogOnDisk& log, const std::string& channel) {
  const std::uint64_t end = log.history().at(channel).size() + 1;
  const auto deadline = std::chrono::steady_clock::now() + kLogDeadline;
  while (true) {
    const auto info = GetChannel(log.log(), channel);
    if (!info.ok()) throw std::runtime_error(info.status().ToString());
    if (info->first_sequence == end) return;
    if (std::chrono::steady_clock::now() > deadline) {
      throw std::runtime_error(fmt::format("{} is still there, and not only {}",
                                           info->first_sequence, end));
    }
    std::this_thread::yield();
  }
}

TEST_CASE("durable log: times never go back, whatever the wall clock does") {
  LogOnDisk log({.directory = {.max_journal_bytes = kTinyJournal}}, Restless());
  log.Open();
  for (int i = 0; i < 8; ++i) {
    SendMany(log, 6, 50);
    log.clock().StepWallClock(i % 2 == 0 ? -std::chrono::hours(5)
                                         : std::chrono::hours(2));
    SendMany(log, 6, 50);
    CHECK(log.Difference() == "");
    if (i % 3 == 0) {
      log.Crash(CrashMode::kKillProcess);
    } else {
      log.Close();
    }
    log.clock().StepWallClock(std::chrono::hours(i % 4 - 2));
    log.Open();
  }
  CHECK(log.Difference() == "");
}

TEST_CASE(
    "durable log: setting the wall clock drops nothing, and goes on dropping") {
  for (const auto step : {kCentury, -kCentury}) {
    for (const bool checkpoints : {false, true}) {
      CAPTURE(step.count());
      CAPTURE(checkpoints);
      LogOptions options{.retention = {.max_age = std::chrono::hours(1)}};
      if (checkpoints) options.directory.max_journal_bytes = kTinyJournal;
      LogOnDisk log(options, checkpoints ? Restless() : DurableLogOptions());
      log.Open();
      SendMany(log, 6, 500);
      log.clock().StepWallClock(step);
      CHECK(log.Difference() == "");
      SendMany(log, 6, 500);
      CHECK(log.Difference() == "");
      log.clock().Advance(std::chrono::minutes(59));
      CHECK(log.Difference() == "");
      log.clock().Advance(std::chrono::minutes(2));
      AwaitAllDropped(log, "a");
      AwaitAllDropped(log, "b");
      const std::uint64_t end = log.history().at("a").size() + 1;
      SendMany(log, 2, 500);
      CHECK(log.Difference(end) == "");
      log.Close();
      log.Open();
      CHECK(GetChannel(log.log(), "a")->first_sequence == end);
      CHECK(log.Difference(end) == "");
      log.clock().Advance(std::chrono::minutes(61));
      AwaitAllDropped(log, "a");
    }
  }
}

// Each way in which a log with an age limit of 1 hour may end.
template <typename Check>
void ForEachEnd(Check check) {
  for (const bool closed : {false, true}) {
    for (const bool reboot : {false, true}) {
      CAPTURE(closed);
      CAPTURE(reboot);
      LogOnDisk log({.retention = {.max_age = std::chrono::hours(1)}});
      log.Open();
      SendMany(log, 6, 100);
      check(log, [&log, closed, reboot] {
        if (closed) {
          log.Close();
        } else {
          log.Crash(CrashMode::kKillProcess);
        }
        if (reboot) log.Reboot();
      });
    }
  }
}

TEST_CASE("durable log: messages age while the log is closed") {
  ForEachEnd([](LogOnDisk& log, const auto& end) {
    end();
    log.clock().Advance(std::chrono::minutes(58));
    log.Open();
    CHECK(log.Difference() == "");
    end();
    log.clock().Advance(std::chrono::hours(2));
    log.Open();
    AwaitAllDropped(log, "a");
    AwaitAllDropped(log, "b");
    CHECK(ReadAll(log.log(), "b", Start::Earliest()).messages.empty());
    // What comes next is kept for as long as ever.
    const std::uint64_t next = log.history().at("a").size() + 1;
    SendMany(log, 2, 100);
    log.clock().Advance(std::chrono::minutes(59));
    CHECK(log.Difference(next) == "");
  });
}

TEST_CASE("durable log: also after somebody has set the wall clock before") {
  for (const auto step : {kCentury, -kCentury}) {
    ForEachEnd([&](LogOnDisk& log, const auto& end) {
      log.clock().StepWallClock(step);
      // A killed log knows the wall clock from its last round.
      SendMany(log, 2, 100);
      end();
      log.clock().Advance(std::chrono::minutes(58));
      log.Open();
      CHECK(log.Difference() == "");
      end();
      log.clock().Advance(std::chrono::hours(2));
      log.Open();
      AwaitAllDropped(log, "a");
    });
  }
}

TEST_CASE(
    "durable log: a wall clock that went back while the log was closed keeps "
    "nothing for ever") {
  ForEachEnd([](LogOnDisk& log, const auto& end) {
    end();
    log.clock().Advance(std::chrono::hours(2));
    log.clock().StepWallClock(-kCentury);
    log.Open();
    CHECK(log.Difference() == "");
    log.clock().Advance(std::chrono::minutes(59));
    CHECK(log.Difference() == "");
    log.clock().Advance(std::chrono::minutes(2));
    AwaitAllDropped(log, "a");
  });
}

TEST_CASE(
    "durable log: a wall clock that went forward by years while the log was "
    "closed drops nothing, and the log says so") {
  for (const std::chrono::hours step :
       {std::chrono::hours(31 * 24), kCentury}) {
    CAPTURE(step.count());
    ForEachEnd([step](LogOnDisk& log, const auto& end) {
      end();
      log.ForgetNotices();
      log.clock().StepWallClock(step);
      log.Open();
      CHECK(log.HasNotice("are not believed"));
      CHECK(log.Difference() == "");
      // The time is learnt, with the log open, and is right again after that.
      SendMany(log, 2, 100);
      log.clock().StepWallClock(-step);
      CHECK(log.Difference() == "");
      end();
      log.ForgetNotices();
      log.clock().Advance(std::chrono::minutes(1));
      log.Open();
      CHECK(log.notices().empty());
      CHECK(log.Difference() == "");
      // And it does not keep anything for ever.
      log.clock().Advance(std::chrono::hours(2));
      AwaitAllDropped(log, "a");
    });
  }
}

TEST_CASE(
    "durable log: a machine that was without the time for its whole life "
    "before drops nothing when it learns it while the log is closed") {
  ForEachEnd([](LogOnDisk& log, const auto& end) {
    log.clock().StepWallClock(-log.clock().now().time_since_epoch());
    SendMany(log, 2, 100);
    end();
    log.clock().StepWallClock(kCentury / 2);
    log.Open();
    CHECK(log.HasNotice("are not believed"));
    CHECK(log.Difference() == "");
  });
}

TEST_CASE("durable log: that all is too old when it is opened is told") {
  ForEachEnd([](LogOnDisk& log, const auto& end) {
    end();
    log.ForgetNotices();
    log.clock().Advance(std::chrono::minutes(59));
    log.Open();
    CHECK_FALSE(log.HasNotice("by the wall clock"));
    end();
    log.clock().Advance(std::chrono::hours(29 * 24));
    log.Open();
    CHECK(log.HasNotice("messages are kept for 3600 s: all of them"));
    AwaitAllDropped(log, "a");
  });
}

TEST_CASE("durable log: a long time counts if not all is too old after it") {
  constexpr std::chrono::hours kDay{24};
  LogOnDisk log({.retention = {.max_age = 60 * kDay}});
  log.Open();
  SendMany(log, 6, 100);
  log.Close();
  log.clock().Advance(45 * kDay);
  log.Open();
  CHECK_FALSE(log.HasNotice("by the wall clock"));
  CHECK(log.Difference() == "");
  log.clock().Advance(16 * kDay);
  AwaitAllDropped(log, "a");
}

// ---------------------------------------------------------------------------
// Who else has the log open

TEST_CASE("durable log: a directory has one log at a time") {
  LogOnDisk log;
  log.Open();
  CHECK(log.Send("a", {log.NextText()}).ok());
  const absl::Status second = log.TryOpenAgain();
  CHECK(absl::IsFailedPrecondition(second));
  CHECK(Contains(MessageOf(second), "/log/LOCK"));
  CHECK(Contains(MessageOf(second), fmt::format("process {}", getpid())));
  // It has done no harm to the first one.
  CHECK(log.Send("a", {log.NextText()}).ok());
  CHECK(log.Difference() == "");
  log.Close();
  log.Open();
  CHECK(log.Difference() == "");
}

// ---------------------------------------------------------------------------
// Durability os

// What a reader gets that was after this position.
struct Resumed {
  std::optional<Gap> gap;
  std::vector<std::uint64_t> sequences;
};
Resumed ResumeAfter(LogOnDisk& log, std::string_view channel,
                    Position position) {
  const Contents contents = ReadAll(log.log(), channel, Start::After(position));
  if (!contents.status.ok() || contents.gaps.size() > 1) {
    throw std::runtime_error("Read: " + contents.status.ToString());
  }
  Resumed resumed;
  if (!contents.gaps.empty()) resumed.gap = contents.gaps.front();
  for (const OwnedMessage& message : contents.messages) {
    resumed.sequences.push_back(message.sequence);
  }
  return resumed;
}

// Readers that were after the messages up to `last` in an old epoch, of which
// those up to `common` are still there.
void CheckResume(LogOnDisk& log, std::string_view channel, std::uint64_t epoch,
                 std::uint64_t common, std::uint64_t last) {
  const auto info = GetChannel(log.log(), channel);
  const std::uint64_t head = info.ok() ? info->head : 0;
  for (std::uint64_t s = 0; s <= last; ++s) {
    CAPTURE(s);
    const Resumed resumed =
        ResumeAfter(log, channel, {.epoch = epoch, .sequence = s});
    const bool there = s <= common;
    CHECK(resumed.gap.has_value() == !there);
    CHECK(resumed.sequences == Sequences(there ? s + 1 : common + 1, head));
    if (there || !resumed.gap) continue;
    CHECK(*resumed.gap == Gap{.first_missing = s + 1,
                              .next = common + 1,
                              .reason = Gap::Reason::kNewEpoch});
  }
}

TEST_CASE("durable log: os: closing keeps the epoch") {
  LogOnDisk log({.directory = {.durability = Durability::kOs}});
  log.Open();
  const std::uint64_t epoch = log.log().epoch();
  for (int i = 0; i < 3; ++i) {
    log.Close();
    log.Open();
    CHECK(log.log().epoch() == epoch);
    if (i == 1) SendMany(log, 6, 100);
    CHECK(log.Difference() == "");
  }
  CHECK(log.notices().empty());
}

TEST_CASE(
    "durable log: os: a killed process has a new epoch, and readers notice "
    "nothing") {
  LogOnDisk log({.directory = {.durability = Durability::kOs}});
  std::vector<std::uint64_t> epochs;
  for (int i = 0; i < 4; ++i) {
    log.Open();
    const std::uint64_t epoch = log.log().epoch();
    CHECK(std::find(epochs.begin(), epochs.end(), epoch) == epochs.end());
    epochs.push_back(epoch);
    CHECK(log.HasNotice("begins a new epoch") == (i > 0));
    log.ForgetNotices();
    SendMany(log, 6, 100);
    if (i == 2) {
      log.Close();
      log.Open();
      CHECK(log.log().epoch() == epoch);
    }
    if (i < 3) log.Crash(CrashMode::kKillProcess);
  }
  CHECK(log.Difference() == "");
  // As the journals have it, and as the checkpoint has it.
  for (int i = 0; i < 2; ++i) {
    for (std::size_t e = 0; e + 1 < epochs.size(); ++e) {
      CheckResume(log, "a", epochs[e], 6 * (e + 1), 6 * (e + 1));
      CheckResume(log, "b", epochs[e], 6 * (e + 1), 6 * (e + 1));
      CheckResume(log, "never", epochs[e], 0, 0);
    }
    log.Close();
    log.Open();
    CHECK(log.log().epoch() == epochs.back());
  }
}

TEST_CASE(
    "durable log: os: a reader whose messages were lost is told, and gets what "
    "came in their place") {
  LogOnDisk log({.directory = {.durability = Durability::kOs}});
  log.Fail(WithoutCheckpoints());
  log.Open();
  const std::uint64_t epoch = log.log().epoch();
  SendMany(log, 2, 100);
  const std::string journal = JournalsOn(log.files()).back();
  const std::size_t kept = log.files().Contents(journal).size();
  const History history = log.history();
  SendMany(log, 4, 100);
  CHECK(log.Send("lost", {log.NextText(), log.NextText()}).ok());
  log.Crash(CrashMode::kKillProcess);
  // Of the journal, the power cut has left this.
  log.files().SetContents(journal,
                          log.files().Contents(journal).substr(0, kept));
  log.Expect(history);
  log.Open();
  CHECK(log.log().epoch() != epoch);
  CHECK(log.Difference() == "");
  // Others take their places; "lost" and "later" come into being in this epoch.
  SendMany(log, 6, 100);
  CHECK(log.Send("lost", {log.NextText(), log.NextText()}).ok());
  CHECK(log.Send("later", {log.NextText()}).ok());
  for (int i = 0; i < 2; ++i) {
    CheckResume(log, "a", epoch, 2, 6);
    CheckResume(log, "b", epoch, 2, 6);
    CheckResume(log, "lost", epoch, 0, 2);
    CheckResume(log, "later", epoch, 0, 1);
    CHECK(log.Difference() == "");
    log.Close();
    log.Open();
  }
  // Of an epoch that the log has never had, nothing is known.
  const Resumed foreign =
      ResumeAfter(log, "a", {.epoch = epoch + 1, .sequence = 1});
  CHECK((foreign.gap ==
         Gap{.first_missing = 2, .next = 1, .reason = Gap::Reason::kNewEpoch}));
}

TEST_CASE(
    "durable log: os: whatever a power cut leaves, no reader misses anything "
    "unawares") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    LogOnDisk log({.directory = {.durability = Durability::kOs}});
    log.Open();
    const std::uint64_t epoch = log.log().epoch();
    SendMany(log, 10, 300);
    const History history = log.history();
    log.Crash(CrashMode::kPowerCut, seed);
    log.Open();
    CHECK(log.log().epoch() != epoch);
    History left;
    for (const auto& [name, messages] : history) {
      const auto info = GetChannel(log.log(), name);
      const auto end = messages.begin() +
                       static_cast<std::ptrdiff_t>(info.ok() ? info->head : 0);
      left[name].assign(messages.begin(), end);
    }
    log.Expect(left);
    CHECK(log.Difference() == "");
    SendMany(log, 6, 100);
    for (const auto& [name, messages] : left) {
      CheckResume(log, name, epoch, messages.size(), history.at(name).size());
    }
    CHECK(log.Difference() == "");
  }
}

// ---------------------------------------------------------------------------
// Many channels

TEST_CASE("durable log: many channels take no more files than a few") {
  constexpr int kChannels = 2000;
  constexpr int kMaxOpenSegments = 16;
  LogOnDisk log({}, {.max_open_segments = kMaxOpenSegments});
  log.Open();
  for (int i = 0; i < kChannels; ++i) {
    CHECK(log.Send(fmt::format("channel-{}", i), {log.NextText()}).ok());
  }
  log.Close();
  log.Open();
  CHECK(log.Difference() == "");
  // Segments that wait to be synced, with their indexes; and some others.
  CHECK(log.files().max_open_files() <= 2 * 64 + kMaxOpenSegments + 8);
  CHECK(log.files().open_files() <= kMaxOpenSegments + 8);
  CHECK(ListChannels(log.log(), "", kChannels + 1).size() == kChannels);
}

}  // namespace
}  // namespace messenger::durable_log_fault_test
