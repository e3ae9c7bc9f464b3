#include "log/durable/checkpoint_file.h"

#include <utility>

namespace messenger {

CheckpointFile::CheckpointFile(std::shared_ptr<FileSystem> files,
                               std::string directory, Reserve* reserve)
    : files_(std::move(files)),
      directory_(std::move(directory)),
      reserve_(reserve) {}

absl::Status CheckpointFile::Write(LogState log,
                                   const EncodedChannels& channels,
                                   const EncodedTombstones& tombstones,
                                   const CheckpointTables& tables) {
  absl::MutexLock lock(&mu_);
  log.version = version_;
  return reserve_->LendTo([&] {
    return WriteCheckpoint(*files_, directory_, log, channels, tombstones,
                           tables);
  });
}

absl::Status CheckpointFile::Raise() {
  absl::MutexLock lock(&mu_);
  if (raised()) return absl::OkStatus();
  absl::Status s = reserve_->LendTo(
      [&] { return RaiseCheckpointVersion(*files_, directory_); });
  if (s.ok()) version_ = kCheckpointVersion;
  return s;
}

}  // namespace messenger
