// Requests that break a rule: each is refused with its code, and a message that
// names the field, the value and the limit.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "messenger/server.h"
#include "messenger/v1/messenger.pb.h"
#include "support/printing.h"
#include "support/raw_client.h"

namespace messenger::hostile_input_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)
using grpc::StatusCode;

class Serving {
 public:
  std::unique_ptr<Server> server =
      Server::Start({.listen = "127.0.0.1:0"}).value();
  RawClient client{server->port()};

  // Checks that the call fails with this code and a message with these parts.
  void CheckRefused(const std::string& method, const std::string& request,
                    StatusCode code,
                    std::initializer_list<std::string_view> parts) {
    INFO(method, " ", Hex(request));
    CheckStatus(client.Call(method, request).status, code, parts);
  }

  static void CheckStatus(const grpc::Status& status, StatusCode code,
                          std::initializer_list<std::string_view> parts) {
    const std::string message = status.error_message();
    INFO(message);
    CHECK(status.error_code() == code);
    for (const std::string_view part : parts) {
      INFO("part: ", std::string(part));
      CHECK(Contains(message, part));
    }
  }

  void CheckStillServing() { CHECK(SendAndReadBack(server->port()) == "OK"); }
};

// NewMessage.
std::string Author(std::string_view bytes) {
  return BytesField(3, bytes);
}
std::string Text(std::string_view bytes) {
  return BytesField(4, bytes);
}
std::string Attribute(std::string_view name, std::string_view value) {
  return BytesField(5, BytesField(1, name) + BytesField(2, value));
}

// SendMessageRequest and SendMessagesRequest.
std::string Channel(std::string_view name) {
  return BytesField(1, name);
}
std::string ProducerId(std::string_view id) {
  return id.empty() ? std::string() : BytesField(2, id);
}
std::string OneMessage(std::string_view message) {
  return BytesField(2, message);
}
std::string Messages(std::initializer_list<std::string_view> messages) {
  std::string out;
  for (const std::string_view message : messages) out += BytesField(4, message);
  return out;
}

constexpr std::string_view kProducer = "0123456789abcdef";
constexpr std::size_t kMaxMessage = std::size_t{1} << 20;
constexpr std::size_t kMaxRequest = std::size_t{4} << 20;

