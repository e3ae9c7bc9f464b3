#include "log/durable/segment_info.h"

#include "log/durable/file_util.h"

namespace messenger {
namespace {

constexpr std::string_view kSegmentSuffix = ".segment";
constexpr std::string_view kIndexSuffix = ".index";

}  // namespace

std::string SegmentFileName(std::uint64_t first_sequence) {
  return NumberedFileName(first_sequence, kSegmentSuffix);
}

std::string IndexFileName(std::uint64_t first_sequence) {
  return NumberedFileName(first_sequence, kIndexSuffix);
}

std::optional<std::uint64_t> ParseSegmentFileName(std::string_view name) {
  return ParseNumberedFileName(name, kSegmentSuffix);
}

}  // namespace messenger
