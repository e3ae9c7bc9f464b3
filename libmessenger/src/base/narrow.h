// Numbers in smaller types. A static_cast would cut off what does not fit, and
// go on with another number; tests/narrowing finds those that do.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

namespace messenger {

// For what comes from outside, or has no bound: nothing if it does not fit.
template <std::integral To, std::integral From>
constexpr std::optional<To> TryNarrow(From value) {
  if (!std::in_range<To>(value)) return std::nullopt;
  return static_cast<To>(value);
}

namespace internal {

[[noreturn]] void DoesNotFit(std::int64_t value);
[[noreturn]] void DoesNotFit(std::uint64_t value);

}  // namespace internal

// For what was checked before, or is bounded by how it was made. Ends the
// program if it does not fit after all: a number that was cut would be written,
// and lose messages.
template <std::integral To, std::integral From>
constexpr To Narrow(From value) {
  if (!std::in_range<To>(value)) {
    using Largest = std::conditional_t<std::signed_integral<From>, std::int64_t,
                                       std::uint64_t>;
    internal::DoesNotFit(Largest{value});
  }
  return static_cast<To>(value);
}

}  // namespace messenger