TEST_CASE_FIXTURE(Serving, "every method names a bad channel name") {
  const std::string message = OneMessage(Text("hello"));
  const std::string messages = Messages({Text("hello")});
  const auto check = [&](const std::string& name,
                         std::initializer_list<std::string_view> parts) {
    for (const auto& [method, rest] :
         std::initializer_list<std::pair<const char*, std::string>>{
             {"SendMessage", message},
             {"SendMessages", messages},
             {"ReadMessages", ""},
             {"GetChannel", ""},
             {"DeleteChannel", ""}}) {
      CheckRefused(method, Channel(name) + rest, StatusCode::INVALID_ARGUMENT,
                   parts);
    }
  };
  check("two words", {"channel", "two words", "byte 3", "A-Z a-z 0-9 . _ -"});
  check("a/b", {"channel", "a/b", "A-Z a-z 0-9 . _ -"});
  check(std::string("nul\0", 4), {"channel", "nul", "byte 3"});
  check("\xC3\xA4", {"channel", "A-Z a-z 0-9 . _ -"});
  check("caf\xFF", {"channel", "caf", "byte 3", "A-Z a-z 0-9 . _ -"});
  check(std::string(129, 'c'), {"channel", "129", "128"});
  CHECK(client
            .MustCall<v1::ListChannelsResponse>("ListChannels",
                                                v1::ListChannelsRequest())
            .channels()
            .empty());
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving, "the longest channel name works with every method") {
  const std::string name(128, 'c');
  client.MustSend(name, 1, "hello");
  v1::ReadMessagesRequest read;
  read.set_channel(name);
  read.mutable_earliest();
  CHECK(client.Read(read).MustRead<v1::ReadMessagesResponse>().head() == 1);
  CHECK(client.GetChannel(name).name() == name);
  v1::DeleteChannelRequest remove;
  remove.set_channel(name);
  client.MustCall<v1::DeleteChannelResponse>("DeleteChannel", remove);
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving,
                  "text that is not UTF-8 is refused, with its place") {
  struct Bad {
    std::string message;
    std::string field;
    std::string byte;
  };
  const std::vector<Bad> bad = {
      {Author("ab\xFF"), "author", "0xff at offset 2"},
      {Text("\xC0\x80"), "text", "0xc0 at offset 0"},      // overlong
      {Text("\xED\xA0\x80"), "text", "0xed at offset 0"},  // a surrogate
      {Text("12345678abc\xE2\x82"), "text", "0xe2 at offset 11"},  // cut off
      {Attribute("ok", "") + Attribute("n\x80", "v"), "attributes[1].name",
       "0x80 at offset 1"},
      {Attribute("ok", "\xF5"), "attributes[0].value", "0xf5 at offset 0"},
  };
  for (const Bad& b : bad) {
    CheckRefused("SendMessage", Channel("c") + OneMessage(b.message),
                 StatusCode::INVALID_ARGUMENT,
                 {"message: " + b.field + ": not valid UTF-8", b.byte});
    CheckRefused("SendMessages",
                 Channel("c") + Messages({Text("0"), Text("1"), b.message}),
                 StatusCode::INVALID_ARGUMENT,
                 {"messages[2]: " + b.field + ": not valid UTF-8", b.byte});
  }
  CHECK(client.GetChannel("c").head() == 0);
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving, "an attribute name has 1 to 128 bytes") {
  for (const std::size_t size : {0U, 129U}) {
    CheckRefused("SendMessage",
                 OneMessage(Attribute(std::string(size, 'n'), "v")),
                 StatusCode::INVALID_ARGUMENT,
                 {"message: attributes[0].name", fmt::format("{} bytes", size),
                  "1 to 128"});
  }
  CHECK(
      client
          .Call("SendMessage", OneMessage(Attribute(std::string(128, 'n'), "")))
          .status.ok());
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving,
                  "a bad batch is not stored at all; those before it are, and "
                  "their receipts come before the error") {
  RawStream stream = client.Open("SendMessages");
  stream.Write(Channel("c") + Messages({Text("1"), Text("2")}));
  stream.Write(Channel("c") + Messages({Text("3")}));
  stream.Write(Channel("c") + Messages({Text("4"), Text("\xFF"), Text("5")}));
  stream.Write(Channel("c") + Messages({Text("6")}));
  std::uint64_t receipts = 0;
  while (const auto response = stream.Read<v1::SendMessagesResponse>()) {
    for (const v1::Receipt& receipt : response->receipts()) {
      CHECK(receipt.first_sequence() == receipts + 1);
      receipts += receipt.count();
    }
  }
  CHECK(receipts == 3);
  CheckStatus(stream.Finish(), StatusCode::INVALID_ARGUMENT,
              {"messages[1]: text", "0xff"});
  CHECK(client.GetChannel("c").head() == 3);
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving, "a message may have 1 MiB and not a byte more") {
  constexpr std::size_t kFieldHeader = 4;
  const std::string most = Text(std::string(kMaxMessage - kFieldHeader, 'x'));
  REQUIRE(most.size() == kMaxMessage);
  const std::string more =
      Text(std::string(kMaxMessage - kFieldHeader + 1, 'x'));
  CHECK(client.Call("SendMessage", OneMessage(most)).status.ok());
  CHECK(client.Call("SendMessages", Messages({most, most})).status.ok());
  CheckRefused("SendMessage", OneMessage(more), StatusCode::INVALID_ARGUMENT,
               {"message:", "1048577 bytes", "1048576"});
  CheckRefused("SendMessages", Messages({Text("hello"), more}),
               StatusCode::INVALID_ARGUMENT,
               {"messages[1]:", "1048577 bytes", "1048576"});
  v1::ReadMessagesRequest read;
  read.mutable_earliest();
  read.set_until_caught_up(true);
  RawStream stream = client.Read(read);
  int received = 0;
  while (const auto frame = stream.Read<v1::ReadMessagesResponse>()) {
    received += frame->messages_size();
  }
  CHECK(received == 3);
  CheckStillServing();
}

