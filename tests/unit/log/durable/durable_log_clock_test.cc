// The log in a directory over clocks that step, while it is open and while it
// is closed.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>

#include "log/durable/durable_log.h"
#include "messenger/log.h"
#include "messenger/message.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "unit/log/durable/log_on_disk.h"

namespace messenger::durable_log_clock_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

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

}  // namespace
}  // namespace messenger::durable_log_clock_test
