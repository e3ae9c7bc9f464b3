#include "messenger/printable.h"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <string_view>

#include "base/utf8.h"
#include "support/printing.h"
#include "support/seed.h"

namespace messenger::printable_test {
namespace {

using namespace std::string_view_literals;

struct Case {
  std::string_view text;
  std::string_view printable;
};

constexpr auto kCases = std::to_array<Case>({
    {"", ""},
    {"plain ~text \\ \"quoted\"", "plain ~text \\ \"quoted\""},
    // C0 and DEL.
    {"a\tb\nc\rd", "a\\tb\\nc\\rd"},
    {"\x1b[31mred\a\x7f", "\\x1b[31mred\\x07\\x7f"},
    {"\0"sv, "\\x00"},
    // C1, as characters and as bytes.
    {"\xc2\x9b"
     "2J",
     "\\u009b2J"},
    {"\x9b"
     "2J",
     "\\x9b2J"},
    // Separators, and what turns the direction.
    {"a\u2028b\u2029c", "a\\u2028b\\u2029c"},
    {"\u202egnp.exe\u202c", "\\u202egnp.exe\\u202c"},
    {"\u2066\u2067\u2068\u2069\u200e\u200f\u061c",
     "\\u2066\\u2067\\u2068\\u2069\\u200e\\u200f\\u061c"},
    // What nobody sees, beyond the basic plane as well.
    {"ad\u200bmin\ufeff", "ad\\u200bmin\\ufeff"},
    {"\U000e0041", "\\udb40\\udc41"},
    // Words, whatever their language, and emoji.
    {"Grüße 世界 שלום 👩\u200d💻 µ\u00a0", "Grüße 世界 שלום 👩\u200d💻 µ\u00a0"},
    {"\u009f|\u00a0|\u2027|\u202f|\u2065",
     "\\u009f|\u00a0|\u2027|\u202f|\\u2065"},
    // Not UTF-8: alone, cut off, overlong, a surrogate, too large.
    {"caf\xe9", "caf\\xe9"},
    {"\xe4\xb8", "\\xe4\\xb8"},
    {"\xc0\x8a", "\\xc0\\x8a"},
    {"\xed\xa0\x80", "\\xed\\xa0\\x80"},
    {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
});

TEST_CASE("printable: what drives a terminal is escaped, and nothing else") {
  for (const Case& c : kCases) {
    CAPTURE(c.printable);
    CHECK(Printable(c.text) == c.printable);
    CHECK(Printable(c.printable) == c.printable);
    std::string appended = "x";
    AppendPrintable(c.text, &appended);
    CHECK(appended == "x" + std::string(c.printable));
  }
}

TEST_CASE("printable: whatever comes, it is UTF-8 without control characters") {
  INFO("MESSENGER_TEST_SEED=", test::TestSeed());
  test::Random random(test::TestSeed());
  constexpr std::string_view kBytes =
      "ab \"\\{\n\x1b\x7f\x80\x9b\xa8\xaf\xc2\xe2\xed\xef\xf0\xf3\xff";
  for (int i = 0; i < 20'000; ++i) {
    std::string text(random.Between(0, 12), '\0');
    for (char& c : text) c = kBytes[random.Between(0, kBytes.size() - 1)];
    const std::string printable = Printable(text);
    const bool is_clean =
        IsValidUtf8(printable) &&
        printable.find_first_of("\n\x1b\x7f") == std::string::npos &&
        printable.find("\xc2\x9b") == std::string::npos &&
        printable.find("\xe2\x80\xa8") == std::string::npos;
    if (!is_clean) FAIL_CHECK(printable);
    if (Printable(printable) != printable) FAIL_CHECK(printable);
  }
}

TEST_CASE("printable: a field ends where it ends") {
  CHECK(PrintableField("ann") == "ann");
  CHECK(PrintableField("") == "\"\"");
  CHECK(PrintableField("bob  fake text") == "\"bob  fake text\"");
  CHECK(PrintableField("bob\" said") == "\"bob\\x22 said\"");
  CHECK(PrintableField("say\"hello") == "\"say\\x22hello\"");
  CHECK(PrintableField("tab\there") == "tab\\there");
  CHECK(PrintableField("a=b", "=") == "\"a=b\"");
  CHECK(PrintableField("a=b") == "a=b");
  // What looks like a blank is one.
  for (const std::string_view blank :
       {"\u00a0", "\u2003", "\u202f", "\u2800", "\u3000", "\u3164", "\u200d"}) {
    const std::string text = "bob" + std::string(blank) + "x";
    CHECK(PrintableField(text) == "\"" + text + "\"");
  }
  CHECK(PrintableField("bob\xff x") == "\"bob\\xff x\"");
}

}  // namespace
}  // namespace messenger::printable_test
