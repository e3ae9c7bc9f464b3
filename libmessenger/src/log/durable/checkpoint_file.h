// The checkpoint of a log that is open.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "log/durable/checkpoint.h"
#include "log/durable/file_system.h"
#include "log/durable/reserve.h"

namespace messenger {

// Has the version of what the log uses: kBasicCheckpointVersion at first, so
// that a server that knows no more can go on with it, and kCheckpointVersion
// from the first use of what came later. That is so on the disk before anything
// of it is, in journals as well.
//
// Thread safety: all members may be called from any thread. Those that write
// wait for the disk, and for each other.
class CheckpointFile {
 public:
  // `reserve` must outlive it; what is written has its room if need be.
  CheckpointFile(std::shared_ptr<FileSystem> files, std::string directory,
                 Reserve* reserve);

  // As it was found.
  void Open(std::uint32_t version) { version_ = version; }

  // As WriteCheckpoint, with the version that it has by now.
  absl::Status Write(LogState log, const EncodedChannels& channels,
                     const EncodedTombstones& tombstones,
                     const CheckpointTables& tables) ABSL_LOCKS_EXCLUDED(mu_);

  // Whether everything may be used.
  bool raised() const {
    return version_.load(std::memory_order_relaxed) == kCheckpointVersion;
  }
  // Makes it so, durably when it returns OK. After an error it may be tried
  // again.
  absl::Status Raise() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const std::shared_ptr<FileSystem> files_;
  const std::string directory_;
  Reserve* const reserve_;
  absl::Mutex mu_;  // held while the file is written
  std::atomic<std::uint32_t> version_{kBasicCheckpointVersion};
};

}  // namespace messenger
