// Damage to bytes.
#pragma once

#include <cstddef>
#include <string>

namespace messenger::test {

// Bit 0 is the lowest of the first byte.
inline void FlipBit(std::string& bytes, std::size_t bit) {
  char& byte = bytes[bit / 8];
  byte =
      static_cast<char>(static_cast<unsigned char>(byte) ^ (1U << (bit % 8)));
}

}  // namespace messenger::test
