// Times as people type them and as they are shown.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "messenger/message.h"

namespace messenger::app {

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

}  // namespace messenger::app
