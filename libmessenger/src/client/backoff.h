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

  // Something has failed: how long to wait before the next try; nothing if it
  // is to be given up.
  std::optional<std::chrono::nanoseconds> Failed(Clock::time_point now);

  // It has worked.
  void Succeeded() { tries_ = 0; }

  // That have failed since it worked last.
  int failed_tries() const { return tries_; }

 private:
  const RetryOptions options_;
  int tries_ = 0;
  Clock::time_point since_;  // the first of them
};

}  // namespace messenger
