#include "wire/entry.h"

#include <doctest/doctest.h>
#include <xxhash.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "messenger/v1/messenger.pb.h"
#include "support/bytes.h"
#include "support/log_access.h"
#include "support/printing.h"
#include "wire/canonical_message.h"
#include "wire/coding.h"
#include "wire/timestamp.h"

namespace messenger::wire::entry_test {
namespace {

constexpr Timestamp kTime{std::chrono::nanoseconds(1'700'000'000'123'456'789)};

struct Sample {
  std::uint64_t sequence = 1;
  Timestamp time = kTime;
  NewMessage message;
  bool has_producer = false;
  ProducerId producer_id{};
  std::uint64_t producer_sequence = 0;
};

std::vector<Sample> Samples() {
  static const std::string long_text(20'000, 'x');
  return {
      {},
      {.sequence = UINT64_MAX, .message = {.text = "hello"}},
      {.sequence = 300, .time = Timestamp(), .message = {.author = "ann"}},
      {.time = Timestamp(std::chrono::nanoseconds(-1)),
       .message = {.text = "before 1970"}},
      {.sequence = 7,
       .message = {.author = "ann",
                   .text = "hello",
                   .attributes = {{"a", "1"}, {"b", ""}, {"a", "2"}}},
       .has_producer = true,
       .producer_id = test::Producer(9),
       .producer_sequence = 300},
      {.sequence = 8,
       .message = {.text = long_text},
       .has_producer = true,
       .producer_id = test::Producer(1),
       .producer_sequence = UINT64_MAX},
      // The sender's fields stand on both sides of the producer's.
      {.sequence = 9,
       .message = {.text = "hello",
                   .attributes = {{"a", "1"}},
                   .data = "\xff\xfe",
                   .content_type = "image/png"},
       .has_producer = true,
       .producer_id = test::Producer(2),
       .producer_sequence = 3},
      {.sequence = 10, .message = {.data = "\xff"}},
      {.sequence = 11,
       .message = {.content_type = "text/markdown"},
       .has_producer = true,
       .producer_id = test::Producer(2),
       .producer_sequence = 4},
  };
}

std::string EncodeEntry(const Sample& sample) {
  const EncodedTimestamp time(sample.time);
  const std::string encoded = test::Encode(sample.message);
  const EntryParts parts{
      .sequence = sample.sequence,
      .encoded_time = time.bytes(),
      .new_message = CanonicalMessage(encoded),
      .producer_id = sample.has_producer ? &sample.producer_id : nullptr,
      .producer_sequence = sample.producer_sequence};
  const std::size_t message_size = MessageSize(parts);
  // More room than needed, to see that it is not used.
  std::string entry(EntrySize(message_size) + 8, '#');
  const char* const end = PutEntry(entry.data(), parts, message_size);
  CHECK(end == entry.data() + EntrySize(message_size));
  CHECK(entry.substr(EntrySize(message_size)) == "########");
  entry.resize(EntrySize(message_size));
  CHECK(MessageOfEntry(entry).size() == message_size);
  return entry;
}

std::string EncodeMessage(const Sample& sample) {
  return std::string(MessageOfEntry(EncodeEntry(sample)));
}

// A Message with a checksum that matches, whatever else is in it.
std::string Sealed(std::string bytes) {
  AppendFixed64Field(bytes, 15, XXH3_64bits(bytes.data(), bytes.size()));
  return bytes;
}

absl::Status Decode(std::string_view bytes) {
  Message message;
  return DecodeMessage(bytes, &message);
}

TEST_CASE(
    "entry: it is a response with the one message, as protobuf reads it") {
  for (const Sample& sample : Samples()) {
    CAPTURE(sample.sequence);
    v1::ReadMessagesResponse response;
    REQUIRE(response.ParseFromString(EncodeEntry(sample)));
    REQUIRE(response.messages_size() == 1);
    const v1::Message& message = response.messages(0);
    CHECK(message.sequence() == sample.sequence);
    CHECK(message.send_time().seconds() * 1'000'000'000 +
              message.send_time().nanos() ==
          sample.time.time_since_epoch().count());
    CHECK(message.author() == sample.message.author);
    CHECK(message.text() == sample.message.text);
    REQUIRE(message.attributes_size() ==
            static_cast<int>(sample.message.attributes.size()));
    for (int i = 0; i < message.attributes_size(); ++i) {
      const NewAttribute& expected =
          sample.message.attributes[static_cast<std::size_t>(i)];
      CHECK(message.attributes(i).name() == expected.name);
      CHECK(message.attributes(i).value() == expected.value);
    }
    const std::string id(sample.producer_id.begin(), sample.producer_id.end());
    CHECK(message.producer_id() == (sample.has_producer ? id : ""));
    CHECK(message.producer_sequence() == sample.producer_sequence);
    CHECK(message.data() == sample.message.data);
    CHECK(message.content_type() == sample.message.content_type);
    CHECK(message.GetReflection()->GetUnknownFields(message).empty());
  }
}

TEST_CASE("entry: its bytes are those of protobuf") {
  for (const Sample& sample : Samples()) {
    CAPTURE(sample.sequence);
    const std::string entry = EncodeEntry(sample);
    v1::ReadMessagesResponse response;
    REQUIRE(response.ParseFromString(entry));
    CHECK(test::Hex(response.SerializeAsString()) == test::Hex(entry));
  }
}

TEST_CASE(
    "entry: the checksum is XXH3-64 of the message serialized without "
    "it") {
  for (const Sample& sample : Samples()) {
    CAPTURE(sample.sequence);
    const std::string bytes = EncodeMessage(sample);
    v1::Message message;
    REQUIRE(message.ParseFromString(bytes));
    const std::uint64_t checksum = message.checksum();
    message.clear_checksum();
    const std::string hashed = message.SerializeAsString();
    CHECK(hashed == bytes.substr(0, bytes.size() - 9));
    CHECK(XXH3_64bits(hashed.data(), hashed.size()) == checksum);
  }
}

TEST_CASE("entry: entries back to back are a response with all the messages") {
  std::string entries;
  for (const Sample& sample : Samples()) entries += EncodeEntry(sample);
  v1::ReadMessagesResponse response;
  REQUIRE(response.ParseFromString(entries));
  REQUIRE(response.messages_size() == static_cast<int>(Samples().size()));
  for (int i = 0; i < response.messages_size(); ++i) {
    CHECK(response.messages(i).sequence() ==
          Samples()[static_cast<std::size_t>(i)].sequence);
  }
  CHECK(response.GetReflection()->GetUnknownFields(response).empty());
}

TEST_CASE("entry: the message of the first of several entries is found") {
  const std::string first = EncodeEntry({.message = {.text = "first"}});
  const std::string second = EncodeEntry({.message = {.text = "second"}});
  const std::string both = first + second;
  const std::string_view message = MessageOfEntry(both);
  CHECK(message.data() + message.size() == both.data() + first.size());
  CHECK(message == MessageOfEntry(first));
}

TEST_CASE("entry: decoding gives back what was encoded") {
  for (const Sample& sample : Samples()) {
    CAPTURE(sample.sequence);
    const std::string bytes = EncodeMessage(sample);
    Message message;
    REQUIRE(DecodeMessage(bytes, &message).ToString() == "OK");
    CHECK(message.sequence == sample.sequence);
    CHECK(message.send_time.time_since_epoch().count() ==
          sample.time.time_since_epoch().count());
    CHECK(message.author == sample.message.author);
    CHECK(message.text == sample.message.text);
    const bool same_attributes =
        std::ranges::equal(message.attributes, sample.message.attributes,
                           [](const Attribute& a, const NewAttribute& b) {
                             return b == NewAttribute(a);
                           });
    CHECK(same_attributes);
    const bool same_producer =
        message.producer_id ==
        (sample.has_producer ? sample.producer_id : ProducerId{});
    CHECK(same_producer);
    CHECK(message.producer_sequence == sample.producer_sequence);
    CHECK(message.data == sample.message.data);
    CHECK(message.content_type == sample.message.content_type);
  }
}

TEST_CASE("entry: decoding keeps nothing of the message before") {
  const std::string full = EncodeMessage(Samples()[4]);
  const std::string plain = EncodeMessage({.sequence = 8});
  Message message;
  message.channel = "channel";
  message.epoch = 5;
  REQUIRE(DecodeMessage(full, &message).ok());
  REQUIRE(DecodeMessage(plain, &message).ok());
  CHECK(message.sequence == 8);
  CHECK(message.author == "");
  CHECK(message.text == "");
  CHECK(message.attributes.empty());
  CHECK(message.producer_id == ProducerId{});
  CHECK(message.producer_sequence == 0);
  REQUIRE(DecodeMessage(EncodeMessage(Samples()[6]), &message).ok());
  REQUIRE(DecodeMessage(plain, &message).ok());
  CHECK(message.data == "");
  CHECK(message.content_type == "");
  CHECK(message.channel == "channel");
  CHECK(message.epoch == 5);
}

TEST_CASE("entry: a decoder tells the times of message after message") {
  using std::chrono::nanoseconds;
  MessageDecoder decoder;
  Message message;
  // Times that differ in length, in one byte, not at all; 0 has no bytes.
  for (const std::int64_t nanos :
       std::vector<std::int64_t>{5'000'000'007, 5'000'000'007, 5'000'000'008, 7,
                                 0, 0, 8, 1'700'000'000'123'456'789,
                                 1'700'000'000'123'456'788, 5'000'000'007}) {
    CAPTURE(nanos);
    const Timestamp time{nanoseconds(nanos)};
    std::string bytes = EncodeMessage({.sequence = 1, .time = time});
    REQUIRE(decoder.Decode(bytes, &message).ok());
    const bool same = message.send_time == time;
    CHECK(same);
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    CHECK_FALSE(decoder.Decode(bytes, &message).ok());
  }
}

TEST_CASE("entry: a sequence counts only in its place, for all who look") {
  // Without its checksum, whose field has 9 bytes.
  const std::string whole = EncodeMessage({.sequence = 7});
  const std::string bytes = whole.substr(0, whole.size() - 9);
  const std::string before = {'\x7a', '\0'};  // an empty field 15
  std::string again = bytes;
  AppendFixed64Field(again, 1, 8);
  for (const std::string& sealed : {Sealed(before + bytes), Sealed(again)}) {
    CHECK(absl::IsDataLoss(Decode(sealed)));
    const std::optional<std::uint64_t> sequence = VerifiedSequence(sealed);
    CHECK((!sequence || sequence == 7));
  }
  CHECK(Decode(Sealed(bytes)).ok());
  CHECK(VerifiedSequence(Sealed(bytes)) == 7);
}

TEST_CASE("entry: every flipped bit of a message is detected") {
  for (const Sample& sample : Samples()) {
    if (std::string_view(sample.message.text).size() > 1000) continue;
    CAPTURE(sample.sequence);
    std::string bytes = EncodeMessage(sample);
    REQUIRE(Decode(bytes).ok());
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      test::FlipBit(bytes, bit);
      const absl::Status status = Decode(bytes);
      if (status.code() != absl::StatusCode::kDataLoss) {
        CAPTURE(bit);
        CHECK(status.ToString() == "DATA_LOSS");
      }
      test::FlipBit(bytes, bit);
    }
  }
}

TEST_CASE("entry: a message that is cut off or too long is detected") {
  const std::string bytes = EncodeMessage(Samples()[4]);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    CAPTURE(size);
    CHECK(Decode(bytes.substr(0, size)).code() == absl::StatusCode::kDataLoss);
    CHECK(Decode(bytes.substr(size + 1)).code() == absl::StatusCode::kDataLoss);
  }
  CHECK(Decode(bytes + '\0').code() == absl::StatusCode::kDataLoss);
}

TEST_CASE("entry: with a matching checksum, too, a message must be one") {
  std::string bytes;
  AppendFixed64Field(bytes, 1, 5);
  const auto error = [](const std::string& sealed) {
    const absl::Status status = Decode(sealed);
    CHECK(status.code() == absl::StatusCode::kDataLoss);
    return std::string(MessageOf(status));
  };
  SUBCASE("without a time") {
    CHECK(error(Sealed(bytes)) == "malformed");
  }
  SUBCASE("with a time that does not exist") {
    AppendBytesField(bytes, 2, "\x10\xFF\xFF\xFF\xFF\x0F");
    CHECK(error(Sealed(bytes)) == "send_time is not valid");
  }
  SUBCASE("with a producer_id of 15 bytes") {
    AppendBytesField(bytes, 2, "");
    AppendBytesField(bytes, 6, "123456789012345");
    CHECK(error(Sealed(bytes)) == "producer_id is not valid");
  }
  SUBCASE("with a field that is cut off") {
    AppendBytesField(bytes, 2, "");
    bytes +=
        "\x22\x7F"
        "hello";
    CHECK(error(Sealed(bytes)) == "malformed");
  }
}

TEST_CASE("entry: fields of versions to come are passed over") {
  std::string bytes;
  AppendFixed64Field(bytes, 1, 5);
  AppendBytesField(bytes, 2, EncodedTimestamp(kTime).bytes());
  AppendBytesField(bytes, 4, "hello");
  AppendBytesField(bytes, 10, "what is to come");
  AppendVarintField(bytes, 11, 1);
  const std::string sealed = Sealed(bytes);
  Message message;
  REQUIRE(DecodeMessage(sealed, &message).ToString() == "OK");
  CHECK(message.sequence == 5);
  CHECK(message.text == "hello");
}

TEST_CASE("entry: the sender's part and the time can be split off") {
  for (const Sample& sample : Samples()) {
    CAPTURE(sample.sequence);
    const std::string bytes = EncodeMessage(sample);
    const StoredParts parts = SplitMessage(bytes);
    NewMessage before = sample.message;
    before.data = {};
    before.content_type = {};
    CHECK(parts.before_producer == test::Encode(before));
    CHECK(parts.after_producer ==
          test::Encode({.data = sample.message.data,
                        .content_type = sample.message.content_type}));
    CHECK(parts.send_time.time_since_epoch().count() ==
          sample.time.time_since_epoch().count());
  }
}

TEST_CASE("entry: the sender's fields stand on both sides of the producer's") {
  std::string early;
  AppendBytesField(early, 3, "ann");
  AppendBytesField(early, 4, "hello");
  std::string late;
  AppendBytesField(late, 8, "data");
  AppendBytesField(late, 9, "text/plain");
  std::string sent;
  SUBCASE("both") {
    sent = early + late;
  }
  SUBCASE("none before") {
    early.clear();
    sent = late;
  }
  SUBCASE("none after") {
    late.clear();
    sent = early;
  }
  SUBCASE("none at all") {
    early.clear();
    late.clear();
  }
  const CanonicalMessage message(sent);
  CHECK(message == sent);
  CHECK(message.before_producer() == early);
  CHECK(message.after_producer() == late);
  const EncodedTimestamp time(kTime);
  const ProducerId producer = test::Producer(9);
  for (const bool has_producer : {true, false}) {
    CAPTURE(has_producer);
    const EntryParts parts{.sequence = 5,
                           .encoded_time = time.bytes(),
                           .new_message = message,
                           .producer_id = has_producer ? &producer : nullptr,
                           .producer_sequence = 300};
    const std::size_t size = MessageSize(parts);
    std::string entry(EntrySize(size), '#');
    REQUIRE(PutEntry(entry.data(), parts, size) == entry.data() + entry.size());
    const std::string_view stored = MessageOfEntry(entry);
    // As it would be encoded field by field.
    std::string expected;
    AppendFixed64Field(expected, 1, 5);
    AppendBytesField(expected, 2, time.bytes());
    expected += early;
    if (has_producer) {
      AppendBytesField(
          expected, 6,
          {reinterpret_cast<const char*>(producer.data()), producer.size()});
      AppendVarintField(expected, 7, 300);
    }
    expected += late;
    CHECK(test::Hex(stored) == test::Hex(Sealed(expected)));
    const StoredParts split = SplitMessage(stored);
    CHECK(split.before_producer == early);
    CHECK(split.after_producer == late);
    CHECK(split.send_time.time_since_epoch().count() ==
          kTime.time_since_epoch().count());
  }
}

TEST_CASE("message: its attributes can be looked up by name") {
  const std::string bytes = EncodeMessage(Samples()[4]);
  Message message;
  REQUIRE(DecodeMessage(bytes, &message).ok());
  CHECK_FALSE(message.attributes.empty());
  CHECK(message.attributes.Find("a") == "1");
  CHECK(message.attributes.Find("b") == "");
  CHECK_FALSE(message.attributes.Find("c").has_value());
  CHECK_FALSE(Attributes().Find("a").has_value());
  CHECK(Attributes().begin() == Attributes().end());
}

TEST_CASE("message: its own copy outlives the bytes") {
  OwnedMessage owned;
  {
    const std::string bytes = EncodeMessage(Samples()[4]);
    Message message;
    message.channel = "channel";
    message.epoch = 5;
    REQUIRE(DecodeMessage(bytes, &message).ok());
    CHECK(message.position() == Position{5, 7});
    owned = message.Own();
  }
  CHECK(owned.channel == "channel");
  CHECK(owned.epoch == 5);
  CHECK(owned.sequence == 7);
  CHECK(owned.author == "ann");
  CHECK(owned.text == "hello");
  const std::vector<std::pair<std::string, std::string>> attributes = {
      {"a", "1"}, {"b", ""}, {"a", "2"}};
  CHECK((owned.attributes == attributes));
  CHECK((owned.producer_id == test::Producer(9)));
  CHECK(owned.producer_sequence == 300);
  {
    const std::string bytes = EncodeMessage(Samples()[6]);
    Message message;
    REQUIRE(DecodeMessage(bytes, &message).ok());
    owned = message.Own();
  }
  CHECK(owned.data == "\xff\xfe");
  CHECK(owned.content_type == "image/png");
}

}  // namespace
}  // namespace messenger::wire::entry_test
