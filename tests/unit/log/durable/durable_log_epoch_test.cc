// When the log in a directory begins a new epoch, and what readers notice of
// it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "messenger/log.h"
#include "messenger/message.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "unit/log/durable/log_on_disk.h"

namespace messenger::durable_log_epoch_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

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

}  // namespace
}  // namespace messenger::durable_log_epoch_test
