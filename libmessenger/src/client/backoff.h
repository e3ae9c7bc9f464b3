// When to try again.
#pragma once

#include <chrono>
#include <optional>

#include "messenger/client.h"

namespace messenger {

// Exponential backoff with full jitter:
// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
//
// Thread safety: none.
class Backoff {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Backoff(const RetryOptions& options) : options_(options) {}

  // A try begins, which `timeout` bounds in any case: how long it may take, so
  // that giving up does not come late because of it.
  std::chrono::nanoseconds Begin(Clock::time_point now,
                                 std::chrono::nanoseconds timeout);

  // It has failed: how long to wait before the next one; nothing if it is to be
  // given up.
  std::optional<std::chrono::nanoseconds> Failed(Clock::time_point now);

  // It has brought something forward. That there was an answer is not enough:
  // it may be one that leads nowhere, again and again.
  void Progressed() {
    tries_ = 0;
    since_.reset();
  }

  // There is nothing to try for at present. When there is, it has as much time
  // as ever; but what has kept failing is still not tried more often.
  void Rest() { since_.reset(); }

  // That have failed since there was progress.
  int failed_tries() const { return tries_; }

 private:
  // What is left until it is given up.
  std::optional<std::chrono::nanoseconds> Left(Clock::time_point now) const;

  const RetryOptions options_;
  int tries_ = 0;
  // Since when it has been tried, or has been failing, without progress.
  std::optional<Clock::time_point> since_;
};

}  // namespace messenger
