// Where the files of a log are.
//
//   DIR/LOCK
//   DIR/reserve
//   DIR/checkpoint
//   DIR/journals/<number>.journal, .carried
//   DIR/channels/<channel>.channel/<first sequence>.segment, .index
//
// channel_directory.h says how a channel's name is written.
#pragma once

#include <string>
#include <string_view>

#include "log/durable/channel_directory.h"

namespace messenger {

inline constexpr std::string_view kCheckpointFileName = "checkpoint";
inline constexpr std::string_view kLockFileName = "LOCK";
inline constexpr std::string_view kReserveName = "reserve";
inline constexpr std::string_view kJournalsName = "journals";
inline constexpr std::string_view kChannelsName = "channels";

// Whether something of this name may be in the directory of a log.
inline bool IsNameInLog(std::string_view name) {
  return name == kCheckpointFileName || name == kLockFileName ||
         name == kReserveName || name == kJournalsName ||
         name == kChannelsName || name == "lost+found";
}

inline std::string JournalsDirectory(const std::string& log) {
  return log + "/" + std::string(kJournalsName);
}
inline std::string ChannelsDirectory(const std::string& log) {
  return log + "/" + std::string(kChannelsName);
}
inline std::string ChannelDirectory(const std::string& log,
                                    std::string_view channel) {
  return ChannelsDirectory(log) + "/" + ChannelDirectoryName(channel);
}

}  // namespace messenger
