// The authors of messages that were received.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "wire/send.h"

namespace messenger::wire {

// The place of the first message in `request` that has an author, but not this
// one; nothing if there is none.
std::optional<std::size_t> FindOtherAuthor(const SendRequest& request,
                                           std::string_view author);

// The author of a message; empty: it has none.
std::string_view AuthorOf(const CanonicalMessage& message);

// Gives this author, which is not empty, to all messages that have none.
// INVALID_ARGUMENT, if that makes one larger than `max_message_bytes`.
absl::Status FillInAuthor(std::string_view author,
                          std::size_t max_message_bytes, SendRequest* request);

}  // namespace messenger::wire
