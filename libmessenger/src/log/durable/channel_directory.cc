#include "log/durable/channel_directory.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "wire/channel_name.h"

namespace messenger {
namespace {

constexpr char kMark = '+';  // in no channel's name
constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::size_t kBitsPerDigit = 4;

unsigned BitOf(std::size_t at) {
  return 8U >> (at % kBitsPerDigit);
}

std::string Lower(std::string_view name) {
  std::string lower(name);
  absl::AsciiStrToLower(&lower);
  return lower;
}

std::string CapitalsOf(std::string_view channel) {
  std::string digits;
  for (std::size_t at = 0; at < channel.size(); at += kBitsPerDigit) {
    unsigned digit = 0;
    const std::string_view part = channel.substr(at, kBitsPerDigit);
    for (std::size_t i = 0; i < part.size(); ++i) {
      if (absl::ascii_isupper(static_cast<unsigned char>(part[i]))) {
        digit |= BitOf(i);
      }
    }
    digits += kHexDigits[digit];
  }
  digits.erase(digits.find_last_not_of('0') + 1);
  return digits;
}

// https://learn.microsoft.com/windows/win32/fileio/naming-a-file
bool IsDevice(std::string_view lower) {
  const std::string_view stem = lower.substr(0, lower.find('.'));
  constexpr std::array<std::string_view, 4> kDevices = {"con", "prn", "aux",
                                                        "nul"};
  constexpr std::size_t kNumberedSize = 4;
  return std::find(kDevices.begin(), kDevices.end(), stem) != kDevices.end() ||
         (stem.size() == kNumberedSize &&
          (stem.starts_with("com") || stem.starts_with("lpt")) &&
          absl::ascii_isdigit(static_cast<unsigned char>(stem.back())));
}

}  // namespace

std::string ChannelDirectoryName(std::string_view channel) {
  std::string lower = Lower(channel);
  std::string capitals = CapitalsOf(channel);
  if (capitals.empty() && !IsDevice(lower)) {
    return lower.append(kChannelSuffix);
  }
  return capitals.append(1, kMark).append(lower).append(kChannelSuffix);
}

std::string OldChannelDirectoryName(std::string_view channel) {
  return std::string(channel).append(kChannelSuffix);
}

std::optional<ParsedChannelDirectory> ParseChannelDirectoryName(
    std::string_view name) {
  std::string_view rest = name;
  if (!rest.ends_with(kChannelSuffix)) return std::nullopt;
  rest.remove_suffix(kChannelSuffix.size());
  std::string_view capitals;
  const std::size_t mark = rest.find(kMark);
  const bool marked = mark != std::string_view::npos;
  if (marked) {
    capitals = rest.substr(0, mark);
    rest.remove_prefix(mark + 1);
  }
  std::string channel(rest);
  for (std::size_t at = 0; at < channel.size(); ++at) {
    if (at / kBitsPerDigit >= capitals.size()) break;
    const std::size_t digit = kHexDigits.find(capitals[at / kBitsPerDigit]);
    if (digit == std::string_view::npos) return std::nullopt;
    if ((digit & BitOf(at)) != 0) {
      channel[at] =
          absl::ascii_toupper(static_cast<unsigned char>(channel[at]));
    }
  }
  if (channel.empty() || !wire::ResolveChannelName(channel).ok()) {
    return std::nullopt;
  }
  // Each channel has one such name.
  const bool old = ChannelDirectoryName(channel) != name;
  if (old && marked) return std::nullopt;
  return ParsedChannelDirectory{.channel = std::move(channel), .old = old};
}

}  // namespace messenger
