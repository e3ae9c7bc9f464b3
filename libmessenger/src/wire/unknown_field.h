// Fields of requests that this server does not know. It refuses them: whoever
// sent one wants something that would not be done, and an answer would say that
// it was. What servers answer, and what is stored, may have such fields.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "absl/status/status.h"

namespace messenger::wire {

// INVALID_ARGUMENT that says whose field it is ("NewMessage", or with its path
// "resume_after: Position"), its number, and its wire type, since a number that
// is known may not come with another one.
absl::Status UnknownField(std::string_view of, std::uint32_t tag);

// The same for the first field of an encoded message whose tag is none of
// these. OK if there is none, also if the message is malformed.
absl::Status CheckFieldsKnown(std::string_view of, std::string_view message,
                              std::initializer_list<std::uint32_t> tags);

}  // namespace messenger::wire
