#include "wire/authors.h"

#include <fmt/format.h>

#include <string>

#include "base/status.h"
#include "wire/coding.h"
#include "wire/new_message.h"
#include "wire/tags.h"

namespace messenger::wire {

std::string_view AuthorOf(const CanonicalMessage& message) {
  static_assert(tags::new_message::kAuthor < tags::new_message::kText);
  static_assert(tags::new_message::kAuthor < tags::new_message::kAttributes);
  FieldReader fields(message);  // the author comes first
  return fields.Next() && fields.tag() == tags::new_message::kAuthor
             ? fields.bytes()
             : std::string_view();
}

std::optional<std::size_t> FindOtherAuthor(const SendRequest& request,
                                           std::string_view author) {
  for (std::size_t i = 0; i < request.messages.size(); ++i) {
    const std::string_view other = AuthorOf(request.messages[i]);
    if (!other.empty() && other != author) return i;
  }
  return std::nullopt;
}

absl::Status FillInAuthor(std::string_view author,
                          std::size_t max_message_bytes, SendRequest* request) {
  std::string field;
  AppendBytesField(field, tags::new_message::kAuthor, author);
  std::size_t size = 0;
  for (std::size_t i = 0; i < request->messages.size(); ++i) {
    const CanonicalMessage& message = request->messages[i];
    if (!AuthorOf(message).empty()) continue;
    const std::size_t filled = field.size() + message.size();
    if (absl::Status s = CheckMessageSize(filled, max_message_bytes); !s.ok()) {
      return WithPath(
          s, fmt::format("messages[{}]: with the author \"{}\"", i, author));
    }
    size += filled;
  }
  if (size == 0) return absl::OkStatus();
  // In one piece: it must not grow, since views point into it.
  std::string& filled = request->storage.emplace_back();
  filled.reserve(size);
  for (CanonicalMessage& message : request->messages) {
    if (!AuthorOf(message).empty()) continue;
    const std::size_t begin = filled.size();
    filled += field;
    filled += std::string_view(message);
    message = CanonicalMessage(std::string_view(filled).substr(begin),
                               field.size() + message.before_producer().size());
  }
  return absl::OkStatus();
}

}  // namespace messenger::wire
