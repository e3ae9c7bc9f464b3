// The open segments of a log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "log/durable/file_system.h"
#include "log/durable/segment_reader.h"

namespace messenger {

// Keeps those that were used last open, so that the number of open files is
// bounded. Whoever holds one keeps it open as well.
//
// Thread safety: all members may be called from any thread; Open blocks on the
// disk, without a lock.
class SegmentCache {
 public:
  SegmentCache(std::shared_ptr<FileSystem> files, std::size_t max_open)
      : files_(std::move(files)), max_open_(max_open) {}

  // As SegmentReader::Open.
  absl::StatusOr<std::shared_ptr<SegmentReader>> Open(
      const std::string& directory, std::string_view channel,
      const SegmentInfo& segment) ABSL_LOCKS_EXCLUDED(mu_);

  // The segment is removed.
  void Forget(const std::string& directory, std::uint64_t first_sequence)
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using Key = std::pair<std::string, std::uint64_t>;
  struct Entry {
    std::shared_ptr<SegmentReader> reader;
    std::list<Key>::iterator place;
  };

  const std::shared_ptr<FileSystem> files_;
  const std::size_t max_open_;
  absl::Mutex mu_;
  absl::flat_hash_map<Key, Entry> open_ ABSL_GUARDED_BY(mu_);
  std::list<Key> by_use_ ABSL_GUARDED_BY(mu_);  // longest unused first
};

}  // namespace messenger
