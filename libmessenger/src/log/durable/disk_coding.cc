#include "log/durable/disk_coding.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace messenger {

std::uint64_t SeededChecksum(std::uint64_t seed, std::string_view a,
                             std::string_view b) {
  const std::uint64_t first = XXH3_64bits_withSeed(a.data(), a.size(), seed);
  if (b.empty()) return first;
  return XXH3_64bits_withSeed(b.data(), b.size(), first);
}

}  // namespace messenger
