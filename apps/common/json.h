// JSON as the programs print it: one object a line, keys in a fixed order.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace messenger::app {

using Json = nlohmann::ordered_json;

// An epoch is a string, since many JSON readers keep only 53 bits of a number.
inline std::string EpochString(std::uint64_t epoch) {
  return std::to_string(epoch);
}

inline void AppendLine(const Json& json, std::string* out) {
  out->append(json.dump(-1, ' ', false, Json::error_handler_t::replace));
  out->push_back('\n');
}

}  // namespace messenger::app
