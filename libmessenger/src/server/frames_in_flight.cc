#include "server/frames_in_flight.h"

#include <algorithm>

namespace messenger {
namespace {

// What is left is for so many readers, once half of it is used.
constexpr std::size_t kShares = 2048;
constexpr std::size_t kMinFrame = std::size_t{4} << 10;

}  // namespace

std::size_t FramesInFlight::FrameBytes(std::size_t max_bytes) const {
  const std::size_t used = bytes();
  if (used <= max_bytes_ / 2) return max_bytes;
  const std::size_t left = max_bytes_ - std::min(used, max_bytes_);
  return std::min(max_bytes, std::max(left / kShares, kMinFrame));
}

void FramesInFlight::Add(Frame* frame, absl::Span<const LogBytes> entries) {
  if (entries.empty()) return;
  absl::InlinedVector<std::shared_ptr<Frame>, 1> giving_way;
  {
    absl::MutexLock lock(&mu_);
    Append(frame);
    for (const LogBytes& run : entries) {
      frame->owners_.push_back(run.owner.get());
      Owner& owner = owners_[run.owner.get()];
      if (owner.references++ == 0) {
        owner.bytes = std::max(run.owner_bytes, run.bytes.size());
        bytes_ += owner.bytes;
      }
    }
    while (bytes_ > max_bytes_ && oldest_ != frame) {
      giving_way.push_back(oldest_->Share());
      Drop(oldest_);
    }
  }
  for (const auto& other : giving_way) other->GiveWay();
}

void FramesInFlight::Remove(Frame* frame) {
  absl::MutexLock lock(&mu_);
  if (frame->added_) Drop(frame);
}

void FramesInFlight::Append(Frame* frame) {
  frame->added_ = true;
  frame->older_ = newest_;
  frame->newer_ = nullptr;
  (newest_ == nullptr ? oldest_ : newest_->newer_) = frame;
  newest_ = frame;
}

void FramesInFlight::Drop(Frame* frame) {
  (frame->older_ == nullptr ? oldest_ : frame->older_->newer_) = frame->newer_;
  (frame->newer_ == nullptr ? newest_ : frame->newer_->older_) = frame->older_;
  frame->added_ = false;
  for (const void* const key : frame->owners_) {
    const auto it = owners_.find(key);
    if (--it->second.references > 0) continue;
    bytes_ -= it->second.bytes;
    owners_.erase(it);
  }
  frame->owners_.clear();
}

}  // namespace messenger
