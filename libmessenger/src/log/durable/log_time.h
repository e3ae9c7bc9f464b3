// The log's clock.
//
// Ages (of segments, for retention, and of producers) are measured on a clock
// that goes on over restarts and does not follow the wall clock when that is
// set: the steady clock while the log is open, and the wall clock for the time
// in between, if that is plausible: if it has gone neither backwards, nor so
// far forwards that rather one of the two moments is wrong, as when a machine
// without a battery starts in 1970, or in 2098.
#pragma once

#include <algorithm>
#include <chrono>

#include "log/log_clock.h"
#include "messenger/message.h"

namespace messenger {

// The log's clock and the wall clock at one moment.
struct TimeAnchor {
  std::chrono::steady_clock::time_point log_time;
  Timestamp wall_time;

  friend bool operator==(const TimeAnchor&, const TimeAnchor&) = default;
};

// Longer, a log is not believed to have been closed if all that is in it were
// too old then.
inline constexpr std::chrono::hours kLongestClosed{30 * 24};

// For how long the log was closed, as far as what the wall clock says is
// believed.
inline std::chrono::nanoseconds TimeClosed(std::chrono::nanoseconds said,
                                           std::chrono::nanoseconds max_age) {
  using std::chrono::nanoseconds;
  // At most what can be added to any time.
  const auto longest =
      std::clamp<nanoseconds>(max_age, kLongestClosed, nanoseconds::max() / 4);
  return said < std::chrono::nanoseconds::zero() || said > longest
             ? std::chrono::nanoseconds::zero()
             : said;
}

// `clock`, with a steady clock that goes on from `last`, the latest moment that
// the log knows of.
inline LogClock ContinueFrom(const TimeAnchor& last, const LogClock& clock,
                             std::chrono::nanoseconds max_age) {
  using Time = std::chrono::steady_clock::time_point;
  using std::chrono::nanoseconds;
  const auto closed = TimeClosed(Elapsed(last.wall_time, clock.now()), max_age);
  const auto log_time =
      std::clamp(last.log_time, Time(), Time(nanoseconds::max() / 2));
  const auto offset = log_time + closed - clock.steady_now();
  return {.now = clock.now, .steady_now = [steady = clock.steady_now, offset] {
            return steady() + offset;
          }};
}

}  // namespace messenger
