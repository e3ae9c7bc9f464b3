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

// The same error in other words: what is attached to it stays.
inline absl::Status WithMessage(const absl::Status& status,
                                std::string_view message) {
  absl::Status made(status.code(), {message.data(), message.size()});
  status.ForEachPayload([&made](absl::string_view url, const absl::Cord& data) {
    made.SetPayload(url, data);
  });
  return made;
}

// The error of a part of something: "messages[3]: text: …".
inline absl::Status WithPath(const absl::Status& status,
                             std::string_view path) {
  return WithMessage(status,
                     std::string(path) + ": " + std::string(MessageOf(status)));
}

// What is wrong with the value of an option, whatever it is elsewhere.
inline absl::Status WrongOption(std::string_view option,
                                const absl::Status& status) {
  return absl::InvalidArgumentError(std::string(option) + ": " +
                                    std::string(MessageOf(status)));
}

// With a text fit for a terminal: it quotes names that others have given.
inline absl::Status MakePrintable(const absl::Status& status) {
  if (status.ok()) return status;
  return WithMessage(status, Printable(MessageOf(status)));
}

// Of a request that is no message of the contract at all.
inline absl::Status MalformedRequest(std::string_view type) {
  return absl::InvalidArgumentError("request: not an encoded messenger.v1." +
                                    std::string(type));
}

}  // namespace messenger
