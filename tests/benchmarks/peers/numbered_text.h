// Texts that tell which one they are, so that what is lost, repeated or out of
// order is seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "support.h"

namespace messenger::bench {

class NumberedText {
 public:
  // Of this size, but at least large enough for a number and a time.
  explicit NumberedText(std::size_t bytes);

  // The text of message `number`; valid until the next call.
  std::string_view Make(std::uint64_t number);
  // With the time of the call.
  std::string_view MakeStamped(std::uint64_t number);

  static std::uint64_t NumberOf(std::string_view text);
  static Clock::time_point StampOf(std::string_view text);

  static constexpr std::size_t kNumberBytes = 12;
  static constexpr std::size_t kStampBytes = 16;

 private:
  std::string text_;
};

}  // namespace messenger::bench
