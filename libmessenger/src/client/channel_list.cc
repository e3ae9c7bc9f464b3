#include "client/channel_list.h"

#include <fmt/format.h>

#include <string>

#include "base/status.h"
#include "wire/channel_name.h"
#include "wire/sequence.h"

namespace messenger {

absl::StatusOr<ChannelInfo> ToInfo(const v1::Channel& channel) {
  if (const auto name = wire::ResolveChannelName(channel.name());
      channel.name().empty() || !name.ok()) {
    return absl::DataLossError(fmt::format(
        "the server's answer has a channel without a valid name: {}",
        name.ok() ? "it is empty" : MessageOf(name.status())));
  }
  const bool possible = channel.epoch() != 0 && channel.first_sequence() >= 1 &&
                        channel.head() <= wire::kMaxSequence &&
                        channel.first_sequence() <= channel.head() + 1;
  if (!possible) {
    return absl::DataLossError(fmt::format(
        "the server's answer has a channel that cannot be: \"{}\" of the epoch "
        "{} with the messages {} to {}",
        channel.name(), channel.epoch(), channel.first_sequence(),
        channel.head()));
  }
  return ChannelInfo{.name = channel.name(),
                     .epoch = channel.epoch(),
                     .first_sequence = channel.first_sequence(),
                     .head = channel.head(),
                     .bytes = channel.bytes(),
                     .readers = channel.readers()};
}

absl::Status ChannelList::Add(const v1::ListChannelsResponse& page) {
  for (const v1::Channel& channel : page.channels()) {
    absl::StatusOr<ChannelInfo> info = ToInfo(channel);
    if (!info.ok()) return info.status();
    if (!channels_.empty() && info->name <= channels_.back().name) {
      return absl::DataLossError(fmt::format(
          R"(the server's list of channels is out of order: "{}" after "{}")",
          info->name, channels_.back().name));
    }
    if (channels_.size() >= kMaxChannels) {
      return absl::ResourceExhaustedError(fmt::format(
          "the server has more than {} channels; ask for them by name",
          kMaxChannels));
    }
    channels_.push_back(*std::move(info));
  }
  if (page.channels().empty() && !page.next_page_token().empty()) {
    return absl::DataLossError(
        "the server's list of channels has a page without any, and goes on");
  }
  return absl::OkStatus();
}

}  // namespace messenger
