#include "log/memory_log.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "messenger/log.h"
#include "support/fake_clock.h"
#include "support/log_access.h"
#include "support/printing.h"

namespace messenger::memory_log_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

std::shared_ptr<MemoryLog> OpenMemoryLog(const LogOptions& options,
                                         const FakeClock& clock) {
  return std::make_shared<MemoryLog>(options, ClockOf(clock));
}

std::string OpenError(std::string_view uri, const LogOptions& options) {
  const auto log = OpenLog(uri, options);
  if (log.ok()) return "OK";
  CHECK(log.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(MessageOf(log.status()));
}

TEST_CASE("memory log: each one has an epoch of its own") {
  const MemoryLog first({});
  const MemoryLog second({});
  CHECK(first.epoch() != second.epoch());
}

TEST_CASE(
    "memory log: appends and reads complete on the calling thread, before "
    "the call returns") {
  MemoryLog log({});
  bool done = false;
  log.Append(BatchOf("c", std::vector<std::string>{"hello"}),
             [&done](const AppendResult& result) { done = result.ok(); });
  CHECK(done);
  const auto reader = log.OpenReader("c", Start::Earliest(), {});
  const auto result = reader->Read(kAmple, [](const auto& /*result*/) {
    FAIL("a read that returns its result drops `done`");
  });
  REQUIRE(result.has_value());
  REQUIRE(result->ok());
  CHECK((*result)->count == 1);
}

TEST_CASE(
    "memory log: a slow channel keeps no message much longer than its age") {
  FakeClock clock;
  const auto log =
      OpenMemoryLog({.retention = {.max_age = std::chrono::hours(1)}}, clock);
  for (int i = 0; i < 20; ++i) {
    MustAppend(*log, BatchOf("c", std::vector<std::string>{"x"}));
    clock.Advance(std::chrono::minutes(30));
  }
  const auto info = GetChannel(*log, "c");
  REQUIRE(info.ok());
  CHECK(info->head == 20);
  CHECK(info->first_sequence >= 18);
}

TEST_CASE("memory log: a read takes as many messages as fit") {
  MemoryLog log({});
  MustAppend(log, BatchOf("c", std::vector<std::string>(
                                   2000, std::string(1000, 'x'))));
  const auto first = log.OpenReader("c", Start::Earliest(), {});
  const std::size_t entry = BytesIn(
      Read(*first, {.max_bytes = std::size_t{1} << 20, .max_count = 1}));
  const auto reader = log.OpenReader("c", Start::Earliest(), {});
  CHECK(Read(*reader, {.max_bytes = 100 * entry}).count == 100);
  CHECK(Read(*reader, {.max_bytes = 100 * entry - 1}).count == 99);
  CHECK(Read(*reader, {.max_bytes = 1000 * entry}).count == 1000);
}

TEST_CASE("memory log: a frame of a megabyte refers to a handful of blocks") {
  MemoryLog log({});
  MustAppend(log, BatchOf("c", std::vector<std::string>(
                                   3000, std::string(1000, 'x'))));
  const auto reader = log.OpenReader("c", Start::At(1000), {});
  const ReadResult result = Read(*reader);
  CHECK(result.count > 900);
  CHECK(result.entries.size() <= 6);
}

TEST_CASE("memory log: a producer that was idle for too long is refused") {
  FakeClock clock;
  const auto log = OpenMemoryLog({}, clock);
  MustAppend(*log, BatchOf("c", Producer(1), 1, {"a"}));
  clock.Advance(std::chrono::hours(1) + std::chrono::nanoseconds(1));
  MustAppend(*log, BatchOf("c", Producer(2), 1, {"b"}));
  const auto refused = Append(*log, BatchOf("c", Producer(1), 2, {"c"}));
  CHECK(refused.status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK(GetChannel(*log, "c")->head == 2);
}

TEST_CASE("OpenLog: memory: opens a log that works") {
  const auto log = OpenLog("memory:");
  REQUIRE(log.ok());
  CHECK((*log)->epoch() != 0);
  MustAppend(**log, BatchOf("c", std::vector<std::string>{"hello"}));
  CHECK(GetChannel(**log, "c")->head == 1);
}

TEST_CASE("OpenLog: what is wrong is named") {
  CHECK(OpenError("memory:", {.retention = {.max_bytes = 65536}}) == "OK");
  CHECK(OpenError("memory:", {.retention = {.max_bytes = 65535}}) ==
        "retention.max_bytes: 65535; must be at least 65536");
  CHECK(OpenError("memory:",
                  {.retention = {.max_age = std::chrono::nanoseconds(-1)}}) ==
        "retention.max_age: -1 ns; must be at least 0");
  for (const std::uint64_t bytes :
       {std::uint64_t{65'535}, (std::uint64_t{16} << 30) + 1}) {
    CHECK(OpenError("memory:", {.directory = {.max_journal_bytes = bytes}}) ==
          fmt::format(
              "directory.max_journal_bytes: {}; must be 65536 to 17179869184",
              bytes));
  }
  CHECK(OpenError("memory:", {.max_channels = 0}) ==
        "max_channels: 0; must be at least 1");
  CHECK(OpenError("memory:", {.max_producers_per_channel = 0}) ==
        "max_producers_per_channel: 0; must be at least 1");
  CHECK(OpenError("memory:", {.max_deleted_channels = 0}) ==
        "max_deleted_channels: 0; must be at least 1");
  CHECK(OpenError("memory:",
                  {.producer_idle_timeout = std::chrono::nanoseconds(-1)}) ==
        "producer_idle_timeout: -1 ns; must be at least 0");
  CHECK(OpenError("memory:", {.memory = {.max_bytes = 1 << 20}}) == "OK");
  CHECK(OpenError("memory:", {.memory = {.max_bytes = (1 << 20) - 1}}) ==
        "memory.max_bytes: 1048575; must be at least 1048576");
  CHECK(Contains(OpenError("nonsense", {}), "\"nonsense\""));
}

}  // namespace
}  // namespace messenger::memory_log_test
