// JSON as the programs print it, for machines: one object a line, keys in a
// fixed order, strings that a parser gets back exactly. Messages, gaps and
// channels are the same in every program.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "apps/common/time.h"
#include "messenger/message.h"

namespace messenger::app {

using Json = nlohmann::ordered_json;

// Appends the object and a newline. A person may look at it, too: what drives a
// terminal is escaped (\u009b), though JSON would take it as it is. What is not
// UTF-8, which only names of files can be, becomes U+FFFD.
void AppendLine(const Json& json, std::string* out);

// An epoch is a string, since many JSON readers keep only 53 bits of a number.
inline std::string EpochString(std::uint64_t epoch) {
  return std::to_string(epoch);
}

// [{"name","value"},…]
Json AttributesJson(const Attributes& attributes);

// Adds "data", as base64, and "content_type", each only if it is not empty.
void AddData(const Message& message, Json* json);

// `times` is of all messages that are printed one after the other.
Json MessageJson(const Message& message, TimeText* times);

Json GapJson(std::string_view channel, const Gap& gap);

Json ChannelJson(const ChannelInfo& channel);

// "0123456789abcdef0123456789abcdef"; "" for none.
std::string Hex(const ProducerId& id);

Json ProducerJson(const ProducerInfo& producer);

// How many messages of the channel are stored.
std::uint64_t MessageCount(const ChannelInfo& channel);

}  // namespace messenger::app
