// The log in a directory, of which something is cut off, flipped or missing:
// what exactly it then does.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/status.h"
#include "log/message_log.h"
#include "messenger/log.h"
#include "messenger/message.h"
#include "support/disk_image.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/printing.h"
#include "support/sanitized.h"
#include "unit/log/durable/log_on_disk.h"

namespace messenger::durable_log_damage_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

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

}  // namespace
}  // namespace messenger::durable_log_damage_test
