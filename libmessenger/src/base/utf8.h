// UTF-8 as protobuf requires it of its string fields: RFC 3629.
#pragma once

#include <cstddef>
#include <string_view>

namespace messenger {

// The offset of the first byte that does not belong to a valid UTF-8 sequence,
// or npos if all is valid. Overlong forms, surrogates and code points above
// U+10FFFF are invalid (RFC 3629). Linear; runs of ASCII cost a fraction of a
// nanosecond a byte.
std::size_t FindInvalidUtf8(std::string_view text);

// A character, and how many bytes it takes; no bytes if it is invalid.
struct Utf8Character {
  char32_t code = 0;
  std::size_t length = 0;
};

// The first character of `text`, which is not empty.
Utf8Character DecodeUtf8(std::string_view text);

inline bool IsValidUtf8(std::string_view text) {
  return FindInvalidUtf8(text) == std::string_view::npos;
}

}  // namespace messenger
