// JSON as the programs print it, for machines: one object a line, keys in a
// fixed order, strings that a parser gets back exactly.
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

// Appends the object and a newline. A person may look at it, too: what drives a
// terminal is escaped (\u009b), though JSON would take it as it is. What is not
// UTF-8, which only names of files can be, becomes U+FFFD.
void AppendLine(const Json& json, std::string* out);

}  // namespace messenger::app
