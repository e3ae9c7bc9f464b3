// The text of a status. Debian's absl::string_view is a type of its own, which
// neither std::string_view nor fmt knows.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace messenger {

inline std::string_view MessageOf(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

}  // namespace messenger
