// What a checker finds in a history: a promise that was not kept.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace messenger::test {

// The names of the promises, as in guarantees.md.
inline constexpr std::string_view kOrdered = "Ordered";
inline constexpr std::string_view kUnique = "Unique";
inline constexpr std::string_view kComplete = "Complete";
inline constexpr std::string_view kDurable = "Durable";
inline constexpr std::string_view kResumable = "Resumable";
inline constexpr std::string_view kIntact = "Intact";
inline constexpr std::string_view kLive = "Live";

struct Violation {
  std::string_view guarantee;  // one of these names
  std::string what;
  // Where, if it is at one place.
  std::string channel;
  std::uint64_t sequence = 0;
};

inline std::string ToString(const Violation& violation) {
  std::string place;
  if (violation.sequence != 0) {
    place = fmt::format("{} {}: ", violation.channel, violation.sequence);
  } else if (!violation.channel.empty()) {
    place = violation.channel + ": ";
  }
  return fmt::format("{}: {}{}", violation.guarantee, place, violation.what);
}

}  // namespace messenger::test
