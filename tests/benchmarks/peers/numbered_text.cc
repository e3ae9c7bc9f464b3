#include "peers/numbered_text.h"

#include <algorithm>
#include <charconv>

namespace messenger::bench {
namespace {

// Decimal, with leading zeros.
void Put(std::uint64_t value, char* out, std::size_t digits) {
  for (std::size_t i = digits; i > 0; --i, value /= 10) {
    out[i - 1] = static_cast<char>('0' + value % 10);
  }
}

std::uint64_t Get(std::string_view digits) {
  std::uint64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

}  // namespace

NumberedText::NumberedText(std::size_t bytes)
    : text_(MakeText(std::max(bytes, kNumberBytes))) {}

std::string_view NumberedText::Make(std::uint64_t number) {
  Put(number, text_.data(), kNumberBytes);
  return text_;
}

std::string_view NumberedText::MakeStamped(std::uint64_t number) {
  if (text_.size() < kNumberBytes + kStampBytes) {
    text_.resize(kNumberBytes + kStampBytes);
  }
  const auto now = Clock::now().time_since_epoch().count();
  Put(static_cast<std::uint64_t>(now), text_.data() + kNumberBytes,
      kStampBytes);
  return Make(number);
}

std::uint64_t NumberedText::NumberOf(std::string_view text) {
  return Get(text.substr(0, kNumberBytes));
}

Clock::time_point NumberedText::StampOf(std::string_view text) {
  return Clock::time_point(Clock::duration(
      static_cast<Clock::rep>(Get(text.substr(kNumberBytes, kStampBytes)))));
}

}  // namespace messenger::bench
