#include "log/memory_budget.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>

namespace messenger {
namespace {

// Of the control group that a container sees as its root: versions 2 and 1.
constexpr auto kGroupLimits = std::to_array<const char*>({
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
});

}  // namespace

std::uint64_t AvailableMemory() {
  std::uint64_t bytes = UINT64_MAX;
  const auto pages = sysconf(_SC_PHYS_PAGES);
  const auto page_size = sysconf(_SC_PAGESIZE);
  if (pages > 0 && page_size > 0) {
    bytes = static_cast<std::uint64_t>(pages) *
            static_cast<std::uint64_t>(page_size);
  }
  rlimit address_space{};
  if (getrlimit(RLIMIT_AS, &address_space) == 0 &&
      address_space.rlim_cur != RLIM_INFINITY) {
    bytes = std::min<std::uint64_t>(bytes, address_space.rlim_cur);
  }
  for (const char* const path : kGroupLimits) {
    std::uint64_t limit = 0;
    // There may be no such file, or "max" in it.
    if (std::ifstream(path) >> limit) bytes = std::min(bytes, limit);
  }
  return bytes;
}

}  // namespace messenger
