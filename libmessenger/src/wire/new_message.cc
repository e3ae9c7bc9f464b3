#include "wire/new_message.h"

#include <fmt/format.h>

#include "base/bounds.h"
#include "base/reason.h"
#include "base/status.h"
#include "base/utf8.h"
#include "wire/channel_name.h"
#include "wire/coding.h"
#include "wire/tags.h"
#include "wire/unknown_field.h"

namespace messenger::wire {
namespace {

std::size_t OptionalBytesSize(std::string_view bytes) {
  return bytes.empty() ? 0 : BytesFieldSize(bytes.size());
}

char* PutOptionalBytes(char* out, std::uint32_t tag, std::string_view bytes) {
  if (bytes.empty()) return out;
  out = PutVarint(out, tag);
  out = PutVarint(out, bytes.size());
  return PutBytes(out, bytes);
}

std::size_t AttributeSize(std::string_view name, std::string_view value) {
  return OptionalBytesSize(name) + OptionalBytesSize(value);
}

// Apart from the check, which is made of each message.
[[gnu::cold]] absl::Status InvalidUtf8(std::string_view field,
                                       std::string_view value,
                                       std::size_t bad) {
  return WithReason(absl::InvalidArgumentError(fmt::format(
                        "{}: not valid UTF-8: byte 0x{:02x} at offset {}",
                        field, static_cast<unsigned char>(value[bad]), bad)),
                    reason::kInvalidUtf8, {{"field", std::string(field)}});
}

// A NewMessage, or NewMessageFields.

// Of those that come before the producer's fields, and after them.
template <typename Fields>
std::size_t SizeBeforeProducer(const Fields& message) {
  std::size_t size =
      OptionalBytesSize(message.author) + OptionalBytesSize(message.text);
  for (const auto& attribute : message.attributes) {
    size += BytesFieldSize(AttributeSize(attribute.name, attribute.value));
  }
  return size;
}

template <typename Fields>
std::size_t SizeAfterProducer(const Fields& message) {
  return OptionalBytesSize(message.data) +
         OptionalBytesSize(message.content_type);
}

// Apart from the check of each message, most of which have none.
[[gnu::noinline]] absl::Status CheckContentType(std::string_view value) {
  if (!kContentTypeSize.Contain(value.size())) {
    return OutOfBounds("content_type", value.size(), kContentTypeSize,
                       " bytes");
  }
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i] < ' ' || value[i] > '~') {
      return absl::InvalidArgumentError(fmt::format(
          "content_type: byte 0x{:02x} at offset {}; must be ASCII, from "
          "blank to ~",
          static_cast<unsigned char>(value[i]), i));
    }
  }
  return absl::OkStatus();
}

template <typename Fields>
absl::Status CheckAll(const Fields& message) {
  if (absl::Status s = CheckUtf8("author", message.author); !s.ok()) return s;
  if (absl::Status s = CheckUtf8("text", message.text); !s.ok()) return s;
  for (std::size_t i = 0; i < message.attributes.size(); ++i) {
    const std::string_view name = message.attributes[i].name;
    const std::string_view value = message.attributes[i].value;
    const auto field = [i](std::string_view part) {
      return fmt::format("attributes[{}].{}", i, part);
    };
    if (!kAttributeNameSize.Contain(name.size())) {
      return OutOfBounds(field("name"), name.size(), kAttributeNameSize,
                         " bytes");
    }
    if (!IsValidUtf8(name)) return CheckUtf8(field("name"), name);
    if (!IsValidUtf8(value)) return CheckUtf8(field("value"), value);
  }
  const std::string_view content_type = message.content_type;
  return content_type.empty() ? absl::OkStatus()
                              : CheckContentType(content_type);
}

// `size` is what all of it takes.
template <typename Fields>
char* PutFields(char* out, const Fields& message, std::size_t size) {
  const char* const end = out + size;
  out = PutOptionalBytes(out, tags::new_message::kAuthor, message.author);
  out = PutOptionalBytes(out, tags::new_message::kText, message.text);
  for (const auto& attribute : message.attributes) {
    const std::string_view name = attribute.name;
    const std::string_view value = attribute.value;
    out = PutVarint(out, tags::new_message::kAttributes);
    out = PutVarint(out, AttributeSize(name, value));
    out = PutOptionalBytes(out, tags::attribute::kName, name);
    out = PutOptionalBytes(out, tags::attribute::kValue, value);
  }
  if (out == end) return out;  // as a rule
  out = PutOptionalBytes(out, tags::new_message::kData, message.data);
  return PutOptionalBytes(out, tags::new_message::kContentType,
                          message.content_type);
}

}  // namespace

absl::Status CheckUtf8(std::string_view field, std::string_view value) {
  const std::size_t bad = FindInvalidUtf8(value);
  return bad == std::string_view::npos ? absl::OkStatus()
                                       : InvalidUtf8(field, value, bad);
}

