// Times and durations as people type them and as they are shown.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "messenger/message.h"

namespace messenger::app {

// "90m", "1h30m", "7d", "2d12h", "1.5s", "250ms": days, then what
// absl::ParseDuration accepts. Nothing if `text` is none, is negative, or is
// longer than 292 years.
std::optional<std::chrono::nanoseconds> ParseDuration(std::string_view text);

// "5s", "1h30m": as short as possible.
std::string FormatDuration(std::chrono::nanoseconds duration);

// A moment: RFC 3339 (2024-05-14T10:00:00Z), local time (2024-05-14,
// "2024-05-14 10:00", "2024-05-14 10:00:00"), or how long before `now` (10m,
// 1h30m, 2d). Nothing if `text` is none of these.
std::optional<Timestamp> ParseTime(std::string_view text, Timestamp now);

// The time zone of the person who looks: $TZ, else that of the machine. If $TZ
// is none that is known here, says so on stderr, once, and takes UTC.
//
// Thread safety: any thread may call it.
absl::TimeZone LocalZone();

// RFC 3339 in UTC with nanoseconds: 2024-05-14T10:00:00.000000001Z.
std::string FormatTime(Timestamp time);

// The same without fractions of a second: 2024-05-14T10:00:00Z.
std::string FormatSecond(Timestamp time);

// FormatTime of one message after the other: those that were sent together have
// the same time.
//
// Thread safety: none.
class TimeText {
 public:
  // Valid until the next call.
  const std::string& Of(Timestamp time);

 private:
  Timestamp time_;
  std::string text_;
};

}  // namespace messenger::app
