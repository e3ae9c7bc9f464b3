// What every log says of channels that are not there, or cannot be.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/reason.h"

namespace messenger {

inline absl::Status NoSuchChannel(std::string_view name) {
  return absl::NotFoundError(
      fmt::format("channel: \"{}\" does not exist (it appears with its first "
                  "message)",
                  name));
}

inline absl::Status TooManyChannels(std::string_view name, std::size_t limit) {
  return WithReason(
      absl::ResourceExhaustedError(fmt::format(
          "channel: \"{}\" would be one more than the {} channels that "
          "this server keeps (max_channels); delete one first",
          name, limit)),
      reason::kLimitReached,
      {{"limit", "max_channels"}, {"value", std::to_string(limit)}});
}

inline absl::Status TooManyDeletedChannels(std::string_view name,
                                           std::size_t limit) {
  return WithReason(
      absl::ResourceExhaustedError(fmt::format(
          "channel: \"{}\" is not deleted: it would be one more than "
          "the {} deleted channels whose last sequence this server "
          "remembers (max_deleted_channels)",
          name, limit)),
      reason::kLimitReached,
      {{"limit", "max_deleted_channels"}, {"value", std::to_string(limit)}});
}

}  // namespace messenger
