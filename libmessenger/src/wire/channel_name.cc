#include "wire/channel_name.h"

#include <fmt/format.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "messenger/message.h"

namespace messenger::wire {
namespace {

bool IsAllowed(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' ||
         c == '_' || c == '-';
}

}  // namespace

absl::StatusOr<std::string_view> ResolveChannelName(std::string_view name) {
  if (name.empty()) return kDefaultChannel;
  if (name.size() > kMaxChannelNameSize) {
    return absl::InvalidArgumentError(
        fmt::format("channel: {} bytes exceed the limit of {}", name.size(),
                    kMaxChannelNameSize));
  }
  const auto* bad = std::find_if_not(name.begin(), name.end(), IsAllowed);
  if (bad != name.end()) {
    return absl::InvalidArgumentError(fmt::format(
        "channel: {:?} has {:?} at byte {}; allowed are A-Z a-z 0-9 . _ -",
        name, *bad, bad - name.begin()));
  }
  return name;
}

}  // namespace messenger::wire
