// The text of a status. Debian's absl::string_view is a type of its own, which
// neither std::string_view nor fmt knows.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "messenger/printable.h"

namespace messenger {

inline std::string_view MessageOf(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

// With a text fit for a terminal: it quotes names that others have given.
inline absl::Status MakePrintable(const absl::Status& status) {
  if (status.ok()) return status;
  absl::Status made(status.code(), Printable(MessageOf(status)));
  status.ForEachPayload([&made](absl::string_view url, const absl::Cord& data) {
    made.SetPayload(url, data);
  });
  return made;
}

// Of a request that is no message of the contract at all.
inline absl::Status MalformedRequest(std::string_view type) {
  return absl::InvalidArgumentError("request: not an encoded messenger.v1." +
                                    std::string(type));
}

}  // namespace messenger
