// What the programs make of text: JSON, messages on a line, words that were
// meant.
#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "apps/common/json.h"
#include "apps/common/message_text.h"
#include "apps/common/nearest.h"
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
