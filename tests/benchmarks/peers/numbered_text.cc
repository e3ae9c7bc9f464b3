#include "peers/numbered_text.h"

#include <algorithm>

namespace messenger::bench {
namespace {

// Four bits a character, from 'a' on: the cheapest to take apart, since each
// reader does it with each message.
void Put(std::uint64_t value, char* out, std::size_t size) {
  for (std::size_t i = size; i > 0; --i, value >>= 4U) {
    out[i - 1] = static_cast<char>('a' + (value & 0xFU));
  }
}

std::uint64_t Get(std::string_view characters) {
  std::uint64_t value = 0;
  for (const char character : characters) {
    value = value << 4U | static_cast<std::uint64_t>(character - 'a');
  }
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
