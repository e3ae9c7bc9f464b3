// Reads segments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "log/durable/file_system.h"
#include "log/durable/segment_format.h"
#include "log/message_log.h"
#include "messenger/message.h"

namespace messenger {

// Reads one segment, and verifies all that it reads.
//
// Calls block on the disk: for I/O threads. The `info` of each call is that of
// this segment, and may have grown since the last one.
//
// Thread safety: all members may be called from any thread.
class SegmentReader {
 public:
  // DATA_LOSS if the file is not this segment, or its header is damaged.
  static absl::StatusOr<std::shared_ptr<SegmentReader>> Open(
      FileSystem& files, const std::string& directory, std::string_view channel,
      const SegmentInfo& info);

  // Where an entry begins in the file.
  struct Place {
    std::uint64_t sequence = 0;
    std::uint64_t offset = 0;
  };

  // Finds the message, which must be in `info`. One disk read of some 64 KiB as
  // a rule; linear in the file if the index is missing or damaged.
  absl::StatusOr<Place> Find(std::uint64_t sequence, const SegmentInfo& info);

  // The first message whose send time is not before `time`; there must be one.
  // As fast as Find.
  absl::StatusOr<std::uint64_t> FindTime(Timestamp time,
                                         const SegmentInfo& info);

  // Whether all that follows the last known place is intact. As fast as Find.
  absl::StatusOr<bool> EndIsIntact(const SegmentInfo& info);

  // Entries from `place` on, within `bounds` and `info`; at least one. Moves
  // `place` past them. Each entry's checksum and sequence are verified; damage
  // after the first entry ends the read before it, so that the next one finds
  // it. DATA_LOSS, naming the sequence and the offset, if the first is damaged.
  // The bytes are in memory of their own.
  struct Entries {
    LogBytes bytes;
    std::uint64_t count = 0;
  };
  absl::StatusOr<Entries> Read(Place* place, const ReadBounds& bounds,
                               const SegmentInfo& info);

  // After DATA_LOSS at `place`: moves it to the next intact entry, or to the
  // end of the segment if there is none. Linear in what is damaged.
  absl::Status SkipDamage(Place* place, const SegmentInfo& info);

 private:
  SegmentReader(std::unique_ptr<File> file, std::string name,
                const SegmentHeader& header, std::vector<IndexEntry> index);

  // Reads bytes of the segment, less at its end, into memory of their own.
  absl::StatusOr<LogBytes> ReadBytes(std::uint64_t offset, std::size_t size,
                                     const SegmentInfo& info);
  // The same, from an entry on and with all of it.
  absl::StatusOr<LogBytes> ReadEntries(std::uint64_t offset, std::size_t size,
                                       const SegmentInfo& info);
  absl::Status Damaged(const Place& place) const;
  // Visits entries from `place` on and moves past them, until `visit` returns
  // true or the segment ends. DATA_LOSS at damage.
  absl::Status Scan(
      Place* place, const SegmentInfo& info,
      absl::FunctionRef<bool(std::uint64_t sequence, Timestamp time)> visit);
  // The last known place for which `before` is true, or the first one; and the
  // next known place after a message, or the end. What the index says is
  // verified, and forgotten if it is not so.
  absl::StatusOr<Place> LastPlace(
      absl::FunctionRef<bool(const IndexEntry&)> before,
      const SegmentInfo& info) ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<Place> NextPlace(std::uint64_t sequence,
                                  const SegmentInfo& info)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Whether there is an intact entry; if not, it is no longer in the index.
  absl::StatusOr<bool> Verify(const IndexEntry& entry, const SegmentInfo& info)
      ABSL_LOCKS_EXCLUDED(mu_);
  void AddToIndex(const IndexEntry& entry) ABSL_LOCKS_EXCLUDED(mu_);

  const std::unique_ptr<File> file_;
  const std::string name_;
  const SegmentHeader header_;

  absl::Mutex mu_;
  std::vector<IndexEntry> index_ ABSL_GUARDED_BY(mu_);  // by sequence
};

}  // namespace messenger
