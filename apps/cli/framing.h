// How records follow each other in a stream of bytes.
#pragma once

#include <cstdint>

namespace messenger::app {

enum class Framing : std::uint8_t {
  kLines,           // a newline behind each
  kNull,            // a NUL behind each
  kLengthPrefixed,  // before each its length in bytes, as a varint: as protobuf
                    // writes delimited messages
};

}  // namespace messenger::app
