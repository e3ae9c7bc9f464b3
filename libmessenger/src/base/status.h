// The text of a status. Debian's absl::string_view is a type of its own, which
// neither std::string_view nor fmt knows.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace messenger {

inline std::string_view MessageOf(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

// Of a request that is no message of the contract at all.
inline absl::Status MalformedRequest(std::string_view type) {
  return absl::InvalidArgumentError("request: not an encoded messenger.v1." +
                                    std::string(type));
}

}  // namespace messenger
