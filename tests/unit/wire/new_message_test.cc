#include "wire/new_message.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>

#include "base/status.h"
#include "messenger/v1/messenger.pb.h"
#include "support/bytes.h"
#include "support/printing.h"
#include "support/seed.h"
#include "wire/coding.h"

namespace messenger::wire::new_message_test {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t kMaxBytes = 10'000;

std::string Encode(const NewMessage& message) {
  std::string bytes(NewMessageSize(message), '\0');
  const char* const end = PutNewMessage(bytes.data(), message, bytes.size());
  CHECK(end == bytes.data() + bytes.size());
  return bytes;
}

v1::NewMessage ToProto(const NewMessage& message) {
  v1::NewMessage proto;
  proto.set_author(std::string(message.author));
  proto.set_text(std::string(message.text));
  for (const NewAttribute& attribute : message.attributes) {
    v1::Attribute* const added = proto.add_attributes();
    added->set_name(std::string(attribute.name));
    added->set_value(std::string(attribute.value));
  }
  proto.set_data(std::string(message.data));
  proto.set_content_type(std::string(message.content_type));
  return proto;
}

std::string Attr(std::string_view name, std::string_view value) {
  v1::Attribute proto;
  proto.set_name(std::string(name));
  proto.set_value(std::string(value));
  return proto.SerializeAsString();
}

struct Parsed {
  bool ok = false;
  std::string bytes;
  std::string error;
  bool as_is = false;  // the very bytes that were given
};

Parsed Parse(std::string_view encoded, std::size_t max_bytes = kMaxBytes) {
  NewMessageParser parser(max_bytes);
  std::deque<std::string> storage;
  const auto result = parser.Parse(encoded, storage);
  Parsed parsed;
  parsed.ok = result.ok();
  if (!result.ok()) {
    CHECK(result.status().code() == absl::StatusCode::kInvalidArgument);
    parsed.error = MessageOf(result.status());
    return parsed;
  }
  parsed.bytes = *result;
  parsed.as_is = result->data() == encoded.data();
  CHECK(storage.size() == (parsed.as_is ? 0U : 1U));
  return parsed;
}

// What protobuf makes of the bytes, which have no field that it does not know.
std::string Reserialized(std::string_view encoded) {
  v1::NewMessage proto;
  REQUIRE(
      proto.ParseFromArray(encoded.data(), static_cast<int>(encoded.size())));
  REQUIRE(proto.GetReflection()->GetUnknownFields(proto).empty());
  return proto.SerializeAsString();
}

void CheckRewritten(std::string_view encoded) {
  CAPTURE(test::Hex(encoded));
  const Parsed parsed = Parse(encoded);
  CHECK(parsed.error == "");
  CHECK_FALSE(parsed.as_is);
  CHECK(test::Hex(parsed.bytes) == test::Hex(Reserialized(encoded)));
}

TEST_CASE("new message: it is encoded as protobuf does") {
  for (const NewMessage& message :
       {NewMessage{}, NewMessage{.author = "ann"}, NewMessage{.text = "hello"},
        NewMessage{.author = "ann", .text = "hello"},
        NewMessage{.attributes = {{"a", ""}}},
        NewMessage{.author = "ann",
        .text = "hello",
        .attributes = {{"a", "1"}, {"b", ""}, {"a", "2"}}},
        NewMessage{.data = "\0\xff"sv}, NewMessage{.content_type = "image/png"},
        NewMessage{.author = "ann",
        .text = "hello",
        .attributes = {{"a", "1"}},
        .data = "\0\xff"sv,
        .content_type = "image/png"}}) {
    CHECK(test::Hex(Encode(message)) ==
          test::Hex(ToProto(message).SerializeAsString()));
  }
}

TEST_CASE("new message: long fields are encoded as protobuf does") {
  for (const std::size_t size : {127U, 128U, 16383U, 16384U, 2097152U}) {
    const std::string text(size, 'x');
    const NewMessage message{.author = text,
                             .text = text,
                             .attributes = {{"name", text}},
                             .data = text};
    CHECK(Encode(message) == ToProto(message).SerializeAsString());
  }
}

TEST_CASE(
    "new message: what protobuf encodes is canonical and taken as it is") {
  v1::NewMessage proto;
  CHECK(Parse(proto.SerializeAsString()).as_is);
  proto.set_text("hello");
  CHECK(Parse(proto.SerializeAsString()).as_is);
  proto.set_author("ann");
  CHECK(Parse(proto.SerializeAsString()).as_is);
  for (int i = 0; i < 3; ++i) {
    v1::Attribute* const attribute = proto.add_attributes();
    attribute->set_name("name");
    if (i != 1) attribute->set_value(std::string(200, 'v'));
  }
  proto.set_data("\xff");
  CHECK(Parse(proto.SerializeAsString()).as_is);
  proto.set_content_type("image/png");
  const std::string encoded = proto.SerializeAsString();
  const Parsed parsed = Parse(encoded);
  CHECK(parsed.as_is);
  CHECK(parsed.bytes == encoded);
}

TEST_CASE("new message: fields out of order are put in order") {
  std::string bytes;
  SUBCASE("text before author") {
    AppendBytesField(bytes, 4, "text");
    AppendBytesField(bytes, 3, "author");
  }
  SUBCASE("attribute before text") {
    AppendBytesField(bytes, 5, Attr("a", "1"));
    AppendBytesField(bytes, 4, "text");
  }
  SUBCASE("attributes around the text") {
    AppendBytesField(bytes, 5, Attr("a", "1"));
    AppendBytesField(bytes, 4, "text");
    AppendBytesField(bytes, 5, Attr("b", "2"));
  }
  SUBCASE("value before name") {
    std::string attribute;
    AppendBytesField(attribute, 2, "value");
    AppendBytesField(attribute, 1, "name");
    AppendBytesField(bytes, 5, attribute);
  }
  SUBCASE("data before text") {
    AppendBytesField(bytes, 8, "\xff");
    AppendBytesField(bytes, 4, "text");
  }
  SUBCASE("content type before data") {
    AppendBytesField(bytes, 4, "text");
    AppendBytesField(bytes, 9, "image/png");
    AppendBytesField(bytes, 8, "\xff");
  }
  SUBCASE("value before name in the second attribute only") {
    AppendBytesField(bytes, 5, Attr("a", "1"));
    std::string attribute;
    AppendBytesField(attribute, 2, "v");
    AppendBytesField(attribute, 1, "n");
    AppendBytesField(bytes, 5, attribute);
  }
  CheckRewritten(bytes);
}

TEST_CASE("new message: of a repeated field the last one counts") {
  std::string bytes;
  SUBCASE("author") {
    AppendBytesField(bytes, 3, "first");
    AppendBytesField(bytes, 3, "second");
  }
  SUBCASE("text, the last one empty") {
    AppendBytesField(bytes, 4, "first");
    AppendBytesField(bytes, 4, "");
  }
  SUBCASE("data") {
    AppendBytesField(bytes, 8, "first");
    AppendBytesField(bytes, 8, "second");
  }
  SUBCASE("content type, the last one empty") {
    AppendBytesField(bytes, 9, "image/png");
    AppendBytesField(bytes, 9, "");
  }
  SUBCASE("name of an attribute") {
    std::string attribute;
    AppendBytesField(attribute, 1, "first");
    AppendBytesField(attribute, 1, "second");
    AppendBytesField(attribute, 2, "value");
    AppendBytesField(bytes, 5, attribute);
  }
  CheckRewritten(bytes);
}

TEST_CASE("new message: unknown fields are refused") {
  std::string bytes;
  std::string error;
  SUBCASE("at the front, fixed64") {
    AppendFixed64Field(bytes, 1, 42);
    AppendBytesField(bytes, 4, "text");
    error = "NewMessage: field 1, of wire type 1";
  }
  SUBCASE("in the middle, varint") {
    AppendBytesField(bytes, 3, "author");
    AppendVarintField(bytes, 100, 42);
    AppendBytesField(bytes, 4, "text");
    error = "NewMessage: field 100, of wire type 0";
  }
  SUBCASE("at the end, bytes") {
    AppendBytesField(bytes, 4, "text");
    AppendBytesField(bytes, 200, "unknown");
    error = "NewMessage: field 200, of wire type 2";
  }
  SUBCASE("empty") {
    AppendBytesField(bytes, 4, "text");
    AppendBytesField(bytes, 10, "");
    error = "NewMessage: field 10, of wire type 2";
  }
  SUBCASE("fixed32") {
    bytes =
        "\x35"
        "abcd";
    error = "NewMessage: field 6, of wire type 5";
  }
  SUBCASE("within an attribute") {
    AppendBytesField(bytes, 5, Attr("a", "1"));
    std::string attribute = Attr("name", "value");
    AppendVarintField(attribute, 3, 42);
    AppendBytesField(bytes, 5, attribute);
    error = "attributes[1]: Attribute: field 3, of wire type 0";
  }
  SUBCASE("instead of what is there twice") {
    AppendBytesField(bytes, 4, "text");
    AppendBytesField(bytes, 4, "another");
    AppendVarintField(bytes, 9, 1);
    error = "NewMessage: field 9, of wire type 0";
  }
  SUBCASE("a known number with another type") {
    AppendVarintField(bytes, 4, 42);
    AppendBytesField(bytes, 4, "text");
    error = "NewMessage: field 4, of wire type 0";
  }
  SUBCASE("a known number of an attribute with another type") {
    std::string attribute;
    AppendVarintField(attribute, 1, 42);
    AppendBytesField(bytes, 5, attribute);
    error = "attributes[0]: Attribute: field 1, of wire type 0";
  }
  CHECK(Parse(bytes).error == error + ", is not known to this server");
}

TEST_CASE("new message: empty fields are left out") {
  std::string bytes;
  SUBCASE("author") {
    AppendBytesField(bytes, 3, "");
    AppendBytesField(bytes, 4, "text");
  }
  SUBCASE("text") {
    AppendBytesField(bytes, 4, "");
  }
  SUBCASE("data, of a type") {
    AppendBytesField(bytes, 8, "");
    AppendBytesField(bytes, 9, "image/png");
  }
  SUBCASE("content type") {
    AppendBytesField(bytes, 8, "\xff");
    AppendBytesField(bytes, 9, "");
  }
  SUBCASE("value of an attribute") {
    std::string attribute;
    AppendBytesField(attribute, 1, "name");
    AppendBytesField(attribute, 2, "");
    AppendBytesField(bytes, 5, attribute);
  }
  SUBCASE("value of an attribute, before its name") {
    std::string attribute;
    AppendBytesField(attribute, 2, "");
    AppendBytesField(attribute, 1, "name");
    AppendBytesField(bytes, 5, attribute);
  }
  CheckRewritten(bytes);
}

TEST_CASE("new message: varints longer than needed are shortened") {
  std::string bytes;
  SUBCASE("tag") {
    bytes =
        "\xA2\x00\x05"
        "hello"sv;
  }
  SUBCASE("length") {
    bytes =
        "\x22\x85\x80\x00"
        "hello"sv;
  }
  SUBCASE("length of an attribute") {
    bytes =
        "\x2A\x83\x00\x0A\x01"
        "a"sv;
  }
  SUBCASE("within an attribute") {
    bytes =
        "\x2A\x04\x0A\x81\x00"
        "a"sv;
  }
  CheckRewritten(bytes);
}

TEST_CASE(
    "new message: however its fields are mixed, the rewritten one is "
    "protobuf's") {
  INFO("MESSENGER_TEST_SEED=", test::TestSeed());
  test::Random random(test::TestSeed());
  NewMessageParser parser(kMaxBytes);
  int as_is = 0;
  int unknown = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes;
    bool has_unknown = false;
    for (auto fields = random.Between(0, 4); fields > 0; --fields) {
      const auto text = [&] { return random.Text(random.Between(0, 3)); };
      switch (random.Between(0, 8)) {
        case 0:
        case 1:
          AppendBytesField(bytes, 3, text());
          break;
        case 6:
          AppendBytesField(
              bytes, 8,
              std::string(random.Between(0, 2),
                          static_cast<char>(random.Between(0, 255))));
          break;
        case 7:
          AppendBytesField(bytes, 9, random.OneIn(3) ? "" : "a/b");
          break;
        case 2:
        case 3:
          AppendBytesField(bytes, 4, text());
          break;
        case 4:
        case 5: {
          std::string attribute;
          const bool value_first = random.OneIn(4);
          if (value_first) AppendBytesField(attribute, 2, text());
          AppendBytesField(attribute, 1, "n" + text());
          if (!value_first) AppendBytesField(attribute, 2, text());
          AppendBytesField(bytes, 5, attribute);
          break;
        }
        default:
          AppendVarintField(bytes,
                            static_cast<std::uint32_t>(random.Between(6, 20)),
                            random.AnySize());
          has_unknown = true;
      }
    }
    std::deque<std::string> storage;
    const auto result = parser.Parse(bytes, storage);
    if (has_unknown) {
      ++unknown;
      if (absl::IsInvalidArgument(result.status())) continue;
      CAPTURE(test::Hex(bytes));
      CHECK(absl::IsInvalidArgument(result.status()));
      break;
    }
    const std::string expected = Reserialized(bytes);
    if (result.ok() && *result == expected) {
      as_is += storage.empty() ? 1 : 0;
      if (storage.empty() == (expected == bytes)) continue;
    }
    CAPTURE(test::Hex(bytes));
    CHECK(result.status().ToString() == "OK");
    CHECK(test::Hex(*result) == test::Hex(expected));
    CHECK(storage.empty() == (expected == bytes));
    break;
  }
  CHECK(as_is > 1000);
  CHECK(unknown > 1000);
}

