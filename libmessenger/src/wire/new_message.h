// The part of a message that its sender writes: NewMessage, whose fields have
// the numbers that they have in Message.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/bounds.h"
#include "messenger/message.h"
#include "wire/canonical_message.h"

namespace messenger::wire {

inline constexpr Bounds<std::size_t> kAttributeNameSize{1, 128};
inline constexpr Bounds<std::size_t> kContentTypeSize{0, 256};

// What a NewMessage is encoded from, as views into bytes that were received.
struct NewMessageFields {
  std::string_view author;
  std::string_view text;
  std::vector<Attribute> attributes;
  std::string_view data;
  std::string_view content_type;
};

// Bytes of the canonical encoding. Does not look at the channel.
std::size_t NewMessageSize(const NewMessage& message);

// INVALID_ARGUMENT if an encoding of `size` bytes is too long.
absl::Status CheckMessageSize(std::size_t size, std::size_t max_bytes);

// INVALID_ARGUMENT if an encoded NewMessage has a field that is not known.
absl::Status CheckAllKnown(std::string_view encoded);

// INVALID_ARGUMENT, with the reason INVALID_UTF8, if the value of this field is
// not UTF-8.
absl::Status CheckUtf8(std::string_view field, std::string_view value);

struct CheckedMessage {
  std::string_view channel;  // resolved
  std::size_t size = 0;      // NewMessageSize
  bool has_data = false;     // or a content type
};

// What messenger::CheckMessage does, and what it has found.
absl::StatusOr<CheckedMessage> CheckNewMessage(const NewMessage& message,
                                               std::size_t max_bytes);

// Writes the canonical encoding at `out`; `size` is its NewMessageSize. Returns
// the end.
char* PutNewMessage(char* out, const NewMessage& message, std::size_t size);

// Reads an encoded Attribute, whose views then point into `bytes`; false if it
// is malformed.
bool ParseAttribute(std::string_view bytes, Attribute* attribute);

// Reads encoded NewMessages. Keeps scratch memory between calls.
class NewMessageParser {
 public:
  explicit NewMessageParser(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  // Checks `encoded` and returns its canonical encoding: `encoded` itself if it
  // is canonical, as a rule, else what was appended to `storage`.
  // INVALID_ARGUMENT as from the two checks above, or for an unknown field.
  absl::StatusOr<CanonicalMessage> Parse(std::string_view encoded,
                                         std::deque<std::string>& storage);

 private:
  std::size_t max_bytes_;
  NewMessageFields scratch_;
};

}  // namespace messenger::wire
