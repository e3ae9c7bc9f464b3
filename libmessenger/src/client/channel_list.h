// What a server says of its channels, as far as it can be true.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/message.h"
#include "messenger/v1/messenger.pb.h"

namespace messenger {

// DATA_LOSS if no log has such a channel.
absl::StatusOr<ChannelInfo> ToInfo(const v1::Channel& channel);

// Gathers the pages of a list, which comes to an end whatever the server does:
// names ascend from page to page, and there is a bound for them.
//
// Thread safety: none.
class ChannelList {
 public:
  static constexpr std::size_t kMaxChannels = 1'000'000;

  // DATA_LOSS if it cannot be the next page, RESOURCE_EXHAUSTED if there are
  // too many channels.
  absl::Status Add(const v1::ListChannelsResponse& page);

  std::size_t size() const { return channels_.size(); }
  std::vector<ChannelInfo> Take() { return std::move(channels_); }

 private:
  std::vector<ChannelInfo> channels_;
};

}  // namespace messenger