TEST_CASE(
    "new message: random bytes are refused or understood as protobuf "
    "does") {
  INFO("MESSENGER_TEST_SEED=", test::TestSeed());
  test::Random random(test::TestSeed());
  NewMessageParser parser(kMaxBytes);
  google::protobuf::LogSilencer silence;
  int accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    v1::NewMessage proto;
    proto.set_author(random.Text(random.Between(0, 10)));
    proto.add_attributes()->set_name("n");
    proto.set_text(random.Text(random.Between(0, 10)));
    if (random.OneIn(2)) proto.set_data("\xff\xfe");
    if (random.OneIn(2)) proto.set_content_type("a/b");
    std::string bytes = proto.SerializeAsString();
    test::FlipBit(bytes, random.Between(0, bytes.size() * 8 - 1));
    std::deque<std::string> storage;
    const auto result = parser.Parse(bytes, storage);
    if (!result.ok()) continue;
    ++accepted;
    // Where both accept, both understand the same.
    if (!proto.ParseFromString(bytes)) continue;
    if (*result == proto.SerializeAsString()) continue;
    CAPTURE(test::Hex(bytes));
    CHECK(test::Hex(*result) == test::Hex(proto.SerializeAsString()));
    break;
  }
  CHECK(accepted > 1000);
}

