// The words that findings have in common.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace messenger {

// `message 3 of channel "a"`, `messages 3 to 5 of channel "a"`.
inline std::string MessagesOf(std::string_view channel, std::uint64_t first,
                              std::uint64_t last) {
  return first == last
             ? fmt::format("message {} of channel \"{}\"", first, channel)
             : fmt::format("messages {} to {} of channel \"{}\"", first, last,
                           channel);
}

// The same, with a verb.
inline std::string MessagesAre(std::string_view channel, std::uint64_t first,
                               std::uint64_t last) {
  return MessagesOf(channel, first, last) + (first == last ? " is" : " are");
}

}  // namespace messenger
