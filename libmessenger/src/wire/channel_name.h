// Channel names: 1 to 128 of A-Z a-z 0-9 . _ -
#pragma once

#include <cstddef>
#include <string_view>

#include "absl/status/statusor.h"

namespace messenger::wire {

inline constexpr std::size_t kMaxChannelNameSize = 128;

// The channel that `name` stands for (empty stands for the default channel), or
// INVALID_ARGUMENT saying what is wrong with it. The view lives as long as
// `name`.
absl::StatusOr<std::string_view> ResolveChannelName(std::string_view name);

}  // namespace messenger::wire
