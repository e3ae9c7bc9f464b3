// Numbers and positions as people and programs write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "messenger/message.h"

namespace messenger::app {

// Digits and nothing else.
std::optional<std::uint64_t> ParseNumber(std::string_view text);

// EPOCH:SEQUENCE; the epoch is not 0.
std::string PositionString(const Position& position);
std::optional<Position> ParsePosition(std::string_view text);

}  // namespace messenger::app
