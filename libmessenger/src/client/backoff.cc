#include "client/backoff.h"

#include <algorithm>

#include "base/random.h"

namespace messenger {

std::optional<std::chrono::nanoseconds> Backoff::Failed(Clock::time_point now) {
  constexpr int kMostDoublings = 30;
  if (tries_ == 0) since_ = now;
  const int doublings = std::min(tries_, kMostDoublings);
  ++tries_;
  if (options_.give_up_after && now - since_ >= *options_.give_up_after) {
    return std::nullopt;
  }
  const std::chrono::nanoseconds most =
      std::min(options_.initial_backoff * (std::int64_t{1} << doublings),
               options_.max_backoff);
  return std::chrono::nanoseconds(RandomNonZero64() %
                                  static_cast<std::uint64_t>(most.count() + 1));
}

}  // namespace messenger
