// What every MessageLog must do: test cases against the seam
// (log/message_log.h) alone.
//
//   class MyLogFixture {
//    public:
//     // An empty log that reads `clock`, which outlives it. Destroyed before
//     // the fixture.
//     std::shared_ptr<MessageLog> Open(const LogOptions& options,
//                                      const FakeClock& clock);
//   };
//
//   MESSENGER_LOG_CONFORMANCE(MyLogFixture);   // at namespace scope, global
//
// A log may complete appends and reads on threads of its own; the tests wait
// for them, with a deadline.
#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status.h"
#include "log/message_log.h"
#include "messenger/log.h"
#include "messenger/message.h"
#include "support/fake_clock.h"
#include "support/log_access.h"
#include "support/printing.h"
#include "support/seed.h"
#include "wire/coding.h"
#include "wire/entry.h"

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
template <typename Fixture>
struct LogUnderTest {
  explicit LogUnderTest(const LogOptions& options = {})
      : log(fixture.Open(options, clock)) {}

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

  Fixture fixture;
  FakeClock clock;
  std::shared_ptr<MessageLog> log;
};

inline std::vector<std::uint64_t> SequencesOf(
    const std::vector<Stored>& receipts) {
  std::vector<std::uint64_t> sequences;
  for (const Stored& receipt : receipts) sequences.push_back(receipt.sequence);
  return sequences;
}

inline std::vector<Stored> AsDuplicates(std::vector<Stored> receipts) {
  for (Stored& receipt : receipts) receipt.duplicate = true;
  return receipts;
}

