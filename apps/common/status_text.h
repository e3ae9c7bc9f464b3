#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace messenger::app {

// A view into the status.
inline std::string_view MessageOf(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

}  // namespace messenger::app
