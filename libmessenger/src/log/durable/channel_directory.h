// The names of the channels' directories.
//
// Channels' names are case-sensitive; file systems may not be. So a directory's
// name has no capitals: which letters of the channel's name are capitals stands
// before it, one hexadecimal digit for each four characters, the first of them
// the highest bit, and without zeros at the end:
//
//   orders  orders.channel
//   ORDERS  fc+orders.channel
//   Orders  8+orders.channel
//
// A channel that is called like a device of Windows, which no file can be
// called there whatever follows after a dot, gets the "+" in any case:
//
//   con.x   +con.x.channel
//
// So the names are different whatever a file system folds, and no end of theirs
// is cut off: they have a-z 0-9 . _ - + alone, and end with ".channel". The
// longest one, of 128 capitals, has 169 bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace messenger {

inline constexpr std::string_view kChannelSuffix = ".channel";

std::string ChannelDirectoryName(std::string_view channel);

// What a log of version 1 calls it: the channel's name as it is.
std::string OldChannelDirectoryName(std::string_view channel);

struct ParsedChannelDirectory {
  std::string channel;
  bool old = false;  // its name is one of version 1, and not that of today
};
// Nothing if no channel's directory can have this name.
std::optional<ParsedChannelDirectory> ParseChannelDirectoryName(
    std::string_view name);

}  // namespace messenger
