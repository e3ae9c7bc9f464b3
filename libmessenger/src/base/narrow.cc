#include "base/narrow.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace messenger::internal {
namespace {

template <typename Number>
[[noreturn]] void End(Number value) noexcept {
  const std::string text =
      fmt::format("fatal: {} does not fit where it was known to\n", value);
  static_cast<void>(std::fputs(text.c_str(), stderr));
  std::abort();
}

}  // namespace

void DoesNotFit(std::int64_t value) {
  End(value);
}

void DoesNotFit(std::uint64_t value) {
  End(value);
}

}  // namespace messenger::internal
