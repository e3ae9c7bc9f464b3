#include "messenger/message.h"

#include <fmt/format.h>

#include "base/status.h"
#include "wire/channel_name.h"
#include "wire/coding.h"
#include "wire/message_tags.h"
#include "wire/new_message.h"

namespace messenger {

absl::Status CheckMessage(const NewMessage& message, std::size_t max_bytes) {
  const auto channel = wire::ResolveChannelName(message.channel);
  if (!channel.ok()) return channel.status();
  if (absl::Status s =
          wire::CheckMessageSize(wire::NewMessageSize(message), max_bytes);
      !s.ok()) {
    return absl::InvalidArgumentError(fmt::format("message: {}", MessageOf(s)));
  }
  return wire::CheckFields(message);
}

Attributes::Iterator::Iterator(std::string_view encoded) : rest_(encoded) {
  ++*this;
}

Attributes::Iterator& Attributes::Iterator::operator++() {
  wire::FieldReader fields(rest_);
  while (fields.Next()) {
    if (fields.tag() != wire::message_tag::kAttributes) continue;
    position_ = fields.begin();
    wire::ParseAttribute(fields.bytes(), &current_);
    rest_ = {fields.end(), rest_.data() + rest_.size()};
    return *this;
  }
  *this = Iterator();
  return *this;
}

Attributes::Iterator Attributes::Iterator::operator++(int) {
  Iterator before = *this;
  ++*this;
  return before;
}

std::optional<std::string_view> Attributes::Find(std::string_view name) const {
  for (const Attribute& attribute : *this) {
    if (attribute.name == name) return attribute.value;
  }
  return std::nullopt;
}

OwnedMessage Message::Own() const {
  OwnedMessage owned;
  owned.channel = channel;
  owned.epoch = epoch;
  owned.sequence = sequence;
  owned.send_time = send_time;
  owned.author = author;
  owned.text = text;
  for (const Attribute& attribute : attributes) {
    owned.attributes.emplace_back(attribute.name, attribute.value);
  }
  owned.producer_id = producer_id;
  owned.producer_sequence = producer_sequence;
  return owned;
}

std::string_view ToString(Gap::Reason reason) {
  switch (reason) {
    case Gap::Reason::kRetention:
      return "retention";
    case Gap::Reason::kDamaged:
      return "damaged";
    case Gap::Reason::kDeleted:
      return "deleted";
    case Gap::Reason::kNewEpoch:
      return "new_epoch";
    case Gap::Reason::kUnspecified:
      break;
  }
  return "unspecified";
}

}  // namespace messenger
