// Messages, gaps and channels as JSON: the same in every program.
#pragma once

#include <string>
#include <string_view>

#include "apps/common/json.h"
#include "messenger/message.h"

namespace messenger::app {

// `send_time` is FormatTime of the message's: many messages have the same one.
Json MessageJson(const Message& message, const std::string& send_time);

Json GapJson(std::string_view channel, const Gap& gap);

Json ChannelJson(const ChannelInfo& channel);

// How many messages of the channel are stored.
std::uint64_t MessageCount(const ChannelInfo& channel);

}  // namespace messenger::app
