// Sizes as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace messenger::app {

// "123 B", "1.2 KiB".
std::string FormatBytes(std::uint64_t bytes);

}  // namespace messenger::app
