// What a status says.
#pragma once

#include <string_view>

#include "absl/status/status.h"

namespace messenger::app {

// A view into the status.
inline std::string_view MessageOf(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

// Without the "<field>: " that it may begin with.
inline std::string_view MessageOf(const absl::Status& status,
                                  std::string_view field) {
  const std::string_view message = MessageOf(status);
  const bool is_of_field = message.starts_with(field) &&
                           message.substr(field.size()).starts_with(": ");
  return is_of_field ? message.substr(field.size() + 2) : message;
}

}  // namespace messenger::app