TEST_CASE("new message: a parser keeps nothing of the message before") {
  NewMessageParser parser(kMaxBytes);
  std::deque<std::string> storage;
  std::string first;
  AppendBytesField(first, 5, Attr("a", "1"));
  AppendBytesField(first, 4, "text");
  AppendBytesField(first, 3, "author");
  AppendBytesField(first, 8, "data");
  AppendBytesField(first, 9, "a/b");
  REQUIRE(parser.Parse(first, storage).ok());
  std::string second;
  AppendBytesField(second, 4, "");
  const auto result = parser.Parse(second, storage);
  REQUIRE(result.ok());
  CHECK(*result == "");
  // And the first one is still there.
  CHECK(storage.front() == Reserialized(first));
}

TEST_CASE("new message: bytes that are no message are malformed") {
  CHECK(Parse("\x22\x05"
              "hell")
            .error == "malformed");
  CHECK(Parse("\x07").error == "malformed");
  std::string bytes;
  AppendBytesField(bytes, 5, Attr("a", "1"));
  AppendBytesField(bytes, 5,
                   "\x0A\x05"
                   "a");
  CHECK(Parse(bytes).error == "attributes[1]: malformed");
}

TEST_CASE(
    "new message: text that is not UTF-8 is refused with field, byte and "
    "offset") {
  std::string bytes;
  SUBCASE("author") {
    AppendBytesField(bytes, 3, "ab\xFF");
    CHECK(Parse(bytes).error ==
          "author: not valid UTF-8: byte 0xff at offset 2");
  }
  SUBCASE("text") {
    AppendBytesField(bytes, 4, "\xED\xA0\x80");
    CHECK(Parse(bytes).error == "text: not valid UTF-8: byte 0xed at offset 0");
  }
  SUBCASE("name of an attribute") {
    AppendBytesField(bytes, 5,
                     "\x0A\x02"
                     "a\x80");
    CHECK(Parse(bytes).error ==
          "attributes[0].name: not valid UTF-8: byte 0x80 at offset 1");
  }
  SUBCASE("value of an attribute") {
    AppendBytesField(bytes, 5, Attr("a", ""));
    AppendBytesField(bytes, 5,
                     "\x0A\x01"
                     "a\x12\x02"
                     "b\xC3");
    CHECK(Parse(bytes).error ==
          "attributes[1].value: not valid UTF-8: byte 0xc3 at offset 1");
  }
}

