#include "history/origin.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>

namespace messenger::test {
namespace {

// Of a text; most are short, so that a second has many of them.
constexpr std::uint64_t kMostFiller = 300;

// One message of so many has data, of at most so many bytes.
constexpr std::uint64_t kDataOneIn = 8;
constexpr std::uint64_t kMostDataBits = 12;

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

Data DataOf(std::string_view sender, std::uint64_t number) {
  constexpr std::size_t kBytesAtOnce = sizeof(std::uint64_t);
  std::uint64_t state = Mix(number);
  for (const char c : sender) {
    state = Mix(state ^ static_cast<unsigned char>(c));
  }
  if (state % kDataOneIn != 0) return {};
  state = Mix(state);
  // As many are short as are long.
  const std::uint64_t bits = state % (kMostDataBits + 1);
  const std::uint64_t size = Mix(state) & ((std::uint64_t{1} << bits) - 1);
  Data data = {.bytes = std::string(size, '\0'), .content_type = {}};
  if (size == 0 || Mix(size) % 2 == 0) {
    data.content_type = fmt::format("application/x-{}", size);
  }
  for (std::size_t at = 0; at < data.bytes.size(); at += kBytesAtOnce) {
    state = Mix(state);
    std::memcpy(data.bytes.data() + at, &state,
                std::min(kBytesAtOnce, data.bytes.size() - at));
  }
  return data;
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
