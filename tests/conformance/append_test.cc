// Appending: sequences, receipts, what comes back, and appenders, which keep an
// order.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "conformance/conformance.h"
#include "log/message_log.h"
#include "messenger/message.h"
#include "support/log_access.h"
#include "wire/send.h"

namespace messenger::test {
namespace {

// ---------------------------------------------------------------------------
// Appending

LOG_TEST_CASE("log: sequences start at 1 and have no holes") {
  LogUnderTest t(kind);
  CHECK(SequencesOf(t.Append({"a"})) == Sequences(1, 1));
  CHECK(SequencesOf(t.Append({"b", "c", "d"})) == Sequences(2, 4));
  CHECK(SequencesOf(t.Append({"e"})) == Sequences(5, 5));
  const auto reader = t.Open(Start::Earliest());
  const ReadToHead all(*reader);
  CHECK(all.sequences() == Sequences(1, 5));
  CHECK(all.texts() == Texts{"a", "b", "c", "d", "e"});
}

LOG_TEST_CASE("log: a receipt says where and when the messages were stored") {
  LogUnderTest t(kind);
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

LOG_TEST_CASE(
    "log: the messages of a batch have the one send time of their receipt") {
  LogUnderTest t(kind);
  const std::vector<Stored> receipts = t.Append({"a", "b", "c"});
  const auto reader = t.Open(Start::Earliest());
  const ReadToHead all(*reader);
  REQUIRE(all.messages.size() == 3);
  for (const OwnedMessage& message : all.messages) {
    CHECK((message.send_time == receipts.front().send_time));
  }
}

LOG_TEST_CASE("log: messages come back as they were sent") {
  LogUnderTest t(kind);
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

LOG_TEST_CASE("log: data comes back bit for bit, with its type") {
  LogUnderTest t(kind);
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  const std::string large(std::size_t{1} << 20, '\xff');
  const std::vector<NewMessage> sent = {
      {.data = all},
      {.text = "beside it", .data = large, .content_type = "image/png"},
      {.content_type = "image/png"},
      {.author = "ann", .text = "a", .attributes = {{"a", ""}}, .data = "\xfe"},
      {.text = "without"},
  };
  AppendBatch batch = BatchOf("c", sent);
  batch.producer_id = Producer(7);
  batch.first_producer_sequence = 1;
  MustAppend(*t.log, std::move(batch));
  MustAppend(*t.log, BatchOf("c", sent));

  const auto reader = t.Open(Start::Earliest());
  const std::vector<OwnedMessage> messages = ReadToHead(*reader).messages;
  REQUIRE(messages.size() == 2 * sent.size());
  for (std::size_t i = 0; i < messages.size(); ++i) {
    CAPTURE(i);
    const NewMessage& expected = sent[i % sent.size()];
    CHECK(messages[i].author == expected.author);
    CHECK(messages[i].text == expected.text);
    CHECK(messages[i].attributes.size() == expected.attributes.size());
    CHECK((messages[i].data == expected.data));
    CHECK(messages[i].content_type == expected.content_type);
    CHECK((messages[i].producer_id ==
           (i < sent.size() ? Producer(7) : ProducerId{})));
  }
}

LOG_TEST_CASE("log: send time never goes backwards, though the clock does") {
  LogUnderTest t(kind);
  const Timestamp before = t.Append({"a"}).front().send_time;
  t.clock.StepWallClock(-std::chrono::hours(5));
  CHECK((t.Append({"b"}).front().send_time == before));
  t.clock.Advance(std::chrono::hours(4));
  CHECK((t.Append({"c"}).front().send_time == before));
  t.clock.Advance(std::chrono::hours(2));
  CHECK((t.Append({"d"}).front().send_time == before + std::chrono::hours(1)));
}

LOG_TEST_CASE(
    "log: send time does not go backwards over the deletion of the channel") {
  LogUnderTest t(kind);
  const Timestamp before = t.Append({"a"}).front().send_time;
  REQUIRE(Delete(*t.log, "c").ok());
  t.clock.StepWallClock(-std::chrono::hours(5));
  CHECK((t.Append({"b"}).front().send_time >= before));
}

LOG_TEST_CASE("log: a batch that is refused leaves nothing behind") {
  LogUnderTest t(kind);
  t.AppendAs(Producer(1), 1, {"a", "b"});
  // The first message repeats the second one with another content.
  t.RefusalOf(Producer(1), 2, {"B", "c", "d"});
  CHECK(t.Head() == 2);
  CHECK(SequencesOf(t.AppendAs(Producer(1), 3, {"c"})) == Sequences(3, 3));
  const auto reader = t.Open(Start::Earliest());
  CHECK(ReadToHead(*reader).texts() == Texts{"a", "b", "c"});
}

LOG_TEST_CASE("log: channels have sequences of their own") {
  LogUnderTest t(kind);
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

LOG_TEST_CASE(
    "log: what one appender is given is stored in its order, across channels") {
  constexpr std::size_t kBatches = 90;
  const Texts channels = {"a", "b", "c"};
  struct Asked {
    std::size_t n;
    std::size_t done;
    Completion<absl::StatusOr<ChannelInfo>> answer;
  };
  std::vector<Asked> asked;
  LogUnderTest t(kind);
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

LOG_TEST_CASE(
    "log: what follows a failure on an appender fails without being looked "
    "at") {
  LogUnderTest t(kind);
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

LOG_TEST_CASE("log: a failure on one appender is no other one's") {
  LogUnderTest t(kind);
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

LOG_TEST_CASE("log: what an appender was given goes on when it is destroyed") {
  LogUnderTest t(kind);
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

LOG_TEST_CASE(
    "log: when a log is destroyed, each append has completed; an appender may "
    "be destroyed after it") {
  LogUnderTest t(kind);
  Pipeline pipeline(t.log->OpenAppender());
  for (int i = 0; i < 20; ++i) pipeline.Append(BatchOf("c", Texts{"x"}));
  t.log.reset();
  CHECK(pipeline.completed() == 20);
  pipeline.DestroyAppender();
}

}  // namespace
}  // namespace messenger::test
