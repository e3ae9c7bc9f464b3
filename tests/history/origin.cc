#include "history/origin.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>

namespace messenger::test {
namespace {

// Of a text; most are short, so that a second has many of them.
constexpr std::uint64_t kMostFiller = 300;

// Well mixed (splitmix64).
std::uint64_t Mix(std::uint64_t value) {
  value += 0x9E3779B97F4A7C15U;
  value = (value ^ (value >> 30U)) * 0xBF58476D1CE4E5B9U;
  value = (value ^ (value >> 27U)) * 0x94D049BB133111EBU;
  return value ^ (value >> 31U);
}

}  // namespace

std::string TextOf(std::string_view sender, std::uint64_t number) {
  constexpr std::uint64_t kLettersAtOnce = 12;  // 16^12 < 2^64
  std::string text = fmt::format("{}/{}/", sender, number);
  std::uint64_t state = Mix(number);
  std::uint64_t left = state % kMostFiller;
  std::size_t at = text.size();
  text.resize(at + left);
  // A debug build does this for millions of texts.
  char* const letters = text.data();
  while (left > 0) {
    state = Mix(state);
    std::uint64_t bits = state;
    const std::uint64_t count = std::min(left, kLettersAtOnce);
    for (std::uint64_t i = 0; i < count; ++i, bits >>= 4U) {
      letters[at++] = static_cast<char>('a' + (bits & 15U));
    }
    left -= count;
  }
  return text;
}

std::optional<Origin> OriginOf(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  Origin origin = {.sender = std::string(text.substr(0, slash))};
  std::from_chars(text.data() + slash + 1, text.data() + text.size(),
                  origin.number);
  if (TextOf(origin.sender, origin.number) != text) return std::nullopt;
  return origin;
}

}  // namespace messenger::test
