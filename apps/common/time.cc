#include "apps/common/time.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <system_error>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "apps/common/standard_streams.h"

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

// absl's own RFC3339_full also takes a 't' and fractions, as the RFC does.
constexpr std::array kFormats = {
    absl::RFC3339_full,    "%Y-%m-%d %H:%M:%E*S%Ez", "%Y-%m-%d %H:%M:%E*S",
    "%Y-%m-%dT%H:%M:%E*S", "%Y-%m-%d %H:%M",         "%Y-%m-%d"};

std::optional<absl::Time> ParseDate(std::string_view text) {
  // absl would take "infinite-past", too.
  if (text.empty() || text.front() < '0' || text.front() > '9') {
    return std::nullopt;
  }
  const absl::string_view input(text.data(), text.size());
  for (const char* format : kFormats) {
    absl::Time time;
    if (absl::ParseTime(format, input, LocalZone(), &time, nullptr)) {
      return time;
    }
  }
  return std::nullopt;
}

absl::TimeZone FindLocalZone() {
  const char* const variable = std::getenv("TZ");
  if (variable == nullptr) return absl::LocalTimeZone();
  std::string_view name = variable;
  if (name.starts_with(':')) name.remove_prefix(1);
  absl::TimeZone zone;
  if (name.empty() || name == "localtime" ||
      absl::LoadTimeZone(absl::string_view(name.data(), name.size()), &zone)) {
    return absl::LocalTimeZone();
  }
  PrintError(
      "TZ", fmt::format("'{}' is no time zone that is known here, so times are "
                        "in UTC; use a name such as Europe/Berlin, and install "
                        "tzdata if it is missing",
                        name));
  return absl::UTCTimeZone();
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

absl::TimeZone LocalZone() {
  static const absl::TimeZone zone = FindLocalZone();
  return zone;
}

std::optional<Timestamp> ParseTime(std::string_view text, Timestamp now) {
  if (const auto ago = ParseDuration(text)) return now - *ago;
  const auto time = ParseDate(text);
  if (!time || *time < absl::FromChrono(Timestamp::min()) ||
      *time > absl::FromChrono(Timestamp::max())) {
    return std::nullopt;
  }
  return absl::ToChronoTime(*time);
}

std::string FormatTime(Timestamp time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E9SZ", absl::FromChrono(time),
                          absl::UTCTimeZone());
}

std::string FormatSecond(Timestamp time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromChrono(time),
                          absl::UTCTimeZone());
}

const std::string& TimeText::Of(Timestamp time) {
  if (text_.empty() || time != time_) {
    time_ = time;
    text_ = FormatTime(time);
  }
  return text_;
}

}  // namespace messenger::app
