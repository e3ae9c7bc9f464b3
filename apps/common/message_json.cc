#include "apps/common/message_json.h"

#include <utility>

namespace messenger::app {

Json MessageJson(const Message& message, const std::string& send_time) {
  Json attributes = Json::array();
  for (const Attribute& attribute : message.attributes) {
    attributes.push_back(
        {{"name", attribute.name}, {"value", attribute.value}});
  }
  // Not as a list, each pair of which would be an array first: this is what a
  // page of messages costs.
  Json json = Json::object();
  json.emplace("channel", message.channel);
  json.emplace("epoch", EpochString(message.epoch));
  json.emplace("sequence", message.sequence);
  json.emplace("send_time", send_time);
  json.emplace("author", message.author);
  json.emplace("text", message.text);
  json.emplace("attributes", std::move(attributes));
  return json;
}

Json GapJson(std::string_view channel, const Gap& gap) {
  return {{"channel", channel},
          {"first_missing", gap.first_missing},
          {"next", gap.next},
          {"reason", ToString(gap.reason)}};
}

Json ChannelJson(const ChannelInfo& channel) {
  return {{"channel", channel.name},
          {"epoch", EpochString(channel.epoch)},
          {"first_sequence", channel.first_sequence},
          {"head", channel.head},
          {"messages", MessageCount(channel)},
          {"bytes", channel.bytes},
          {"readers", channel.readers}};
}

std::uint64_t MessageCount(const ChannelInfo& channel) {
  return channel.head + 1 - channel.first_sequence;
}

}  // namespace messenger::app
