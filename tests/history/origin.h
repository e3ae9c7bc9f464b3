// What is in messages whose fate is recorded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace messenger::test {

// Texts tell who has sent them and which of the sender's messages they are, and
// nothing of them can be changed without being noticed: this is the only text
// that the sender has for the number.
std::string TextOf(std::string_view sender, std::uint64_t number);

// What `TextOf` has made this text of; nothing if it is none of its.
struct Origin {
  std::string sender;
  std::uint64_t number = 0;
};
std::optional<Origin> OriginOf(std::string_view text);

// What the message has beside its text. Some have data, of all byte values, up
// to 4 KiB; most of it is short. Some have a content type, with it or alone.
struct Data {
  std::string bytes;
  std::string content_type;
};
Data DataOf(std::string_view sender, std::uint64_t number);

}  // namespace messenger::test