TEST_CASE("new message: its data may be any bytes") {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  const std::string encoded = Encode({.data = all});
  const Parsed parsed = Parse(encoded);
  CHECK(parsed.as_is);
  v1::NewMessage proto;
  REQUIRE(proto.ParseFromString(parsed.bytes));
  CHECK(proto.data() == all);
}

TEST_CASE("new message: a content type is printable ASCII, 256 at most") {
  const auto error = [](std::string_view content_type) {
    std::string bytes;
    AppendBytesField(bytes, 8, "data");
    AppendBytesField(bytes, 9, content_type);
    std::string parsed = Parse(bytes).error;
    // As it is before it is sent.
    CHECK(
        MessageOf(CheckNewMessage(
                      {.data = "data", .content_type = content_type}, kMaxBytes)
                      .status()) == parsed);
    return parsed;
  };
  CHECK(error("text/plain; charset=\"utf-8\" ~!") == "");
  CHECK(error("anything") == "");
  CHECK(error(std::string(256, 'x')) == "");
  CHECK(error(std::string(257, 'x')) ==
        "content_type: 257 bytes; must be 0 to 256");
  const auto wrong = [](std::string_view byte, int offset) {
    return fmt::format(
        "content_type: byte 0x{} at offset {}; must be ASCII, from blank to ~",
        byte, offset);
  };
  CHECK(error("a\r\nX: y") == wrong("0d", 1));
  CHECK(error("\t") == wrong("09", 0));
  CHECK(error("a/b\x7f") == wrong("7f", 3));
  CHECK(error("a/\xc3\xa4") == wrong("c3", 2));
  CHECK(error("a\0b"sv) == wrong("00", 1));
  // Without data, too: it is that of the text.
  std::string bytes;
  AppendBytesField(bytes, 9, "\x1f");
  CHECK(Parse(bytes).error == wrong("1f", 0));
}

