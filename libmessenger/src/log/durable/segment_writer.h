// Writes segments.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/durable/file_system.h"
#include "log/durable/segment_format.h"

namespace messenger {

// Writes one segment. Nothing is durable before Sync, and the file's name not
// before its directory is synced.
//
// Thread safety: none.
class SegmentWriter {
 public:
  // A new segment, in place of a file with its name.
  static absl::StatusOr<SegmentWriter> Create(FileSystem& files,
                                              const std::string& directory,
                                              std::string_view channel,
                                              std::uint64_t epoch,
                                              std::uint64_t first_sequence);

  // Goes on where `info` ends; cuts off what lies beyond. DATA_LOSS if the file
  // is shorter, or is not this segment.
  static absl::StatusOr<SegmentWriter> Resume(FileSystem& files,
                                              const std::string& directory,
                                              std::string_view channel,
                                              const SegmentInfo& info);

  // Appends `count` whole entries (not none), which must follow in sequence.
  absl::Status Append(std::string_view entries, std::uint64_t count,
                      std::chrono::steady_clock::time_point written);

  // Syncs the segment. The index is not synced: what of it is lost is found
  // again by reading.
  absl::Status Sync();

  const SegmentInfo& info() const { return info_; }

 private:
  SegmentWriter(std::unique_ptr<File> segment, std::unique_ptr<File> index,
                const SegmentHeader& header, const SegmentInfo& info);
  absl::Status ResumeIndex();

  std::unique_ptr<File> segment_;
  std::unique_ptr<File> index_;
  SegmentHeader header_;
  SegmentInfo info_;
  std::uint64_t index_size_ = 0;
  std::uint64_t last_indexed_ = kSegmentHeaderSize;  // offset
};

}  // namespace messenger
