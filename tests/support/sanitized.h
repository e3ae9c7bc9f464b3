// Whether this is built with a sanitizer.
#pragma once

#include <cstddef>

namespace messenger::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#elif defined(__clang__)
inline constexpr bool kSanitized =
    // NOLINTNEXTLINE(misc-redundant-expression): each is 0 or 1
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
inline constexpr bool kSanitized = false;
#endif

// Tests that flip every bit of a file flip one in each byte, or two, when this
// takes ten times as long.
inline constexpr std::size_t kBitStep = kSanitized ? 7 : 1;

}  // namespace messenger::test