TEST_CASE("new message: what comes before the producer is told from the rest") {
  NewMessageParser parser(kMaxBytes);
  std::deque<std::string> storage;
  const NewMessage early = {.author = "ann", .attributes = {{"a", "1"}}};
  NewMessage both = early;
  both.data = "\xff";
  both.content_type = "a/b";
  const NewMessage late = {.data = both.data,
                           .content_type = both.content_type};
  for (const NewMessage& message : {early, both, late, NewMessage()}) {
    const std::string encoded = Encode(message);
    const auto parsed = parser.Parse(encoded, storage);
    REQUIRE(parsed.ok());
    // The bytes are looked through for it in the other constructor.
    const CanonicalMessage found(encoded);
    CHECK(parsed->before_producer() == found.before_producer());
    CHECK(parsed->after_producer() == found.after_producer());
    CHECK(found.before_producer() ==
          (message.author == "" ? "" : Encode(early)));
    CHECK(found.after_producer() == (message.data == "" ? "" : Encode(late)));
  }
  // Out of order, too.
  std::string mixed = Encode(late) + Encode(early);
  const auto parsed = parser.Parse(mixed, storage);
  REQUIRE(parsed.ok());
  CHECK(parsed->before_producer() == Encode(early));
  CHECK(parsed->after_producer() == Encode(late));
}

TEST_CASE("new message: an attribute's name has 1 to 128 bytes") {
  std::string bytes;
  SUBCASE("128 bytes") {
    AppendBytesField(bytes, 5, Attr(std::string(128, 'n'), ""));
    CHECK(Parse(bytes).ok);
  }
  SUBCASE("none") {
    AppendBytesField(bytes, 5, Attr("a", ""));
    AppendBytesField(bytes, 5, Attr("", "value"));
    CHECK(Parse(bytes).error ==
          "attributes[1].name: 0 bytes; must be 1 to 128");
  }
  SUBCASE("129 bytes") {
    AppendBytesField(bytes, 5, Attr(std::string(129, 'n'), ""));
    CHECK(Parse(bytes).error ==
          "attributes[0].name: 129 bytes; must be 1 to 128");
  }
}

TEST_CASE(
    "new message: its size is limited, not that of an encoding that is "
    "longer than needed") {
  std::string bytes;
  AppendBytesField(bytes, 4, std::string(98, 'x'));
  REQUIRE(bytes.size() == 100);
  CHECK(Parse(bytes, 100).ok);
  CHECK(Parse(bytes, 99).error == "100 bytes, encoded, exceed the limit of 99");
  AppendBytesField(bytes, 3, "");
  CHECK(Parse(bytes, 100).ok);
}

TEST_CASE(
    "new message: a message is checked before it is sent as the server "
    "checks it") {
  const auto error = [](const NewMessage& message, std::size_t max_bytes) {
    return std::string(MessageOf(CheckNewMessage(message, max_bytes).status()));
  };
  CHECK(error({.author = "ann", .text = "hello"}, kMaxBytes) == "");
  CHECK(error({.text = "hello"}, 6) ==
        "message: 7 bytes, encoded, exceed the limit of 6");
  CHECK(error({.text = "hell\xFF"}, kMaxBytes) ==
        "text: not valid UTF-8: byte 0xff at offset 4");
  CHECK(error({.attributes = {{"a", "1"}, {"", "2"}}}, kMaxBytes) ==
        "attributes[1].name: 0 bytes; must be 1 to 128");
  CHECK(error({.data = "hello", .content_type = "a"}, 9) ==
        "message: 10 bytes, encoded, exceed the limit of 9");
}

}  // namespace
}  // namespace messenger::wire::new_message_test
