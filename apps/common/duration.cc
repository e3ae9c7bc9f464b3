#include "apps/common/duration.h"

#include <charconv>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace messenger::app {
namespace {

// Takes a leading "<n>d" off `*text`.
absl::Duration TakeDays(std::string_view* text) {
  unsigned days = 0;
  const char* const end = text->data() + text->size();
  const auto [rest, error] = std::from_chars(text->data(), end, days);
  if (error != std::errc() || rest == end || *rest != 'd') {
    return absl::ZeroDuration();
  }
  *text = {rest + 1, end};
  return days * absl::Hours(24);
}

}  // namespace

std::optional<std::chrono::nanoseconds> ParseDuration(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const absl::Duration days = TakeDays(&text);
  absl::Duration rest;
  if (!text.empty() &&
      !absl::ParseDuration(absl::string_view(text.data(), text.size()),
                           &rest)) {
    return std::nullopt;
  }
  const absl::Duration duration = days + rest;
  if (rest < absl::ZeroDuration() ||
      duration > absl::FromChrono(std::chrono::nanoseconds::max())) {
    return std::nullopt;
  }
  return absl::ToChronoNanoseconds(duration);
}

std::string FormatDuration(std::chrono::nanoseconds duration) {
  return absl::FormatDuration(absl::FromChrono(duration));
}

}  // namespace messenger::app
