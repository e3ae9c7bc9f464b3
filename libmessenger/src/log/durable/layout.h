// Where the files of a log are.
//
//   DIR/LOCK
//   DIR/reserve
//   DIR/checkpoint
//   DIR/journals/<number>.journal, .carried
//   DIR/channels/<name>.channel/<first sequence>.segment, .index
#pragma once

#include <string>
#include <string_view>

namespace messenger {

inline constexpr std::string_view kLockFileName = "LOCK";
inline constexpr std::string_view kReserveName = "reserve";
inline constexpr std::string_view kJournalsName = "journals";
inline constexpr std::string_view kChannelsName = "channels";
inline constexpr std::string_view kChannelSuffix = ".channel";

inline std::string JournalsDirectory(const std::string& log) {
  return log + "/" + std::string(kJournalsName);
}
inline std::string ChannelsDirectory(const std::string& log) {
  return log + "/" + std::string(kChannelsName);
}
// The suffix makes a directory's name of every channel's name, "..", too.
inline std::string ChannelDirectory(const std::string& log,
                                    std::string_view channel) {
  return ChannelsDirectory(log) + "/" + std::string(channel) +
         std::string(kChannelSuffix);
}

}  // namespace messenger
