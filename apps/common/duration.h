// Durations as people type them.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace messenger::app {

// "90m", "1h30m", "7d", "2d12h", "1.5s", "250ms": days, then what
// absl::ParseDuration accepts. Nothing if `text` is none, is negative, or is
// longer than 292 years.
std::optional<std::chrono::nanoseconds> ParseDuration(std::string_view text);

// "5s", "1h30m": as short as possible.
std::string FormatDuration(std::chrono::nanoseconds duration);

}  // namespace messenger::app
