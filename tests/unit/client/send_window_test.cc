// What a client sends again, and under which numbers.
#include "client/send_window.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/reason.h"
#include "messenger/error.h"
#include "messenger/v1/messenger.pb.h"
#include "rpc/bytes.h"
#include "wire/new_message.h"

namespace messenger::send_window_test {
namespace {

constexpr std::uint64_t kEpoch = 7;

struct Request {
  std::string producer_id;
  std::uint64_t first = 0;
  std::optional<std::uint64_t> expected_last_sequence;
  std::uint64_t expected_epoch = 0;
  std::uint64_t generation = 0;
  std::string idempotency_key;
  std::vector<std::string> texts;
};

// The answer to a condition, of a log with this epoch.
absl::Status WrongLast(std::uint64_t epoch = kEpoch) {
  return WithReason(absl::AbortedError("it is another one"),
                    reason::kWrongLastSequence,
                    {{"epoch", std::to_string(epoch)}, {"last_sequence", "9"}});
}

// A window, and what comes out of it.
class Fixture {
 public:
  void Add(const std::string& channel, const std::string& text,
           Timers::TimePoint deadline = Timers::TimePoint::max()) {
    AddMessage({.channel = channel, .text = text}, {}, deadline);
  }
  void AddMessage(const NewMessage& message, const SendTerms& terms = {},
                  Timers::TimePoint deadline = Timers::TimePoint::max()) {
    const std::string text(std::string_view(message.text));
    Completion completion;
    completion.deadline = deadline;
    completion.done = [this, text](absl::StatusOr<Receipt> result) {
      results[text].push_back(std::move(result));
    };
    const auto checked =
        wire::CheckNewMessage(message, kDefaultMaxMessageBytes);
    REQUIRE(checked.ok());
    window.Add(*checked, message, std::move(completion), terms);
  }
  void AddIf(const std::string& text, const Position& expected_last) {
    AddMessage({.channel = "a", .text = text},
               {.expected_last = expected_last});
  }
  Request Write() {
    const grpc::Slice bytes = rpc::Flatten(window.Write());
    v1::SendMessagesRequest proto;
    REQUIRE(
        proto.ParseFromArray(bytes.begin(), static_cast<int>(bytes.size())));
    Request request = {.producer_id = proto.producer_id(),
                       .first = proto.first_producer_sequence(),
                       .expected_epoch = proto.expected_epoch(),
                       .generation = proto.producer_generation(),
                       .idempotency_key = proto.idempotency_key()};
    if (proto.has_expected_last_sequence()) {
      request.expected_last_sequence = proto.expected_last_sequence();
    }
    for (const auto& message : proto.messages()) {
      request.texts.push_back(message.text());
    }
    return request;
  }
  void WriteAll() {
    while (window.queued()) Write();
  }
  absl::Status Acknowledge(std::uint64_t first, std::uint32_t count,
                           std::uint64_t epoch = kEpoch,
                           bool duplicate = false) {
    SendWindow::Fates fates;
    absl::Status status = window.Acknowledge({{.epoch = epoch,
                                               .first_sequence = first,
                                               .count = count,
                                               .duplicate = duplicate}},
                                             &fates);
    Tell(std::move(fates));
    return status;
  }
  void Refuse(const absl::Status& status) {
    SendWindow::Fates fates;
    window.Refuse(status, &fates);
    Tell(std::move(fates));
  }
  void FailUnsupported(wire::Capabilities capabilities) {
    SendWindow::Fates fates;
    window.FailUnsupported(capabilities, &fates);
    Tell(std::move(fates));
  }
  void Expire(Timers::TimePoint now) {
    SendWindow::Fates fates;
    next_expiry = window.Expire(now, absl::OkStatus(), &fates);
    Tell(std::move(fates));
  }
  // The one result of the message with this text.
  absl::Status ResultOf(const std::string& text) {
    CAPTURE(text);
    REQUIRE(results[text].size() == 1);
    return results[text][0].status();
  }

  SendWindow window;
  std::map<std::string, std::vector<absl::StatusOr<Receipt>>> results;
  Timers::TimePoint next_expiry;

