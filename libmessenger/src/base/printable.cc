#include "messenger/printable.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include "base/utf8.h"

namespace messenger {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

template <std::size_t kCount>
bool IsIn(const std::array<Range, kCount>& ranges, char32_t c) {
  return std::any_of(ranges.begin(), ranges.end(), [c](const Range& range) {
    return c >= range.first && c <= range.last;
  });
}

// Beyond ASCII, what moves the cursor, turns the direction of a line, or is not
// seen at all. (Not the joiners U+200C and U+200D: words and emoji need them.)
bool IsUnprintable(char32_t c) {
  static constexpr auto kRanges = std::to_array<Range>({
      {0x80, 0x9F},        // C1
      {0x61C, 0x61C},      // Arabic letter mark
      {0x180E, 0x180E},    // Mongolian vowel separator
      {0x200B, 0x200B},    // zero width space
      {0x200E, 0x200F},    // direction marks
      {0x2028, 0x202E},    // separators, embeddings and overrides
      {0x2060, 0x206F},    // invisible operators, isolates
      {0xFEFF, 0xFEFF},    // byte order mark
      {0xFFF9, 0xFFFB},    // annotations
      {0xE0000, 0xE007F},  // tags
  });
  return IsIn(kRanges, c);
}

// Looks like a blank.
bool IsBlank(char32_t c) {
  static constexpr auto kRanges = std::to_array<Range>({
      {0x20, 0x20},
      {0xA0, 0xA0},
      {0x115F, 0x1160},
      {0x1680, 0x1680},
      {0x2000, 0x200A},
      {0x200C, 0x200D},
      {0x202F, 0x202F},
      {0x205F, 0x205F},
      {0x2800, 0x2800},
      {0x3000, 0x3000},
      {0x3164, 0x3164},
      {0xFFA0, 0xFFA0},
  });
  return IsIn(kRanges, c);
}

bool IsPlainAscii(char c) {
  return c >= 0x20 && c < 0x7F;
}

void AppendByte(char c, std::string* out) {
  switch (c) {
    case '\t':
      out->append("\\t");
      break;
    case '\n':
      out->append("\\n");
      break;
    case '\r':
      out->append("\\r");
      break;
    default:
      fmt::format_to(std::back_inserter(*out), "\\x{:02x}",
                     static_cast<unsigned char>(c));
  }
}

void AppendUnit(std::uint32_t unit, std::string* out) {
  fmt::format_to(std::back_inserter(*out), "\\u{:04x}", unit);
}

// Its units in UTF-16, as JSON writes them.
void AppendUnits(char32_t c, std::string* out) {
  if (c < 0x10000) return AppendUnit(c, out);
  AppendUnit(0xD800 + ((c - 0x10000) >> 10U), out);
  AppendUnit(0xDC00 + (c & 0x3FFU), out);
}

// Appends the character, not plain ASCII, that `text` begins with. Returns its
// length.
std::size_t AppendOther(std::string_view text, std::string* out) {
  const Utf8Character character = DecodeUtf8(text);
  if (character.length <= 1) {  // ASCII, or not UTF-8
    AppendByte(text.front(), out);
    return 1;
  }
  if (IsUnprintable(character.code)) {
    AppendUnits(character.code, out);
  } else {
    out->append(text.substr(0, character.length));
  }
  return character.length;
}

bool NeedsQuotes(std::string_view text, std::string_view special) {
  if (text.empty()) return true;
  while (!text.empty()) {
    if (text.front() == '"' ||
        special.find(text.front()) != std::string_view::npos) {
      return true;
    }
    const Utf8Character character = DecodeUtf8(text);
    if (character.length > 0 && IsBlank(character.code)) return true;
    text.remove_prefix(std::max<std::size_t>(character.length, 1));
  }
  return false;
}

}  // namespace

void AppendPrintable(std::string_view text, std::string* out) {
  while (!text.empty()) {
    const auto* const plain_end =
        std::find_if_not(text.begin(), text.end(), IsPlainAscii);
    const auto plain = static_cast<std::size_t>(plain_end - text.begin());
    out->append(text, 0, plain);
    text.remove_prefix(plain);
    if (!text.empty()) text.remove_prefix(AppendOther(text, out));
  }
}

std::string Printable(std::string_view text) {
  std::string printable;
  printable.reserve(text.size());
  AppendPrintable(text, &printable);
  return printable;
}

std::string PrintableField(std::string_view text, std::string_view special) {
  std::string printable = Printable(text);
  if (!NeedsQuotes(text, special)) return printable;
  std::string quoted = "\"";
  for (const char c : printable) {
    if (c == '"') {
      AppendByte(c, &quoted);
    } else {
      quoted.push_back(c);
    }
  }
  quoted.push_back('"');
  return quoted;
}

}  // namespace messenger
