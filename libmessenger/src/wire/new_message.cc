#include "wire/new_message.h"

#include <fmt/format.h>

#include "base/utf8.h"
#include "wire/coding.h"
#include "wire/message_tags.h"

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

std::size_t AttributeSize(const Attribute& attribute) {
  return OptionalBytesSize(attribute.name) + OptionalBytesSize(attribute.value);
}

absl::Status CheckUtf8(std::string_view field, std::string_view value) {
  const std::size_t bad = FindInvalidUtf8(value);
  if (bad == std::string_view::npos) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{}: not valid UTF-8: byte 0x{:02x} at offset {}", field,
                  static_cast<unsigned char>(value[bad]), bad));
}

}  // namespace

bool ParseAttribute(std::string_view bytes, Attribute* attribute) {
  *attribute = {};
  FieldReader fields(bytes);
  while (fields.Next()) {
    if (fields.tag() == attribute_tag::kName) {
      attribute->name = fields.bytes();
    } else if (fields.tag() == attribute_tag::kValue) {
      attribute->value = fields.bytes();
    }
  }
  return fields.ok();
}

std::size_t NewMessageSize(const NewMessage& message) {
  std::size_t size =
      OptionalBytesSize(message.author) + OptionalBytesSize(message.text);
  for (const Attribute& attribute : message.attributes) {
    size += BytesFieldSize(AttributeSize(attribute));
  }
  return size;
}

absl::Status CheckMessageSize(std::size_t size, std::size_t max_bytes) {
  if (size <= max_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format(
      "{} bytes, encoded, exceed the limit of {}", size, max_bytes));
}

absl::Status CheckFields(const NewMessage& message) {
  if (absl::Status s = CheckUtf8("author", message.author); !s.ok()) return s;
  if (absl::Status s = CheckUtf8("text", message.text); !s.ok()) return s;
  for (std::size_t i = 0; i < message.attributes.size(); ++i) {
    const Attribute& attribute = message.attributes[i];
    const auto field = [i](std::string_view name) {
      return fmt::format("attributes[{}].{}", i, name);
    };
    if (attribute.name.empty() ||
        attribute.name.size() > kMaxAttributeNameSize) {
      return absl::InvalidArgumentError(
          fmt::format("{}: {} bytes; must be 1 to {}", field("name"),
                      attribute.name.size(), kMaxAttributeNameSize));
    }
    if (!IsValidUtf8(attribute.name)) {
      return CheckUtf8(field("name"), attribute.name);
    }
    if (!IsValidUtf8(attribute.value)) {
      return CheckUtf8(field("value"), attribute.value);
    }
  }
  return absl::OkStatus();
}

char* PutNewMessage(char* out, const NewMessage& message) {
  out = PutOptionalBytes(out, message_tag::kAuthor, message.author);
  out = PutOptionalBytes(out, message_tag::kText, message.text);
  for (const Attribute& attribute : message.attributes) {
    out = PutVarint(out, message_tag::kAttributes);
    out = PutVarint(out, AttributeSize(attribute));
    out = PutOptionalBytes(out, attribute_tag::kName, attribute.name);
    out = PutOptionalBytes(out, attribute_tag::kValue, attribute.value);
  }
  return out;
}

absl::StatusOr<std::string_view> NewMessageParser::Parse(
    std::string_view encoded, std::deque<std::string>& storage) {
  scratch_.author = {};
  scratch_.text = {};
  scratch_.attributes.clear();
  bool ascending = true;
  std::uint32_t last_tag = 0;
  FieldReader fields(encoded);
  while (fields.Next()) {
    ascending = ascending && fields.tag() >= last_tag;
    last_tag = fields.tag();
    switch (fields.tag()) {
      case message_tag::kAuthor:
        scratch_.author = fields.bytes();
        break;
      case message_tag::kText:
        scratch_.text = fields.bytes();
        break;
      case message_tag::kAttributes:
        if (!ParseAttribute(fields.bytes(),
                            &scratch_.attributes.emplace_back())) {
          return absl::InvalidArgumentError(fmt::format(
              "attributes[{}]: malformed", scratch_.attributes.size() - 1));
        }
        break;
      default:  // a field from the future
        break;
    }
  }
  if (!fields.ok()) return absl::InvalidArgumentError("malformed");

  const std::size_t size = NewMessageSize(scratch_);
  if (absl::Status s = CheckMessageSize(size, max_bytes_); !s.ok()) return s;
  if (absl::Status s = CheckFields(scratch_); !s.ok()) return s;
  // Repeated, unknown or empty fields and long varints all make the encoding
  // longer than the canonical one. The order inside an attribute can only be
  // wrong if value comes before name.
  bool in_order = ascending && size == encoded.size();
  for (const Attribute& attribute : scratch_.attributes) {
    in_order = in_order && (attribute.value.empty() ||
                            attribute.name.data() < attribute.value.data());
  }
  if (in_order) return encoded;
  std::string& canonical = storage.emplace_back(size, '\0');
  PutNewMessage(canonical.data(), scratch_);
  return canonical;
}

}  // namespace messenger::wire