 private:
  static void Tell(SendWindow::Fates fates) {
    for (SendWindow::Fate& fate : fates) {
      fate.completion.done(std::move(fate.result));
    }
  }
};

const absl::Status kFull = absl::ResourceExhaustedError("full");
const absl::Status kUnknown = absl::FailedPreconditionError("expected 1");
using Texts = std::vector<std::string>;

TEST_CASE_FIXTURE(Fixture, "window: messages of a channel share a request") {
  for (const char* text : {"1", "2"}) Add("a", text);
  Add("b", "3");
  Add("a", "4");
  const Request a = Write();
  CHECK(a.texts == Texts{"1", "2", "4"});
  CHECK(a.first == 1);
  CHECK(Write().texts == Texts{"3"});
  CHECK_FALSE(window.queued());
  Add("a", "5");
  const Request next = Write();
  CHECK(next.first == 4);
  CHECK(next.producer_id == a.producer_id);
  CHECK(Acknowledge(1, 3).ok());
  CHECK(Acknowledge(1, 1).ok());
  CHECK(Acknowledge(4, 1).ok());
  CHECK(window.empty());
  CHECK(window.messages() == 0);
  CHECK(window.bytes() == 0);
  CHECK(absl::IsDataLoss(Acknowledge(5, 1)));
}

TEST_CASE_FIXTURE(Fixture, "window: it knows how much is in flight") {
  Add("a", std::string(100, '1'));
  Add("b", std::string(1'000, '2'));
  const std::size_t first = window.next_bytes();
  CHECK(first >= 100);
  CHECK(window.bytes_in_flight() == 0);
  Write();
  const std::size_t second = window.next_bytes();
  CHECK(second >= 1'000);
  CHECK(window.bytes_in_flight() == first);
  Write();
  CHECK(window.bytes_in_flight() == first + second);
  CHECK(Acknowledge(1, 1).ok());
  CHECK(window.bytes_in_flight() == second);
  window.Break();
  CHECK(window.bytes_in_flight() == 0);
  CHECK(window.next_bytes() == second);
}

TEST_CASE_FIXTURE(Fixture, "window: a receipt that cannot be settles nothing") {
  for (const char* text : {"1", "2", "3"}) Add("a", text);
  Add("b", "4");
  WriteAll();
  window.SetEpoch(kEpoch);
  CHECK(absl::IsDataLoss(Acknowledge(1, 4'000'000'000)));
  // One for messages of two channels.
  CHECK(absl::IsDataLoss(Acknowledge(1, 4)));
  CHECK(absl::IsDataLoss(Acknowledge(1, 1, kEpoch + 1)));
  CHECK(results.empty());
  CHECK(Acknowledge(5, 2).ok());
  // Sequences ascend.
  CHECK(absl::IsDataLoss(Acknowledge(6, 1)));
  CHECK(absl::IsDataLoss(Acknowledge(1, 1)));
  CHECK(results.size() == 2);
  CHECK(Acknowledge(9, 1).ok());
  // In each channel by themselves.
  CHECK(Acknowledge(1, 1).ok());
  CHECK(window.empty());
}

TEST_CASE_FIXTURE(Fixture,
                  "window: on another stream the same receipts come again") {
  for (const char* text : {"1", "2"}) {
    Add("a", text);
    Write();
  }
  CHECK(Acknowledge(5, 1).ok());
  window.Break();
  WriteAll();
  CHECK(Acknowledge(6, 1).ok());
  CHECK(window.empty());
  Add("a", "3");
  Write();
  window.Break();
  WriteAll();
  CHECK(Acknowledge(1, 1).ok());
}

TEST_CASE_FIXTURE(Fixture,
                  "window: a request has as many bytes as are set, or one "
                  "message") {
  const std::string text(1'000, 'x');
  const auto requests = [&](std::size_t bytes) {
    window.SetBatchBytes(bytes);
    std::size_t count = 0;
    for (int i = 0; i < 100; ++i) Add("a", text);
    for (; window.queued(); ++count) Write();
    return count;
  };
  CHECK(requests(1) == 100);
  CHECK(requests(10'100) == 10);
  CHECK(requests(200'000) == 1);
}

TEST_CASE_FIXTURE(Fixture,
                  "window: what has no receipt is written again as it was, "
                  "and before anything else") {
  Add("a", "1");
  const Request first = Write();
  Add("a", "2");
  const Request second = Write();
  Add("a", "3");
  window.Break();
  const Request again = Write();
  CHECK(again.texts == first.texts);
  CHECK(again.first == first.first);
  CHECK(again.producer_id == first.producer_id);
  CHECK(Write().first == second.first);
  const Request third = Write();
  CHECK(third.texts == Texts{"3"});
  CHECK(third.first == 3);
}

TEST_CASE_FIXTURE(Fixture,
                  "window: a receipt for a part of a request is told once, "
                  "though the whole is written again") {
  for (const char* text : {"1", "2", "3"}) Add("a", text);
  Write();
  CHECK(Acknowledge(10, 2).ok());
  CHECK(window.messages() == 1);
  window.Break();
  CHECK(Write().texts == Texts{"1", "2", "3"});
  CHECK(Acknowledge(10, 3).ok());
  for (const char* text : {"1", "2", "3"}) CHECK(ResultOf(text).ok());
  CHECK(results["3"][0]->position.sequence == 12);
  CHECK(window.empty());
  CHECK(window.messages() == 0);
}

TEST_CASE_FIXTURE(Fixture,
                  "window: a refusal fails one request, and those after it "
                  "close the gap") {
  Add("a", "1");
  const Request refused = Write();
  Add("a", "2");
  Write();
  Add("b", "3");
  Write();
  Refuse(kFull);
  CHECK(ResultOf("1") == kFull);
  CHECK_FALSE(MayBeStored(ResultOf("1")));
  const Request next = Write();
  CHECK(next.texts == Texts{"2"});
  CHECK(next.first == 1);
  CHECK(next.producer_id == refused.producer_id);
  CHECK(Write().texts == Texts{"3"});
  CHECK(results.size() == 1);
}

TEST_CASE_FIXTURE(Fixture,
                  "window: what is refused after a stream has broken may be "
                  "stored, and so may those that were written after it") {
  Add("a", "1");
  const Request first = Write();
  Add("a", "2");
  Write();
  window.Break();
  Write();
  // "2" was not even written on this stream.
  Add("a", "3");
  Refuse(kFull);
  CHECK(absl::IsResourceExhausted(ResultOf("1")));
  CHECK(MayBeStored(ResultOf("1")));
  CHECK(absl::IsUnavailable(ResultOf("2")));
  CHECK(MayBeStored(ResultOf("2")));
  const Request third = Write();
  CHECK(third.texts == Texts{"3"});
  CHECK(third.first == 1);
  CHECK(third.producer_id != first.producer_id);
}

TEST_CASE_FIXTURE(Fixture, "window: a refusal before anything was written") {
  Add("a", "1");
  Add("b", "2");
  Refuse(absl::PermissionDeniedError("no"));
  CHECK(absl::IsPermissionDenied(ResultOf("1")));
  CHECK_FALSE(MayBeStored(ResultOf("1")));
  CHECK(Write().texts == Texts{"2"});
}

TEST_CASE_FIXTURE(Fixture,
                  "window: a producer that is forgotten goes on as another "
                  "one, once") {
  window.SetEpoch(kEpoch);
  Add("a", "1");
  const Request first = Write();
  CHECK(Acknowledge(1, 1).ok());
  Add("a", "2");
  CHECK(Write().first == 2);
  Refuse(kUnknown);
  window.SetEpoch(kEpoch);
  const Request again = Write();
  CHECK(again.texts == Texts{"2"});
  CHECK(again.first == 1);
  CHECK(again.producer_id != first.producer_id);
  Refuse(kUnknown);
  CHECK(absl::IsFailedPrecondition(ResultOf("2")));
  CHECK(window.empty());
}

TEST_CASE_FIXTURE(Fixture,
                  "window: a producer that is forgotten while a message of it "
                  "is uncertain does not send that again") {
  window.SetEpoch(kEpoch);
  Add("a", "1");
  Write();
  CHECK(Acknowledge(1, 1).ok());
  Add("a", "2");
  Write();
  window.Break();
  window.SetEpoch(kEpoch);
  Write();
  Add("a", "3");
  Refuse(kUnknown);
  CHECK(absl::IsFailedPrecondition(ResultOf("2")));
  CHECK(MayBeStored(ResultOf("2")));
  CHECK(Write().texts == Texts{"3"});
}

TEST_CASE_FIXTURE(Fixture,
                  "window: to another log everything is sent anew, whatever "
                  "became of it in the old one") {
  window.SetEpoch(kEpoch);
  Add("a", "1");
  Add("b", "1b");
  WriteAll();
  CHECK(Acknowledge(1, 1).ok());
  CHECK(Acknowledge(1, 1).ok());
  Add("a", "2");
  Add("b", "2b");
  WriteAll();
  window.Break();
  window.SetEpoch(kEpoch + 1);
  WriteAll();
  Refuse(kUnknown);
  window.SetEpoch(kEpoch + 1);
  const Request a = Write();
  CHECK(a.texts == Texts{"2"});
  CHECK(a.first == 1);
  // The other channel's producer may still be known there.
  CHECK(Write().first == 2);
  CHECK(Acknowledge(1, 1, kEpoch + 1).ok());
  Refuse(kUnknown);
  window.SetEpoch(kEpoch + 1);
  CHECK(Write().first == 1);
  CHECK(Acknowledge(1, 1, kEpoch + 1).ok());
  for (const char* text : {"1", "2", "1b", "2b"}) CHECK(ResultOf(text).ok());
  CHECK(window.empty());
}

TEST_CASE_FIXTURE(Fixture,
                  "window: a conditional message goes alone, in its order, and "
                  "with the epoch of the stream") {
  window.SetEpoch(kEpoch);
  Add("a", "1");
  AddIf("2", {.sequence = 5});
  Add("a", "3");
  AddIf("4", {.epoch = 3, .sequence = 0});
  const Request one = Write();
  CHECK(one.texts == Texts{"1"});
  CHECK_FALSE(one.expected_last_sequence);
  const Request two = Write();
  CHECK(two.texts == Texts{"2"});
  CHECK(two.first == 2);
  CHECK(two.expected_last_sequence == 5);
  CHECK(two.expected_epoch == kEpoch);
  CHECK(Write().texts == Texts{"3"});
  const Request four = Write();
  CHECK(four.expected_last_sequence == 0);
  CHECK(four.expected_epoch == 3);
}

TEST_CASE_FIXTURE(Fixture,
                  "window: a condition that is refused is final, after a break "
                  "as well, and what was sent after it goes on") {
  for (const bool broken : {false, true}) {
    CAPTURE(broken);
    results.clear();
    window.SetEpoch(kEpoch);
    Add("a", "1");
    const std::uint64_t first = Write().first;
    CHECK(Acknowledge(first, 1).ok());
    AddIf("2", {.sequence = 5});
    Add("a", "3");
    WriteAll();
    Add("a", "4");
    if (broken) {
      window.Break();
      window.SetEpoch(kEpoch);
      WriteAll();
    }
    Refuse(WrongLast());
    CHECK(ResultOf("2") == WrongLast());
    CHECK_FALSE(MayBeStored(ResultOf("2")));
    CHECK(results.size() == 2);
    window.SetEpoch(kEpoch);
    const Request next = Write();
    CHECK(next.texts == Texts{"3"});
    CHECK(next.first == first + 1);
    WriteAll();
    CHECK(Acknowledge(first + 1, 2).ok());
    CHECK(window.empty());
  }
}

TEST_CASE_FIXTURE(Fixture,
                  "window: a condition that another log refuses is not final "
                  "for the one that it was written to") {
  window.SetEpoch(kEpoch);
  AddIf("1", {.sequence = 0});
  CHECK(Write().expected_epoch == kEpoch);
  window.Break();
  window.SetEpoch(kEpoch + 1);
  // The same sequence is that of another message there.
  CHECK(Write().expected_epoch == kEpoch);
  Refuse(WrongLast(kEpoch + 1));
  CHECK(absl::IsAborted(ResultOf("1")));
  CHECK(MayBeStored(ResultOf("1")));
}

TEST_CASE_FIXTURE(Fixture,
                  "window: a condition on a message that is yet to come is "
                  "final when it is refused, but not after a break") {
  for (const bool broken : {false, true}) {
    CAPTURE(broken);
    results.clear();
    window.SetEpoch(kEpoch);
    // The last one is 9.
    AddIf("1", {.sequence = 10});
    Write();
    if (broken) {
      window.Break();
      window.SetEpoch(kEpoch);
      Write();
    }
    Refuse(WrongLast());
    CHECK(absl::IsAborted(ResultOf("1")));
    CHECK(MayBeStored(ResultOf("1")) == broken);
    CHECK(window.empty());
  }
}

TEST_CASE_FIXTURE(Fixture,
                  "window: a condition that was not looked at is sent with the "
                  "epoch of the next stream") {
  window.SetEpoch(kEpoch);
  Add("a", "1");
  Write();
  AddIf("2", {.sequence = 1});
  CHECK(Write().expected_epoch == kEpoch);
  Refuse(kFull);
  window.SetEpoch(kEpoch + 1);
  CHECK(Write().expected_epoch == kEpoch + 1);
}

TEST_CASE_FIXTURE(Fixture,
                  "window: a message with the caller's number stands and falls "
                  "alone") {
  const SendTerms::Number number = {.producer_id = {1, 2, 3},
                                    .producer_sequence = 77};
  window.SetEpoch(kEpoch);
  Add("a", "1");
  AddMessage({.channel = "a", .text = "own"}, {.number = number});
  Add("a", "2");
  const Request one = Write();
  const Request own = Write();
  CHECK(own.first == 77);
  CHECK(own.producer_id != one.producer_id);
  const Request two = Write();
  CHECK(two.first == 2);
  CHECK(two.producer_id == one.producer_id);
  CHECK(Acknowledge(1, 1).ok());
  SUBCASE("refused") {
    Refuse(kUnknown);
    CHECK(ResultOf("own") == kUnknown);
    CHECK_FALSE(MayBeStored(ResultOf("own")));
  }
  SUBCASE("refused after a break") {
    window.Break();
    WriteAll();
    Refuse(kUnknown);
    CHECK(absl::IsFailedPrecondition(ResultOf("own")));
    CHECK(MayBeStored(ResultOf("own")));
  }
  const Request again = Write();
  CHECK(again.texts == Texts{"2"});
  CHECK(again.first == 2);
  CHECK(again.producer_id == one.producer_id);
}

TEST_CASE_FIXTURE(Fixture,
                  "window: the receipt of a repeated message with the caller's "
                  "number may be an old one") {
  window.SetEpoch(kEpoch);
  Add("a", "1");
  AddMessage({.channel = "a", .text = "own"},
             {.number = SendTerms::Number{.producer_id = {1},
                                          .producer_sequence = 1}});
  Add("a", "2");
  WriteAll();
  CHECK(Acknowledge(10, 1).ok());
  CHECK(Acknowledge(3, 1, kEpoch, /*duplicate=*/true).ok());
  CHECK(absl::IsDataLoss(Acknowledge(10, 1)));
  CHECK(Acknowledge(11, 1).ok());
}

TEST_CASE_FIXTURE(
    Fixture,
    "window: a message with an idempotency key has no number, and "
    "stands and falls alone") {
  window.SetEpoch(kEpoch);
  Add("a", "1");
  AddMessage({.channel = "a", .text = "keyed"}, {.idempotency_key = "k"});
  Add("a", "2");
  CHECK(Write().first == 1);
  const Request keyed = Write();
  CHECK(keyed.texts == Texts{"keyed"});
  CHECK(keyed.idempotency_key == "k");
  CHECK(keyed.producer_id.empty());
  CHECK(keyed.first == 0);
  CHECK(Write().first == 2);
  CHECK(Acknowledge(7, 1).ok());
  window.Break();
  window.SetEpoch(kEpoch);
  WriteAll();
  Refuse(kFull);
  CHECK(absl::IsResourceExhausted(ResultOf("keyed")));
  CHECK(MayBeStored(ResultOf("keyed")));
  const Request two = Write();
  CHECK(two.texts == Texts{"2"});
  CHECK(two.first == 2);
  // Whoever repeats a key may get a receipt from long ago.
  AddMessage({.channel = "a", .text = "again"}, {.idempotency_key = "k"});
  WriteAll();
  CHECK(Acknowledge(8, 1).ok());
  CHECK(Acknowledge(3, 1, kEpoch, /*duplicate=*/true).ok());
  CHECK(window.empty());
}

// The named producer of channel "a".
ProducerInfo Named(std::uint64_t generation, std::uint64_t last) {
  return {.channel = "a",
          .name = "n",
          .producer_id = {9},
          .generation = generation,
          .last_producer_sequence = last,
          .epoch = kEpoch};
}

// Adds to the channel "a" what is sent as its named producer.
void AddNamed(Fixture& f, const std::string& text,
              std::optional<std::uint64_t> number = std::nullopt,
              Timers::TimePoint deadline = Timers::TimePoint::max()) {
  const absl::StatusOr<std::uint64_t> next = f.window.NextNamedNumber("a");
  REQUIRE(next.ok());
  f.AddMessage({.channel = "a", .text = text},
               {.named_number = number.value_or(*next)}, deadline);
}

TEST_CASE_FIXTURE(Fixture,
                  "window: a named producer goes on where it was, with holes "
                  "between requests only") {
  CHECK(absl::IsFailedPrecondition(window.NextNamedNumber("a").status()));
  window.SetNamedProducer(Named(3, 10));
  AddNamed(*this, "11");
  AddNamed(*this, "12");
  AddNamed(*this, "20", 20);
  AddNamed(*this, "21");
  AddNamed(*this, "5", 5);
  const Request first = Write();
  CHECK(first.texts == Texts{"11", "12"});
  CHECK(first.first == 11);
  CHECK(first.generation == 3);
  CHECK(first.producer_id[0] == 9);
  const Request second = Write();
  CHECK(second.texts == Texts{"20", "21"});
  CHECK(second.first == 20);
  CHECK(Write().first == 5);
  CHECK(absl::IsFailedPrecondition(window.CheckIdle("a")));
  CHECK(window.CheckIdle("b").ok());
  CHECK(Acknowledge(1, 4).ok());
  // A duplicate of which no place is remembered.
  CHECK(Acknowledge(0, 1, kEpoch, /*duplicate=*/true).ok());
  CHECK(results["5"][0]->position == Position{.epoch = kEpoch});
  CHECK(results["5"][0]->duplicate);
  CHECK(window.CheckIdle("a").ok());
  CHECK(*window.NextNamedNumber("a") == 6);
}

TEST_CASE_FIXTURE(Fixture,
                  "window: only a named producer gets a receipt without a "
                  "position") {
  Add("a", "1");
  Write();
  CHECK(absl::IsDataLoss(Acknowledge(0, 1, kEpoch, /*duplicate=*/true)));
}

TEST_CASE_FIXTURE(Fixture,
                  "window: when something of a named producer has failed, so "
                  "has what was sent after it, until it is opened again") {
  const absl::Status fenced =
      WithReason(absl::FailedPreconditionError("another one"),
                 reason::kProducerFenced, {{"generation", "4"}});
  window.SetEpoch(kEpoch);
  window.SetNamedProducer(Named(3, 0));
  AddNamed(*this, "1");
  Write();
  AddNamed(*this, "2");
  Add("b", "other");
  SUBCASE("refused") {
    Write();
    Refuse(fenced);
    CHECK(ResultOf("1") == fenced);
    CHECK_FALSE(MayBeStored(ResultOf("2")));
  }
  SUBCASE("refused after a break") {
    Write();
    window.Break();
    window.SetEpoch(kEpoch);
    WriteAll();
    Refuse(fenced);
    CHECK(MayBeStored(ResultOf("1")));
    CHECK(MayBeStored(ResultOf("2")));
  }
  SUBCASE("nonsense") {
    SendWindow::Fates fates;
    window.FailInFlight(fenced, &fates);
    CHECK(fates.size() == 2);
    results["1"].emplace_back(fenced);
    results["2"].emplace_back(fenced);
  }
  // What it was is still told.
  for (const char* text : {"1", "2"}) {
    CHECK(ReasonOf(ResultOf(text)) == reason::kProducerFenced);
  }
  CHECK(Write().texts == Texts{"other"});
  CHECK(ReasonOf(window.NextNamedNumber("a").status()) ==
        reason::kProducerFenced);
  window.SetNamedProducer(Named(5, 7));
  AddNamed(*this, "8");
  const Request again = Write();
  CHECK(again.first == 8);
  CHECK(again.generation == 5);
}

TEST_CASE_FIXTURE(Fixture,
                  "window: a message of a named producer whose time is up is "
                  "sent all the same, since it would leave a hole") {
  const Timers::TimePoint soon = Timers::TimePoint() + std::chrono::seconds(1);
  window.SetNamedProducer(Named(1, 0));
  AddNamed(*this, "1", std::nullopt, soon);
  AddNamed(*this, "2");
  Expire(soon);
  CHECK(absl::IsDeadlineExceeded(ResultOf("1")));
  CHECK(MayBeStored(ResultOf("1")));
  const Request request = Write();
  CHECK(request.texts == Texts{"1", "2"});
  CHECK(request.first == 1);
}

TEST_CASE_FIXTURE(Fixture,
                  "window: a named producer of which all has failed is to be "
                  "opened again") {
  window.SetNamedProducer(Named(1, 0));
  AddNamed(*this, "1");
  SendWindow::Fates fates;
  window.FailAll(absl::UnavailableError("gone"), &fates);
  CHECK(fates.size() == 1);
  CHECK(absl::IsUnavailable(window.NextNamedNumber("a").status()));
}

TEST_CASE_FIXTURE(Fixture,
                  "window: what the server does not know fails, and what goes "
                  "with it does not") {
  const wire::Capabilities none;
  Add("a", "1");
  AddMessage({.channel = "a", .text = "2", .data = "x"});
  AddMessage({.channel = "a", .text = "3", .content_type = "text/plain"});
  Add("a", "4");
  AddIf("5", {.sequence = 0});
  FailUnsupported(wire::kAllCapabilities);
  CHECK(results.empty());
  FailUnsupported(none);
  for (const char* text : {"2", "3"}) {
    CHECK(absl::IsUnimplemented(ResultOf(text)));
    CHECK_FALSE(MayBeStored(ResultOf(text)));
  }
  CHECK(results.size() == 2);
  CHECK(window.messages() == 3);
  CHECK(Write().texts == Texts{"1", "4"});
  FailUnsupported({wire::Capability::kData});
  CHECK(absl::IsUnimplemented(ResultOf("5")));
  CHECK_FALSE(window.queued());
  // A batch of which nothing is left.
  AddMessage({.channel = "b", .text = "6", .data = "x"});
  FailUnsupported(none);
  CHECK(absl::IsUnimplemented(ResultOf("6")));
  CHECK_FALSE(window.queued());
  CHECK(Acknowledge(1, 2).ok());
  CHECK(window.empty());
  CHECK(window.bytes() == 0);
}

TEST_CASE_FIXTURE(Fixture,
                  "window: what a server did know, and the next one does not, "
                  "may be stored") {
  AddIf("1", {.sequence = 0});
  Write();
  window.Break();
  FailUnsupported({});
  CHECK(absl::IsUnimplemented(ResultOf("1")));
  CHECK(MayBeStored(ResultOf("1")));
  CHECK(window.empty());
}

TEST_CASE_FIXTURE(Fixture,
                  "window: time takes out what was not written, and only "
                  "tells of what was") {
  const Timers::TimePoint start;
  const auto after = [&](int seconds) {
    return start + std::chrono::seconds(seconds);
  };
  Add("a", "written", after(1));
  Add("a", "written late", after(9));
  Write();
  Add("a", "early", after(2));
  Add("a", "late", after(5));
  Add("b", "gone", after(2));
  Expire(after(3));
  CHECK(next_expiry == after(5));
  CHECK(absl::IsDeadlineExceeded(ResultOf("written")));
  CHECK(MayBeStored(ResultOf("written")));
  for (const char* text : {"early", "gone"}) {
    CHECK(absl::IsDeadlineExceeded(ResultOf(text)));
    CHECK_FALSE(MayBeStored(ResultOf(text)));
  }
  CHECK(window.messages() == 3);
  window.Break();
  CHECK(Write().texts == Texts{"written", "written late"});
  const Request rest = Write();
  CHECK(rest.texts == Texts{"late"});
  CHECK(rest.first == 3);
  CHECK_FALSE(window.queued());
  CHECK(Acknowledge(1, 3).ok());
  CHECK(ResultOf("written late").ok());
  CHECK(ResultOf("late").ok());
  CHECK(absl::IsDeadlineExceeded(ResultOf("written")));
  CHECK(window.empty());
  CHECK(window.bytes() == 0);
}

TEST_CASE_FIXTURE(Fixture,
                  "window: a server that is another log each time is not asked "
                  "for ever") {
  std::uint64_t epoch = kEpoch;
  window.SetEpoch(epoch);
  Add("a", "1");
  Write();
  CHECK(Acknowledge(1, 1).ok());
  Add("a", "2");
  int tries = 0;
  for (; !window.empty() && tries < 100; ++tries) {
    window.SetEpoch(++epoch);
    Write();
    Refuse(kUnknown);
  }
  CHECK(tries < 20);
  CHECK(absl::IsFailedPrecondition(ResultOf("2")));
}

TEST_CASE_FIXTURE(Fixture,
                  "window: what a server says is not taken for what the client "
                  "knows") {
  const absl::Status may_be = WithMayBeStored(kFull);
  CHECK(MayBeStored(may_be));
  CHECK(may_be == WithMayBeStored(may_be));
  CHECK(WithoutMayBeStored(may_be) == kFull);
  CHECK_FALSE(MayBeStored(kFull));
  CHECK_FALSE(MayBeStored(absl::OkStatus()));
  CHECK(may_be.ToString().find('[') == std::string::npos);
  Add("a", "1");
  Write();
  Refuse(may_be);
  CHECK_FALSE(MayBeStored(ResultOf("1")));
}

TEST_CASE_FIXTURE(Fixture, "window: at the end everything fails") {
  Add("a", "written");
  Write();
  Add("a", "waiting");
  SendWindow::Fates fates;
  window.FailAll(absl::CancelledError("the end"), &fates);
  REQUIRE(fates.size() == 2);
  CHECK(MayBeStored(fates[0].result.status()));
  CHECK_FALSE(MayBeStored(fates[1].result.status()));
  CHECK(window.empty());
  CHECK(window.messages() == 0);
  CHECK(window.bytes() == 0);
}

TEST_CASE_FIXTURE(Fixture,
                  "window: what the server says makes no sense fails what is "
                  "in flight") {
  Add("a", "1");
  const Request first = Write();
  Add("a", "2");
  SendWindow::Fates fates;
  window.FailInFlight(absl::DataLossError("nonsense"), &fates);
  REQUIRE(fates.size() == 1);
  CHECK(absl::IsDataLoss(fates[0].result.status()));
  CHECK(MayBeStored(fates[0].result.status()));
  const Request next = Write();
  CHECK(next.texts == Texts{"2"});
  CHECK(next.first == 1);
  CHECK(next.producer_id != first.producer_id);
}

TEST_CASE_FIXTURE(Fixture,
                  "window: channels that are idle are forgotten, and come back "
                  "as another producer") {
  Add("first", "1");
  const Request first = Write();
  CHECK(Acknowledge(1, 1).ok());
  for (int i = 0; i < 5000; ++i) {
    Add(std::to_string(i), "x");
    Write();
    CHECK(Acknowledge(1, 1).ok());
  }
  Add("first", "2");
  const Request second = Write();
  CHECK(second.first == 1);
  CHECK(second.producer_id != first.producer_id);
}

TEST_CASE_FIXTURE(Fixture, "window: Flush waits for the first untold message") {
  CHECK(window.FirstUntold() == UINT64_MAX);
  Add("a", "1", Timers::TimePoint() + std::chrono::seconds(1));
  Write();
  Add("a", "2");
  CHECK(window.FirstUntold() == 1);
  Expire(Timers::TimePoint() + std::chrono::seconds(2));
  CHECK(window.FirstUntold() == 2);
  CHECK(window.last_batch() == 2);
}

}  // namespace
}  // namespace messenger::send_window_test
