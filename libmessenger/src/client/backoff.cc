#include "client/backoff.h"

#include <algorithm>

#include "base/random.h"

namespace messenger {

namespace {

// A try that has less time cannot succeed on a slow line or a busy machine.
constexpr std::chrono::seconds kShortestTry{1};

}  // namespace

std::chrono::nanoseconds Backoff::Begin(Clock::time_point now,
                                        std::chrono::nanoseconds timeout) {
  if (!since_) since_ = now;
  const std::optional<std::chrono::nanoseconds> left = Left(now);
  // Zero asks for one whole try.
  if (!left || options_.give_up_after->count() == 0) return timeout;
  return std::min(timeout,
                  std::max<std::chrono::nanoseconds>(*left, kShortestTry));
}

std::optional<std::chrono::nanoseconds> Backoff::Failed(Clock::time_point now) {
  constexpr int kMostDoublings = 30;
  if (!since_) since_ = now;
  const int doublings = std::min(tries_, kMostDoublings);
  ++tries_;
  const std::optional<std::chrono::nanoseconds> left = Left(now);
  if (left && left->count() <= 0) return std::nullopt;
  const std::chrono::nanoseconds most =
      std::min(options_.initial_backoff * (std::int64_t{1} << doublings),
               options_.max_backoff);
  const std::chrono::nanoseconds wait(
      RandomNonZero64() % static_cast<std::uint64_t>(most.count() + 1));
  // The last try comes when the time is up, not after it.
  return left ? std::min(wait, *left) : wait;
}

std::optional<std::chrono::nanoseconds> Backoff::Left(
    Clock::time_point now) const {
  if (!options_.give_up_after) return std::nullopt;
  return *options_.give_up_after - (now - *since_);
}

}  // namespace messenger
