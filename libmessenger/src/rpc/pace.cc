#include "rpc/pace.h"

#include <algorithm>

namespace messenger::rpc {

Pace::Pace(std::size_t most_bytes, std::chrono::nanoseconds quick)
    : most_bytes_(most_bytes),
      quick_(quick),
      bytes_(std::min(kFirstBytes, most_bytes)) {}

void Pace::OnTaken(std::size_t bytes, std::chrono::nanoseconds time) {
  if (time > quick_) {
    quick_bytes_ = 0;
    if (time > kSlow * quick_) {
      bytes_ = std::min(bytes_, std::max(bytes_ / 2, kLeastBytes));
    }
    return;
  }
  // That little is taken quickly says nothing of more.
  if (bytes < bytes_ / 2 || bytes_ == most_bytes_) return;
  quick_bytes_ += bytes;
  if (quick_bytes_ < kGrowAfterBytes) return;
  quick_bytes_ = 0;
  bytes_ = std::min(2 * bytes_, most_bytes_);
}

}  // namespace messenger::rpc
