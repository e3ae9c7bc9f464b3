#include "client/flight.h"

#include <algorithm>

namespace messenger {

void Flight::OnWritten(std::size_t requests, std::size_t bytes, TimePoint now) {
  // That little is quick says nothing of more.
  if (timed_ || bytes < bytes_ / 2) return;
  timed_ = {.requests = requests, .since = now};
}

void Flight::OnReceipts(std::size_t requests, TimePoint now) {
  if (!timed_) return;
  timed_->requests -= std::min(timed_->requests, requests);
  if (timed_->requests > 0) return;
  const std::chrono::nanoseconds time = now - timed_->since;
  timed_.reset();
  if (time <= quick_) {
    bytes_ *= 2;
  } else if (time > kSlow * quick_) {
    bytes_ = std::max(bytes_ / 2, kLeastBytes);
  }
}

}  // namespace messenger
