#include "log/durable/segment_cache.h"

namespace messenger {

absl::StatusOr<std::shared_ptr<SegmentReader>> SegmentCache::Open(
    const std::string& directory, std::string_view channel,
    const SegmentInfo& segment) {
  const Key key(directory, segment.first_sequence);
  {
    absl::MutexLock lock(&mu_);
    const auto it = open_.find(key);
    if (it != open_.end()) {
      by_use_.splice(by_use_.end(), by_use_, it->second.place);
      return it->second.reader;
    }
  }
  absl::StatusOr<std::shared_ptr<SegmentReader>> reader =
      SegmentReader::Open(*files_, directory, channel, segment);
  if (!reader.ok()) return reader;
  std::shared_ptr<SegmentReader> closed;  // after mu_
  absl::MutexLock lock(&mu_);
  const auto [it, added] = open_.try_emplace(key);
  if (added) {
    it->second = {.reader = *reader,
                  .place = by_use_.insert(by_use_.end(), key)};
  }
  if (open_.size() > max_open_) {
    const auto oldest = open_.find(by_use_.front());
    closed = std::move(oldest->second.reader);
    open_.erase(oldest);
    by_use_.pop_front();
  }
  return reader;
}

void SegmentCache::Forget(const std::string& directory,
                          std::uint64_t first_sequence) {
  std::shared_ptr<SegmentReader> closed;  // after mu_
  absl::MutexLock lock(&mu_);
  const auto it = open_.find(Key(directory, first_sequence));
  if (it == open_.end()) return;
  closed = std::move(it->second.reader);
  by_use_.erase(it->second.place);
  open_.erase(it);
}

}  // namespace messenger
