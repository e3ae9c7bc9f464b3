// How much a log in memory takes, and what it refuses.
#include <doctest/doctest.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/status.h"
#include "log/memory_log.h"
#include "messenger/log.h"
#include "support/fake_clock.h"
#include "support/log_access.h"
#include "support/printing.h"

namespace messenger::memory_limits_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

using Texts = std::vector<std::string>;

constexpr std::uint64_t kMemory = std::uint64_t{1} << 20;

const std::string& SomeText() {
  static const std::string text(10'000, 'x');
  return text;
}

// Appends until it is refused; how many were not.
std::uint64_t Fill(MessageLog& log, std::string_view channel,
                   std::string* error) {
  for (std::uint64_t stored = 0; stored < 1000; ++stored) {
    const AppendResult result =
        Append(log, BatchOf(channel, Texts{SomeText()}));
    if (result.ok()) continue;
    CHECK(absl::IsResourceExhausted(result.status()));
    *error = MessageOf(result.status());
    return stored;
  }
  throw std::runtime_error("nothing is refused");
}

TEST_CASE("memory log: beyond its memory it refuses, and drops nothing") {
  MemoryLog log({.memory = {.max_bytes = kMemory}, .max_channels = 2});
  std::string error;
  const std::uint64_t stored = Fill(log, "a", &error);
  CAPTURE(error);
  CHECK(stored > 50);
  CHECK(Contains(error, "memory.max_bytes"));
  CHECK(Contains(error, "1048576"));
  const auto reader = log.OpenReader("a", Start::Earliest(), {.strict = true});
  CHECK(ReadToHead(*reader).messages.size() == stored);
  // What is refused leaves no channel behind, which would count.
  for (const char* const other : {"b", "c", "d"}) {
    CHECK(Fill(log, other, &error) == 0);
  }
  CHECK(ListChannels(log, "", 10).size() == 1);
  REQUIRE(Delete(log, "a").ok());
  CHECK(Fill(log, "b", &error) == stored);
  CHECK(Fill(log, "c", &error) == 0);
  // One that comes back and is refused is as deleted as before.
  CHECK(Fill(log, "a", &error) == 0);
  REQUIRE(Delete(log, "b").ok());
  CHECK(MustAppend(log, BatchOf("a", Texts{"x"}))[0].sequence == stored + 1);
}

TEST_CASE("memory log: what readers hold counts") {
  MemoryLog log({.memory = {.max_bytes = kMemory}});
  std::string error;
  const std::uint64_t stored = Fill(log, "a", &error);
  const auto reader = log.OpenReader("a", Start::Earliest(), {});
  std::optional<ReadResult> held = Read(*reader, {.max_bytes = kMemory});
  REQUIRE(Delete(log, "a").ok());
  CHECK(Fill(log, "b", &error) < stored / 2);
  held.reset();
  CHECK(Fill(log, "b", &error) > stored / 2);
}

// Hears whether a log takes appends.
class Availability final : public LogListener {
 public:
  using Codes = std::vector<absl::StatusCode>;

  void OnAvailability(const absl::Status& refusal) override {
    const std::lock_guard lock(mutex_);
    heard_.push_back(refusal.code());
    changed_.notify_all();
  }
  // All that was heard, once it is so much.
  Codes Await(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kLogDeadline,
                      [&] { return heard_.size() >= count; });
    return heard_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Codes heard_;
};

constexpr auto kFull = absl::StatusCode::kResourceExhausted;
constexpr auto kRoom = absl::StatusCode::kOk;

TEST_CASE(
    "memory log: out of memory, it says so, and when there is some again") {
  FakeClock clock;
  std::string notices;
  Availability availability;
  {
    MemoryLog log({.retention = {.max_age = std::chrono::hours(1)},
                   .memory = {.max_bytes = kMemory},
                   .on_notice =
                       [&](std::string_view notice) {
                         notices += notice;
                         notices += '\n';
                       },
                   .max_channels = 2},
                  {.now = [&] { return clock.now(); },
                   .steady_now = [&] { return clock.steady_now(); }},
                  std::chrono::milliseconds(5));
    log.AddListener(&availability);
    // Another limit, which says nothing of others.
    MustAppend(log, BatchOf("a", Texts{"x"}));
    MustAppend(log, BatchOf("b", Texts{"x"}));
    CHECK_FALSE(Append(log, BatchOf("c", Texts{"x"})).ok());
    CHECK(availability.Await(0).empty());
    std::string error;
    Fill(log, "a", &error);
    CHECK(availability.Await(1) == Availability::Codes{kFull});
    SUBCASE("since a channel is deleted") {
      REQUIRE(Delete(log, "a").ok());
    }
    SUBCASE("since retention drops what is old, though nobody looks") {
      clock.Advance(std::chrono::hours(2));
    }
    CHECK(availability.Await(2) == Availability::Codes{kFull, kRoom});
    CHECK(Fill(log, "b", &error) > 50);
    CHECK(availability.Await(3) == Availability::Codes{kFull, kRoom, kFull});
    log.RemoveListener(&availability);
  }
  CHECK(Contains(notices, "(memory.max_bytes); appends are refused\n"));
  CHECK(Contains(notices, "appends are accepted again\n"));
}

TEST_CASE(
    "memory log: channels that may keep no more than there is room for are "
    "never refused") {
  MemoryLog log({.retention = {.max_bytes = kMemory / 2},
                 .memory = {.max_bytes = kMemory}});
  // A chunk more is needed before retention drops one.
  for (int i = 0; i < 300; ++i) {
    for (const char* const name : {"a", "b"}) {
      MustAppend(log, BatchOf(name, Texts{SomeText()}));
    }
  }
  CHECK(GetChannel(log, "a")->first_sequence > 200);
  CHECK(GetChannel(log, "a")->bytes > kMemory / 4);
}

}  // namespace
}  // namespace messenger::memory_limits_test
