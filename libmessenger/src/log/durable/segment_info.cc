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

bool IsChannelFile(std::string_view name) {
  constexpr std::string_view kReplacement = ".new";
  if (ParseSegmentFileName(name)) return true;
  if (name.ends_with(kReplacement)) name.remove_suffix(kReplacement.size());
  return ParseNumberedFileName(name, kIndexSuffix).has_value();
}

}  // namespace messenger
