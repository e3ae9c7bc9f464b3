// What sequences there can be.
#pragma once

#include <cstdint>

namespace messenger::wire {

// They count from 1, and no log lives long enough to get here: a server that
// names a larger one is mistaken. So one can be added to what was checked.
inline constexpr std::uint64_t kMaxSequence = INT64_MAX;

// Whether `sequence` is one, and those of `count` messages from it on are.
constexpr bool IsRun(std::uint64_t sequence, std::uint64_t count) {
  return sequence >= 1 && sequence <= kMaxSequence &&
         count <= kMaxSequence - sequence + 1;
}

}  // namespace messenger::wire
