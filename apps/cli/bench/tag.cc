#include "apps/cli/bench/tag.h"

#include <charconv>

namespace messenger::app {
namespace {

// "rrrrrrrr.pppppppp.nnnnnnnnnnnnnnnn.tttttttttttttttt": hexadecimal.
constexpr std::size_t kShort = 8;
constexpr std::size_t kLong = 16;

// Several times as fast as formatting it: it is timed with the rest.
char* Put(std::uint64_t number, std::size_t digits, char* out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (std::size_t i = digits; i > 0; --i, number >>= 4) {
    out[i - 1] = kDigits[number & 0xf];
  }
  return out + digits;
}

// Takes one number and what ends it; false if there is none.
template <typename Number>
bool Take(std::string_view* text, std::size_t digits, Number* number) {
  const char* const end = text->data() + digits;
  const auto [rest, error] = std::from_chars(text->data(), end, *number, 16);
  if (error != std::errc() || rest != end) return false;
  text->remove_prefix(digits);
  if (!text->starts_with('.')) return text->empty();
  text->remove_prefix(1);
  return true;
}

}  // namespace

void PutTag(const BenchTag& tag, std::string* text) {
  const auto due = static_cast<std::uint64_t>(
      std::chrono::nanoseconds(tag.due.time_since_epoch()).count());
  char* out = text->data();
  out = Put(tag.run, kShort, out);
  *out++ = '.';
  out = Put(tag.producer, kShort, out);
  *out++ = '.';
  out = Put(tag.number, kLong, out);
  *out++ = '.';
  Put(due, kLong, out);
}

std::optional<BenchTag> ParseTag(std::string_view text) {
  if (text.size() < kBenchTagBytes) return std::nullopt;
  text = text.substr(0, kBenchTagBytes);
  BenchTag tag;
  std::uint64_t due = 0;
  if (!Take(&text, kShort, &tag.run) || !Take(&text, kShort, &tag.producer) ||
      !Take(&text, kLong, &tag.number) || !Take(&text, kLong, &due)) {
    return std::nullopt;
  }
  tag.due = std::chrono::steady_clock::time_point(
      std::chrono::nanoseconds(static_cast<std::int64_t>(due)));
  return tag;
}

}  // namespace messenger::app
