// messenger/message.h: what a NewMessage is made of, and what it keeps; and how
// a Bookmark is written.
#include "messenger/message.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "wire/new_message.h"

namespace messenger::message_test {
namespace {

using namespace std::string_view_literals;

// Too long for a std::string to have it in itself.
const std::string kLong(100, 'l');

std::string Encode(const NewMessage& message) {
  std::string bytes(wire::NewMessageSize(message), '\0');
  wire::PutNewMessage(bytes.data(), message, bytes.size());
  return bytes;
}

TEST_CASE("new message: temporaries are kept, in each field") {
  // Short ones and long ones; what the expressions have made is gone.
  for (const std::string& s : {std::string("s"), kLong}) {
    const NewMessage message{
        .channel = s + "c",
        .author = s + "a",
        .text = s + "t",
        .attributes = {{s + "n1", s + "v1"},
                       {.name = s + "n2", .value = s + "v2"}},
        .data = s + "d",
        .content_type = s + "y"};
    CHECK(message.channel == s + "c");
    CHECK(message.author == s + "a");
    CHECK(message.text == s + "t");
    CHECK(message.data == s + "d");
    CHECK(message.content_type == s + "y");
    REQUIRE(message.attributes.size() == 2);
    CHECK(message.attributes[0].name == s + "n1");
    CHECK(message.attributes[1].value == s + "v2");
    const std::string name = s + "n1";
    const std::string value = s + "v1";
    const std::string name2 = s + "n2";
    const std::string value2 = s + "v2";
    const std::string author = s + "a";
    const std::string text = s + "t";
    const std::string data = s + "d";
    const std::string content_type = s + "y";
    CHECK(Encode(message) ==
          Encode({.author = author,
                  .text = text,
                  .attributes = {{name, value}, {name2, value2}},
                  .data = data,
                  .content_type = content_type}));
  }
}

TEST_CASE("new message: what is set and added later is kept as well") {
  NewMessage message;
  for (int i = 0; i < 50; ++i) {
    message.text = kLong + std::to_string(i);
    message.attributes.push_back(
        {"number" + std::to_string(i), kLong + std::to_string(i)});
    message.attributes.push_back({.name = "n", .value = std::to_string(i)});
  }
  CHECK(message.text == kLong + "49");
  CHECK(message.attributes[0].name == "number0");
  CHECK(message.attributes[0].value == kLong + "0");
  CHECK(message.attributes[99].value == "49");
  message.text = {};
  CHECK(message.text == "");
}

TEST_CASE(
    "new message: copies and what was moved keep what the first one did") {
  NewMessage first{.author = "literal",
                   .text = kLong + "t",
                   .attributes = {{"short", kLong + "v"}}};
  NewMessage copy = first;
  NewMessage moved = std::move(first);
  first = {.text = std::string(200, 'x')};
  for (const NewMessage& message : {copy, moved}) {
    CHECK(message.author == "literal");
    CHECK(message.text == kLong + "t");
    CHECK(message.attributes[0].value == kLong + "v");
  }
  copy = moved;
  moved = {};
  CHECK(copy.text == kLong + "t");
}

TEST_CASE("new message: what lives elsewhere is viewed, not copied") {
  const std::string named = kLong;
  const std::string_view view = named;
  const char* const pointer = named.c_str();
  for (const NewMessage& message :
       {NewMessage{.text = named}, NewMessage{.text = view},
        NewMessage{.text = std::string_view(view)},
        NewMessage{.text = pointer}}) {
    CHECK(std::string_view(message.text).data() == named.data());
  }
  std::string given = kLong;
  const NewMessage message{.text = std::move(given)};
  given = "something else";
  CHECK(message.text == kLong);
}

TEST_CASE(
    "new message: a temporary that is neither string nor view is copied") {
  struct Name {
    operator std::string_view() const {  // NOLINT(google-explicit-constructor)
      return value;
    }
    std::string value;
  };
  const NewMessage message{.text = Name{kLong + "n"}};
  CHECK(message.text == kLong + "n");
  // NOLINTNEXTLINE(readability-const-return-type): that is what is tried
  const auto constant = []() -> const std::string { return kLong + "c"; };
  CHECK(NewMessage{.text = constant()}.text == kLong + "c");
}

TEST_CASE("new message: zero bytes are text like others") {
  CHECK(Text("a\0b"sv) == "a\0b"sv);
  CHECK(Text(std::string("a\0b", 3)) == "a\0b"sv);
  CHECK_FALSE(Text("a\0b"sv) == "a");
}

TEST_CASE("new message: the attributes of a received message can be sent on") {
  const std::string encoded =
      Encode({.attributes = {{"a", "1"}, {"b", kLong + "2"}}});
  NewMessage copy{.attributes = {{"c", "3"}}};
  for (const Attribute& attribute : Attributes(encoded)) {
    copy.attributes.push_back(attribute);
  }
  CHECK(copy.attributes ==
        std::vector<NewAttribute>{{"c", "3"}, {"a", "1"}, {"b", kLong + "2"}});
}

TEST_CASE("bookmark: what it is written as is understood") {
  const Bookmark bookmark = {.channel = "a.b-c_d",
                             .position = {.epoch = UINT64_MAX, .sequence = 0}};
  CHECK(bookmark.ToString() == "a.b-c_d@18446744073709551615:0");
  const auto parsed = Bookmark::Parse(bookmark.ToString());
  REQUIRE(parsed.ok());
  CHECK(*parsed == bookmark);
}

TEST_CASE("bookmark: what is none is refused, and named") {
  for (const char* text :
       {"", "a", "a@", "a@1", "a@1:", "a@:1", "@1:1", "a@0:1", "a b@1:1",
        "a@1:1 ", "a@1:-1", "a@1:18446744073709551616", "a@1:1:1", "a@0x1:1",
        ":@1", "a:1@1"}) {
    CAPTURE(text);
    const absl::Status status = Bookmark::Parse(text).status();
    CHECK(absl::IsInvalidArgument(status));
    CHECK(std::string(status.message()).find(text) != std::string::npos);
  }
}

}  // namespace
}  // namespace messenger::message_test
