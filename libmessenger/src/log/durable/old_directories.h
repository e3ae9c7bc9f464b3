// Channels' directories that have the names of version 1: the channels' own.
// Where a file system ignores case, channels shared such a directory.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/durable/file_system.h"

namespace messenger {

// Which directories there are.
//
// Thread safety: none.
class ChannelDirectories {
 public:
  // None if there is no directory of the channels.
  static absl::StatusOr<ChannelDirectories> List(FileSystem& files,
                                                 const std::string& log);

  // The name, within that of the channels, of the directory that has this
  // segment: the channel's directory of today if it has it, and if none has it;
  // otherwise one whose name differs from the channel's by case alone. Reads
  // nothing unless there is such a one.
  absl::StatusOr<std::string> Find(std::string_view channel,
                                   std::uint64_t first_sequence) const;

  // Of channels that are called `channel`, whatever the case of the letters,
  // but for the directory that it has today.
  std::vector<std::string> Related(std::string_view channel) const;

  // With names of version 1, by whether there is the one of today as well.
  struct Old {
    std::string name;
    std::string today;
    bool both = false;
  };
  std::vector<Old> WithOldNames() const;

 private:
  ChannelDirectories(FileSystem& files, std::string channels,
                     const std::vector<std::string>& names);

  // Whether the segment there is one of this channel.
  absl::StatusOr<bool> Holds(const std::string& name, std::string_view channel,
                             std::uint64_t first_sequence) const;

  FileSystem& files_;
  const std::string channels_;  // the directory
  // Names of directories and their channels, by these in small letters.
  struct Entry {
    std::string name;
    std::string channel;
    bool old = false;
  };
  std::multimap<std::string, Entry, std::less<>> entries_;
};

// First sequences of the segments that each channel has.
using SegmentsOfChannels = std::map<std::string, std::vector<std::uint64_t>>;

// Gives all channels' directories the names of today, and brings each of these
// segments into the directory of its channel. On stable storage when it
// returns OK. What it has done, and what it leaves, it adds to `notices`.
//
// It can be interrupted at any time, and is then done again: until its end,
// ChannelDirectories finds each segment where it is. If both the old directory
// and the one of today are there, the segments in the one of today count; of
// the others, those in `segments` that are missing there are moved, and the old
// directory stays if anything is left in it.
//
// The checkpoint must have version 2 before: a server that knows only version 1
// would miss the segments.
absl::Status RenameOldDirectories(FileSystem& files, const std::string& log,
                                  const SegmentsOfChannels& segments,
                                  std::vector<std::string>* notices);

}  // namespace messenger
