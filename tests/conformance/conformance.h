// What every MessageLog must do: test cases against the seam
// (log/message_log.h) alone. Each runs over every kind of log (kinds.h).
//
//   LOG_TEST_CASE("log: sequences start at 1") {
//     LogUnderTest t(kind);
//     ...
//   }
//
// A log may complete appends and reads on threads of its own; the tests wait
// for them, with a deadline.
#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/reason.h"
#include "base/status.h"
#include "conformance/kinds.h"
#include "log/message_log.h"
#include "messenger/log.h"
#include "messenger/message.h"
#include "support/fake_clock.h"
#include "support/log_access.h"

// A test case for each kind of log, which its body knows as `kind`.
#define LOG_TEST_CASE(name) \
  MESSENGER_LOG_TEST_CASE(name, DOCTEST_ANONYMOUS(log_test_case_))
#define MESSENGER_LOG_TEST_CASE(name, body)             \
  static void body(::messenger::test::LogKind& kind);   \
  TEST_CASE_TEMPLATE(name, Kind, MESSENGER_LOG_KINDS) { \
    body(Kind::Open);                                   \
  }                                                     \
  static void body(::messenger::test::LogKind& kind)

namespace messenger::test {

using Texts = std::vector<std::string>;

inline constexpr std::uint64_t kSmallestRetention = std::uint64_t{64} << 10;

inline LogOptions SmallRetention() {
  return {.retention = {.max_bytes = kSmallestRetention}};
}

inline LogOptions OneHourRetention() {
  return {.retention = {.max_age = std::chrono::hours(1)}};
}

// A log, the clock it reads, and short ways to use it.
struct LogUnderTest {
  explicit LogUnderTest(LogKind& kind, const LogOptions& options = {})
      : log(kind(options, clock)) {}

  std::vector<Stored> Append(const Texts& texts,
                             std::string_view channel = "c") {
    return MustAppend(*log, BatchOf(channel, texts));
  }

  std::vector<Stored> AppendAs(const ProducerId& producer, std::uint64_t first,
                               const Texts& texts,
                               std::string_view channel = "c") {
    return MustAppend(*log, BatchOf(channel, producer, first, texts));
  }

  // The message of the FAILED_PRECONDITION that it must be.
  std::string RefusalOf(const ProducerId& producer, std::uint64_t first,
                        const Texts& texts, std::string_view channel = "c") {
    const AppendResult result =
        test::Append(*log, BatchOf(channel, producer, first, texts));
    CHECK(result.status().code() == absl::StatusCode::kFailedPrecondition);
    return std::string(MessageOf(result.status()));
  }

  std::unique_ptr<LogReader> Open(const Start& start, bool strict = false,
                                  std::string_view channel = "c") {
    return log->OpenReader(channel, start, {.strict = strict});
  }

  // The message of the OUT_OF_RANGE that it must be.
  std::string StartErrorOf(const Start& start, bool strict = false,
                           std::string_view channel = "c") {
    const auto reader = Open(start, strict, channel);
    const auto result = TryRead(*reader);
    CHECK(result.status().code() == absl::StatusCode::kOutOfRange);
    return std::string(MessageOf(result.status()));
  }

  // The sequence that a reader with this start gets first, or would.
  std::uint64_t NextAt(const Start& start, bool strict = false) {
    const auto reader = Open(start, strict);
    return Read(*reader).next_sequence;
  }

  std::uint64_t Head(std::string_view channel = "c") {
    const auto info = GetChannel(*log, channel);
    return info.ok() ? info->head : 0;
  }
  std::uint64_t First(std::string_view channel = "c") {
    const auto info = GetChannel(*log, channel);
    return info.ok() ? info->first_sequence : 0;
  }

  // Appends, a second apart, until retention has dropped messages after
  // `after`.
  void AppendUntilDropped(std::uint64_t after) {
    for (int i = 0; i < 10'000; ++i) {
      clock.Advance(std::chrono::seconds(1));
      Append({std::string(1000, 'x')});
      if (First() > after + 1) return;
    }
    throw std::runtime_error("retention does not drop anything");
  }

  FakeClock clock;
  std::shared_ptr<MessageLog> log;
};

// Of the FAILED_PRECONDITION that it must be.
inline std::string ReasonOfRefusal(LogUnderTest& t, AppendBatch batch) {
  const AppendResult result = Append(*t.log, std::move(batch));
  CHECK(result.status().code() == absl::StatusCode::kFailedPrecondition);
  return ReasonOf(result.status());
}

inline std::vector<std::uint64_t> SequencesOf(
    const std::vector<Stored>& receipts) {
  std::vector<std::uint64_t> sequences;
  for (const Stored& receipt : receipts) sequences.push_back(receipt.sequence);
  return sequences;
}

// Runs a function at each append and counts them.
class Listener final : public LogListener {
 public:
  explicit Listener(std::function<void(std::string_view)> on_append = {})
      : on_append_(std::move(on_append)) {}

  void OnAppend(std::string_view channel) override {
    if (on_append_) on_append_(channel);
    const std::lock_guard lock(mutex_);
    ++appends_[std::string(channel)];
    ++total_;
    changed_.notify_all();
  }

  // False if there are not so many before the deadline.
  bool WaitForAppends(std::string_view channel, int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kLogDeadline, [&] {
      return appends_[std::string(channel)] >= count;
    });
  }

  std::uint64_t total() {
    const std::lock_guard lock(mutex_);
    return total_;
  }

  // Until there are more than `seen`, or the deadline.
  bool WaitForMoreThan(std::uint64_t seen) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kLogDeadline, [&] { return total_ > seen; });
  }

 private:
  const std::function<void(std::string_view)> on_append_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, int> appends_;
  std::uint64_t total_ = 0;
};

}  // namespace messenger::test