template <typename T>
std::vector<T> Concat(std::vector<T> a, const std::vector<T>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// ---------------------------------------------------------------------------
// Appending

TEST_CASE_TEMPLATE_DEFINE("log: sequences start at 1 and have no holes",
                          Fixture, log_sequences_are_dense) {
  LogUnderTest<Fixture> t;
  CHECK(SequencesOf(t.Append({"a"})) == Sequences(1, 1));
  CHECK(SequencesOf(t.Append({"b", "c", "d"})) == Sequences(2, 4));
  CHECK(SequencesOf(t.Append({"e"})) == Sequences(5, 5));
  const auto reader = t.Open(Start::Earliest());
  const ReadToHead all(*reader);
  CHECK(all.sequences() == Sequences(1, 5));
  CHECK(all.texts() == Texts{"a", "b", "c", "d", "e"});
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a receipt says where and when the messages were stored", Fixture,
    log_receipts) {
  LogUnderTest<Fixture> t;
  CHECK(t.log->epoch() != 0);
  t.Append({"before"});
  t.clock.Advance(std::chrono::seconds(7));
  const AppendResult result =
      Append(*t.log, BatchOf("c", Texts{"a", "b", "c"}));
  REQUIRE(result.ok());
  REQUIRE(result->size() == 1);
  const wire::ReceiptRun& run = result->front();
  CHECK(run.epoch == t.log->epoch());
  CHECK(run.first_sequence == 2);
  CHECK(run.count == 3);
  CHECK((run.send_time == t.clock.now()));
  CHECK_FALSE(run.duplicate);
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: the messages of a batch have the one send time of their receipt",
    Fixture, log_batch_has_one_time) {
  LogUnderTest<Fixture> t;
  const std::vector<Stored> receipts = t.Append({"a", "b", "c"});
  const auto reader = t.Open(Start::Earliest());
  const ReadToHead all(*reader);
  REQUIRE(all.messages.size() == 3);
  for (const OwnedMessage& message : all.messages) {
    CHECK((message.send_time == receipts.front().send_time));
  }
}

TEST_CASE_TEMPLATE_DEFINE("log: messages come back as they were sent", Fixture,
                          log_messages_come_back) {
  LogUnderTest<Fixture> t;
  const std::string long_text(100'000, 'x');
  AppendBatch batch =
      BatchOf("c", std::vector<NewMessage>{
                       {},
                       {.author = "ann", .text = "hello"},
                       {.text = long_text},
                       {.attributes = {{"b", "1"}, {"a", ""}, {"b", "2"}}}});
  batch.producer_id = Producer(7);
  batch.first_producer_sequence = 1;
  MustAppend(*t.log, std::move(batch));
  t.Append({"without producer"});

  const auto reader = t.Open(Start::Earliest());
  const std::vector<OwnedMessage> messages = ReadToHead(*reader).messages;
  REQUIRE(messages.size() == 5);
  CHECK(messages[0].author == "");
  CHECK(messages[0].text == "");
  CHECK(messages[0].attributes.empty());
  CHECK(messages[1].author == "ann");
  CHECK(messages[1].text == "hello");
  CHECK((messages[2].text == long_text));
  const std::vector<std::pair<std::string, std::string>> attributes = {
      {"b", "1"}, {"a", ""}, {"b", "2"}};
  CHECK((messages[3].attributes == attributes));
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK((messages[i].producer_id == Producer(7)));
    CHECK(messages[i].producer_sequence == i + 1);
  }
  CHECK((messages[4].producer_id == ProducerId{}));
  CHECK(messages[4].producer_sequence == 0);
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: send time never goes backwards, though the clock does", Fixture,
    log_time_is_monotone) {
  LogUnderTest<Fixture> t;
  const Timestamp before = t.Append({"a"}).front().send_time;
  t.clock.StepWallClock(-std::chrono::hours(5));
  CHECK((t.Append({"b"}).front().send_time == before));
  t.clock.Advance(std::chrono::hours(4));
  CHECK((t.Append({"c"}).front().send_time == before));
  t.clock.Advance(std::chrono::hours(2));
  CHECK((t.Append({"d"}).front().send_time == before + std::chrono::hours(1)));
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: send time does not go backwards over the deletion of the channel",
    Fixture, log_time_is_monotone_over_deletion) {
  LogUnderTest<Fixture> t;
  const Timestamp before = t.Append({"a"}).front().send_time;
  REQUIRE(Delete(*t.log, "c").ok());
  t.clock.StepWallClock(-std::chrono::hours(5));
  CHECK((t.Append({"b"}).front().send_time >= before));
}

TEST_CASE_TEMPLATE_DEFINE("log: a batch that is refused leaves nothing behind",
                          Fixture, log_refused_batch_leaves_nothing) {
  LogUnderTest<Fixture> t;
  t.AppendAs(Producer(1), 1, {"a", "b"});
  // The first message repeats the second one with another content.
  t.RefusalOf(Producer(1), 2, {"B", "c", "d"});
  CHECK(t.Head() == 2);
  CHECK(SequencesOf(t.AppendAs(Producer(1), 3, {"c"})) == Sequences(3, 3));
  const auto reader = t.Open(Start::Earliest());
  CHECK(ReadToHead(*reader).texts() == Texts{"a", "b", "c"});
}

TEST_CASE_TEMPLATE_DEFINE("log: channels have sequences of their own", Fixture,
                          log_channels_are_independent) {
  LogUnderTest<Fixture> t;
  t.Append({"a", "b"}, "one");
  CHECK(SequencesOf(t.Append({"c"}, "two")) == Sequences(1, 1));
  CHECK(SequencesOf(t.Append({"d"}, "one")) == Sequences(3, 3));
  const auto one = t.Open(Start::Earliest(), false, "one");
  const auto two = t.Open(Start::Earliest(), false, "two");
  CHECK(ReadToHead(*one).texts() == Texts{"a", "b", "d"});
  CHECK(ReadToHead(*two).texts() == Texts{"c"});
}

// ---------------------------------------------------------------------------
// Appenders

// Appends without waiting, and keeps the results in the order in which they
// come.
class Pipeline {
 public:
  // `on_done` runs within each `done`, with the number of the batch.
  explicit Pipeline(std::unique_ptr<LogAppender> appender,
                    std::function<void(std::size_t)> on_done = {})
      : appender_(std::move(appender)) {
    state_->on_done = std::move(on_done);
  }

  void Append(AppendBatch batch) {
    appender_->Append(std::move(batch), [state = state_, number = appended_++](
                                            AppendResult result) {
      if (state->on_done) state->on_done(number);
      const std::lock_guard lock(state->mutex);
      state->numbers.push_back(number);
      state->results.push_back(std::move(result));
      state->changed.notify_all();
    });
  }

  void DestroyAppender() { appender_.reset(); }

  std::size_t completed() const {
    const std::lock_guard lock(state_->mutex);
    return state_->results.size();
  }

  // The results of all appends, which must have come in their order.
  std::vector<AppendResult> Await() const {
    std::unique_lock lock(state_->mutex);
    if (!state_->changed.wait_for(lock, kLogDeadline, [this] {
          return state_->results.size() >= appended_;
        })) {
      throw std::runtime_error(fmt::format("{} of {} appends have completed",
                                           state_->results.size(), appended_));
    }
    std::vector<std::size_t> numbers(appended_);
    std::iota(numbers.begin(), numbers.end(), std::size_t{0});
    if (state_->numbers != numbers) {
      throw std::runtime_error("appends complete twice or out of order");
    }
    return state_->results;
  }

  // How they went, as names of status codes.
  Texts AwaitCodes() const {
    Texts codes;
    for (const AppendResult& result : Await()) {
      codes.push_back(absl::StatusCodeToString(result.status().code()));
    }
    return codes;
  }

 private:
  struct State {
    std::function<void(std::size_t)> on_done;
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<std::size_t> numbers;
    std::vector<AppendResult> results;
  };

  std::unique_ptr<LogAppender> appender_;
  std::size_t appended_ = 0;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

TEST_CASE_TEMPLATE_DEFINE(
    "log: what one appender is given is stored in its order, across channels",
    Fixture, log_appender_order) {
  constexpr std::size_t kBatches = 90;
  const Texts channels = {"a", "b", "c"};
  struct Asked {
    std::size_t n;
    std::size_t done;
    Completion<absl::StatusOr<ChannelInfo>> answer;
  };
  std::vector<Asked> asked;
  LogUnderTest<Fixture> t;
  // Batch n is number n / 3 + 1 of its channel.
  Pipeline pipeline(t.log->OpenAppender(), [&](std::size_t done) {
    for (std::size_t n = 0; n <= done; ++n) {
      asked.push_back({.n = n, .done = done, .answer = {}});
      t.log->GetChannel(channels[n % 3], asked.back().answer.Callback());
    }
  });
  for (std::size_t n = 0; n < kBatches; ++n) {
    pipeline.Append(BatchOf(channels[n % 3], Texts{std::to_string(n)}));
  }
  CHECK(pipeline.AwaitCodes() == Texts(kBatches, "OK"));
  Texts missing;
  for (Asked& one : asked) {
    const auto info = one.answer.Wait("GetChannel");
    if (!info.ok() || info->head < one.n / 3 + 1) {
      missing.push_back(fmt::format("{} when {} is done", one.n, one.done));
    }
  }
  CHECK(missing == Texts{});
  for (std::size_t first = 0; first < channels.size(); ++first) {
    Texts expected;
    for (std::size_t n = first; n < kBatches; n += 3) {
      expected.push_back(std::to_string(n));
    }
    const auto reader = t.Open(Start::Earliest(), false, channels[first]);
    CHECK(ReadToHead(*reader).texts() == expected);
  }
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: what follows a failure on an appender fails without being looked at",
    Fixture, log_appender_failure) {
  LogUnderTest<Fixture> t;
  t.AppendAs(Producer(1), 1, {"before"});
  Pipeline pipeline(t.log->OpenAppender());
  pipeline.Append(BatchOf("c", Texts{"stored"}));
  pipeline.Append(BatchOf("c", Producer(1), 5, {"a skip"}));
  // These are fine by themselves, in this channel and in others,
  pipeline.Append(BatchOf("c", Texts{"next"}));
  pipeline.Append(BatchOf("d", Texts{"elsewhere"}));
  pipeline.Append(BatchOf("c", Producer(1), 1, {"before"}));
  // and this one would be refused.
  pipeline.Append(BatchOf("c", Producer(1), 7, {"another skip"}));
  Texts codes = {
      "OK", "FAILED_PRECONDITION", "ABORTED", "ABORTED", "ABORTED", "ABORTED"};
  CHECK(pipeline.AwaitCodes() == codes);
  // When the failure is known, it is the same.
  pipeline.Append(BatchOf("c", Texts{"late"}));
  codes.emplace_back("ABORTED");
  CHECK(pipeline.AwaitCodes() == codes);

  const auto reader = t.Open(Start::Earliest());
  CHECK(ReadToHead(*reader).texts() == Texts{"before", "stored"});
  CHECK(t.Head("d") == 0);
}

TEST_CASE_TEMPLATE_DEFINE("log: a failure on one appender is no other one's",
                          Fixture, log_appender_failure_elsewhere) {
  LogUnderTest<Fixture> t;
  Pipeline failing(t.log->OpenAppender());
  Pipeline other(t.log->OpenAppender());
  other.Append(BatchOf("c", Texts{"1"}));
  failing.Append(BatchOf("c", Producer(1), 5, {"a skip"}));
  other.Append(BatchOf("c", Texts{"2"}));
  failing.Append(BatchOf("c", Texts{"next"}));
  other.Append(BatchOf("c", Texts{"3"}));
  CHECK(other.AwaitCodes() == Texts{"OK", "OK", "OK"});
  CHECK(failing.AwaitCodes() == Texts{"FAILED_PRECONDITION", "ABORTED"});
  Pipeline after(t.log->OpenAppender());
  after.Append(BatchOf("c", Producer(1), 1, {"4"}));
  CHECK(after.AwaitCodes() == Texts{"OK"});
  const auto reader = t.Open(Start::Earliest());
  CHECK(ReadToHead(*reader).texts() == Texts{"1", "2", "3", "4"});
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: what an appender was given goes on when it is destroyed", Fixture,
    log_appender_destroyed) {
  LogUnderTest<Fixture> t;
  Pipeline pipeline(t.log->OpenAppender());
  for (int i = 0; i < 20; ++i) pipeline.Append(BatchOf("c", Texts{"x"}));
  pipeline.Append(BatchOf("c", Producer(1), 5, {"a skip"}));
  for (int i = 0; i < 5; ++i) pipeline.Append(BatchOf("c", Texts{"y"}));
  pipeline.DestroyAppender();
  Texts codes(20, "OK");
  codes.emplace_back("FAILED_PRECONDITION");
  codes.resize(26, "ABORTED");
  CHECK(pipeline.AwaitCodes() == codes);
  CHECK(t.Head() == 20);
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: when a log is destroyed, each append has completed; an appender may "
    "be destroyed after it",
    Fixture, log_appender_outlives_log) {
  LogUnderTest<Fixture> t;
  Pipeline pipeline(t.log->OpenAppender());
  for (int i = 0; i < 20; ++i) pipeline.Append(BatchOf("c", Texts{"x"}));
  t.log.reset();
  CHECK(pipeline.completed() == 20);
  pipeline.DestroyAppender();
}

// ---------------------------------------------------------------------------
// Starting to read

TEST_CASE_TEMPLATE_DEFINE(
    "log: a new-only reader gets what is appended after its first read",
    Fixture, log_start_new_only) {
  LogUnderTest<Fixture> t;
  t.Append({"a"});
  const auto reader = t.Open(Start::NewOnly());
  t.Append({"b"});
  const ReadResult joined = Read(*reader);
  CHECK(joined.count == 0);
  CHECK(joined.next_sequence == 3);
  CHECK(joined.head == 2);
  CHECK_FALSE(joined.gap.has_value());
  t.Append({"c"});
  CHECK(ReadToHead(*reader).texts() == Texts{"c"});
}

TEST_CASE_TEMPLATE_DEFINE("log: an earliest reader gets all that is stored",
                          Fixture, log_start_earliest) {
  LogUnderTest<Fixture> t;
  t.Append({"a", "b"});
  const auto reader = t.Open(Start::Earliest(), /*strict=*/true);
  CHECK(ReadToHead(*reader).texts() == Texts{"a", "b"});
  CHECK(Read(*reader).count == 0);
  t.Append({"c"});
  CHECK(ReadToHead(*reader).texts() == Texts{"c"});
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a start by sequence is inclusive, up to one past the head", Fixture,
    log_start_sequence) {
  LogUnderTest<Fixture> t;
  t.Append({"a", "b", "c"});
  for (std::uint64_t sequence = 1; sequence <= 4; ++sequence) {
    CAPTURE(sequence);
    const auto reader = t.Open(Start::At(sequence), /*strict=*/true);
    const ReadToHead rest(*reader);
    CHECK(rest.sequences() == Sequences(sequence, 3));
    CHECK(rest.next_sequence == 4);
  }
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a start beyond the head is refused, naming both", Fixture,
    log_start_beyond_head) {
  LogUnderTest<Fixture> t;
  t.Append({"a", "b", "c"});
  for (const std::uint64_t sequence : {std::uint64_t{5}, UINT64_MAX}) {
    const std::string error = t.StartErrorOf(Start::At(sequence));
    CAPTURE(error);
    CHECK(Contains(error, "sequence"));
    CHECK(Contains(error, std::to_string(sequence)));
    CHECK(Contains(error, "\"c\""));
    CHECK(Contains(error, "3"));
  }
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a position beyond the head goes on after the head and says so, or is "
    "refused if strict",
    Fixture, log_position_beyond_head) {
  LogUnderTest<Fixture> t;
  t.Append({"a", "b", "c"});
  const std::uint64_t epoch = t.log->epoch();
  for (const std::uint64_t sequence : {std::uint64_t{4}, UINT64_MAX - 1}) {
    const auto reader = t.Open(Start::After({epoch, sequence}));
    const ReadToHead rest(*reader);
    CHECK(rest.gaps ==
          std::vector<Gap>{{sequence + 1, 4, Gap::Reason::kRolledBack}});
    CHECK(rest.sequences().empty());
    CHECK(rest.next_sequence == 4);

    const auto strict =
        t.Open(Start::After({epoch, sequence}), /*strict=*/true);
    const auto refused = TryRead(*strict, {.max_bytes = 1000});
    REQUIRE(absl::IsOutOfRange(refused.status()));
    const std::string error(refused.status().message());
    CAPTURE(error);
    CHECK(Contains(error, "resume_after"));
    CHECK(Contains(error, std::to_string(sequence)));
    CHECK(Contains(error, "3"));
  }
  // The largest sequence has none after it.
  const auto reader = t.Open(Start::After({epoch, UINT64_MAX}));
  CHECK(ReadToHead(*reader).gaps ==
        std::vector<Gap>{{UINT64_MAX, 4, Gap::Reason::kRolledBack}});
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a start by time is the first message not sent before it", Fixture,
    log_start_time) {
  LogUnderTest<Fixture> t;
  using std::chrono::nanoseconds;
  std::vector<Timestamp> times;
  for (int i = 0; i < 4; ++i) {
    t.clock.Advance(std::chrono::seconds(1));
    t.Append({"a", "b"});  // 1 2, 3 4, 5 6, 7 8
    times.push_back(t.clock.now());
  }
  CHECK(t.NextAt(Start::Since(Timestamp())) == 1);
  CHECK(t.NextAt(Start::Since(times[0] - nanoseconds(1))) == 1);
  CHECK(t.NextAt(Start::Since(times[0])) == 1);
  CHECK(t.NextAt(Start::Since(times[0] + nanoseconds(1))) == 3);
  CHECK(t.NextAt(Start::Since(times[2])) == 5);
  CHECK(t.NextAt(Start::Since(times[3] - nanoseconds(1))) == 7);
  CHECK(t.NextAt(Start::Since(times[3])) == 7);
  CHECK(t.NextAt(Start::Since(times[3] + nanoseconds(1))) == 9);
  CHECK(t.NextAt(Start::Since(times[3] + std::chrono::hours(1))) == 9);
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a start by time finds its message among very many", Fixture,
    log_start_time_among_many) {
  LogUnderTest<Fixture> t;
  std::vector<Timestamp> times;
  for (int i = 0; i < 1000; ++i) {
    // Several batches share a time.
    if (i % 3 == 0) t.clock.Advance(std::chrono::milliseconds(5));
    t.Append({std::string(static_cast<std::size_t>(i), 'x')});
    times.push_back(t.clock.now());
  }
  for (std::size_t i = 0; i < times.size(); i += 7) {
    const auto first =
        std::lower_bound(times.begin(), times.end(), times[i]) - times.begin();
    CAPTURE(i);
    CHECK(t.NextAt(Start::Since(times[i])) ==
          static_cast<std::uint64_t>(first) + 1);
  }
}

TEST_CASE_TEMPLATE_DEFINE("log: a start by count is so many before the end",
                          Fixture, log_start_last) {
  LogUnderTest<Fixture> t;
  t.Append({"a", "b", "c"});
  CHECK(t.NextAt(Start::Last(0), /*strict=*/true) == 4);
  CHECK(t.NextAt(Start::Last(1), /*strict=*/true) == 3);
  CHECK(t.NextAt(Start::Last(3), /*strict=*/true) == 1);
  CHECK(t.NextAt(Start::Last(4), /*strict=*/true) == 1);
  CHECK(t.NextAt(Start::Last(UINT64_MAX), /*strict=*/true) == 1);
}

TEST_CASE_TEMPLATE_DEFINE("log: a position resumes right after it", Fixture,
                          log_start_after) {
  LogUnderTest<Fixture> t;
  t.Append({"a", "b", "c"});
  const std::uint64_t epoch = t.log->epoch();
  for (std::uint64_t sequence = 0; sequence <= 3; ++sequence) {
    CAPTURE(sequence);
    const auto reader =
        t.Open(Start::After({epoch, sequence}), /*strict=*/true);
    const ReadToHead rest(*reader);
    CHECK(rest.gaps.empty());
    CHECK(rest.sequences() == Sequences(sequence + 1, 3));
  }
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a position of another epoch begins with the oldest message and says "
    "so",
    Fixture, log_start_after_other_epoch) {
  LogUnderTest<Fixture> t;
  t.Append({"a", "b", "c"});
  const std::uint64_t other = t.log->epoch() ^ 1U;
  for (const std::uint64_t sequence : {0U, 2U, 3U, 7U}) {
    const auto reader = t.Open(Start::After({other, sequence}));
    const ReadToHead all(*reader);
    REQUIRE(all.gaps.size() == 1);
    CHECK(all.gaps[0] == Gap{.first_missing = sequence + 1,
                             .next = 1,
                             .reason = Gap::Reason::kNewEpoch});
    CHECK(all.sequences() == Sequences(1, 3));
  }
  const std::string error =
      t.StartErrorOf(Start::After({other, 2}), /*strict=*/true);
  CAPTURE(error);
  CHECK(Contains(error, "strict"));
  CHECK(Contains(error, "epoch"));
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a channel that does not exist yet can be read from any start at its "
    "beginning",
    Fixture, log_start_without_channel) {
  LogUnderTest<Fixture> t;
  const std::uint64_t epoch = t.log->epoch();
  for (const Start& start : {Start::NewOnly(), Start::Earliest(), Start::At(1),
                             Start::Since(t.clock.now()), Start::Last(5),
                             Start::Last(0), Start::After({epoch, 0})}) {
    CAPTURE(static_cast<int>(start.kind));
    const std::string channel =
        fmt::format("{}-{}", static_cast<int>(start.kind), start.number);
    const auto reader = t.Open(start, /*strict=*/true, channel);
    const ReadResult joined = Read(*reader);
    CHECK(joined.count == 0);
    CHECK(joined.head == 0);
    CHECK(joined.next_sequence == 1);
    CHECK_FALSE(joined.gap.has_value());
    CHECK_FALSE(reader->Behind());
    t.Append({"a"}, channel);
    CHECK(reader->Behind());
    CHECK(ReadToHead(*reader).texts() == Texts{"a"});
  }
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: in a channel that does not exist yet, all but its beginning is "
    "beyond "
    "the head",
    Fixture, log_start_beyond_head_without_channel) {
  LogUnderTest<Fixture> t;
  CHECK(Contains(t.StartErrorOf(Start::At(2)), "2"));
  CHECK(ReadToHead(*t.Open(Start::After({t.log->epoch(), 1}))).gaps ==
        std::vector<Gap>{{2, 1, Gap::Reason::kRolledBack}});
  const auto reader = t.Open(Start::After({t.log->epoch() ^ 1U, 7}));
  const ReadResult joined = Read(*reader);
  REQUIRE(joined.gap.has_value());
  CHECK(*joined.gap ==
        Gap{.first_missing = 8, .next = 1, .reason = Gap::Reason::kNewEpoch});
  CHECK(joined.next_sequence == 1);
}

TEST_CASE_TEMPLATE_DEFINE("log: to read a channel does not create it", Fixture,
                          log_reading_creates_nothing) {
  LogUnderTest<Fixture> t;
  const auto reader = t.Open(Start::Earliest());
  Read(*reader);
  CHECK(GetChannel(*t.log, "c").status().code() == absl::StatusCode::kNotFound);
  CHECK(ListChannels(*t.log, "", 10).empty());
}

// ---------------------------------------------------------------------------
// Reading within bounds

TEST_CASE_TEMPLATE_DEFINE("log: a read returns at most so many messages",
                          Fixture, log_bound_count) {
  LogUnderTest<Fixture> t;
  t.Append(Texts(10, "text"));
  const auto reader = t.Open(Start::Earliest());
  std::uint64_t next = 1;
  while (next <= 10) {
    const ReadResult result =
        Read(*reader, {.max_bytes = std::size_t{1} << 20, .max_count = 3});
    CHECK(result.next_sequence == next);
    CHECK(result.head == 10);
    REQUIRE(result.count >= 1);
    CHECK(result.count <= 3);
    next += MessagesIn(result).size();
  }
  CHECK(next == 11);
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a read returns at most so many bytes, or one message", Fixture,
    log_bound_bytes) {
  LogUnderTest<Fixture> t;
  Texts texts;
  for (std::size_t i = 0; i < 200; ++i) {
    texts.emplace_back((i * 37) % 1000, 'x');
  }
  t.Append(texts);
  for (const std::size_t max_bytes : {0U, 1U, 500U, 2000U, 10000U}) {
    CAPTURE(max_bytes);
    const auto reader = t.Open(Start::Earliest());
    Texts read;
    while (read.size() < texts.size()) {
      const ReadResult result = Read(*reader, {.max_bytes = max_bytes});
      REQUIRE(result.count >= 1);
      const bool within = BytesIn(result) <= max_bytes || result.count == 1;
      CHECK(within);
      for (OwnedMessage& message : MessagesIn(result)) {
        read.push_back(std::move(message.text));
      }
    }
    CHECK((read == texts));
  }
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a message larger than the bound is returned alone", Fixture,
    log_bound_bytes_oversize) {
  LogUnderTest<Fixture> t;
  t.Append({"small", std::string(300'000, 'x'), "small"});
  const auto reader = t.Open(Start::Earliest());
  const ReadBounds bounds{.max_bytes = 1000};
  CHECK(MessagesIn(Read(*reader, bounds)).size() == 1);
  const std::vector<OwnedMessage> large = MessagesIn(Read(*reader, bounds));
  REQUIRE(large.size() == 1);
  CHECK(large[0].text.size() == 300'000);
  const std::vector<OwnedMessage> last = MessagesIn(Read(*reader, bounds));
  REQUIRE(last.size() == 1);
  CHECK(last[0].sequence == 3);
}

TEST_CASE_TEMPLATE_DEFINE("log: a read leaves what comes after last_sequence",
                          Fixture, log_bound_last_sequence) {
  LogUnderTest<Fixture> t;
  t.Append(Texts(10, "text"));
  const auto reader = t.Open(Start::Earliest());
  const auto bounds = [](std::uint64_t last) {
    return ReadBounds{.max_bytes = std::size_t{1} << 20, .last_sequence = last};
  };
  ReadResult result = Read(*reader, bounds(0));
  CHECK(result.count == 0);
  CHECK(result.next_sequence == 1);
  CHECK(result.head == 10);
  result = Read(*reader, bounds(4));
  CHECK(result.next_sequence + MessagesIn(result).size() == 5);
  CHECK(result.head == 10);
  result = Read(*reader, bounds(4));
  CHECK(result.count == 0);
  CHECK(result.next_sequence == 5);
  result = Read(*reader, bounds(2));
  CHECK(result.count == 0);
  CHECK(result.next_sequence == 5);
  CHECK(reader->Behind());
  CHECK(ReadToHead(*reader).sequences() == Sequences(5, 10));
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: messages of all sizes are read back over whatever the log keeps them "
    "in",
    Fixture, log_many_sizes) {
  LogUnderTest<Fixture> t;
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  Random random(TestSeed());
  std::vector<std::size_t> sizes;
  while (sizes.size() < 3000) {
    Texts texts;
    for (auto n = random.Between(1, 50); n > 0; --n) {
      const std::size_t size = random.OneIn(300) ? random.Between(0, 400'000)
                                                 : random.Between(0, 2000);
      texts.emplace_back(size, static_cast<char>('a' + size % 26));
      sizes.push_back(size);
    }
    t.Append(texts);
  }
  const auto reader = t.Open(Start::Earliest());
  std::uint64_t wrong = 0;
  std::uint64_t next = 1;
  while (next <= sizes.size()) {
    const ReadBounds bounds{.max_bytes = random.Between(1, 600'000),
                            .max_count = random.Between(1, 1000)};
    const ReadResult result = Read(*reader, bounds);
    REQUIRE(result.next_sequence == next);
    REQUIRE(result.count >= 1);
    for (const OwnedMessage& message : MessagesIn(result)) {
      const std::size_t size = sizes[message.sequence - 1];
      const std::string expected(size, static_cast<char>('a' + size % 26));
      if (message.text != expected) ++wrong;
    }
    next += result.count;
  }
  CHECK(wrong == 0);
  CHECK(next == sizes.size() + 1);
}

TEST_CASE_TEMPLATE_DEFINE("log: a reader may be destroyed after its log",
                          Fixture, log_reader_outlives_log) {
  LogUnderTest<Fixture> t;
  t.Append({"a"});
  const auto reader = t.Open(Start::Earliest());
  CHECK(Read(*reader).count == 1);
  t.log.reset();
}

TEST_CASE_TEMPLATE_DEFINE("log: to cancel a reader that does nothing is fine",
                          Fixture, log_cancel_idle_reader) {
  LogUnderTest<Fixture> t;
  t.Append({"a"});
  const auto reader = t.Open(Start::Earliest());
  reader->Cancel();
  reader->Cancel();
  const auto other = t.Open(Start::Earliest());
  CHECK(Read(*other).count == 1);
}

// ---------------------------------------------------------------------------
// Memory

TEST_CASE_TEMPLATE_DEFINE(
    "log: bytes that were read outlive retention, deletion and the log",
    Fixture, log_bytes_outlive_the_log) {
  LogUnderTest<Fixture> t(SmallRetention());
  Texts texts;
  for (int i = 0; i < 20; ++i) {
    texts.push_back(std::to_string(i) + std::string(500, 'y'));
  }
  t.Append(texts);
  auto reader = t.Open(Start::Earliest());
  // A log may keep them in several places, and take a read for each.
  std::vector<ReadResult> results;
  std::uint64_t count = 0;
  while (count < texts.size()) {
    results.push_back(Read(*reader));
    REQUIRE(results.back().count > 0);
    count += results.back().count;
  }
  const auto check = [&](const char* when) {
    CAPTURE(when);
    Texts read;
    for (const ReadResult& result : results) {
      for (OwnedMessage& m : MessagesIn(result)) read.push_back(m.text);
    }
    CHECK((read == texts));
  };
  check("at once");
  t.AppendUntilDropped(20);
  check("after retention");
  REQUIRE(Delete(*t.log, "c").ok());
  t.Append(Texts(100, std::string(1000, 'z')));
  check("after deletion");
  reader.reset();
  t.log.reset();
  check("after the log");
}

// ---------------------------------------------------------------------------
// Retention

TEST_CASE_TEMPLATE_DEFINE("log: a channel keeps at most so many bytes", Fixture,
                          log_retention_bytes) {
  LogUnderTest<Fixture> t(SmallRetention());
  for (std::uint64_t i = 1; i <= 500; ++i) {
    t.Append({std::string(1000, 'x')});
    const auto info = GetChannel(*t.log, "c");
    REQUIRE(info.ok());
    CHECK(info->head == i);
    CHECK(info->bytes <= kSmallestRetention);
    CHECK(info->first_sequence <= i);
  }
  CHECK(t.First() > 1);
  const auto reader = t.Open(Start::At(t.First()), /*strict=*/true);
  CHECK(ReadToHead(*reader).sequences() == Sequences(t.First(), 500));
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a message that is larger than what is kept is there until the next",
    Fixture, log_retention_large_message) {
  LogUnderTest<Fixture> t(SmallRetention());
  const std::string large(3 * kSmallestRetention, 'x');
  t.Append({"a"});
  for (std::uint64_t i = 2; i <= 6; ++i) {
    t.Append({large});
    CHECK(t.First() == i);
    const auto reader = t.Open(Start::At(i), /*strict=*/true);
    CHECK(ReadToHead(*reader).texts() == Texts{large});
  }
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: the bytes of a channel are those of its stored "
    "messages",
    Fixture, log_info_bytes) {
  LogUnderTest<Fixture> t(SmallRetention());
  const auto stored_bytes = [&t] {
    const auto reader = t.Open(Start::Earliest());
    std::size_t bytes = 0;
    for (;;) {
      const ReadResult result = Read(*reader);
      if (result.count == 0) return bytes;
      bytes += BytesIn(result);
    }
  };
  t.Append({"a", "b"});
  CHECK(GetChannel(*t.log, "c")->bytes == stored_bytes());
  t.AppendUntilDropped(0);
  CHECK(GetChannel(*t.log, "c")->bytes == stored_bytes());
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a reader that retention overtakes is told exactly what it misses",
    Fixture, log_gap_retention) {
  LogUnderTest<Fixture> t(SmallRetention());
  t.Append(Texts(5, "early"));
  const auto reader = t.Open(Start::Earliest());
  const ReadResult early =
      Read(*reader, {.max_bytes = std::size_t{1} << 20, .max_count = 3});
  const std::uint64_t next = early.next_sequence + early.count;
  t.AppendUntilDropped(next + 3);
  const std::uint64_t first = t.First();
  CHECK(reader->Behind());
  const ReadResult result = Read(*reader);
  REQUIRE(result.gap.has_value());
  CHECK(*result.gap == Gap{.first_missing = next,
                           .next = first,
                           .reason = Gap::Reason::kRetention});
  CHECK(result.next_sequence == first);
  REQUIRE(result.count >= 1);
  MessagesIn(result);
  // Once is enough.
  const ReadToHead rest(*reader);
  CHECK(rest.gaps.empty());
  CHECK(rest.next_sequence == t.Head() + 1);
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a start that retention has overtaken begins with a gap, or is "
    "refused "
    "if strict",
    Fixture, log_gap_retention_at_start) {
  LogUnderTest<Fixture> t(SmallRetention());
  t.AppendUntilDropped(5);
  const std::uint64_t first = t.First();
  const std::uint64_t head = t.Head();
  const std::uint64_t epoch = t.log->epoch();
  struct Case {
    Start start;
    std::uint64_t first_missing;
  };
  for (const Case& c :
       {Case{Start::Earliest(), 1}, Case{Start::At(1), 1},
        Case{Start::At(first - 1), first - 1},
        Case{Start::After({epoch, 0}), 1}, Case{Start::After({epoch, 2}), 3},
        Case{Start::Last(head), 1},
        Case{Start::Last(head - first + 2), first - 1}}) {
    CAPTURE(static_cast<int>(c.start.kind));
    CAPTURE(c.first_missing);
    const auto reader = t.Open(c.start);
    const ReadToHead rest(*reader);
    REQUIRE(rest.gaps.size() == 1);
    CHECK(rest.gaps[0] == Gap{.first_missing = c.first_missing,
                              .next = first,
                              .reason = Gap::Reason::kRetention});
    CHECK(rest.sequences() == Sequences(first, head));
    const std::string error = t.StartErrorOf(c.start, /*strict=*/true);
    CAPTURE(error);
    CHECK(Contains(error, "strict"));
    CHECK(Contains(error, std::to_string(first)));
  }
  for (const Start& start : {Start::At(first), Start::After({epoch, first - 1}),
                             Start::Last(head - first + 1)}) {
    CAPTURE(static_cast<int>(start.kind));
    const auto reader = t.Open(start, /*strict=*/true);
    const ReadToHead rest(*reader);
    CHECK(rest.gaps.empty());
    CHECK(rest.sequences() == Sequences(first, head));
  }
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a start by time before what is stored begins with a gap", Fixture,
    log_gap_retention_by_time) {
  LogUnderTest<Fixture> t(SmallRetention());
  const Timestamp begin = t.clock.now();
  t.AppendUntilDropped(5);  // message n is sent n seconds after `begin`
  const std::uint64_t first = t.First();
  const auto time_of = [begin](std::uint64_t sequence) {
    return begin + std::chrono::seconds(sequence);
  };
  for (const Timestamp time : {begin, time_of(2), time_of(first - 1)}) {
    const auto reader = t.Open(Start::Since(time));
    const ReadResult result = Read(*reader);
    REQUIRE(result.gap.has_value());
    CAPTURE(*result.gap);
    CHECK((result.gap->reason == Gap::Reason::kRetention));
    CHECK(result.gap->next == first);
    // The oldest one that may be among the missing ones.
    CHECK(result.gap->first_missing >= 1);
    CHECK((time_of(result.gap->first_missing) <= time || time == begin));
    CHECK(result.next_sequence == first);
    t.StartErrorOf(Start::Since(time), /*strict=*/true);
  }
  CHECK(t.NextAt(Start::Since(time_of(first)), /*strict=*/true) == first);
  CHECK(t.NextAt(Start::Since(time_of(first - 1) + std::chrono::nanoseconds(1)),
                 /*strict=*/true) == first);
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: messages older than the age limit are gone when the channel is next "
    "looked at",
    Fixture, log_retention_age) {
  LogUnderTest<Fixture> t(OneHourRetention());
  t.Append({"a", "b", "c"});
  const auto reader = t.Open(Start::Earliest());
  Read(*reader, {.max_bytes = std::size_t{1} << 20, .max_count = 1});
  t.clock.Advance(std::chrono::hours(1));
  CHECK(t.First() == 1);
  t.clock.Advance(std::chrono::nanoseconds(1));
  SUBCASE("by a reader") {
    CHECK(reader->Behind());
    const ReadResult result = Read(*reader);
    REQUIRE(result.gap.has_value());
    CHECK(*result.gap == Gap{.first_missing = 2,
                             .next = 4,
                             .reason = Gap::Reason::kRetention});
    CHECK(result.count == 0);
    CHECK(result.next_sequence == 4);
    CHECK(result.head == 3);
    CHECK_FALSE(reader->Behind());
  }
  SUBCASE("by a reader that starts") {
    for (const Start& start : {Start::At(1), Start::Earliest()}) {
      const auto other = t.Open(start);
      const ReadResult result = Read(*other);
      REQUIRE(result.gap.has_value());
      CHECK(*result.gap == Gap{.first_missing = 1,
                               .next = 4,
                               .reason = Gap::Reason::kRetention});
      CHECK(result.count == 0);
      t.StartErrorOf(start, /*strict=*/true);
    }
    CHECK(t.NextAt(Start::At(4), /*strict=*/true) == 4);
  }
  SUBCASE("by name") {
    const auto info = GetChannel(*t.log, "c");
    REQUIRE(info.ok());
    CHECK(info->first_sequence == 4);
    CHECK(info->head == 3);
    CHECK(info->bytes == 0);
  }
  SUBCASE("in a list") {
    const std::vector<ChannelInfo> list = ListChannels(*t.log, "", 10);
    REQUIRE(list.size() == 1);
    CHECK(list[0].first_sequence == 4);
    CHECK(list[0].bytes == 0);
  }
  // The next message follows.
  CHECK(SequencesOf(t.Append({"d"})) == Sequences(4, 4));
  CHECK(t.First() == 4);
  const auto rest = t.Open(Start::Earliest());
  const ReadToHead all(*rest);
  REQUIRE(all.gaps.size() == 1);
  CHECK(all.gaps[0] ==
        Gap{.first_missing = 1, .next = 4, .reason = Gap::Reason::kRetention});
  CHECK(all.texts() == Texts{"d"});
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: age is by the steady clock, so setting the wall clock drops nothing",
    Fixture, log_retention_age_is_steady) {
  LogUnderTest<Fixture> t(OneHourRetention());
  t.Append({"a"});
  t.clock.StepWallClock(std::chrono::hours(1000));
  CHECK(t.First() == 1);
  t.clock.StepWallClock(-std::chrono::hours(2000));
  CHECK(t.First() == 1);
  // A machine that comes up in 2098, and learns the time later.
  constexpr std::chrono::hours kYears{24 * 365 * 72};
  t.clock.StepWallClock(kYears);
  t.Append({"b"});
  CHECK(t.First() == 1);
  t.clock.StepWallClock(-kYears);
  CHECK(t.First() == 1);
  t.clock.Advance(std::chrono::hours(2));
  CHECK(t.First() == 3);
}

// ---------------------------------------------------------------------------
// Deleting

TEST_CASE_TEMPLATE_DEFINE("log: a deleted channel is not there any more",
                          Fixture, log_delete) {
  LogUnderTest<Fixture> t;
  t.Append({"a", "b"});
  t.Append({"other"}, "d");
  CHECK(Delete(*t.log, "c").ToString() == "OK");
  CHECK(GetChannel(*t.log, "c").status().code() == absl::StatusCode::kNotFound);
  const std::vector<ChannelInfo> list = ListChannels(*t.log, "", 10);
  REQUIRE(list.size() == 1);
  CHECK(list[0].name == "d");
}

TEST_CASE_TEMPLATE_DEFINE("log: a channel that is not there cannot be deleted",
                          Fixture, log_delete_not_found) {
  LogUnderTest<Fixture> t;
  const absl::Status status = Delete(*t.log, "c");
  CHECK(status.code() == absl::StatusCode::kNotFound);
  CHECK(Contains(MessageOf(status), "\"c\""));
  t.Append({"a"});
  CHECK(Delete(*t.log, "c").ok());
  CHECK(Delete(*t.log, "c").code() == absl::StatusCode::kNotFound);
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a deleted channel continues its sequence, and readers are told of "
    "the "
    "gap",
    Fixture, log_delete_and_recreate) {
  LogUnderTest<Fixture> t;
  t.Append(Texts(5, "old"));
  const auto reader = t.Open(Start::Earliest());
  const ReadResult before =
      Read(*reader, {.max_bytes = std::size_t{1} << 20, .max_count = 2});
  const std::uint64_t next = before.next_sequence + before.count;
  const auto caught_up = t.Open(Start::NewOnly());
  Read(*caught_up);
  REQUIRE(Delete(*t.log, "c").ok());

  CHECK(reader->Behind());
  const ReadResult after = Read(*reader);
  REQUIRE(after.gap.has_value());
  CHECK(*after.gap ==
        Gap{.first_missing = next, .next = 6, .reason = Gap::Reason::kDeleted});
  CHECK(after.count == 0);
  CHECK(after.next_sequence == 6);
  CHECK_FALSE(reader->Behind());

  CHECK(SequencesOf(t.Append({"new"})) == Sequences(6, 6));
  for (LogReader* const each : {reader.get(), caught_up.get()}) {
    CHECK(each->Behind());
    const ReadToHead rest(*each);
    CHECK(rest.gaps.empty());
    CHECK(rest.sequences() == Sequences(6, 6));
    CHECK(rest.texts() == Texts{"new"});
  }
  const auto info = GetChannel(*t.log, "c");
  REQUIRE(info.ok());
  CHECK(info->first_sequence == 6);
  CHECK(info->head == 6);
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a start in what was deleted begins with a gap, or is refused if "
    "strict",
    Fixture, log_delete_and_start) {
  LogUnderTest<Fixture> t;
  t.Append(Texts(5, "old"));
  REQUIRE(Delete(*t.log, "c").ok());
  const std::uint64_t epoch = t.log->epoch();
  const auto check = [&](const char* when) {
    CAPTURE(when);
    for (const Start& start : {Start::At(3), Start::After({epoch, 2})}) {
      const auto reader = t.Open(start);
      const ReadResult result = Read(*reader);
      REQUIRE(result.gap.has_value());
      CHECK(*result.gap == Gap{.first_missing = 3,
                               .next = 6,
                               .reason = Gap::Reason::kDeleted});
      CHECK(result.next_sequence == 6);
      const std::string error = t.StartErrorOf(start, /*strict=*/true);
      CAPTURE(error);
      CHECK(Contains(error, "deleted"));
    }
    const auto earliest = t.Open(Start::Earliest());
    const ReadResult all = Read(*earliest);
    REQUIRE(all.gap.has_value());
    CHECK(*all.gap ==
          Gap{.first_missing = 1, .next = 6, .reason = Gap::Reason::kDeleted});
    CHECK(all.next_sequence == 6);
    CHECK(Contains(t.StartErrorOf(Start::Earliest(), /*strict=*/true),
                   "deleted"));
    CHECK(t.NextAt(Start::At(6), /*strict=*/true) == 6);
    CHECK(t.NextAt(Start::After({epoch, 5}), /*strict=*/true) == 6);
  };
  check("before the next message");
  CHECK(t.NextAt(Start::NewOnly(), /*strict=*/true) == 6);
  t.Append({"new"});
  check("after the next message");
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: what retention dropped after a deletion is told from what was "
    "deleted",
    Fixture, log_gap_after_deletion) {
  LogUnderTest<Fixture> t(SmallRetention());
  t.Append(Texts(5, "old"));
  REQUIRE(Delete(*t.log, "c").ok());
  t.AppendUntilDropped(10);
  const std::uint64_t first = t.First();
  const auto deleted = t.Open(Start::At(5));
  CHECK(*Read(*deleted).gap == Gap{.first_missing = 5,
                                   .next = first,
                                   .reason = Gap::Reason::kDeleted});
  const auto dropped = t.Open(Start::At(6));
  CHECK(*Read(*dropped).gap == Gap{.first_missing = 6,
                                   .next = first,
                                   .reason = Gap::Reason::kRetention});
}

// ---------------------------------------------------------------------------
// Channels

TEST_CASE_TEMPLATE_DEFINE("log: a channel can be looked up by name", Fixture,
                          log_get_channel) {
  LogUnderTest<Fixture> t;
  const absl::Status none = GetChannel(*t.log, "c").status();
  CHECK(none.code() == absl::StatusCode::kNotFound);
  CHECK(Contains(MessageOf(none), "\"c\""));
  t.Append({"a", "b"});
  const auto info = GetChannel(*t.log, "c");
  REQUIRE(info.ok());
  CHECK(info->name == "c");
  CHECK(info->epoch == t.log->epoch());
  CHECK(info->first_sequence == 1);
  CHECK(info->head == 2);
  CHECK(info->bytes > 0);
}

TEST_CASE_TEMPLATE_DEFINE("log: channels are listed by name, a page at a time",
                          Fixture, log_list_channels) {
  LogUnderTest<Fixture> t;
  CHECK(ListChannels(*t.log, "", 10).empty());
  std::set<std::string> names = {
      "a", "A", "b", "aa",      "-",
      ".", "_", "0", "general", std::string(128, 'z')};
  for (const std::string& name : names) t.Append({"text"}, name);
  REQUIRE(Delete(*t.log, "aa").ok());
  names.erase("aa");
  for (const std::size_t page : {1U, 2U, 4U, 9U, 10U, 1000U}) {
    CAPTURE(page);
    std::vector<std::string> listed;
    for (;;) {
      const std::vector<ChannelInfo> infos =
          ListChannels(*t.log, listed.empty() ? "" : listed.back(), page);
      CHECK(infos.size() <= page);
      for (const ChannelInfo& info : infos) {
        listed.push_back(info.name);
        CHECK(info.head == 1);
        CHECK(info.epoch == t.log->epoch());
      }
      if (infos.size() < page) break;
    }
    CHECK(listed == std::vector<std::string>(names.begin(), names.end()));
  }
  // A page may follow a name that is not there.
  const std::vector<ChannelInfo> after = ListChannels(*t.log, "aa", 1);
  REQUIRE(after.size() == 1);
  CHECK(after[0].name == "b");
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: there are so many channels at most, and deleted ones do not count",
    Fixture, log_max_channels) {
  LogUnderTest<Fixture> t({.max_channels = 2});
  t.Append({"text"}, "a");
  t.Append({"text"}, "b");
  const auto refused = [&t](std::string_view name) {
    const AppendResult result = Append(*t.log, BatchOf(name, Texts{"text"}));
    CHECK(result.status().code() == absl::StatusCode::kResourceExhausted);
    return std::string(MessageOf(result.status()));
  };
  const std::string error = refused("third");
  CAPTURE(error);
  CHECK(Contains(error, "\"third\""));
  CHECK(Contains(error, "2"));
  CHECK(Contains(error, "max_channels"));
  CHECK(ListChannels(*t.log, "", 10).size() == 2);
  t.Append({"text"}, "a");
  REQUIRE(Delete(*t.log, "a").ok());
  CHECK(SequencesOf(t.Append({"text"}, "third")) == Sequences(1, 1));
  // One that comes back counts again.
  refused("a");
  CHECK(ListChannels(*t.log, "", 10).size() == 2);
  REQUIRE(Delete(*t.log, "b").ok());
  CHECK(SequencesOf(t.Append({"text"}, "a")) == Sequences(3, 3));
  refused("b");
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: there are so many deleted channels at most, and those that come back "
    "do not count",
    Fixture, log_max_deleted_channels) {
  LogUnderTest<Fixture> t({.max_deleted_channels = 2});
  for (const char* const name : {"a", "b", "c"}) t.Append({"text"}, name);
  CHECK(Delete(*t.log, "a").ToString() == "OK");
  CHECK(Delete(*t.log, "b").ToString() == "OK");
  const absl::Status refused = Delete(*t.log, "c");
  CHECK(refused.code() == absl::StatusCode::kResourceExhausted);
  CAPTURE(refused);
  CHECK(Contains(MessageOf(refused), "\"c\""));
  CHECK(Contains(MessageOf(refused), "2"));
  CHECK(Contains(MessageOf(refused), "max_deleted_channels"));
  CHECK(t.Head("c") == 1);
  CHECK(Delete(*t.log, "nothing").code() == absl::StatusCode::kNotFound);
  // What is refused does not bring a channel back.
  t.RefusalOf(Producer(1), 5, {"text"}, "a");
  CHECK(Delete(*t.log, "c").code() == absl::StatusCode::kResourceExhausted);
  CHECK(SequencesOf(t.Append({"text"}, "a")) == Sequences(2, 2));
  CHECK(Delete(*t.log, "c").ToString() == "OK");
  CHECK(Delete(*t.log, "a").code() == absl::StatusCode::kResourceExhausted);
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: channels that come and go by the hundred continue their sequences",
    Fixture, log_channels_come_and_go) {
  LogUnderTest<Fixture> t({.max_channels = 3});
  t.Append({"stays"}, "stays");
  constexpr int kChannels = 300;
  const auto name_of = [](int i) { return fmt::format("channel-{}", i); };
  for (std::uint64_t round = 1; round <= 2; ++round) {
    for (int i = 0; i < kChannels; ++i) {
      t.clock.Advance(std::chrono::milliseconds(1));
      t.AppendAs(Producer(1), round, {"text"}, name_of(i));
      CHECK(t.Head(name_of(i)) == round);
      REQUIRE(Delete(*t.log, name_of(i)).ToString() == "OK");
    }
  }
  CHECK(ListChannels(*t.log, "", 10).size() == 1);
  for (int i = 0; i < kChannels; i += 60) {
    CAPTURE(i);
    // It was stored before the deletion.
    t.RefusalOf(Producer(1), 2, {"text"}, name_of(i));
    const auto reader = t.Open(Start::Earliest(), false, name_of(i));
    const ReadResult gone = Read(*reader);
    REQUIRE(gone.gap.has_value());
    CHECK(*gone.gap ==
          Gap{.first_missing = 1, .next = 3, .reason = Gap::Reason::kDeleted});
    CHECK_FALSE(reader->Behind());
    CHECK(SequencesOf(t.AppendAs(Producer(1), 3, {"text"}, name_of(i))) ==
          Sequences(3, 3));
    CHECK(reader->Behind());
    CHECK(Read(*reader).count == 1);
    REQUIRE(Delete(*t.log, name_of(i)).ok());
    CHECK_FALSE(reader->Behind());
    // A reader notices, too, that it came and went once more.
    t.Append({"text"}, name_of(i));
    REQUIRE(Delete(*t.log, name_of(i)).ok());
    CHECK(reader->Behind());
    const ReadResult again = Read(*reader);
    REQUIRE(again.gap.has_value());
    CHECK(*again.gap ==
          Gap{.first_missing = 4, .next = 5, .reason = Gap::Reason::kDeleted});
  }
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: what is deleted while others append is deleted once, and no sequence "
    "comes twice",
    Fixture, log_concurrent_deletions) {
  LogUnderTest<Fixture> t;
  std::atomic<bool> done{false};
  std::mutex mu;
  std::set<std::uint64_t> sequences;
  std::atomic<int> failures{0};
  std::vector<std::thread> appenders;
  for (int i = 0; i < 3; ++i) {
    appenders.emplace_back([&] {
      for (int n = 0; n < 300; ++n) {
        const AppendResult result =
            test::Append(*t.log, BatchOf("c", Texts{"x"}));
        if (!result.ok()) {
          ++failures;
          continue;
        }
        const std::lock_guard lock(mu);
        if (!sequences.insert(result->front().first_sequence).second) {
          ++failures;
        }
      }
    });
  }
  std::thread deleter([&] {
    while (!done) {
      const absl::Status status = Delete(*t.log, "c");
      if (!status.ok() && !absl::IsNotFound(status)) ++failures;
      std::this_thread::yield();
    }
  });
  for (std::thread& appender : appenders) appender.join();
  done = true;
  deleter.join();
  CHECK(failures == 0);
  CHECK(sequences.size() == 900);
  CHECK(*sequences.rbegin() == 900);
  CHECK(SequencesOf(t.Append({"last"})) == Sequences(901, 901));
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a batch that is refused does not count as a channel", Fixture,
    log_refused_batch_is_no_channel) {
  LogUnderTest<Fixture> t({.max_channels = 1});
  t.RefusalOf(Producer(1), 5, {"text"}, "a");
  CHECK(GetChannel(*t.log, "a").status().code() == absl::StatusCode::kNotFound);
  const AppendResult result = Append(*t.log, BatchOf("b", Texts{"text"}));
  CHECK(result.status().ToString() == "OK");
}

// ---------------------------------------------------------------------------
// Producers

TEST_CASE_TEMPLATE_DEFINE(
    "log: a retry is stored once and gets the original receipt", Fixture,
    log_producer_retry) {
  LogUnderTest<Fixture> t;
  const std::vector<Stored> original =
      t.AppendAs(Producer(1), 1, {"a", "b", "c"});
  t.clock.Advance(std::chrono::seconds(1));
  t.Append({"in between"});
  const AppendResult retry =
      Append(*t.log, BatchOf("c", Producer(1), 1, {"a", "b", "c"}));
  CHECK(ReceiptsOf(retry) == AsDuplicates(original));
  CHECK(retry->size() == 1);
  CHECK(retry->front().epoch == t.log->epoch());
  CHECK(t.Head() == 4);
  // It does not count as a message of the producer either.
  CHECK(SequencesOf(t.AppendAs(Producer(1), 4, {"d"})) == Sequences(5, 5));
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a retry that is cut differently gets the original receipts", Fixture,
    log_producer_retry_cut_differently) {
  LogUnderTest<Fixture> t;
  const std::vector<Stored> first = t.AppendAs(Producer(1), 1, {"1", "2", "3"});
  t.clock.Advance(std::chrono::seconds(1));
  const std::vector<Stored> second = t.AppendAs(Producer(1), 4, {"4", "5"});
  t.clock.Advance(std::chrono::seconds(1));
  t.Append({"in between"});
  const std::vector<Stored> third = t.AppendAs(Producer(1), 6, {"6"});
  const Texts texts = {"1", "2", "3", "4", "5", "6"};
  const std::vector<Stored> all =
      AsDuplicates(Concat(Concat(first, second), third));
  for (std::size_t from = 0; from < all.size(); ++from) {
    for (std::size_t to = from + 1; to <= all.size(); ++to) {
      CAPTURE(from);
      CAPTURE(to);
      const auto at = [](const auto& v, std::size_t i) {
        return v.begin() + static_cast<std::ptrdiff_t>(i);
      };
      const std::vector<Stored> receipts =
          t.AppendAs(Producer(1), from + 1, {at(texts, from), at(texts, to)});
      CHECK(receipts == std::vector<Stored>(at(all, from), at(all, to)));
    }
  }
  CHECK(t.Head() == 7);
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a batch whose leading part is a retry gets both kinds of receipts",
    Fixture, log_producer_retry_and_new) {
  LogUnderTest<Fixture> t;
  const std::vector<Stored> original = t.AppendAs(Producer(1), 1, {"a", "b"});
  t.clock.Advance(std::chrono::seconds(1));
  const std::vector<Stored> receipts =
      t.AppendAs(Producer(1), 2, {"b", "c", "d"});
  const Timestamp now = t.clock.now();
  CHECK(receipts ==
        std::vector<Stored>{{original[1].sequence, original[1].send_time, true},
                            {3, now, false},
                            {4, now, false}});
  const auto reader = t.Open(Start::Earliest());
  const ReadToHead all(*reader);
  CHECK(all.texts() == Texts{"a", "b", "c", "d"});
  for (std::size_t i = 0; i < all.messages.size(); ++i) {
    CHECK(all.messages[i].producer_sequence == i + 1);
  }
}

TEST_CASE_TEMPLATE_DEFINE("log: a retry with another content is refused",
                          Fixture, log_producer_other_content) {
  LogUnderTest<Fixture> t;
  t.AppendAs(Producer(1), 1, {"a", "b"});
  const std::string error = t.RefusalOf(Producer(1), 1, {"a", "B"});
  CAPTURE(error);
  CHECK(Contains(error, "producer sequence 2"));
  // The same text by another author, too.
  AppendBatch batch =
      BatchOf("c", std::vector<NewMessage>{{.author = "x", .text = "a"}});
  batch.producer_id = Producer(1);
  batch.first_producer_sequence = 1;
  CHECK(Append(*t.log, std::move(batch)).status().code() ==
        absl::StatusCode::kFailedPrecondition);
  CHECK(t.Head() == 2);
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a producer sequence that skips is refused with the expected one",
    Fixture, log_producer_skips) {
  LogUnderTest<Fixture> t;
  t.AppendAs(Producer(1), 1, {"a", "b"});
  const std::string error = t.RefusalOf(Producer(1), 4, {"d"});
  CAPTURE(error);
  CHECK(Contains(error, "expected 3"));
  CHECK(t.Head() == 2);
  t.AppendAs(Producer(1), 3, {"c"});
}

TEST_CASE_TEMPLATE_DEFINE("log: a producer that is not known starts at 1",
                          Fixture, log_producer_unknown) {
  LogUnderTest<Fixture> t;
  t.AppendAs(Producer(2), 1, {"other"});
  const std::string error = t.RefusalOf(Producer(1), 2, {"a"});
  CAPTURE(error);
  CHECK(Contains(error, "expected 1"));
  CHECK(t.Head() == 1);
  t.AppendAs(Producer(1), 1, {"a"});
}

TEST_CASE_TEMPLATE_DEFINE("log: a producer counts in each channel by itself",
                          Fixture, log_producer_per_channel) {
  LogUnderTest<Fixture> t;
  t.AppendAs(Producer(1), 1, {"a", "b"}, "one");
  const std::vector<Stored> receipts = t.AppendAs(Producer(1), 1, {"a"}, "two");
  CHECK_FALSE(receipts.front().duplicate);
  CHECK(Contains(t.RefusalOf(Producer(1), 3, {"c"}, "two"), "expected 2"));
}

TEST_CASE_TEMPLATE_DEFINE("log: producers may take turns, and all may retry",
                          Fixture, log_producers_interleaved) {
  LogUnderTest<Fixture> t;
  constexpr std::uint64_t kRounds = 50;
  std::map<std::uint8_t, std::vector<Stored>> originals;
  for (std::uint64_t round = 0; round < kRounds; ++round) {
    t.clock.Advance(std::chrono::seconds(1));
    for (std::uint8_t p = 1; p <= 3; ++p) {
      auto& original = originals[p];
      original = Concat(
          original, t.AppendAs(Producer(p), original.size() + 1,
                               Texts(p, fmt::format("{} in {}", p, round))));
    }
  }
  CHECK(t.Head() == 6 * kRounds);
  for (std::uint8_t p = 1; p <= 3; ++p) {
    CAPTURE(static_cast<int>(p));
    Texts texts;
    for (std::uint64_t round = 0; round < kRounds; ++round) {
      texts = Concat(texts, Texts(p, fmt::format("{} in {}", p, round)));
    }
    CHECK(t.AppendAs(Producer(p), 1, texts) == AsDuplicates(originals[p]));
  }
  CHECK(t.Head() == 6 * kRounds);
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a retry that is too old to be checked is refused, never stored again",
    Fixture, log_producer_too_old) {
  LogUnderTest<Fixture> t;
  constexpr std::uint64_t kRounds = 1000;
  std::vector<Stored> originals;
  for (std::uint64_t round = 1; round <= kRounds; ++round) {
    originals = Concat(originals, t.AppendAs(Producer(1), round, {"a"}));
    t.AppendAs(Producer(2), round, {"b"});
  }
  bool remembered = false;
  for (std::uint64_t sequence = 1; sequence <= kRounds; ++sequence) {
    const AppendResult result =
        Append(*t.log, BatchOf("c", Producer(1), sequence, {"a"}));
    if (result.ok()) {
      remembered = true;
      const Stored& original = originals[sequence - 1];
      if (ReceiptsOf(result) != AsDuplicates({original})) {
        CHECK(ReceiptsOf(result) == AsDuplicates({original}));
      }
      continue;
    }
    if (remembered ||
        result.status().code() != absl::StatusCode::kFailedPrecondition) {
      CAPTURE(sequence);
      CHECK_FALSE(remembered);
      CHECK(result.status().ToString() == "FAILED_PRECONDITION");
    }
  }
  // The latest ones are remembered, and the producer can go on.
  CHECK(remembered);
  CHECK(t.Head() == 2 * kRounds);
  CHECK_FALSE(t.AppendAs(Producer(1), kRounds + 1, {"a"}).front().duplicate);
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a retry of what retention has dropped is refused", Fixture,
    log_producer_retry_after_retention) {
  LogUnderTest<Fixture> t(SmallRetention());
  t.AppendAs(Producer(1), 1, {"a"});
  t.AppendUntilDropped(1);
  const std::uint64_t head = t.Head();
  const std::string error = t.RefusalOf(Producer(1), 1, {"a"});
  CAPTURE(error);
  CHECK(Contains(error, "producer sequence 1"));
  CHECK(t.Head() == head);
  CHECK(SequencesOf(t.AppendAs(Producer(1), 2, {"b"})) ==
        Sequences(head + 1, head + 1));
}

TEST_CASE_TEMPLATE_DEFINE("log: a retry of what was deleted is refused",
                          Fixture, log_producer_retry_after_deletion) {
  LogUnderTest<Fixture> t;
  for (std::uint64_t i = 1; i <= 5; ++i) {
    t.AppendAs(Producer(1), i, {"a"});
    t.AppendAs(Producer(2), 2 * i - 1, {"b", "b"});
  }
  REQUIRE(Delete(*t.log, "c").ok());
  for (std::uint64_t i = 1; i <= 5; ++i) {
    t.RefusalOf(Producer(1), i, {"a"});
    t.RefusalOf(Producer(2), 2 * i, {"b", "b"});
  }
  CHECK(GetChannel(*t.log, "c").status().code() == absl::StatusCode::kNotFound);
  CHECK(SequencesOf(t.AppendAs(Producer(1), 6, {"c"})) == Sequences(16, 16));
  CHECK(Contains(t.RefusalOf(Producer(2), 12, {"d"}), "expected 11"));
  CHECK(SequencesOf(t.AppendAs(Producer(2), 11, {"d"})) == Sequences(17, 17));
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: beyond the limit, the producer idle longest is forgotten and refused",
    Fixture, log_producer_forgotten_by_count) {
  LogUnderTest<Fixture> t({.max_producers_per_channel = 2});
  t.AppendAs(Producer(1), 1, {"a"});
  t.clock.Advance(std::chrono::seconds(1));
  t.AppendAs(Producer(2), 1, {"b"});
  t.clock.Advance(std::chrono::seconds(1));
  t.AppendAs(Producer(1), 2, {"c"});
  t.clock.Advance(std::chrono::seconds(1));
  t.AppendAs(Producer(3), 1, {"d"});
  CHECK(Contains(t.RefusalOf(Producer(2), 2, {"e"}), "expected 1"));
  CHECK(t.Head() == 4);
  t.AppendAs(Producer(1), 3, {"f"});
  t.AppendAs(Producer(3), 2, {"g"});
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a producer is remembered for the idle timeout, and then continues or "
    "is refused",
    Fixture, log_producer_forgotten_by_time) {
  LogUnderTest<Fixture> t({.producer_idle_timeout = std::chrono::hours(1)});
  const std::vector<Stored> original = t.AppendAs(Producer(1), 1, {"a"});
  t.clock.Advance(std::chrono::minutes(59));
  t.AppendAs(Producer(2), 1, {"b"});
  CHECK(t.AppendAs(Producer(1), 1, {"a"}) == AsDuplicates(original));
  CHECK_FALSE(t.AppendAs(Producer(1), 2, {"c"}).front().duplicate);
  t.clock.Advance(std::chrono::hours(2));
  t.AppendAs(Producer(3), 1, {"d"});
  const AppendResult late = Append(*t.log, BatchOf("c", Producer(1), 3, {"e"}));
  if (late.ok()) {
    CHECK(SequencesOf(ReceiptsOf(late)) == Sequences(5, 5));
  } else {
    CHECK(late.status().code() == absl::StatusCode::kFailedPrecondition);
    CHECK(t.Head() == 4);
  }
}

// ---------------------------------------------------------------------------
// Hearing of appends

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

TEST_CASE_TEMPLATE_DEFINE(
    "log: when an append is announced, every reader before it is behind",
    Fixture, log_listener_and_behind) {
  LogUnderTest<Fixture> t;
  t.Append({"a", "b"});
  std::vector<std::unique_ptr<LogReader>> readers;
  for (const Start& start :
       {Start::Earliest(), Start::NewOnly(), Start::At(3), Start::Last(1)}) {
    readers.push_back(t.Open(start));
    ReadToHead{*readers.back()};
  }
  const auto elsewhere = t.Open(Start::Earliest(), false, "elsewhere");
  Read(*elsewhere);
  for (const auto& reader : readers) CHECK_FALSE(reader->Behind());

  std::atomic<int> behind{0};
  Listener listener([&](std::string_view channel) {
    if (channel != "c") return;
    for (const auto& reader : readers) behind += reader->Behind() ? 1 : 0;
  });
  t.log->AddListener(&listener);
  t.Append({"c"});
  CHECK(listener.WaitForAppends("c", 1));
  t.log->RemoveListener(&listener);

  CHECK(behind == static_cast<int>(readers.size()));
  CHECK_FALSE(elsewhere->Behind());
  for (const auto& reader : readers) {
    CHECK(reader->Behind());
    CHECK(ReadToHead(*reader).texts() == Texts{"c"});
    CHECK_FALSE(reader->Behind());
  }
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: the first message of a channel is announced to those who wait for it",
    Fixture, log_listener_first_message) {
  LogUnderTest<Fixture> t;
  const auto reader = t.Open(Start::NewOnly());
  Read(*reader);
  std::atomic<bool> behind{false};
  Listener listener([&](std::string_view) { behind = reader->Behind(); });
  t.log->AddListener(&listener);
  t.Append({"a"});
  CHECK(listener.WaitForAppends("c", 1));
  t.log->RemoveListener(&listener);
  CHECK(behind);
}

TEST_CASE_TEMPLATE_DEFINE("log: every listener hears of every channel", Fixture,
                          log_listeners) {
  LogUnderTest<Fixture> t;
  Listener first;
  Listener second;
  t.log->AddListener(&first);
  t.log->AddListener(&second);
  t.Append({"a"}, "one");
  t.Append({"b"}, "two");
  for (Listener* const listener : {&first, &second}) {
    CHECK(listener->WaitForAppends("one", 1));
    CHECK(listener->WaitForAppends("two", 1));
  }
  t.log->RemoveListener(&first);
  const std::uint64_t heard = first.total();
  t.Append({"c"}, "one");
  CHECK(second.WaitForAppends("one", 2));
  t.log->RemoveListener(&second);
  CHECK(first.total() == heard);
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a listener is not running when its removal has returned", Fixture,
    log_listener_removal) {
  LogUnderTest<Fixture> t;
  std::mutex mutex;
  std::condition_variable changed;
  bool inside = false;
  std::atomic<bool> removing{false};
  std::atomic<bool> left{false};
  Listener listener([&](std::string_view) {
    {
      const std::lock_guard lock(mutex);
      inside = true;
      changed.notify_all();
    }
    const auto deadline = std::chrono::steady_clock::now() + kLogDeadline;
    while (!removing && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
    }
    // Time for a removal that does not wait to get ahead.
    for (int i = 0; i < 1000; ++i) std::this_thread::yield();
    left = true;
  });
  t.log->AddListener(&listener);
  std::thread appender([&t] {
    t.log->Append(BatchOf("c", Texts{"a"}), [](const AppendResult&) {});
  });
  {
    std::unique_lock lock(mutex);
    CHECK(changed.wait_for(lock, kLogDeadline, [&] { return inside; }));
  }
  removing = true;
  t.log->RemoveListener(&listener);
  CHECK(left);
  appender.join();
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: a retry announces nothing and leaves no reader "
    "behind",
    Fixture, log_retry_is_no_append) {
  LogUnderTest<Fixture> t;
  t.AppendAs(Producer(1), 1, {"a"});
  const auto reader = t.Open(Start::Earliest());
  static_cast<void>(ReadToHead(*reader));
  t.AppendAs(Producer(1), 1, {"a"});
  CHECK_FALSE(reader->Behind());
  CHECK(Read(*reader).count == 0);
}

// ---------------------------------------------------------------------------
// Anything goes

// What a channel has had, and what may still be there.
struct ModelChannel {
  struct Sent {
    std::string text;
    Timestamp time;
    ProducerId producer{};
    std::uint64_t producer_sequence = 0;
  };
  std::vector<Sent> sent;         // of all times; index is sequence - 1
  std::uint64_t deleted = 0;      // the head at the last deletion
  std::uint64_t known_first = 1;  // the least that has been seen to be gone
  struct ProducerState {
    std::vector<std::uint64_t> sequences;  // where each of its messages is
  };
  std::map<std::uint8_t, ProducerState> producers;

  std::uint64_t head() const { return sent.size(); }
};

// Random operations on a log and on a model of it.
template <typename Fixture>
class ModelRun {
 public:
  ModelRun(const LogOptions& options, std::uint64_t seed)
      : t_(options), random_(seed) {}

  void Step() {
    const std::uint64_t dice = random_.Between(1, 100);
    if (dice <= 30) {
      AppendSome();
    } else if (dice <= 35) {
      Retry();
    } else if (dice <= 42) {
      OpenReader();
    } else if (dice <= 90) {
      ReadSome();
    } else if (dice <= 93) {
      Look();
    } else if (dice <= 94) {
      DeleteOne();
    } else if (dice <= 96) {
      t_.clock.StepWallClock(std::chrono::seconds(random_.Between(0, 20)) -
                             std::chrono::seconds(10));
    } else {
      t_.clock.Advance(std::chrono::milliseconds(random_.AnySize() >> 49U));
    }
  }

  // Everything that is still there, from all readers.
  void Finish() {
    while (!readers_.empty()) {
      for (int i = 0; i < 10'000; ++i) {
        if (!ReadWith(readers_.back(), kAmple)) break;
      }
      readers_.pop_back();
    }
  }

 private:
  struct ModelReader {
    std::string channel;
    Start start;
    bool joined = false;
    std::uint64_t next = 0;
    std::unique_ptr<LogReader> reader;
  };

  static void Check(bool holds, const std::string& what) {
    if (!holds) throw std::runtime_error(what);
  }

  std::string AnyChannel() {
    return fmt::format("channel-{}", random_.Between(1, 3));
  }

  std::string AnyText() {
    const std::size_t size = random_.OneIn(50)  ? random_.Between(0, 100'000)
                             : random_.OneIn(3) ? random_.Between(0, 5'000)
                                                : random_.Between(0, 200);
    std::string text = fmt::format("{}:", ++texts_);
    text.resize(text.size() + size, static_cast<char>('a' + texts_ % 26));
    return text;
  }

  void AppendSome() {
    const std::string name = AnyChannel();
    ModelChannel& channel = channels_[name];
    const auto producer = static_cast<std::uint8_t>(random_.Between(0, 4));
    Texts texts;
    for (auto n = random_.Between(1, random_.OneIn(5) ? 100 : 5); n > 0; --n) {
      texts.push_back(AnyText());
    }
    AppendBatch batch = BatchOf(name, texts);
    ModelChannel::ProducerState* state = nullptr;
    if (producer != 0) {
      state = &channel.producers[producer];
      batch.producer_id = Producer(producer);
      batch.first_producer_sequence = state->sequences.size() + 1;
    }
    const std::vector<Stored> receipts = MustAppend(*t_.log, std::move(batch));
    Check(receipts.size() == texts.size(), "a receipt for each message");
    const Timestamp last =
        channel.sent.empty() ? Timestamp() : channel.sent.back().time;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      Check(receipts[i].sequence == channel.head() + 1, "dense sequences");
      Check(!receipts[i].duplicate, "a new message is no duplicate");
      Check(receipts[i].send_time == std::max(last, t_.clock.now()),
            "the clock's time, or the last one");
      channel.sent.push_back({.text = texts[i], .time = receipts[i].send_time});
      if (state != nullptr) {
        state->sequences.push_back(channel.head());
        channel.sent.back().producer = Producer(producer);
        channel.sent.back().producer_sequence = state->sequences.size();
      }
    }
  }

  void Retry() {
    const std::string name = AnyChannel();
    const auto producer = static_cast<std::uint8_t>(random_.Between(1, 4));
    ModelChannel& channel = channels_[name];
    const auto& sequences = channel.producers[producer].sequences;
    if (sequences.empty()) return;
    const std::uint64_t from = random_.Between(0, sequences.size() - 1);
    const std::uint64_t to = std::min<std::uint64_t>(
        sequences.size(), from + random_.Between(1, 20));
    Texts texts;
    for (std::uint64_t i = from; i < to; ++i) {
      texts.push_back(channel.sent[sequences[i] - 1].text);
    }
    const AppendResult result =
        Append(*t_.log, BatchOf(name, Producer(producer), from + 1, texts));
    const std::uint64_t oldest = sequences[from];
    if (!result.ok()) {
      Check(result.status().code() == absl::StatusCode::kFailedPrecondition,
            "Retry: " + result.status().ToString());
      // Refused because it is gone, or because it is too old to be remembered.
      const auto info = GetChannel(*t_.log, name);
      const bool gone = !info.ok() || info->first_sequence > oldest;
      Check(gone || sequences.size() - from > 250,
            "Retry of what is there: " + result.status().ToString());
      return;
    }
    const std::vector<Stored> receipts = ReceiptsOf(result);
    Check(receipts.size() == texts.size(), "a receipt for each repeated one");
    for (std::uint64_t i = from; i < to; ++i) {
      const Stored expected{.sequence = sequences[i],
                            .send_time = channel.sent[sequences[i] - 1].time,
                            .duplicate = true};
      Check(receipts[i - from] == expected, "the original receipt");
    }
  }

  void OpenReader() {
    if (readers_.size() >= 20) {
      readers_.erase(readers_.begin() +
                     static_cast<std::ptrdiff_t>(random_.Between(0, 19)));
    }
    ModelReader reader;
    reader.channel = AnyChannel();
    const ModelChannel& channel = channels_[reader.channel];
    switch (random_.Between(0, 6)) {
      case 0:
        reader.start = Start::NewOnly();
        break;
      case 1:
        reader.start = Start::Earliest();
        break;
      case 2:
        reader.start = Start::At(random_.Between(1, channel.head() + 2));
        break;
      case 3:
        reader.start = Start::Last(random_.Between(0, channel.head() + 2));
        break;
      case 4:
        reader.start =
            Start::Since(t_.clock.now() -
                         std::chrono::milliseconds(random_.AnySize() >> 46U));
        break;
      default:
        reader.start =
            Start::After({t_.log->epoch() ^ (random_.OneIn(4) ? 1U : 0U),
                          random_.Between(0, channel.head() + 1)});
    }
    reader.reader = t_.log->OpenReader(reader.channel, reader.start, {});
    readers_.push_back(std::move(reader));
  }

  void ReadSome() {
    if (readers_.empty()) return;
    const std::size_t index = random_.Between(0, readers_.size() - 1);
    const ReadBounds bounds{
        .max_bytes = random_.Between(0, random_.OneIn(2) ? 2'000 : 300'000),
        .max_count = random_.OneIn(3) ? random_.Between(1, 10) : UINT64_MAX,
        .last_sequence =
            random_.OneIn(10)
                ? random_.Between(0, channels_[readers_[index].channel].head())
                : UINT64_MAX};
    if (!ReadWith(readers_[index], bounds) && random_.OneIn(4)) {
      readers_.erase(readers_.begin() + static_cast<std::ptrdiff_t>(index));
    }
  }

  // Where the reader starts, without retention. Zero: beyond the head.
  std::uint64_t OriginOf(const ModelReader& reader,
                         const ModelChannel& channel) {
    switch (reader.start.kind) {
      case Start::Kind::kNewOnly:
        return channel.head() + 1;
      case Start::Kind::kEarliest:
        return 1;
      case Start::Kind::kSequence:
        return reader.start.number <= channel.head() + 1 ? reader.start.number
                                                         : 0;
      case Start::Kind::kLast:
        return channel.head() - std::min(channel.head(), reader.start.number) +
               1;
      case Start::Kind::kTime: {
        const auto found = std::find_if(
            channel.sent.begin(), channel.sent.end(),
            [&](const auto& m) { return m.time >= reader.start.time; });
        return static_cast<std::uint64_t>(found - channel.sent.begin()) + 1;
      }
      case Start::Kind::kAfter:
        if (reader.start.position.epoch != t_.log->epoch()) return 1;
        return reader.start.position.sequence + 1;
    }
    return 0;
  }

  // False if there was nothing, or an error that was due.
  bool ReadWith(ModelReader& reader, const ReadBounds& bounds) {
    ModelChannel& channel = channels_[reader.channel];
    const bool was_joined = std::exchange(reader.joined, true);
    const bool was_behind = reader.reader->Behind();
    const auto result = TryRead(*reader.reader, bounds);
    if (!was_joined) {
      reader.next = OriginOf(reader, channel);
      if (reader.next == 0) {
        Check(result.status().code() == absl::StatusCode::kOutOfRange,
              "a start beyond the head: " + result.status().ToString());
        reader.joined = false;
        return false;
      }
    }
    Check(result.ok(), "Read: " + result.status().ToString());
    const std::uint64_t first = CheckedFirst(reader.channel, channel);
    const std::string place = fmt::format(
        "{} at {} (first {}, head {}, deleted {}, start {}): ", reader.channel,
        reader.next, first, channel.head(), channel.deleted,
        static_cast<int>(reader.start.kind));
    Check(result->head == channel.head(),
          place + fmt::format("head {}", result->head));
    if (result->gap) {
      CheckGap(reader, channel, *result->gap, was_joined, first, place);
      reader.next = result->gap->next;
    }
    Check(result->next_sequence == reader.next,
          place + fmt::format("next_sequence {}", result->next_sequence));
    CheckMessages(reader, channel, *result, bounds, place);
    const bool found = result->count > 0 || result->gap.has_value();
    if (was_joined && found) Check(was_behind, place + "but was not behind");
    reader.next += result->count;
    if (reader.next > channel.head()) {
      Check(!reader.reader->Behind(),
            place + "behind, though it has caught up");
    }
    return found;
  }

  static void CheckGap(const ModelReader& reader, const ModelChannel& channel,
                       const Gap& gap, bool was_joined, std::uint64_t first,
                       const std::string& place) {
    const std::string what =
        place + fmt::format("gap {} {} {}", gap.first_missing, gap.next,
                            ToString(gap.reason));
    const bool at_start = !was_joined;
    if (gap.reason == Gap::Reason::kRolledBack) {
      Check(at_start && reader.start.kind == Start::Kind::kAfter, what);
      Check(gap.first_missing == reader.next, what);
      Check(gap.next == channel.head() + 1, what);
      return;
    }
    // All that is skipped is really gone.
    Check(gap.next <= first, what);
    if (gap.reason == Gap::Reason::kNewEpoch) {
      Check(at_start && reader.start.kind == Start::Kind::kAfter, what);
      Check(gap.first_missing == reader.start.position.sequence + 1, what);
      return;
    }
    if (at_start && reader.start.kind == Start::Kind::kTime) {
      Check(gap.first_missing <= reader.next, what);
    } else {
      Check(gap.first_missing == reader.next, what);
    }
    Check(gap.first_missing < gap.next, what);
    Check(gap.reason == (gap.first_missing <= channel.deleted
                             ? Gap::Reason::kDeleted
                             : Gap::Reason::kRetention),
          what);
  }

  static void CheckMessages(const ModelReader& reader,
                            const ModelChannel& channel,
                            const ReadResult& result, const ReadBounds& bounds,
                            const std::string& place) {
    Check(result.count <= bounds.max_count, place + "too many messages");
    Check(BytesIn(result) <= bounds.max_bytes || result.count == 1,
          place + "too many bytes");
    const std::uint64_t last = std::min(channel.head(), bounds.last_sequence);
    Check(result.count > 0 || reader.next > last, place + "nothing");
    Check(result.count == 0 || reader.next + result.count - 1 <= last,
          place + "too far");
    for (const OwnedMessage& message : MessagesIn(result)) {
      const ModelChannel::Sent& sent = channel.sent.at(message.sequence - 1);
      Check(message.text == sent.text, place + "another text");
      Check(message.send_time == sent.time, place + "another time");
      Check(message.producer_id == sent.producer, place + "another producer");
      Check(message.producer_sequence == sent.producer_sequence,
            place + "another producer sequence");
    }
  }

  // The oldest sequence that is stored, from the log itself.
  std::uint64_t CheckedFirst(const std::string& name, ModelChannel& channel) {
    const auto info = GetChannel(*t_.log, name);
    if (!info.ok()) {
      Check(info.status().code() == absl::StatusCode::kNotFound &&
                channel.head() == channel.deleted,
            name + ": " + info.status().ToString());
      return channel.head() + 1;
    }
    const std::uint64_t first = info->first_sequence;
    Check(channel.head() != channel.deleted, name + " is there");
    Check(info->head == channel.head(), name + " has another head");
    Check(first >= channel.known_first, name + " has got messages back");
    Check(first > channel.deleted, name + " has deleted messages");
    Check(first <= channel.head() + 1, name + " starts beyond its head");
    channel.known_first = first;
    return first;
  }

  void Look() {
    const std::vector<ChannelInfo> list = ListChannels(*t_.log, "", 100);
    std::size_t existing = 0;
    for (auto& [name, channel] : channels_) {
      CheckedFirst(name, channel);
      existing += channel.head() != channel.deleted ? 1U : 0U;
    }
    Check(list.size() == existing, "as many channels as there are");
  }

  void DeleteOne() {
    const std::string name = AnyChannel();
    ModelChannel& channel = channels_[name];
    const bool exists = channel.head() != channel.deleted;
    const absl::Status status = Delete(*t_.log, name);
    Check(status.code() ==
              (exists ? absl::StatusCode::kOk : absl::StatusCode::kNotFound),
          "Delete: " + status.ToString());
    channel.deleted = channel.head();
    channel.known_first = channel.head() + 1;
  }

  LogUnderTest<Fixture> t_;
  Random random_;
  std::map<std::string, ModelChannel> channels_;
  std::vector<ModelReader> readers_;
  std::uint64_t texts_ = 0;
};

TEST_CASE_TEMPLATE_DEFINE(
    "log: random operations have the effects that a simple model foretells",
    Fixture, log_random_operations) {
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  LogOptions options;
  SUBCASE("without retention") {}
  SUBCASE("with retention by bytes") {
    options = SmallRetention();
  }
  SUBCASE("with retention by age") {
    options.retention.max_age = std::chrono::seconds(5);
  }
  SUBCASE("with both") {
    options = SmallRetention();
    options.retention.max_age = std::chrono::seconds(5);
  }
  ModelRun<Fixture> run(options, TestSeed());
  int step = 0;
  try {
    for (; step < 2000; ++step) run.Step();
    run.Finish();
  } catch (const std::exception& e) {
    CAPTURE(step);
    FAIL(e.what());
  }
}

// ---------------------------------------------------------------------------
// Many threads

// What went wrong on other threads than the test's.
class Failures {
 public:
  void Add(std::string what) {
    const std::lock_guard lock(mutex_);
    if (failures_.size() < 10) failures_.push_back(std::move(what));
  }
  std::vector<std::string> all() {
    const std::lock_guard lock(mutex_);
    return failures_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> failures_;
};

inline void RunGuarded(Failures& failures, std::string_view who,
                       const std::function<void()>& work) {
  try {
    work();
  } catch (const std::exception& e) {
    failures.Add(fmt::format("{}: {}", who, e.what()));
  }
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: with many threads, every reader gets every message once and in order",
    Fixture, log_concurrency) {
  constexpr int kAppenders = 4;
  constexpr int kBatches = 250;
  constexpr int kReaders = 4;
  LogUnderTest<Fixture> t;
  Listener listener;
  t.log->AddListener(&listener);
  Failures failures;
  std::atomic<std::uint64_t> appended{0};
  std::atomic<int> appending{kAppenders};

  const auto append = [&](int appender) {
    std::uint64_t next = 1;
    std::uint64_t last_sequence = 0;
    for (int i = 0; i < kBatches; ++i) {
      Texts texts;
      for (int k = 0; k <= (i + appender) % 5; ++k) {
        texts.push_back(fmt::format("{} {}", appender, next + texts.size()) +
                        std::string(static_cast<std::size_t>(i), '.'));
      }
      const std::vector<Stored> receipts = t.AppendAs(
          Producer(static_cast<std::uint8_t>(appender)), next, texts);
      for (const Stored& receipt : receipts) {
        if (receipt.sequence <= last_sequence || receipt.duplicate) {
          failures.Add(fmt::format("appender {}: receipt {} after {}", appender,
                                   receipt.sequence, last_sequence));
        }
        last_sequence = receipt.sequence;
      }
      if (last_sequence - receipts.front().sequence != texts.size() - 1) {
        failures.Add("the messages of a batch are not next to each other");
      }
      next += texts.size();
    }
    appended += next - 1;
  };

  const auto read = [&](int index) {
    const auto reader = t.Open(index == 0 ? Start::At(1) : Start::Earliest());
    const ReadBounds bounds{.max_bytes = std::size_t{1000} << (index * 3)};
    std::uint64_t expected = 1;
    std::map<ProducerId, std::uint64_t> last;
    Timestamp time;
    for (;;) {
      const std::uint64_t seen = listener.total();
      const bool over = appending == 0;
      const ReadResult result = Read(*reader, bounds);
      if (result.gap) failures.Add("a gap");
      for (const OwnedMessage& message : MessagesIn(result)) {
        if (message.sequence != expected++) {
          failures.Add(fmt::format("reader {}: {} instead of {}", index,
                                   message.sequence, expected - 1));
          return;
        }
        if (message.producer_sequence != ++last[message.producer_id]) {
          failures.Add(
              fmt::format("reader {}: out of the sender's order", index));
        }
        if (message.send_time < time) failures.Add("time goes backwards");
        time = message.send_time;
      }
      if (result.count > 0) continue;
      if (over) break;
      if (!listener.WaitForMoreThan(seen) && appending > 0) {
        failures.Add(fmt::format("reader {}: no append is announced", index));
        return;
      }
    }
    if (expected != appended + 1) {
      failures.Add(fmt::format("reader {}: {} of {} messages", index,
                               expected - 1, appended.load()));
    }
  };

  std::vector<std::thread> threads;
  for (int i = 0; i < kReaders; ++i) {
    threads.emplace_back(
        [&, i] { RunGuarded(failures, "reader", [&] { read(i); }); });
  }
  for (int i = 1; i <= kAppenders; ++i) {
    threads.emplace_back([&, i] {
      RunGuarded(failures, "appender", [&] { append(i); });
      // The last announcement finds the readers told that it is over.
      if (--appending == 0) {
        t.log->Append(BatchOf("end", Texts{""}), [](const AppendResult&) {});
      }
    });
  }
  for (int i = 0; i < 50; ++i) t.clock.Advance(std::chrono::microseconds(1));
  for (std::thread& thread : threads) thread.join();
  t.log->RemoveListener(&listener);

  CHECK(failures.all() == std::vector<std::string>{});
  CHECK(t.Head() == appended);
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: readers that retention and deletion overtake get each message at "
    "most "
    "once and hear of all others",
    Fixture, log_concurrency_with_gaps) {
  LogUnderTest<Fixture> t(SmallRetention());
  Failures failures;
  std::atomic<bool> over{false};
  constexpr int kBatches = 400;
  std::thread appender([&] {
    RunGuarded(failures, "appender", [&] {
      for (int i = 0; i < kBatches; ++i) {
        t.Append(Texts(5, std::string(500, 'x')));
        if (i % 100 == 99 && i + 1 < kBatches) {
          const absl::Status status = Delete(*t.log, "c");
          if (!status.ok()) failures.Add("Delete: " + status.ToString());
        }
      }
    });
    over = true;
  });
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&, i] {
      RunGuarded(failures, "reader", [&] {
        const auto reader = t.Open(Start::At(1));
        std::uint64_t next = 1;
        for (;;) {
          const bool last_round = over;
          const ReadResult result =
              Read(*reader, {.max_bytes = std::size_t{2000} << (i * 2)});
          if (result.gap) {
            if (result.gap->first_missing != next || result.gap->next <= next) {
              failures.Add(fmt::format("gap from {} to {} at {}",
                                       result.gap->first_missing,
                                       result.gap->next, next));
            }
            next = result.gap->next;
          }
          if (result.next_sequence != next) {
            failures.Add(fmt::format("next_sequence {} at {}",
                                     result.next_sequence, next));
            return;
          }
          MessagesIn(result);
          next += result.count;
          if (last_round && next > result.head) break;
        }
        if (next != 5 * kBatches + 1) {
          failures.Add(fmt::format("the end is at {}", next));
        }
      });
    });
  }
  appender.join();
  for (std::thread& reader : readers) reader.join();
  CHECK(failures.all() == std::vector<std::string>{});
}

TEST_CASE_TEMPLATE_DEFINE(
    "log: two that send the same batch of one producer at once store it once",
    Fixture, log_concurrent_retries) {
  LogUnderTest<Fixture> t;
  constexpr std::uint64_t kRounds = 200;
  Failures failures;
  std::atomic<int> stored{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      RunGuarded(failures, "sender", [&] {
        for (std::uint64_t round = 1; round <= kRounds; ++round) {
          const auto receipts =
              t.AppendAs(Producer(1), round, {std::to_string(round)});
          if (receipts.front().sequence != round) {
            failures.Add(fmt::format("{} is stored as {}", round,
                                     receipts.front().sequence));
          }
          if (!receipts.front().duplicate) ++stored;
        }
      });
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failures.all() == std::vector<std::string>{});
  CHECK(stored == static_cast<int>(kRounds));
  CHECK(t.Head() == kRounds);
}

}  // namespace messenger::test

// Runs all of them over the logs of the given fixture.
#define MESSENGER_LOG_CONFORMANCE_CASE(id, ...) \
  TEST_CASE_TEMPLATE_INVOKE(::messenger::test::id, __VA_ARGS__)
#define MESSENGER_LOG_CONFORMANCE(...)                                         \
  MESSENGER_LOG_CONFORMANCE_CASE(log_sequences_are_dense, __VA_ARGS__);        \
  MESSENGER_LOG_CONFORMANCE_CASE(log_receipts, __VA_ARGS__);                   \
  MESSENGER_LOG_CONFORMANCE_CASE(log_batch_has_one_time, __VA_ARGS__);         \
  MESSENGER_LOG_CONFORMANCE_CASE(log_messages_come_back, __VA_ARGS__);         \
  MESSENGER_LOG_CONFORMANCE_CASE(log_time_is_monotone, __VA_ARGS__);           \
  MESSENGER_LOG_CONFORMANCE_CASE(log_time_is_monotone_over_deletion,           \
                                 __VA_ARGS__);                                 \
  MESSENGER_LOG_CONFORMANCE_CASE(log_refused_batch_leaves_nothing,             \
                                 __VA_ARGS__);                                 \
  MESSENGER_LOG_CONFORMANCE_CASE(log_channels_are_independent, __VA_ARGS__);   \
  MESSENGER_LOG_CONFORMANCE_CASE(log_appender_order, __VA_ARGS__);             \
  MESSENGER_LOG_CONFORMANCE_CASE(log_appender_failure, __VA_ARGS__);           \
  MESSENGER_LOG_CONFORMANCE_CASE(log_appender_failure_elsewhere, __VA_ARGS__); \
  MESSENGER_LOG_CONFORMANCE_CASE(log_appender_destroyed, __VA_ARGS__);         \
  MESSENGER_LOG_CONFORMANCE_CASE(log_appender_outlives_log, __VA_ARGS__);      \
  MESSENGER_LOG_CONFORMANCE_CASE(log_start_new_only, __VA_ARGS__);             \
  MESSENGER_LOG_CONFORMANCE_CASE(log_start_earliest, __VA_ARGS__);             \
  MESSENGER_LOG_CONFORMANCE_CASE(log_start_sequence, __VA_ARGS__);             \
  MESSENGER_LOG_CONFORMANCE_CASE(log_start_beyond_head, __VA_ARGS__);          \
  MESSENGER_LOG_CONFORMANCE_CASE(log_position_beyond_head, __VA_ARGS__);       \
  MESSENGER_LOG_CONFORMANCE_CASE(log_start_time, __VA_ARGS__);                 \
  MESSENGER_LOG_CONFORMANCE_CASE(log_start_time_among_many, __VA_ARGS__);      \
  MESSENGER_LOG_CONFORMANCE_CASE(log_start_last, __VA_ARGS__);                 \
  MESSENGER_LOG_CONFORMANCE_CASE(log_start_after, __VA_ARGS__);                \
  MESSENGER_LOG_CONFORMANCE_CASE(log_start_after_other_epoch, __VA_ARGS__);    \
  MESSENGER_LOG_CONFORMANCE_CASE(log_start_without_channel, __VA_ARGS__);      \
  MESSENGER_LOG_CONFORMANCE_CASE(log_start_beyond_head_without_channel,        \
                                 __VA_ARGS__);                                 \
  MESSENGER_LOG_CONFORMANCE_CASE(log_reading_creates_nothing, __VA_ARGS__);    \
  MESSENGER_LOG_CONFORMANCE_CASE(log_bound_count, __VA_ARGS__);                \
  MESSENGER_LOG_CONFORMANCE_CASE(log_bound_bytes, __VA_ARGS__);                \
  MESSENGER_LOG_CONFORMANCE_CASE(log_bound_bytes_oversize, __VA_ARGS__);       \
  MESSENGER_LOG_CONFORMANCE_CASE(log_bound_last_sequence, __VA_ARGS__);        \
  MESSENGER_LOG_CONFORMANCE_CASE(log_many_sizes, __VA_ARGS__);                 \
  MESSENGER_LOG_CONFORMANCE_CASE(log_reader_outlives_log, __VA_ARGS__);        \
  MESSENGER_LOG_CONFORMANCE_CASE(log_cancel_idle_reader, __VA_ARGS__);         \
  MESSENGER_LOG_CONFORMANCE_CASE(log_bytes_outlive_the_log, __VA_ARGS__);      \
  MESSENGER_LOG_CONFORMANCE_CASE(log_retention_bytes, __VA_ARGS__);            \
  MESSENGER_LOG_CONFORMANCE_CASE(log_retention_large_message, __VA_ARGS__);    \
  MESSENGER_LOG_CONFORMANCE_CASE(log_info_bytes, __VA_ARGS__);                 \
  MESSENGER_LOG_CONFORMANCE_CASE(log_gap_retention, __VA_ARGS__);              \
  MESSENGER_LOG_CONFORMANCE_CASE(log_gap_retention_at_start, __VA_ARGS__);     \
  MESSENGER_LOG_CONFORMANCE_CASE(log_gap_retention_by_time, __VA_ARGS__);      \
  MESSENGER_LOG_CONFORMANCE_CASE(log_retention_age, __VA_ARGS__);              \
  MESSENGER_LOG_CONFORMANCE_CASE(log_retention_age_is_steady, __VA_ARGS__);    \
  MESSENGER_LOG_CONFORMANCE_CASE(log_delete, __VA_ARGS__);                     \
  MESSENGER_LOG_CONFORMANCE_CASE(log_delete_not_found, __VA_ARGS__);           \
  MESSENGER_LOG_CONFORMANCE_CASE(log_delete_and_recreate, __VA_ARGS__);        \
  MESSENGER_LOG_CONFORMANCE_CASE(log_delete_and_start, __VA_ARGS__);           \
  MESSENGER_LOG_CONFORMANCE_CASE(log_gap_after_deletion, __VA_ARGS__);         \
  MESSENGER_LOG_CONFORMANCE_CASE(log_get_channel, __VA_ARGS__);                \
  MESSENGER_LOG_CONFORMANCE_CASE(log_list_channels, __VA_ARGS__);              \
  MESSENGER_LOG_CONFORMANCE_CASE(log_max_channels, __VA_ARGS__);               \
  MESSENGER_LOG_CONFORMANCE_CASE(log_max_deleted_channels, __VA_ARGS__);       \
  MESSENGER_LOG_CONFORMANCE_CASE(log_channels_come_and_go, __VA_ARGS__);       \
  MESSENGER_LOG_CONFORMANCE_CASE(log_concurrent_deletions, __VA_ARGS__);       \
  MESSENGER_LOG_CONFORMANCE_CASE(log_refused_batch_is_no_channel,              \
                                 __VA_ARGS__);                                 \
  MESSENGER_LOG_CONFORMANCE_CASE(log_producer_retry, __VA_ARGS__);             \
  MESSENGER_LOG_CONFORMANCE_CASE(log_producer_retry_cut_differently,           \
                                 __VA_ARGS__);                                 \
  MESSENGER_LOG_CONFORMANCE_CASE(log_producer_retry_and_new, __VA_ARGS__);     \
  MESSENGER_LOG_CONFORMANCE_CASE(log_producer_other_content, __VA_ARGS__);     \
  MESSENGER_LOG_CONFORMANCE_CASE(log_producer_skips, __VA_ARGS__);             \
  MESSENGER_LOG_CONFORMANCE_CASE(log_producer_unknown, __VA_ARGS__);           \
  MESSENGER_LOG_CONFORMANCE_CASE(log_producer_per_channel, __VA_ARGS__);       \
  MESSENGER_LOG_CONFORMANCE_CASE(log_producers_interleaved, __VA_ARGS__);      \
  MESSENGER_LOG_CONFORMANCE_CASE(log_producer_too_old, __VA_ARGS__);           \
  MESSENGER_LOG_CONFORMANCE_CASE(log_producer_retry_after_retention,           \
                                 __VA_ARGS__);                                 \
  MESSENGER_LOG_CONFORMANCE_CASE(log_producer_retry_after_deletion,            \
                                 __VA_ARGS__);                                 \
  MESSENGER_LOG_CONFORMANCE_CASE(log_producer_forgotten_by_count,              \
                                 __VA_ARGS__);                                 \
  MESSENGER_LOG_CONFORMANCE_CASE(log_producer_forgotten_by_time, __VA_ARGS__); \
  MESSENGER_LOG_CONFORMANCE_CASE(log_listener_and_behind, __VA_ARGS__);        \
  MESSENGER_LOG_CONFORMANCE_CASE(log_listener_first_message, __VA_ARGS__);     \
  MESSENGER_LOG_CONFORMANCE_CASE(log_listeners, __VA_ARGS__);                  \
  MESSENGER_LOG_CONFORMANCE_CASE(log_listener_removal, __VA_ARGS__);           \
  MESSENGER_LOG_CONFORMANCE_CASE(log_retry_is_no_append, __VA_ARGS__);         \
  MESSENGER_LOG_CONFORMANCE_CASE(log_random_operations, __VA_ARGS__);          \
  MESSENGER_LOG_CONFORMANCE_CASE(log_concurrency, __VA_ARGS__);                \
  MESSENGER_LOG_CONFORMANCE_CASE(log_concurrency_with_gaps, __VA_ARGS__);      \
  MESSENGER_LOG_CONFORMANCE_CASE(log_concurrent_retries, __VA_ARGS__)
