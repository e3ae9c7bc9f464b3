// google.protobuf.Timestamp and Duration on the wire.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "messenger/message.h"

namespace messenger::wire {

// A Timestamp encoded once and copied into many messages (without its tag and
// length).
class EncodedTimestamp {
 public:
  explicit EncodedTimestamp(Timestamp time);

  std::string_view bytes() const { return {bytes_.data(), size_}; }

  // Two tags, a 64-bit varint and a 30-bit one.
  static constexpr std::size_t kMaxSize = 17;

 private:
  std::array<char, kMaxSize> bytes_;
  std::size_t size_;
};

// Nothing if the bytes are malformed, the nanoseconds are out of 0..999,999,999
// or the time does not fit in `Timestamp` (years 1677 to 2262).
std::optional<Timestamp> DecodeTimestamp(std::string_view bytes);

// A Duration in milliseconds, rounded up; nothing if it is malformed, negative
// or longer than 10,000 years.
std::optional<std::chrono::milliseconds> DecodeDuration(std::string_view bytes);

}  // namespace messenger::wire
