#include "security/rights.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "security/fields.h"
#include "support/printing.h"

namespace messenger::rights_test {
namespace {

using test::Contains;
using namespace std::string_view_literals;

Rights Parsed(std::string_view text) {
  auto rights = Rights::Parse(text);
  REQUIRE_MESSAGE(rights.ok(), rights.status().ToString());
  return *std::move(rights);
}

std::string ErrorOf(std::string_view text) {
  const auto rights = Rights::Parse(text);
  if (rights.ok()) return "OK";
  CHECK(rights.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(MessageOf(rights.status()));
}

// The rights that there are, as the file would name them.
std::string RightsOf(const Rights& rights, std::string_view identity,
                     std::string_view channel) {
  std::string names;
  for (const Right right : kAllRights) {
    if (rights.Find(identity, right, channel) == nullptr) continue;
    if (!names.empty()) names += ',';
    names += ToString(right);
  }
  return names;
}

TEST_CASE("rights: what a line allows is allowed, and nothing else") {
  struct Case {
    std::string_view file;
    std::string_view identity;  // empty: without one
    std::string_view channel;
    std::string_view allowed;
  };
  for (const Case& c : std::vector<Case>{
           // Whose they are.
           {"", "ann", "news", ""},
           {"ann read news", "ann", "news", "read"},
           {"ann read news", "Ann", "news", ""},
           {"ann read news", "bob", "news", ""},
           {"ann read news", "", "news", ""},
           {"* read news", "ann", "news", "read"},
           {"* read news", "", "news", "read"},
           {"anonymous read news", "", "news", "read"},
           {"anonymous read news", "ann", "news", ""},
           {"\"Ann Lee\" read news", "Ann Lee", "news", "read"},
           {"\"ann\" read news", "ann", "news", "read"},
           {"#ann read news", "ann", "news", ""},
           {"\"#ann\" read news", "#ann", "news", "read"},
           {"ann#1 read news", "ann#1", "news", "read"},
           // Which they are.
           {"ann send news", "ann", "news", "send"},
           {"ann admin news", "ann", "news", "admin"},
           {"ann send-as news", "ann", "news", "send,send-as"},
           {"ann send,read,admin,send-as news", "ann", "news",
            "send,read,admin,send-as"},
           {"ann read,read news", "ann", "news", "read"},
           // Where they are.
           {"ann read news", "ann", "news.eu", ""},
           {"ann read news", "ann", "new", ""},
           {"ann read news.*", "ann", "news.eu", "read"},
           {"ann read news.*", "ann", "news.", "read"},
           {"ann read news.*", "ann", "news", ""},
           {"ann read *", "ann", "anything", "read"},
           // What several lines say adds up, whatever their order is.
           {"ann read news\nann send news", "ann", "news", "send,read"},
           {"* read *\nann send news", "ann", "news", "send,read"},
           {"ann send news\n* read *", "ann", "news", "send,read"},
           {"ann send news\n* read *", "bob", "news", "read"},
           {"anonymous read *\n* send *", "", "news", "send,read"},
           // How it is written.
           {"  ann\tread \t news  ", "ann", "news", "read"},
           {"\n\n# nobody\n \t\nann read news\n", "ann", "news", "read"},
           {"ann read news # why\r\nbob read news\r\n", "bob", "news", "read"},
           {"\xEF\xBB\xBF"
            "ann read news",
            "ann", "news", "read"},
           {"j\xC3\xBCrgen read news", "j\xC3\xBCrgen", "news", "read"},
       }) {
    CAPTURE(c.file);
    CAPTURE(c.identity);
    CAPTURE(c.channel);
    CHECK(RightsOf(Parsed(c.file), c.identity, c.channel) == c.allowed);
  }
}

TEST_CASE("rights: an error names line, field, value and what is allowed") {
  struct Case {
    std::string_view file;
    std::string_view error;
  };
  for (const Case& c : std::vector<Case>{
           {"ann send a\n\nann sned a",
            "line 3: rights: \"sned\" is none of send, read, admin, send-as"},
           {"ann Send a", "line 1: rights: \"Send\" is none of send"},
           {"ann send,,read a", "line 1: rights: \"\" is none of send"},
           {"ann send, read a",
            "line 1: \"a\" is one field too many; a line "
            "is: identity rights channel"},
           {"ann \"send\" \"\"", "line 1: channel: is empty"},
           {"ann",
            "line 1: rights: is missing; a line is: identity rights "
            "channel"},
           {"ann send # news", "line 1: channel: is missing"},
           {"ann send a*b",
            "line 1: channel: \"a*b\" has a '*' before its "
            "end"},
           {"ann send **", "line 1: channel: \"*\" has a '*' before its end"},
           {"ann send a/b",
            "line 1: channel: \"a/b\" has '/' at byte 1; "
            "allowed are A-Z a-z 0-9 . _ -"},
           {"ann send a#why", "line 1: channel: \"a#why\" has '#' at byte 1"},
           {"ann send a/b*", "line 1: channel: \"a/b\" has '/'"},
           {"\"*\" send a", "line 1: identity: \"*\" stands for everyone"},
           {"\"anonymous\" send a",
            "line 1: identity: \"anonymous\" stands "
            "for callers without an identity"},
           {"\"\" send a", "line 1: identity: is empty"},
           {"\"ann send a", "line 1: identity: there is no closing quote"},
           {"\"ann\"x send a", "line 1: identity: a blank must follow"},
           {"a\"nn send a", "line 1: identity: \"a\\\"nn\" has at byte 2"},
           {"\n\0"sv, "line 2: byte 1 is a control character"},
           {"ann send a # x\x1B[2J", "line 1: byte 15 is a control character"},
           // Whoever looks at it in a terminal would not see the first rule.
           {"ann send a\r# nothing", "line 1: byte 11 is a control character"},
           {"ann send a # \xC2\x9B", "line 1: byte 14 is a control character"},
           {"ok read a\nann\xFF send a", "line 2: byte 4 is not UTF-8"},
       }) {
    CAPTURE(c.file);
    const std::string error = ErrorOf(c.file);
    CAPTURE(error);
    CHECK(error.starts_with(c.error));
  }
}

TEST_CASE("rights: names have at most as many bytes as anywhere") {
  const std::string channel(128, 'c');
  const std::string identity(256, 'i');
  const Rights rights =
      Parsed(fmt::format("{0} read {1}\n{0} send {1}*", identity, channel));
  CHECK(RightsOf(rights, identity, channel) == "send,read");
  CHECK(ErrorOf(fmt::format("ann read {}c", channel)) ==
        "line 1: channel: 129 bytes exceed the limit of 128");
  CHECK(ErrorOf(fmt::format("ann read {}c*", channel)) ==
        "line 1: channel: 129 bytes exceed the limit of 128");
  CHECK(ErrorOf(fmt::format("{}i read a", identity)) ==
        "line 1: identity: 257 bytes exceed the limit of 256");
}

TEST_CASE(
    "rights: an error shows little of a long value, and whole characters") {
  const std::string error = ErrorOf("ann x" + std::string(100, 'x') + " a");
  CHECK(error.size() < 200);
  std::string umlauts = "x";
  for (int i = 0; i < 100; ++i) umlauts += "\xC3\xBC";
  CHECK(
      Contains(ErrorOf("ann " + umlauts + " a"), "\xC3\xBC\"\xE2\x80\xA6 is"));
}

TEST_CASE("rights: an error shows no token that was put in the wrong place") {
  const std::string secret(43, 'S');
  const std::string token = "messenger_abcd1234_" + secret;
  for (const std::string& file :
       {token + "\"x read a", "ann " + token + " a", "ann read a " + token}) {
    CAPTURE(file);
    CHECK(!Contains(ErrorOf(file), secret));
  }
}

TEST_CASE("rights: the first line that allows it is found") {
  const Rights rights = Parsed(
      "# who reads\n"
      "ann read news\n"
      "* read *  # all\n"
      "ann read *\n");
  CHECK(rights.size() == 3);
  const Rights::Rule* rule = rights.Find("ann", Right::kRead, "news");
  REQUIRE(rule != nullptr);
  CHECK(rule->line == 2);
  CHECK(rule->text == "ann read news");
  rule = rights.Find("ann", Right::kRead, "other");
  REQUIRE(rule != nullptr);
  CHECK(rule->line == 3);
  CHECK(rule->text == "* read *  # all");
  CHECK(rights.Find("ann", Right::kSend, "news") == nullptr);
}

TEST_CASE("rights: who has a right in some channel has any") {
  const Rights rights = Parsed("ann send-as a\nanonymous read b");
  CHECK(rights.HasAny("ann"));
  CHECK(rights.HasAny(""));
  CHECK(!rights.HasAny("bob"));
  CHECK(Parsed("* read a").HasAny("bob"));
  CHECK(!Parsed("# nobody").HasAny(""));
}

TEST_CASE("rights: a file of megabytes is parsed, a larger one is refused") {
  std::string file;
  while (file.size() < (std::size_t{4} << 20U)) {
    file += fmt::format("identity-{} send,read channel.{}.*\n", file.size(),
                        file.size() % 1000);
  }
  CHECK(Parsed(file).HasAny("identity-0"));
  CHECK(ErrorOf(std::string(kMaxSecurityFileSize + 1, '\n')) ==
        "has more than the 16777216 bytes that are allowed");
  // One line of fields, of which no more are kept than a line may have.
  std::string fields;
  while (fields.size() < kMaxSecurityFileSize) fields += "a ";
  CHECK(Contains(ErrorOf(fields), "is one field too many"));
}

TEST_CASE("rights: an identity is what a token can be for") {
  for (const std::string_view good :
       {"ann"sv, "Ann Lee"sv, "j\xC3\xBCrgen"sv, "a@b.c"sv, "**"sv,
        "spiffe://x/y"sv, "CN=a,O=b"sv}) {
    CAPTURE(good);
    CHECK(CheckIdentity(good).ok());
  }
  for (const std::string_view bad :
       {""sv, "*"sv, "anonymous"sv, "a\tb"sv, "a\nb"sv, "a\0b"sv, "a\x7F"sv,
        "a\xC2\x85"sv, "a\"b"sv, "a\xFF"sv}) {
    CAPTURE(bad);
    CHECK(!CheckIdentity(bad).ok());
  }
}

}  // namespace
}  // namespace messenger::rights_test
