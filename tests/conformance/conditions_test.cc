// Conditional appends: what is stored only if the channel's last message is the
// one that is expected.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "conformance/conformance.h"
#include "log/message_log.h"
#include "messenger/error.h"
#include "messenger/message.h"
#include "support/log_access.h"

namespace messenger::test {
namespace {

AppendBatch If(std::uint64_t expected, AppendBatch batch,
               std::uint64_t epoch = 0) {
  batch.expected_last_sequence = expected;
  batch.expected_epoch = epoch;
  return batch;
}

AppendResult AppendOn(LogAppender& appender, AppendBatch batch) {
  Completion<AppendResult> completion;
  appender.Append(std::move(batch), completion.Callback());
  return completion.Wait("Append");
}

// It is refused since the last sequence of the log under test is this one.
void CheckRefused(LogUnderTest& t, AppendBatch batch, std::uint64_t last) {
  const AppendResult result = Append(*t.log, std::move(batch));
  const absl::Status& status = result.status();
  CHECK(absl::IsAborted(status));
  CHECK(ReasonOf(status) == reason::kWrongLastSequence);
  CHECK(ReasonDetail(status, "epoch") == std::to_string(t.log->epoch()));
  CHECK(ReasonDetail(status, "last_sequence") == std::to_string(last));
}

LOG_TEST_CASE("log: a conditional append is stored behind what it expects") {
  LogUnderTest t(kind);
  CHECK(Append(*t.log, If(0, BatchOf("c", Texts{"a"}))).ok());
  CHECK(Append(*t.log, If(1, BatchOf("c", Texts{"b", "c"}), t.log->epoch()))
            .ok());
  CHECK(Append(*t.log, If(3, BatchOf("c", Texts{"d"}))).ok());
  CHECK(t.Head() == 4);
}

LOG_TEST_CASE(
    "log: of a conditional append that is refused nothing is stored, and what "
    "the last one is is told") {
  LogUnderTest t(kind);
  CheckRefused(t, If(1, BatchOf("c", Texts{"a"})), 0);
  // Nor is there a channel now.
  CHECK(absl::IsNotFound(GetChannel(*t.log, "c").status()));
  t.Append({"a", "b"});
  for (const std::uint64_t wrong : {0U, 1U, 3U}) {
    CheckRefused(t, If(wrong, BatchOf("c", Texts{"x", "y"})), 2);
  }
  CheckRefused(t, If(UINT64_MAX, BatchOf("c", Texts{"x"})), 2);
  CHECK(t.Head() == 2);
  // The channel goes on.
  CHECK(Append(*t.log, If(2, BatchOf("c", Texts{"c"}))).ok());
  CHECK(t.Head() == 3);
}

LOG_TEST_CASE("log: a condition in another epoch does not hold") {
  LogUnderTest t(kind);
  t.Append({"a"});
  const std::uint64_t other = t.log->epoch() + 1;
  CheckRefused(t, If(1, BatchOf("c", Texts{"x"}), other), 1);
  CheckRefused(t, If(0, BatchOf("new", Texts{"x"}), other), 0);
  CHECK(t.Head() == 1);
}

LOG_TEST_CASE("log: each channel has a last sequence of its own") {
  LogUnderTest t(kind);
  t.Append({"a", "b"}, "other");
  CHECK(Append(*t.log, If(0, BatchOf("c", Texts{"a"}))).ok());
  CHECK(Append(*t.log, If(2, BatchOf("other", Texts{"c"}))).ok());
}

LOG_TEST_CASE("log: a deleted channel keeps the count that a condition sees") {
  LogUnderTest t(kind);
  t.Append({"a", "b"});
  REQUIRE(Delete(*t.log, "c").ok());
  CheckRefused(t, If(0, BatchOf("c", Texts{"x"})), 2);
  // It is still deleted.
  CHECK(absl::IsNotFound(GetChannel(*t.log, "c").status()));
  CHECK(Append(*t.log, If(2, BatchOf("c", Texts{"c"}))).ok());
  CHECK(t.Head() == 3);
}

LOG_TEST_CASE(
    "log: a conditional append that is repeated by its producer is a "
    "duplicate, though its condition does not hold any more") {
  LogUnderTest t(kind);
  const auto batch = [](std::uint64_t number, const Texts& texts) {
    return BatchOf("c", Producer(1), number, texts);
  };
  const AppendResult first = Append(*t.log, If(0, batch(1, {"a", "b"})));
  REQUIRE(first.ok());
  t.Append({"of another one"});
  const AppendResult again = Append(*t.log, If(0, batch(1, {"a", "b"})));
  REQUIRE(again.ok());
  CHECK(again->front().duplicate);
  CHECK(again->front().first_sequence == first->front().first_sequence);
  // A refused one does not use its number up.
  CheckRefused(t, If(2, batch(3, {"c"})), 3);
  CHECK(Append(*t.log, If(3, batch(3, {"c"}))).ok());
  // What is new behind what is repeated has to meet it.
  CheckRefused(t, If(3, batch(3, {"c", "d"})), 4);
  CHECK(t.Head() == 4);
}

LOG_TEST_CASE(
    "log: what an appender sends behind a refused condition is not stored") {
  LogUnderTest t(kind);
  t.Append({"a"});
  const auto appender = t.log->OpenAppender();
  const AppendResult refused =
      AppendOn(*appender, If(0, BatchOf("c", Texts{"x"})));
  CHECK(absl::IsAborted(refused.status()));
  const AppendResult next = AppendOn(*appender, BatchOf("c", Texts{"y"}));
  CHECK(absl::IsAborted(next.status()));
  CHECK(ReasonOf(next.status()).empty());
  CHECK(t.Head() == 1);
}

LOG_TEST_CASE("log: of those who expect the same, one gets through") {
  constexpr std::size_t kWriters = 4;
  constexpr std::uint64_t kEach = 50;
  LogUnderTest t(kind);
  std::vector<std::vector<std::uint64_t>> stored(kWriters);
  std::vector<std::thread> writers;
  for (std::size_t writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([&t, &own = stored[writer]] {
      std::uint64_t last = 0;
      while (own.size() < kEach) {
        const AppendResult result =
            Append(*t.log, If(last, BatchOf("c", Texts{"x"})));
        if (result.ok()) {
          last = result->front().first_sequence;
          own.push_back(last);
        } else {
          last = std::stoull(
              ReasonDetail(result.status(), "last_sequence").value_or("0"));
        }
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  std::vector<std::uint64_t> all;
  for (const auto& own : stored) all.insert(all.end(), own.begin(), own.end());
  std::sort(all.begin(), all.end());
  CHECK(all == Sequences(1, kWriters * kEach));
  CHECK(t.Head() == kWriters * kEach);
}

LOG_TEST_CASE(
    "log: a first message that is refused takes no other one with it that is "
    "stored at the same time") {
  LogUnderTest t(kind);
  for (int round = 0; round < 100; ++round) {
    const std::string channel = "c" + std::to_string(round);
    std::atomic<bool> stored = false;
    std::atomic<bool> refuses = false;
    std::thread refused([&] {
      while (!stored) {
        AppendBatch batch = BatchOf(channel, Texts{"refused"});
        batch.expected_last_sequence = 99;
        if (Append(*t.log, std::move(batch)).ok()) std::abort();
        refuses = true;
      }
    });
    while (!refuses) std::this_thread::yield();
    t.Append({"stored"}, channel);
    stored = true;
    refused.join();
    const auto reader = t.Open(Start::Earliest(), false, channel);
    const ReadToHead all(*reader);
    CHECK(all.gaps.empty());
    REQUIRE(all.messages.size() == 1);
  }
}

}  // namespace
}  // namespace messenger::test
