#include "messenger/message.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <system_error>

#include "base/status.h"
#include "wire/channel_name.h"
#include "wire/coding.h"
#include "wire/new_message.h"
#include "wire/tags.h"

namespace messenger {
namespace {

// Decimal digits and nothing else.
bool ParseNumber(std::string_view text, std::uint64_t* number) {
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, *number);
  return error == std::errc() && rest == end;
}

}  // namespace

std::string Bookmark::ToString() const {
  return fmt::format("{}@{}:{}", channel, position.epoch, position.sequence);
}

absl::StatusOr<Bookmark> Bookmark::Parse(std::string_view text) {
  const std::size_t at = text.find('@');
  const std::size_t colon = text.find(':', std::min(at, text.size()));
  const auto malformed = [&](std::string_view why) {
    return absl::InvalidArgumentError(fmt::format(
        "bookmark: \"{}\" is not CHANNEL@EPOCH:SEQUENCE: {}", text, why));
  };
  if (colon == std::string_view::npos) return malformed("it has no @ and :");
  Bookmark bookmark = {.channel = std::string(text.substr(0, at))};
  const auto channel = wire::ResolveChannelName(bookmark.channel);
  if (!channel.ok()) return malformed(MessageOf(channel.status()));
  if (bookmark.channel.empty()) return malformed("the channel is empty");
  if (!ParseNumber(text.substr(at + 1, colon - at - 1),
                   &bookmark.position.epoch) ||
      bookmark.position.epoch == 0) {
    return malformed("the epoch is not a number from 1 on");
  }
  if (!ParseNumber(text.substr(colon + 1), &bookmark.position.sequence)) {
    return malformed("the sequence is not a number");
  }
  return bookmark;
}

absl::Status CheckMessage(const NewMessage& message, std::size_t max_bytes) {
  return wire::CheckNewMessage(message, max_bytes).status();
}

Attributes::Iterator::Iterator(std::string_view encoded) : rest_(encoded) {
  ++*this;
}

Attributes::Iterator& Attributes::Iterator::operator++() {
  wire::FieldReader fields(rest_);
  while (fields.Next()) {
    if (fields.tag() != wire::tags::message::kAttributes) continue;
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
  owned.data = data;
  owned.content_type = content_type;
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
    case Gap::Reason::kRolledBack:
      return "rolled_back";
    case Gap::Reason::kUnspecified:
      break;
  }
  return "unspecified";
}

}  // namespace messenger
