// What is said of a value that is out of its bounds: "stall_timeout: -1 ms;
// must be 0 to 2592000000". The limits have the unit of the value.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <concepts>
#include <initializer_list>
#include <limits>
#include <string_view>
#include <type_traits>

#include "absl/status/status.h"
#include "messenger/bounds.h"

namespace messenger {

template <std::integral T>
absl::Status OutOfBounds(std::string_view name, std::type_identity_t<T> value,
                         const Bounds<T>& bounds, std::string_view unit = {}) {
  if (bounds.most == std::numeric_limits<T>::max()) {
    return absl::InvalidArgumentError(fmt::format(
        "{}: {}{}; must be at least {}", name, value, unit, bounds.least));
  }
  return absl::InvalidArgumentError(fmt::format("{}: {}{}; must be {} to {}",
                                                name, value, unit, bounds.least,
                                                bounds.most));
}

template <typename Rep, typename Period>
absl::Status OutOfBounds(
    std::string_view name,
    std::type_identity_t<std::chrono::duration<Rep, Period>> value,
    const Bounds<std::chrono::duration<Rep, Period>>& bounds) {
  static_assert(std::same_as<Period, std::milli> ||
                std::same_as<Period, std::nano>);
  return OutOfBounds(name, value.count(),
                     Bounds<Rep>{bounds.least.count(), bounds.most.count()},
                     std::same_as<Period, std::milli> ? " ms" : " ns");
}

// INVALID_ARGUMENT names the option, the value and the limits.
template <typename T>
absl::Status CheckBounds(std::string_view name, std::type_identity_t<T> value,
                         const Bounds<T>& bounds) {
  return bounds.Contain(value) ? absl::OkStatus()
                               : OutOfBounds(name, value, bounds);
}

inline absl::Status FirstError(std::initializer_list<absl::Status> statuses) {
  for (const absl::Status& status : statuses) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace messenger
