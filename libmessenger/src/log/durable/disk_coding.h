// What the files of the log are made of: numbers in little-endian order, and
// checksums.
#pragma once

#include <bit>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>

#include "messenger/message.h"

namespace messenger {

static_assert(std::endian::native == std::endian::little,
              "numbers are copied as they are in memory");

template <typename T>
void PutLittleEndian(char* out, T value) {
  std::memcpy(out, &value, sizeof value);
}

template <typename T>
T GetLittleEndian(const char* in) {
  T value;
  std::memcpy(&value, in, sizeof value);
  return value;
}

// Of sequences, sizes and the like: counting never gets there, and one more
// than it is a number.
inline constexpr std::uint64_t kMaxNumber =
    std::numeric_limits<std::int64_t>::max();

inline std::int64_t ToNanos(Timestamp time) {
  return time.time_since_epoch().count();
}
inline Timestamp TimestampOfNanos(std::int64_t nanos) {
  return Timestamp(std::chrono::nanoseconds(nanos));
}
inline std::int64_t ToNanos(std::chrono::steady_clock::time_point time) {
  return time.time_since_epoch().count();
}
inline std::chrono::steady_clock::time_point LogTimeOfNanos(
    std::int64_t nanos) {
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(nanos));
}

// XXH3-64 (https://xxhash.com) of `a` with this seed; with a `b`, of that with
// the checksum of `a` for its seed.
std::uint64_t SeededChecksum(std::uint64_t seed, std::string_view a,
                             std::string_view b = {});

}  // namespace messenger
