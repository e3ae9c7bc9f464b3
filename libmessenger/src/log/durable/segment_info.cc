#include "log/durable/segment_info.h"

#include <fmt/format.h>

#include <charconv>
#include <cstddef>
#include <system_error>

namespace messenger {
namespace {

constexpr std::string_view kSegmentSuffix = ".segment";
constexpr std::string_view kIndexSuffix = ".index";
constexpr std::size_t kDigits = 20;

}  // namespace

std::string SegmentFileName(std::uint64_t first_sequence) {
  return fmt::format("{:020}{}", first_sequence, kSegmentSuffix);
}

std::string IndexFileName(std::uint64_t first_sequence) {
  return fmt::format("{:020}{}", first_sequence, kIndexSuffix);
}

std::optional<std::uint64_t> ParseSegmentFileName(std::string_view name) {
  if (name.size() != kDigits + kSegmentSuffix.size() ||
      !name.ends_with(kSegmentSuffix)) {
    return std::nullopt;
  }
  std::uint64_t sequence = 0;
  const char* const end = name.data() + kDigits;
  const auto [rest, error] = std::from_chars(name.data(), end, sequence);
  if (error != std::errc() || rest != end) return std::nullopt;
  return sequence;
}

}  // namespace messenger
