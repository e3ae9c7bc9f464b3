#include "apps/common/json.h"

#include <fmt/format.h>

#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

#include "apps/common/base64.h"
#include "messenger/printable.h"

namespace messenger::app {

void AppendLine(const Json& json, std::string* out) {
  const std::string text =
      json.dump(-1, ' ', false, Json::error_handler_t::replace);
  // Of ASCII, the only character that JSON leaves and that is not printable;
  // the others are escaped in both in the same way.
  constexpr char kDelete = '\x7f';
  std::string_view rest = text;
  for (std::size_t at; (at = rest.find(kDelete)) != std::string_view::npos;) {
    AppendPrintable(rest.substr(0, at), out);
    out->append("\\u007f");
    rest.remove_prefix(at + 1);
  }
  AppendPrintable(rest, out);
  out->push_back('\n');
}

Json AttributesJson(const Attributes& attributes) {
  Json json = Json::array();
  for (const Attribute& attribute : attributes) {
    json.push_back({{"name", attribute.name}, {"value", attribute.value}});
  }
  return json;
}

void AddData(const Message& message, Json* json) {
  if (!message.data.empty()) json->emplace("data", FormatBase64(message.data));
  if (!message.content_type.empty()) {
    json->emplace("content_type", message.content_type);
  }
}

Json MessageJson(const Message& message, TimeText* times) {
  // Not as a list, each pair of which would be an array first: this is what a
  // page of messages costs.
  Json json = Json::object();
  json.emplace("channel", message.channel);
  json.emplace("epoch", EpochString(message.epoch));
  json.emplace("sequence", message.sequence);
  json.emplace("send_time", times->Of(message.send_time));
  json.emplace("author", message.author);
  json.emplace("text", message.text);
  json.emplace("attributes", AttributesJson(message.attributes));
  AddData(message, &json);
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

std::string Hex(const ProducerId& id) {
  std::string hex;
  if (id == ProducerId{}) return hex;
  for (const std::uint8_t byte : id) {
    fmt::format_to(std::back_inserter(hex), "{:02x}", byte);
  }
  return hex;
}

Json ProducerJson(const ProducerInfo& producer) {
  Json json = {{"channel", producer.channel},
               {"name", producer.name},
               {"producer_id", Hex(producer.producer_id)},
               {"generation", producer.generation},
               {"last_producer_sequence", producer.last_producer_sequence},
               {"epoch", EpochString(producer.epoch)},
               {"last_used", FormatTime(producer.last_used)}};
  if (!producer.owner.empty()) json["owner"] = producer.owner;
  return json;
}

std::uint64_t MessageCount(const ChannelInfo& channel) {
  return channel.head + 1 - channel.first_sequence;
}

}  // namespace messenger::app
