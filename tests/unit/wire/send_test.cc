#include "wire/send.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "messenger/v1/messenger.pb.h"
#include "support/bytes.h"
#include "support/known_fields.h"
#include "support/log_access.h"
#include "support/printing.h"
#include "support/seed.h"
#include "wire/capabilities.h"
#include "wire/coding.h"
#include "wire/new_message.h"
#include "wire/tags.h"

namespace messenger::wire::send_test {
namespace {

using test::Contains;
using test::Producer;

constexpr SendLimits kLimits{.max_request_bytes = 2000,
                             .max_message_bytes = 1000};

std::string Bytes(const ProducerId& id) {
  return {id.begin(), id.end()};
}

template <typename T>
std::string ErrorOf(
    const absl::StatusOr<T>& result,
    absl::StatusCode code = absl::StatusCode::kInvalidArgument) {
  if (result.ok()) return "OK";
  CHECK(result.status().code() == code);
  return std::string(MessageOf(result.status()));
}

std::string SendMessageError(const std::string& bytes) {
  return ErrorOf(ParseSendMessageRequest(bytes, kLimits));
}

std::string SendMessagesError(const std::string& bytes) {
  return ErrorOf(ParseSendMessagesRequest(bytes, kLimits));
}

TEST_CASE("SendMessageRequest: what protobuf encodes is understood") {
  v1::SendMessageRequest proto;
  proto.set_channel("news");
  proto.mutable_message()->set_author("ann");
  proto.mutable_message()->set_text("hello");
  proto.set_producer_id(Bytes(Producer(3)));
  proto.set_producer_sequence(300);
  const std::string bytes = proto.SerializeAsString();
  const auto request = ParseSendMessageRequest(bytes, kLimits);
  REQUIRE(request.ok());
  CHECK(request->channel == "news");
  REQUIRE(request->messages.size() == 1);
  CHECK(request->messages[0] == proto.message().SerializeAsString());
  CHECK((request->producer_id == Producer(3)));
  CHECK(request->first_producer_sequence == 300);
}

TEST_CASE("SendMessageRequest: a generation and a key are understood") {
  v1::SendMessageRequest proto;
  SUBCASE("of a named producer") {
    proto.set_producer_id(Bytes(Producer(3)));
    proto.set_producer_sequence(300);
    proto.set_producer_generation(UINT64_MAX);
  }
  SUBCASE("a key") {
    proto.set_idempotency_key(std::string(128, 'k'));
  }
  const std::string bytes = proto.SerializeAsString();
  const auto request = ParseSendMessageRequest(bytes, kLimits);
  REQUIRE(request.ok());
  CHECK(request->producer_generation == proto.producer_generation());
  CHECK(request->idempotency_key == proto.idempotency_key());
}

TEST_CASE("SendMessageRequest: all of it may be left out") {
  const auto request = ParseSendMessageRequest("", kLimits);
  REQUIRE(request.ok());
  CHECK(request->channel == "general");
  REQUIRE(request->messages.size() == 1);
  CHECK(request->messages[0] == "");
  CHECK_FALSE(request->producer_id.has_value());
  CHECK(request->first_producer_sequence == 0);
}

TEST_CASE(
    "SendMessageRequest: errors name the field, the value and the "
    "limit") {
  v1::SendMessageRequest proto;
  SUBCASE("channel") {
    proto.set_channel("a b");
    const std::string error = SendMessageError(proto.SerializeAsString());
    CAPTURE(error);
    CHECK(Contains(error, "channel: \"a b\""));
  }
  SUBCASE("message") {
    proto.mutable_message()->set_text(std::string(1000, 'x'));
    CHECK(SendMessageError(proto.SerializeAsString()) ==
          "message: 1003 bytes, encoded, exceed the limit of 1000");
  }
  SUBCASE("text") {
    std::string bytes;
    AppendBytesField(bytes, 2, "\x22\x01\xFF");
    CHECK(SendMessageError(bytes) ==
          "message: text: not valid UTF-8: byte 0xff at offset 0");
  }
  SUBCASE("request") {
    CHECK(SendMessageError(std::string(2001, 'x')) ==
          "request: 2001 bytes exceed the limit of 2000");
  }
  SUBCASE("producer_id") {
    proto.set_producer_id("123456789012345");
    CHECK(SendMessageError(proto.SerializeAsString()) ==
          "producer_id: 15 bytes; must be 16, or none");
  }
  SUBCASE("producer_sequence is missing") {
    proto.set_producer_id(Bytes(Producer(3)));
    CHECK(SendMessageError(proto.SerializeAsString()) ==
          "producer_sequence: 0; a producer counts from 1");
  }
  SUBCASE("producer_id is missing") {
    proto.set_producer_sequence(5);
    CHECK(SendMessageError(proto.SerializeAsString()) ==
          "producer_sequence: 5 without a producer_id");
  }
  SUBCASE("producer_sequence leaves no room for the next one") {
    proto.set_producer_id(Bytes(Producer(3)));
    proto.set_producer_sequence(std::uint64_t{1} << 63);
    CHECK(SendMessageError(proto.SerializeAsString()) ==
          "producer_sequence: 9223372036854775808 is too large");
  }
  SUBCASE("producer_generation without a producer_id") {
    proto.set_producer_generation(3);
    CHECK(SendMessageError(proto.SerializeAsString()) ==
          "producer_generation: 3 without a producer_id");
  }
  SUBCASE("idempotency_key") {
    proto.set_idempotency_key(std::string(256, 'k'));
    CHECK(SendMessageError(proto.SerializeAsString()) ==
          "idempotency_key: 256 bytes; must be 1 to 255");
  }
  SUBCASE("idempotency_key is not UTF-8") {
    std::string bytes;
    AppendBytesField(bytes, 8, "k\xFF");
    CHECK(SendMessageError(bytes) ==
          "idempotency_key: not valid UTF-8: byte 0xff at offset 1");
  }
  SUBCASE("idempotency_key with a producer_id") {
    proto.set_idempotency_key("k");
    proto.set_producer_id(Bytes(Producer(3)));
    proto.set_producer_sequence(1);
    CHECK(SendMessageError(proto.SerializeAsString()) ==
          "idempotency_key: together with a producer_id; a request has one of "
          "them");
  }
  SUBCASE("not a request") {
    CHECK(SendMessageError("\x0A\x7F") ==
          "request: not an encoded messenger.v1.SendMessageRequest");
  }
}

TEST_CASE("SendMessageRequest: an unknown field is refused") {
  std::string bytes;
  std::string error;
  SUBCASE("of the request") {
    AppendVarintField(bytes, 100, 0);
    error = "SendMessageRequest: field 100, of wire type 0";
  }
  SUBCASE("a known number with another type") {
    AppendVarintField(bytes, 2, 0);
    error = "SendMessageRequest: field 2, of wire type 0";
  }
  SUBCASE("of the message") {
    AppendBytesField(bytes, 2, "\x52\x01x");
    error = "message: NewMessage: field 10, of wire type 2";
  }
  SUBCASE("of a message that does not count") {
    AppendBytesField(bytes, 2, "\x40\x01");
    AppendBytesField(bytes, 2, "\x22\x01x");
    error = "message: NewMessage: field 8, of wire type 0";
  }
  SUBCASE("of an attribute") {
    AppendBytesField(bytes, 2, "\x2A\x05\x0A\x01n\x18\x01");
    error = "message: attributes[0]: Attribute: field 3, of wire type 0";
  }
  CHECK(SendMessageError(bytes) == error + ", is not known to this server");
}

TEST_CASE("SendMessagesRequest: an unknown field is refused") {
  std::string bytes;
  std::string error;
  AppendBytesField(bytes, 4, "\x22\x01x");
  SUBCASE("of the request") {
    AppendBytesField(bytes, 100, "");
    error = "SendMessagesRequest: field 100, of wire type 2";
  }
  SUBCASE("a known number with another type") {
    AppendFixed64Field(bytes, 3, 1);
    error = "SendMessagesRequest: field 3, of wire type 1";
  }
  SUBCASE("of a message") {
    AppendBytesField(bytes, 4, "\x48\x01");
    error = "messages[1]: NewMessage: field 9, of wire type 0";
  }
  CHECK(SendMessagesError(bytes) == error + ", is not known to this server");
}

TEST_CASE("SendMessagesRequest: what protobuf encodes is understood") {
  v1::SendMessagesRequest proto;
  proto.set_channel("news");
  proto.set_producer_id(Bytes(Producer(3)));
  proto.set_first_producer_sequence(300);
  for (const char* text : {"one", "", "three"}) {
    proto.add_messages()->set_text(text);
  }
  const std::string bytes = proto.SerializeAsString();
  const auto request = ParseSendMessagesRequest(bytes, kLimits);
  REQUIRE(request.ok());
  CHECK(request->channel == "news");
  CHECK((request->producer_id == Producer(3)));
  CHECK(request->first_producer_sequence == 300);
  REQUIRE(request->messages.size() == 3);
  for (int i = 0; i < 3; ++i) {
    CHECK(request->messages[static_cast<std::size_t>(i)] ==
          proto.messages(i).SerializeAsString());
  }
  CHECK(request->storage.empty());
}

TEST_CASE(
    "SendMessagesRequest: what is encoded here is what protobuf would "
    "encode") {
  const std::vector<NewMessage> messages = {
      {.text = "one"},
      {},
      {.author = "ann",
       .text = "three",
       .attributes = {{"a", "1"}, {"b", ""}}}};
  std::string bytes =
      EncodeSendMessagesHeader({.channel = "news",
                                .producer_id = Producer(3),
                                .first_producer_sequence = 300});
  for (const NewMessage& message : messages) {
    AppendNewMessageField(bytes, message, NewMessageSize(message));
  }
  v1::SendMessagesRequest proto;
  REQUIRE(proto.ParseFromString(bytes));
  CHECK(proto.channel() == "news");
  CHECK(proto.producer_id() == Bytes(Producer(3)));
  CHECK(proto.first_producer_sequence() == 300);
  REQUIRE(proto.messages_size() == 3);
  CHECK(proto.messages(0).text() == "one");
  CHECK(proto.messages(2).author() == "ann");
  CHECK(proto.messages(2).attributes(1).name() == "b");
  CHECK(test::Hex(proto.SerializeAsString()) == test::Hex(bytes));

  const auto request = ParseSendMessagesRequest(bytes, kLimits);
  REQUIRE(request.ok());
  CHECK(request->storage.empty());
  REQUIRE(request->messages.size() == 3);
  CHECK(request->messages[2] == test::Encode(messages[2]));
}

TEST_CASE(
    "SendMessagesRequest: messages that are not canonical are rewritten "
    "and stay where they are") {
  std::string bytes;
  std::vector<std::string> expected;
  for (int i = 0; i < 20; ++i) {
    v1::NewMessage message;
    message.set_author("ann");
    message.set_text(std::to_string(i));
    expected.push_back(message.SerializeAsString());
    std::string encoded;
    if (i % 2 == 0) {
      encoded = expected.back();
    } else {
      AppendBytesField(encoded, 4, message.text());
      AppendBytesField(encoded, 3, message.author());
    }
    AppendBytesField(bytes, 4, encoded);
  }
  auto parsed = ParseSendMessagesRequest(bytes, kLimits);
  REQUIRE(parsed.ok());
  const SendRequest request = *std::move(parsed);
  const std::vector<std::string> messages(request.messages.begin(),
                                          request.messages.end());
  CHECK(messages == expected);
  CHECK(request.storage.size() == 10);
}

TEST_CASE("SendMessagesRequest: fields in any order do no harm") {
  std::string bytes;
  AppendBytesField(bytes, 4,
                   "\x22\x01"
                   "a");
  AppendVarintField(bytes, 3, 9);
  AppendBytesField(bytes, 2, Bytes(Producer(1)));
  AppendBytesField(bytes, 1, "first");
  AppendBytesField(bytes, 1, "news");
  const auto request = ParseSendMessagesRequest(bytes, kLimits);
  REQUIRE(request.ok());
  CHECK(request->channel == "news");
  CHECK(request->first_producer_sequence == 9);
  CHECK(request->messages.size() == 1);
}

TEST_CASE(
    "SendMessagesRequest: errors name the field, the value and the "
    "limit") {
  v1::SendMessagesRequest proto;
  proto.add_messages()->set_text("fine");
  SUBCASE("channel") {
    proto.set_channel(std::string(129, 'x'));
    CHECK(SendMessagesError(proto.SerializeAsString()) ==
          "channel: 129 bytes exceed the limit of 128");
  }
  SUBCASE("one of the messages") {
    proto.add_messages()->set_text(std::string(1000, 'x'));
    CHECK(SendMessagesError(proto.SerializeAsString()) ==
          "messages[1]: 1003 bytes, encoded, exceed the limit of 1000");
  }
  SUBCASE("text of one of the messages") {
    std::string bytes = proto.SerializeAsString();
    AppendBytesField(bytes, 4, "\x22\x01\xFF");
    CHECK(SendMessagesError(bytes) ==
          "messages[1]: text: not valid UTF-8: byte 0xff at offset 0");
  }
  SUBCASE("no messages") {
    proto.clear_messages();
    CHECK(SendMessagesError(proto.SerializeAsString()) ==
          "messages: none; a request holds at least one");
  }
  SUBCASE("request") {
    CHECK(SendMessagesError(std::string(2001, 'x')) ==
          "request: 2001 bytes exceed the limit of 2000");
  }
  SUBCASE("producer_id") {
    proto.set_producer_id("12345678901234567");
    CHECK(SendMessagesError(proto.SerializeAsString()) ==
          "producer_id: 17 bytes; must be 16, or none");
  }
  SUBCASE("first_producer_sequence is missing") {
    proto.set_producer_id(Bytes(Producer(3)));
    CHECK(SendMessagesError(proto.SerializeAsString()) ==
          "first_producer_sequence: 0; a producer counts from 1");
  }
  SUBCASE("producer_id is missing") {
    proto.set_first_producer_sequence(5);
    CHECK(SendMessagesError(proto.SerializeAsString()) ==
          "first_producer_sequence: 5 without a producer_id");
  }
  SUBCASE("the last producer sequence is too large") {
    proto.set_producer_id(Bytes(Producer(3)));
    proto.set_first_producer_sequence(INT64_MAX);
    CHECK(ParseSendMessagesRequest(proto.SerializeAsString(), kLimits).ok());
    proto.add_messages();
    CHECK(SendMessagesError(proto.SerializeAsString()) ==
          "first_producer_sequence: 9223372036854775807 is too large");
  }
  SUBCASE("first_producer_sequence leaves no room") {
    proto.set_producer_id(Bytes(Producer(3)));
    proto.set_first_producer_sequence(UINT64_MAX);
    CHECK(SendMessagesError(proto.SerializeAsString()) ==
          "first_producer_sequence: 18446744073709551615 is too large");
    // It has one message.
    proto.set_first_producer_sequence(INT64_MAX);
    CHECK(ParseSendMessagesRequest(proto.SerializeAsString(), kLimits).ok());
  }
  SUBCASE("producer_generation without a producer_id") {
    proto.set_producer_generation(3);
    CHECK(SendMessagesError(proto.SerializeAsString()) ==
          "producer_generation: 3 without a producer_id");
  }
  SUBCASE("idempotency_key of two messages") {
    proto.set_idempotency_key("k");
    proto.add_messages();
    CHECK(SendMessagesError(proto.SerializeAsString()) ==
          "idempotency_key: of 2 messages; it is the key of one message");
  }
  SUBCASE("not a request") {
    CHECK(SendMessagesError("\x22\x7F") ==
          "request: not an encoded messenger.v1.SendMessagesRequest");
  }
}

TEST_CASE(
    "send requests: mutilated bytes are refused or understood as "
    "protobuf does") {
  INFO("MESSENGER_TEST_SEED=", test::TestSeed());
  test::Random random(test::TestSeed());
  google::protobuf::LogSilencer silence;
  int accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    v1::SendMessagesRequest proto;
    proto.set_channel("news");
    proto.set_producer_id(Bytes(Producer(3)));
    proto.set_first_producer_sequence(random.Between(1, 1000));
    for (auto n = random.Between(1, 3); n > 0; --n) {
      proto.add_messages()->set_text(random.Text(random.Between(0, 5)));
    }
    std::string bytes = proto.SerializeAsString();
    test::FlipBit(bytes, random.Between(0, bytes.size() * 8 - 1));
    const auto request = ParseSendMessagesRequest(bytes, kLimits);
    static_cast<void>(ParseSendMessageRequest(bytes, kLimits));
    if (!request.ok() || !proto.ParseFromString(bytes)) continue;
    ++accepted;
    CHECK(test::KnowsAllFields(proto));
    if (request->messages.size() ==
            static_cast<std::size_t>(proto.messages_size()) &&
        request->first_producer_sequence == proto.first_producer_sequence() &&
        (request->channel == proto.channel() || proto.channel().empty())) {
      continue;
    }
    CAPTURE(test::Hex(bytes));
    CHECK(request->messages.size() ==
          static_cast<std::size_t>(proto.messages_size()));
    CHECK(request->first_producer_sequence == proto.first_producer_sequence());
    CHECK(request->channel == proto.channel());
    break;
  }
  CHECK(accepted > 1000);
}

TEST_CASE("SendMessagesResponse: receipts encoded here are read by protobuf") {
  const Timestamp time{std::chrono::nanoseconds(5'000'000'007)};
  std::string bytes;
  AppendReceipt(bytes, {.epoch = UINT64_MAX,
                        .first_sequence = 300,
                        .count = 7,
                        .send_time = time,
                        .duplicate = true});
  AppendReceipt(bytes, {.epoch = 1, .first_sequence = 307, .count = 1});
  v1::SendMessagesResponse proto;
  REQUIRE(proto.ParseFromString(bytes));
  REQUIRE(proto.receipts_size() == 2);
  CHECK(proto.receipts(0).epoch() == UINT64_MAX);
  CHECK(proto.receipts(0).first_sequence() == 300);
  CHECK(proto.receipts(0).count() == 7);
  CHECK(proto.receipts(0).send_time().seconds() == 5);
  CHECK(proto.receipts(0).send_time().nanos() == 7);
  CHECK(proto.receipts(0).duplicate());
  CHECK_FALSE(proto.receipts(1).duplicate());
  CHECK(test::Hex(proto.SerializeAsString()) == test::Hex(bytes));
}

TEST_CASE("SendMessagesResponse: a receipt without a position has no time") {
  std::string bytes;
  AppendReceipt(bytes, {.epoch = 5, .count = 7, .duplicate = true});
  v1::SendMessagesResponse proto;
  REQUIRE(proto.ParseFromString(bytes));
  REQUIRE(proto.receipts_size() == 1);
  CHECK(proto.receipts(0).first_sequence() == 0);
  CHECK(proto.receipts(0).count() == 7);
  CHECK_FALSE(proto.receipts(0).has_send_time());
  CHECK(proto.receipts(0).duplicate());
  const auto response = ParseSendMessagesResponse(bytes);
  REQUIRE(response.ok());
  REQUIRE(response->receipts.size() == 1);
  CHECK_FALSE(response->receipts[0].has_position());
  CHECK(response->receipts[0].count == 7);
  // What was stored now has one.
  proto.mutable_receipts(0)->set_duplicate(false);
  CHECK(ParseSendMessagesResponse(proto.SerializeAsString()).status().code() ==
        absl::StatusCode::kDataLoss);
}

TEST_CASE("SendMessageResponse: one receipt is the whole of it") {
  std::string bytes;
  AppendReceipt(bytes, {.epoch = 5, .first_sequence = 300, .count = 1});
  v1::SendMessageResponse proto;
  REQUIRE(proto.ParseFromString(bytes));
  CHECK(proto.receipt().epoch() == 5);
  CHECK(proto.receipt().first_sequence() == 300);
  CHECK(proto.receipt().count() == 1);
}

TEST_CASE("SendMessagesResponse: fields of versions to come are passed over") {
  std::string receipt;
  AppendFixed64Field(receipt, 1, 5);
  AppendVarintField(receipt, 2, 300);
  AppendVarintField(receipt, 3, 2);
  AppendBytesField(receipt, 4, "\x08\x05\x18\x01");
  AppendBytesField(receipt, 6, "what is to come");
  AppendFixed64Field(receipt, 5, 1);  // a known number with another type
  std::string bytes;
  AppendVarintField(bytes, 100, 1);
  AppendBytesField(bytes, 1, receipt);
  AppendBytesField(bytes, 4, "what is to come");
  const auto response = ParseSendMessagesResponse(bytes);
  REQUIRE(response.status().ToString() == "OK");
  REQUIRE(response->receipts.size() == 1);
  CHECK(response->receipts[0].first_sequence == 300);
  CHECK(response->receipts[0].count == 2);
  CHECK(response->receipts[0].send_time.time_since_epoch().count() ==
        5'000'000'000);
  CHECK_FALSE(response->receipts[0].duplicate);
}

TEST_CASE("SendMessagesResponse: what protobuf encodes is understood") {
  v1::SendMessagesResponse proto;
  v1::Receipt* const first = proto.add_receipts();
  first->set_epoch(5);
  first->set_first_sequence(300);
  first->set_count(UINT32_MAX);
  first->mutable_send_time()->set_seconds(5);
  first->mutable_send_time()->set_nanos(7);
  first->set_duplicate(true);
  v1::Receipt* const second = proto.add_receipts();
  second->set_epoch(6);
  second->set_first_sequence(1);
  second->set_count(1);
  proto.set_epoch(6);
  const auto response = ParseSendMessagesResponse(proto.SerializeAsString());
  REQUIRE(response.ok());
  CHECK(response->epoch == 6);
  const std::vector<ReceiptRun>& runs = response->receipts;
  REQUIRE(runs.size() == 2);
  CHECK(runs[0].epoch == 5);
  CHECK(runs[0].first_sequence == 300);
  CHECK(runs[0].count == UINT32_MAX);
  CHECK(runs[0].send_time.time_since_epoch().count() == 5'000'000'007);
  CHECK(runs[0].duplicate);
  CHECK(runs[1].epoch == 6);
  CHECK_FALSE(runs[1].duplicate);
}

TEST_CASE(
    "SendMessagesResponse: the first one carries the epoch, and what the "
    "server can") {
  v1::SendMessagesResponse proto;
  REQUIRE(proto.ParseFromString(
      EncodeFirstResponse(7, {Capability::kConditionalAppend})));
  CHECK(proto.epoch() == 7);
  CHECK(proto.receipts().empty());
  CHECK(proto.capabilities().conditional_append());
  CHECK_FALSE(proto.capabilities().data());
  proto.mutable_capabilities()->set_data(true);
  proto.mutable_capabilities()->set_conditional_append(false);
  const auto parsed = ParseSendMessagesResponse(proto.SerializeAsString());
  REQUIRE(parsed.ok());
  CHECK(parsed->capabilities.Has(Capability::kData));
  CHECK_FALSE(parsed->capabilities.Has(Capability::kConditionalAppend));
}

TEST_CASE("SendMessagesResponse: malformed bytes are data loss") {
  std::string bytes;
  SUBCASE("not a message") {
    bytes = "\x0A\x05";
  }
  SUBCASE("not a receipt") {
    AppendBytesField(bytes, 1,
                     "\x09"
                     "1");
  }
  SUBCASE("not a time") {
    AppendBytesField(bytes, 1, "\x22\x06\x10\xFF\xFF\xFF\xFF\x0F");
  }
  SUBCASE("not capabilities") {
    AppendBytesField(bytes, tags::send_messages_response::kCapabilities,
                     "\x08");
  }
  const std::string error =
      ErrorOf(ParseSendMessagesResponse(bytes), absl::StatusCode::kDataLoss);
  CAPTURE(error);
  CHECK(Contains(error, "SendMessagesResponse"));
}

}  // namespace
}  // namespace messenger::wire::send_test