absl::Status CheckAllKnown(std::string_view encoded) {
  std::size_t attributes = 0;
  FieldReader fields(encoded);
  while (fields.Next()) {
    switch (fields.tag()) {
      case tags::new_message::kAuthor:
      case tags::new_message::kText:
      case tags::new_message::kData:
      case tags::new_message::kContentType:
        break;
      case tags::new_message::kAttributes:
        if (absl::Status s = CheckFieldsKnown(
                "Attribute", fields.bytes(),
                {tags::attribute::kName, tags::attribute::kValue});
            !s.ok()) {
          return WithPath(s, fmt::format("attributes[{}]", attributes));
        }
        ++attributes;
        break;
      default:
        return UnknownField("NewMessage", fields.tag());
    }
  }
  return absl::OkStatus();
}

std::size_t NewMessageSize(const NewMessage& message) {
  return SizeBeforeProducer(message) + SizeAfterProducer(message);
}

absl::StatusOr<CheckedMessage> CheckNewMessage(const NewMessage& message,
                                               std::size_t max_bytes) {
  const auto channel = ResolveChannelName(message.channel);
  if (!channel.ok()) return channel.status();
  const std::size_t after_producer = SizeAfterProducer(message);
  const std::size_t size = SizeBeforeProducer(message) + after_producer;
  if (absl::Status s = CheckMessageSize(size, max_bytes); !s.ok()) {
    return WithPath(s, "message");
  }
  if (absl::Status s = CheckAll(message); !s.ok()) return s;
  return CheckedMessage{
      .channel = *channel, .size = size, .has_data = after_producer > 0};
}

char* PutNewMessage(char* out, const NewMessage& message, std::size_t size) {
  return PutFields(out, message, size);
}

bool ParseAttribute(std::string_view bytes, Attribute* attribute) {
  *attribute = {};
  FieldReader fields(bytes);
  while (fields.Next()) {
    if (fields.tag() == tags::attribute::kName) {
      attribute->name = fields.bytes();
    } else if (fields.tag() == tags::attribute::kValue) {
      attribute->value = fields.bytes();
    }
  }
  return fields.ok();
}

absl::Status CheckMessageSize(std::size_t size, std::size_t max_bytes) {
  if (size <= max_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format(
      "{} bytes, encoded, exceed the limit of {}", size, max_bytes));
}

absl::StatusOr<CanonicalMessage> NewMessageParser::Parse(
    std::string_view encoded, std::deque<std::string>& storage) {
  scratch_.author = {};
  scratch_.text = {};
  scratch_.attributes.clear();
  scratch_.data = {};
  scratch_.content_type = {};
  bool ascending = true;
  std::uint32_t last_tag = 0;
  FieldReader fields(encoded);
  while (fields.Next()) {
    ascending = ascending && fields.tag() >= last_tag;
    last_tag = fields.tag();
    switch (fields.tag()) {
      case tags::new_message::kAuthor:
        scratch_.author = fields.bytes();
        break;
      case tags::new_message::kText:
        scratch_.text = fields.bytes();
        break;
      case tags::new_message::kAttributes:
        if (!ParseAttribute(fields.bytes(),
                            &scratch_.attributes.emplace_back())) {
          return absl::InvalidArgumentError(fmt::format(
              "attributes[{}]: malformed", scratch_.attributes.size() - 1));
        }
        break;
      case tags::new_message::kData:
        scratch_.data = fields.bytes();
        break;
      case tags::new_message::kContentType:
        scratch_.content_type = fields.bytes();
        break;
      default:  // makes the encoding longer than the canonical one
        break;
    }
  }
  if (!fields.ok()) return absl::InvalidArgumentError("malformed");

  // Repeated, unknown or empty fields and long varints all make the encoding
  // longer than the canonical one.
  const std::size_t before_producer = SizeBeforeProducer(scratch_);
  const std::size_t size = before_producer + SizeAfterProducer(scratch_);
  if (size != encoded.size()) {
    if (absl::Status s = CheckAllKnown(encoded); !s.ok()) return s;
  }
  if (absl::Status s = CheckMessageSize(size, max_bytes_); !s.ok()) return s;
  if (absl::Status s = CheckAll(scratch_); !s.ok()) return s;
  // The order inside an attribute can only be wrong if value comes before name.
  bool in_order = ascending && size == encoded.size();
  for (const Attribute& attribute : scratch_.attributes) {
    in_order = in_order && (attribute.value.empty() ||
                            attribute.name.data() < attribute.value.data());
  }
  if (!in_order) {
    std::string& canonical = storage.emplace_back(size, '\0');
    PutFields(canonical.data(), scratch_, size);
    encoded = canonical;
  }
  return CanonicalMessage(encoded, before_producer);
}

}  // namespace messenger::wire