// A SendMessagesRequest of exactly so many bytes.
std::string RequestOf(std::size_t size) {
  const std::string message = BytesField(4, Text(std::string(500'000, 'x')));
  std::string request;
  while (request.size() + message.size() + 1000 < size) request += message;
  // The rest is a channel that does not count, since another one follows.
  const std::string channel = Channel("general");
  constexpr std::size_t kHeader = 4;
  request += Channel(
      std::string(size - request.size() - kHeader - channel.size(), 'x'));
  request += channel;
  REQUIRE(request.size() == size);
  return request;
}

TEST_CASE_FIXTURE(Serving, "a request may have 4 MiB and not a byte more") {
  CHECK(client.Call("SendMessages", RequestOf(kMaxRequest)).status.ok());
  const std::uint64_t head = client.GetChannel("").head();
  CHECK(head > 0);
  for (const char* const method : {"SendMessage", "SendMessages"}) {
    CheckRefused(method, RequestOf(kMaxRequest + 1),
                 StatusCode::INVALID_ARGUMENT,
                 {"request: 4194305 bytes", "4194304"});
    CheckRefused(method, RequestOf(2 * kMaxRequest),
                 StatusCode::INVALID_ARGUMENT,
                 {"request: 8388608 bytes", "4194304"});
    // The transport's own limit.
    CheckRefused(method, RequestOf(3 * kMaxRequest),
                 StatusCode::RESOURCE_EXHAUSTED, {"larger than max"});
  }
  CHECK(client.GetChannel("").head() == head);
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving,
                  "a request far too large leaves those before it stored, and "
                  "nothing after it") {
  RawStream stream = client.Open("SendMessages");
  stream.Write(Channel("c") + Messages({Text("1")}));
  CHECK(stream.Read());
  stream.Write(RequestOf(3 * kMaxRequest));
  stream.Write(Channel("c") + Messages({Text("2")}));
  CHECK(stream.Finish().error_code() == StatusCode::RESOURCE_EXHAUSTED);
  CHECK(client.GetChannel("c").head() == 1);
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving,
                  "a request that grows when it is decompressed meets the same "
                  "limit, or compression is refused") {
  const grpc::Status status =
      client.Call("SendMessages", RequestOf(kMaxRequest + 1), {.gzip = true})
          .status;
  INFO(status.error_message());
  CHECK((status.error_code() == StatusCode::INVALID_ARGUMENT ||
         status.error_code() == StatusCode::UNIMPLEMENTED));
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving, "a batch holds at least one message") {
  CheckRefused("SendMessages", Channel("c"), StatusCode::INVALID_ARGUMENT,
               {"messages: none", "at least one"});
  CheckRefused("SendMessages", "", StatusCode::INVALID_ARGUMENT,
               {"messages: none", "at least one"});
  CHECK(client.GetChannel("c").head() == 0);
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving, "an empty message is a message") {
  CHECK(client.Call("SendMessage", Channel("c")).status.ok());
  CHECK(client.Call("SendMessages", Channel("c") + Messages({"", ""}))
            .status.ok());
  CHECK(client.GetChannel("c").head() == 3);
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving, "a start beyond the head is out of range") {
  client.MustSend("c", 5, "hello");
  const std::uint64_t epoch = client.GetChannel("c").epoch();
  const std::string at_7 = VarintField(4, 7);
  const std::string at_max = VarintField(4, UINT64_MAX);
  const auto after = [&](std::uint64_t sequence) {
    return BytesField(7, Fixed64Field(1, epoch) + VarintField(2, sequence));
  };
  CheckRefused("ReadMessages", Channel("c") + at_7, StatusCode::OUT_OF_RANGE,
               {"sequence: 7", "\"c\"", "5", "6 at most"});
  CheckRefused("ReadMessages", Channel("c") + at_max, StatusCode::OUT_OF_RANGE,
               {"sequence: 18446744073709551615", "\"c\"", "6 at most"});
  CheckRefused("ReadMessages", Channel("nothing-yet") + VarintField(4, 2),
               StatusCode::OUT_OF_RANGE,
               {"sequence: 2", "\"nothing-yet\"", "1 at most"});
  const std::string strict = VarintField(10, 1);
  CheckRefused("ReadMessages", Channel("c") + after(6) + strict,
               StatusCode::OUT_OF_RANGE,
               {"resume_after.sequence: 6", "\"c\"", "which is 5"});
  CheckRefused("ReadMessages", Channel("c") + after(UINT64_MAX - 1) + strict,
               StatusCode::OUT_OF_RANGE,
               {"resume_after.sequence: 18446744073709551614", "\"c\""});
  CheckRefused("ReadMessages", Channel("nothing-yet") + after(1) + strict,
               StatusCode::OUT_OF_RANGE,
               {"resume_after.sequence: 1", "\"nothing-yet\"", "which is 0"});
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving, "a start or a limit that makes no sense is named") {
  CheckRefused("ReadMessages", VarintField(4, 0), StatusCode::INVALID_ARGUMENT,
               {"sequence: 0", "start at 1"});
  CheckRefused("ReadMessages", VarintField(8, 0), StatusCode::INVALID_ARGUMENT,
               {"limit: 0", "at least 1"});
  CheckRefused("ReadMessages", BytesField(7, VarintField(2, 3)),
               StatusCode::INVALID_ARGUMENT, {"resume_after.epoch: 0"});
  CheckRefused("ReadMessages", BytesField(7, ""), StatusCode::INVALID_ARGUMENT,
               {"resume_after.epoch: 0"});
  CheckStillServing();
}

TEST_CASE_FIXTURE(
    Serving,
    "a position of another log is told of a gap that can be read, "
    "whatever its sequence") {
  client.MustSend("c", 3, "hello");
  const std::uint64_t other = client.GetChannel("c").epoch() + 1;
  for (const std::uint64_t sequence :
       {std::uint64_t{0}, std::uint64_t{7}, UINT64_MAX - 1, UINT64_MAX}) {
    INFO("sequence ", sequence);
    v1::ReadMessagesRequest request;
    request.set_channel("c");
    request.mutable_resume_after()->set_epoch(other);
    request.mutable_resume_after()->set_sequence(sequence);
    RawStream stream = client.Read(request);
    if (sequence == UINT64_MAX) {
      // There is no message after it: a gap from there or a refusal, but not a
      // gap from 0.
      const auto frame = stream.Read<v1::ReadMessagesResponse>();
      CHECK((!frame || frame->gap().first_missing() > 0));
      continue;
    }
    const auto frame = stream.MustRead<v1::ReadMessagesResponse>();
    CHECK(frame.gap().reason() == v1::Gap::REASON_NEW_EPOCH);
    CHECK(frame.gap().first_missing() == sequence + 1);
    CHECK(frame.gap().next() == 1);
    CHECK(stream.MustReadMessages().messages_size() == 3);
  }
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving, "times and durations out of their range are named") {
  const auto time = [](std::int64_t seconds, std::int64_t nanos) {
    return VarintField(1, static_cast<std::uint64_t>(seconds)) +
           VarintField(2, static_cast<std::uint64_t>(nanos));
  };
  constexpr std::int64_t kMaxDuration = 315'576'000'000;
  for (const std::string& bad :
       {time(0, 1'000'000'000), time(0, -1), time(INT64_MAX, 0),
        time(INT64_MIN, 0), time(9'223'372'037, 0), time(-9'223'372'037, 0),
        std::string("\x08", 1)}) {
    CheckRefused("ReadMessages", BytesField(5, bad),
                 StatusCode::INVALID_ARGUMENT,
                 {"time:", "google.protobuf.Timestamp", "1678 and 2262"});
  }
  for (const std::string& bad :
       {time(0, 1'000'000'000), time(0, -1), time(-1, 0),
        time(kMaxDuration + 1, 0), time(INT64_MAX, 0), time(INT64_MIN, 0),
        std::string("\x08", 1)}) {
    CheckRefused("ReadMessages", BytesField(11, bad),
                 StatusCode::INVALID_ARGUMENT,
                 {"heartbeat_interval:", "google.protobuf.Duration"});
  }
  // The extremes that are allowed.
  for (const std::string& good :
       {BytesField(5, time(9'000'000'000, 999'999'999)),
        BytesField(5, time(-9'000'000'000, 0)),
        BytesField(11, time(kMaxDuration, 999'999'999)),
        BytesField(11, time(0, 1))}) {
    INFO(Hex(good));
    RawStream stream = client.Open("ReadMessages");
    stream.Write(good);
    stream.CloseWrites();
    CHECK(stream.Read<v1::ReadMessagesResponse>());
  }
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving,
                  "a producer id has 16 bytes and goes with a number") {
  for (const auto& [method, message, sequence] : std::initializer_list<
           std::tuple<const char*, std::string, std::uint32_t>>{
           {"SendMessages", Messages({Text("hello")}), 3},
           {"SendMessage", OneMessage(Text("hello")), 4}}) {
    // In SendMessageRequest, the id is the third field.
    const bool unary = sequence == 4;
    const auto id = [unary](std::string_view bytes) {
      return BytesField(unary ? 3 : 2, bytes);
    };
    const char* const name =
        unary ? "producer_sequence: " : "first_producer_sequence: ";
    CheckRefused(method, message + id("0123456789abcde"),
                 StatusCode::INVALID_ARGUMENT,
                 {"producer_id: 15 bytes", "must be 16"});
    CheckRefused(
        method, message + id("0123456789abcdefg") + VarintField(sequence, 1),
        StatusCode::INVALID_ARGUMENT, {"producer_id: 17 bytes", "must be 16"});
    CheckRefused(method, message + id(kProducer), StatusCode::INVALID_ARGUMENT,
                 {std::string(name) + "0", "from 1"});
    CheckRefused(method, message + VarintField(sequence, 3),
                 StatusCode::INVALID_ARGUMENT,
                 {std::string(name) + "3 without a producer_id"});
    CheckRefused(method,
                 message + id(kProducer) + VarintField(sequence, UINT64_MAX),
                 StatusCode::INVALID_ARGUMENT,
                 {std::string(name) + "18446744073709551615", "too large"});
  }
  CHECK(client.GetChannel("").head() == 0);
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving,
                  "a field that the server does not know is refused, by every "
                  "method and at every depth") {
  const std::string unknown = VarintField(60, 1);
  const auto check = [&](const char* method, const std::string& request,
                         std::string_view path) {
    CheckRefused(method, request, StatusCode::INVALID_ARGUMENT,
                 {std::string(path) +
                  ": field 60, of wire type 0, is not known to this server"});
  };
  const std::string message = Text("hello") + unknown;
  const std::string attribute = BytesField(5, BytesField(1, "name") + unknown);
  for (const std::string& good : {OneMessage(Text("hello")), std::string()}) {
    check("SendMessage", good + unknown, "SendMessageRequest");
  }
  check("SendMessage", OneMessage(message), "message: NewMessage");
  check("SendMessage", OneMessage(attribute),
        "message: attributes[0]: Attribute");
  check("SendMessages", Messages({Text("hello")}) + unknown,
        "SendMessagesRequest");
  check("SendMessages", Messages({Text("hello"), message}),
        "messages[1]: NewMessage");
  check("SendMessages", Messages({attribute}),
        "messages[0]: attributes[0]: Attribute");
  check("ReadMessages", unknown, "ReadMessagesRequest");
  check("ReadMessages", BytesField(2, unknown), "new_only: NewOnly");
  check("ReadMessages", BytesField(3, unknown), "earliest: Earliest");
  check("ReadMessages", BytesField(5, unknown),
        "time: google.protobuf.Timestamp");
  check("ReadMessages", BytesField(7, unknown), "resume_after: Position");
  check("ReadMessages", BytesField(11, unknown),
        "heartbeat_interval: google.protobuf.Duration");
  check("ListChannels", unknown, "ListChannelsRequest");
  check("GetChannel", Channel("c") + unknown, "GetChannelRequest");
  check("DeleteChannel", Channel("c") + unknown, "DeleteChannelRequest");
  // A number that is known, but not with this type.
  for (const auto& [method, field] :
       std::initializer_list<std::pair<const char*, std::uint32_t>>{
           {"SendMessage", 2},
           {"SendMessages", 4},
           {"ReadMessages", 1},
           {"ListChannels", 2},
           {"GetChannel", 1},
           {"DeleteChannel", 1}}) {
    CheckRefused(
        method, VarintField(field, 1), StatusCode::INVALID_ARGUMENT,
        {fmt::format("{}Request: field {}, of wire type 0", method, field)});
  }
  CHECK(client.GetChannel("").head() == 0);
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving, "what does not exist is not found, by its name") {
  CheckRefused("GetChannel", Channel("nowhere"), StatusCode::NOT_FOUND,
               {"channel: \"nowhere\""});
  CheckRefused("DeleteChannel", Channel("nowhere"), StatusCode::NOT_FOUND,
               {"channel: \"nowhere\""});
  CheckRefused("ForgetMessages", Channel("nowhere"), StatusCode::UNIMPLEMENTED,
               {});
  CheckStillServing();
}

// A producer on the wire.

std::string Batch(std::uint64_t first,
                  std::initializer_list<std::string_view> texts) {
  std::string request =
      Channel("c") + ProducerId(kProducer) + VarintField(3, first);
  for (const std::string_view text : texts) {
    request += BytesField(4, Text(text));
  }
  return request;
}

std::string Single(std::uint64_t sequence, std::string_view text) {
  return Channel("c") + OneMessage(Text(text)) + BytesField(3, kProducer) +
         VarintField(4, sequence);
}

// "first..last at time": what a receipt says, but for the duplicate mark.
std::string Place(const v1::Receipt& receipt) {
  return fmt::format("{} at {}.{:09} of {:x}", receipt.first_sequence(),
                     receipt.send_time().seconds(), receipt.send_time().nanos(),
                     receipt.epoch());
}

std::vector<v1::Receipt> ReceiptsOf(RawStream& stream) {
  std::vector<v1::Receipt> receipts;
  while (const auto response = stream.Read<v1::SendMessagesResponse>()) {
    receipts.insert(receipts.end(), response->receipts().begin(),
                    response->receipts().end());
  }
  return receipts;
}

TEST_CASE_FIXTURE(Serving,
                  "a batch that is sent again, on another stream, is answered "
                  "with the original receipt and stored once") {
  std::vector<v1::Receipt> first;
  {
    RawStream stream = client.Open("SendMessages");
    stream.Write(Batch(1, {"a", "b", "c"}));
    stream.CloseWrites();
    first = ReceiptsOf(stream);
    CHECK(stream.Finish().ok());
  }
  REQUIRE(first.size() == 1);
  CHECK(first[0].count() == 3);
  CHECK_FALSE(first[0].duplicate());

  RawStream stream = client.Open("SendMessages");
  stream.Write(Batch(1, {"a", "b", "c"}));  // all of it
  stream.Write(Batch(3, {"c", "d"}));       // the end of it, and a new one
  stream.CloseWrites();
  const std::vector<v1::Receipt> second = ReceiptsOf(stream);
  CHECK(stream.Finish().ok());
  REQUIRE(second.size() == 3);
  CHECK(second[0].duplicate());
  CHECK(second[0].count() == 3);
  CHECK(Place(second[0]) == Place(first[0]));
  CHECK(second[1].duplicate());
  CHECK(second[1].count() == 1);
  CHECK(second[1].first_sequence() == 3);
  CHECK_FALSE(second[2].duplicate());
  CHECK(second[2].count() == 1);
  CHECK(second[2].first_sequence() == 4);
  CHECK(client.GetChannel("c").head() == 4);
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving,
                  "a message is known again whether it was sent alone or in a "
                  "stream, over whatever connection") {
  const auto single = [&](std::uint64_t sequence, std::string_view text) {
    RawClient other(server->port());
    const RawClient::Answer answer =
        other.Call("SendMessage", Single(sequence, text));
    v1::SendMessageResponse response;
    REQUIRE(answer.status.ok());
    REQUIRE(response.ParseFromString(answer.bytes));
    return response.receipt();
  };
  const v1::Receipt alone = single(1, "a");
  CHECK_FALSE(alone.duplicate());
  RawStream stream = client.Open("SendMessages");
  stream.Write(Batch(1, {"a"}));
  stream.Write(Batch(2, {"b"}));
  stream.CloseWrites();
  const std::vector<v1::Receipt> streamed = ReceiptsOf(stream);
  CHECK(stream.Finish().ok());
  REQUIRE(streamed.size() == 2);
  CHECK(streamed[0].duplicate());
  CHECK(Place(streamed[0]) == Place(alone));
  CHECK_FALSE(streamed[1].duplicate());
  const v1::Receipt again = single(2, "b");
  CHECK(again.duplicate());
  CHECK(again.count() == 1);
  CHECK(Place(again) == Place(streamed[1]));
  CHECK(client.GetChannel("c").head() == 2);
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving,
                  "a producer that skips, changes or begins in the middle is "
                  "refused, and told what was expected") {
  CheckRefused("SendMessages", Batch(2, {"b"}), StatusCode::FAILED_PRECONDITION,
               {"producer sequence 2", "expected 1"});
  CheckRefused("SendMessage", Single(2, "b"), StatusCode::FAILED_PRECONDITION,
               {"producer sequence 2", "expected 1"});
  REQUIRE(client.Call("SendMessages", Batch(1, {"a", "b"})).status.ok());
  CheckRefused("SendMessages", Batch(4, {"d"}), StatusCode::FAILED_PRECONDITION,
               {"producer sequence 4", "expected 3"});
  CheckRefused("SendMessage", Single(4, "d"), StatusCode::FAILED_PRECONDITION,
               {"producer sequence 4", "expected 3"});
  CheckRefused("SendMessages", Batch(1, {"a", "B"}),
               StatusCode::FAILED_PRECONDITION,
               {"producer sequence 2", "another content"});
  // Nothing of it is stored, though its second half would continue.
  CheckRefused("SendMessages", Batch(2, {"B", "c"}),
               StatusCode::FAILED_PRECONDITION,
               {"producer sequence 2", "another content"});
  CHECK(client.GetChannel("c").head() == 2);
  CheckStillServing();
}

TEST_CASE_FIXTURE(Serving,
                  "after a gap in a producer's stream nothing more of it is "
                  "stored") {
  RawStream stream = client.Open("SendMessages");
  stream.Write(Batch(1, {"a"}));
  stream.Write(Batch(3, {"c"}));
  stream.Write(Batch(2, {"b"}));
  const std::vector<v1::Receipt> receipts = ReceiptsOf(stream);
  CHECK(receipts.size() == 1);
  CheckStatus(stream.Finish(), StatusCode::FAILED_PRECONDITION,
              {"producer sequence 3", "expected 2"});
  CHECK(client.GetChannel("c").head() == 1);
  CheckStillServing();
}

}  // namespace
}  // namespace messenger::hostile_input_test
