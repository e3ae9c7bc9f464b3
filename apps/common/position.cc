#include "apps/common/position.h"

#include <fmt/format.h>

#include <charconv>
#include <cstddef>
#include <system_error>

namespace messenger::app {

std::optional<std::uint64_t> ParseNumber(std::string_view text) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || rest != end) return std::nullopt;
  return number;
}

std::string PositionString(const Position& position) {
  return fmt::format("{}:{}", position.epoch, position.sequence);
}

std::optional<Position> ParsePosition(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto epoch = ParseNumber(text.substr(0, colon));
  const auto sequence = ParseNumber(text.substr(colon + 1));
  if (!epoch || !sequence || *epoch == 0) return std::nullopt;
  return Position{.epoch = *epoch, .sequence = *sequence};
}

}  // namespace messenger::app
