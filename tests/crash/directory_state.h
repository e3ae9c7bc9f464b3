// The files of a log, looked at from outside while nobody has it open: what the
// server was doing when it was ended.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "messenger/storage/v1/checkpoint.pb.h"

namespace messenger::test {

struct DirectoryState {
  std::set<std::uint64_t> journals;
  storage::v1::Checkpoint checkpoint;
  // Another one for each checkpoint that is written.
  std::uint64_t checkpoint_checksum = 0;
  // checkpoint.new is there.
  bool checkpoint_begun = false;
  // Sizes of segments by channel and first sequence.
  std::map<std::pair<std::string, std::uint64_t>, std::uint64_t> segments;
};

// An empty state for a directory without a log.
DirectoryState LookAt(const std::string& directory);

// The process id in LOCK, as text without a newline.
std::string LockedBy(const std::string& directory);

// What happened between two looks, and in the middle of what the second one
// was: the server's life ended then.
struct Progress {
  bool made_checkpoint = false;
  bool began_segment = false;    // and it is in the checkpoint
  bool removed_segment = false;  // the oldest ones: retention
  // In the middle of a checkpoint:
  bool left_journals = false;    // its messages are in no checkpoint yet
  bool left_entries = false;     // in segments, beyond what the checkpoint says
  bool left_segment = false;     // a new one that no checkpoint names
  bool left_checkpoint = false;  // a checkpoint not yet in its place
  bool left_garbage = false;     // in its place, before journals were removed
  bool left_dropped = false;     // or segments that retention has dropped
};
Progress Compare(const DirectoryState& before, const DirectoryState& after);

}  // namespace messenger::test
