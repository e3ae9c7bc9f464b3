// What the programs make of text: JSON, messages on a line, words that were
// meant.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

#include "apps/common/base64.h"
#include "apps/common/json.h"
#include "apps/common/message_text.h"
#include "apps/common/nearest.h"
#include "apps/common/time.h"
#include "messenger/message.h"
#include "support/printing.h"

namespace messenger::app::app_text_test {
namespace {

std::string Line(const Json& json) {
  std::string line;
  AppendLine(json, &line);
  return line;
}

TEST_CASE("programs: JSON is exact, and fit for a terminal") {
  const std::string evil =
      "\x1b[2J\t\x7f \u009b \u2028\u202e\u2066 \U000e0041 \"\\ Grüße 世界";
  Json json;
  json[evil] = evil;
  const std::string line = Line(json);
  const std::string escaped =
      R"(\u001b[2J\t\u007f \u009b \u2028\u202e\u2066 \udb40\udc41 \"\\ Grüße 世界)";
  CHECK(line == "{\"" + escaped + "\":\"" + escaped + "\"}\n");
  CHECK(Json::parse(line)[evil] == evil);
  CHECK(Line("\x7f\x7f") == "\"\\u007f\\u007f\"\n");
  // Only a name of a file can be like that.
  CHECK(Line("a\xff") == "\"a\xef\xbf\xbd\"\n");
}

std::string Author(std::string_view author) {
  std::string out;
  AppendAuthor(author, &out);
  return out;
}

std::string Text(std::string_view text) {
  std::string out;
  AppendText(text, &out);
  return out;
}

TEST_CASE("programs: an author is not taken for the text") {
  CHECK(Author("ann") == "ann");
  CHECK(Author("") == "-");
  CHECK(Author("-") == "\"-\"");
  CHECK(Author("Ann Smith") == "\"Ann Smith\"");
  CHECK(Author("bob  fake text") == "\"bob  fake text\"");
  CHECK(Author("bob\n10:00:00 eve  x") == "\"bob\\n10:00:00 eve  x\"");
}

TEST_CASE("programs: a text is not taken for attributes") {
  CHECK(Text("x  {a=b}") == "x  {a=b\\x7d");
  CHECK(Text("  {a=b}") == "  {a=b\\x7d");
  CHECK(Text("x  {a=b} ") == "x  {a=b} ");
  CHECK(Text(R"({"a": {"b": 1}})") == R"({"a": {"b": 1}})");
  CHECK(Text("tab\t") == "tab\\t");
}

TEST_CASE("programs: a text is not taken for data") {
  CHECK(Text("[12 bytes of image/png]") == "[12 bytes of image/png\\x5d");
  CHECK(Text("[12 bytes]") == "[12 bytes\\x5d");
  CHECK(Text("[1 byte]") == "[1 byte\\x5d");
  CHECK(Text("cat  [12 bytes]") == "cat  [12 bytes\\x5d");
  CHECK(Text("  [3 bytes of a[b]") == "  [3 bytes of a[b\\x5d");
  CHECK(Text("[x]  [3 bytes]") == "[x]  [3 bytes\\x5d");
  // What stands behind one blank cannot be taken for it.
  CHECK(Text("cat [12 bytes]") == "cat [12 bytes]");
  CHECK(Text("[12 bytes] cat") == "[12 bytes] cat");
  CHECK(Text("[12 birds]") == "[12 birds]");
  CHECK(Text("[INFO]") == "[INFO]");
  CHECK(Text("[12") == "[12");
  CHECK(Text("[]") == "[]");
  CHECK(Text("]") == "]");
}

std::string Data(std::string_view text, std::string_view data,
                 std::string_view content_type) {
  const Message message{
      .text = text, .data = data, .content_type = content_type};
  std::string out;
  if (HasData(message)) AppendData(message, &out);
  return out;
}

TEST_CASE("programs: of data, people are told how much and of what there is") {
  CHECK(Data("", "0123456789ab", "image/png") == "[12 bytes of image/png]");
  CHECK(Data("text", "\x1b", "") == "[1 byte]");
  CHECK(Data("", "", "image/png") == "[0 bytes of image/png]");
  CHECK(Data("", "ab", "text/plain; charset=utf-8") ==
        "[2 bytes of \"text/plain; charset=utf-8\"]");
  CHECK(Data("", "ab", "x]  {a=b}") == "[2 bytes of \"x]  {a=b}\"]");
  // There is none; the type is that of the text.
  CHECK(Data("# text", "", "text/markdown").empty());
  CHECK(Data("", "", "").empty());
}

Json WithData(std::string_view data, std::string_view content_type) {
  TimeText times;
  return MessageJson({.data = data, .content_type = content_type}, &times);
}

TEST_CASE("programs: JSON has data and its type only if they are not empty") {
  Json json = WithData("", "");
  CHECK_FALSE(json.contains("data"));
  CHECK_FALSE(json.contains("content_type"));
  json = WithData("\xff\xfe", "a/b");
  CHECK(json["data"] == "//4=");
  CHECK(json["content_type"] == "a/b");
  json = WithData("", "a/b");
  CHECK_FALSE(json.contains("data"));
  CHECK(json["content_type"] == "a/b");
}

TEST_CASE("programs: base64 gives all bytes back") {
  // RFC 4648, section 10.
  CHECK(FormatBase64("") == "");
  CHECK(FormatBase64("f") == "Zg==");
  CHECK(FormatBase64("fo") == "Zm8=");
  CHECK(FormatBase64("foo") == "Zm9v");
  CHECK(FormatBase64("foobar") == "Zm9vYmFy");
  std::string bytes;
  for (int length = 0; length < 300; ++length) {
    const auto back = ParseBase64(FormatBase64(bytes));
    REQUIRE(back.ok());
    CHECK(*back == bytes);
    bytes.push_back(static_cast<char>(length));
  }
}

std::string Base64Error(std::string_view text) {
  const auto bytes = ParseBase64(text);
  return bytes.ok() ? "none" : std::string(bytes.status().message());
}

TEST_CASE("programs: what is not base64 is refused with its offset") {
  const auto wrong_byte = [](std::string_view byte, int offset) {
    return fmt::format(
        "not base64: byte 0x{} at offset {}; must be A-Z, a-z, 0-9, + or /",
        byte, offset);
  };
  CHECK(Base64Error("Zm9v Zg==") == wrong_byte("20", 4));
  CHECK(Base64Error("Zm9v\n") == wrong_byte("0a", 4));
  CHECK(Base64Error("Zm-v") == wrong_byte("2d", 2));
  CHECK(Base64Error("Zm_v") == wrong_byte("5f", 2));
  CHECK(Base64Error("Zg..") == wrong_byte("2e", 2));
  CHECK(Base64Error("Zg==Zg==") == wrong_byte("3d", 2));
  CHECK(Base64Error("Z===") == wrong_byte("3d", 1));
  CHECK(Base64Error("====") == wrong_byte("3d", 0));
  CHECK(Base64Error(std::string_view("Zg\0=", 4)) == wrong_byte("00", 2));
  const auto wrong_length = [](int length) {
    return fmt::format(
        "not base64: ends at offset {}; its length must be a multiple of 4, "
        "with = at the end",
        length);
  };
  CHECK(Base64Error("Zg") == wrong_length(2));
  CHECK(Base64Error("Zm8") == wrong_length(3));
  CHECK(Base64Error("Z") == wrong_length(1));
  CHECK(Base64Error("Zm9v=") == wrong_length(5));
  CHECK(Base64Error("=") == wrong_length(1));
  // Bits that belong to no byte.
  CHECK(Base64Error("Zh==") ==
        "not base64: bits of 'h' at offset 1 that belong to no byte");
  CHECK(Base64Error("Zm9vZm9=") ==
        "not base64: bits of '9' at offset 6 that belong to no byte");
  CHECK(Base64Error("Zm9vZg==") == "none");
}

TEST_CASE("programs: whose a named producer is, is in its JSON if anybody's") {
  ProducerInfo producer = {.channel = "c", .name = "p"};
  CHECK_FALSE(ProducerJson(producer).contains("owner"));
  producer.owner = "ann";
  CHECK(ProducerJson(producer)["owner"] == "ann");
}

TEST_CASE("programs: the nearest word") {
  const std::vector<std::string> commands = {"send", "read", "channels", "ping",
                                             "bench"};
  CHECK(Nearest("raed", commands) == "read");
  CHECK(Nearest("reed", commands) == "read");
  CHECK(Nearest("chanels", commands) == "channels");
  CHECK(Nearest("chnanels", commands) == "channels");
  CHECK(Nearest("pong", commands) == "ping");
  CHECK(Nearest("ch", commands) == "channels");
  CHECK(Nearest("general", commands).empty());
  CHECK(Nearest("x", commands).empty());
  CHECK(Nearest("", commands).empty());
  CHECK(Nearest(std::string(100'000, 'x'), commands).empty());
}

}  // namespace
}  // namespace messenger::app::app_text_test
