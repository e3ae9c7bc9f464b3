// Entries: messages as they are stored and sent.
//
// An entry is one `messages` field of ReadMessagesResponse (tag, length,
// Message bytes), so that entries back to back are a serialized response. The
// last field of a Message is its checksum: XXH3-64 (https://xxhash.com) of all
// bytes of the Message before that field.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "messenger/message.h"
#include "wire/canonical_message.h"
#include "wire/coding.h"
#include "wire/tags.h"
#include "wire/timestamp.h"

namespace messenger::wire {

// The tag that begins an entry.
inline constexpr std::uint32_t kEntryTag =
    tags::read_messages_response::kMessages;

// What the log adds to a message that was sent.
struct EntryParts {
  std::uint64_t sequence = 0;
  std::string_view encoded_time;  // EncodedTimestamp::bytes
  CanonicalMessage new_message;
  const ProducerId* producer_id = nullptr;  // null for none
  std::uint64_t producer_sequence = 0;
};

// Size of the Message in the entry, and of the whole entry with such a Message.
std::size_t MessageSize(const EntryParts& parts);
std::size_t EntrySize(std::size_t message_size);

// Most that an entry is larger than its NewMessage: its tag and length, the
// message's sequence, time, producer and checksum.
inline constexpr std::size_t kMaxEntryOverhead =
    (1 + 5) + 9 + (2 + EncodedTimestamp::kMaxSize) + 18 + 11 + 9;

// Writes the entry at `out`, which must have room for EntrySize(message_size),
// where `message_size` is MessageSize(parts). Returns the end.
char* PutEntry(char* out, const EntryParts& parts, std::size_t message_size);

// Walks over the entries among the fields of a frame, or over entries alone:
//
//   EntryReader entries(bytes);
//   while (entries.Next()) Use(entries.message());
class EntryReader {
 public:
  explicit EntryReader(std::string_view bytes) : fields_(bytes) {}

  // Moves to the next entry; false at the end and at malformed input.
  bool Next() {
    while (fields_.Next()) {
      if (fields_.tag() == kEntryTag) return true;
    }
    return false;
  }

  // The encoded Message of the current entry.
  std::string_view message() const { return fields_.bytes(); }
  // All of the current entry.
  std::string_view entry() const { return {fields_.begin(), fields_.end()}; }

 private:
  FieldReader fields_;
};

// The encoded Message of the entry at the beginning of `entries`, which must be
// intact.
std::string_view MessageOfEntry(std::string_view entries);

// The sequence of an encoded Message whose checksum is right; nothing if it is
// not. Cheaper than decoding it.
std::optional<std::uint64_t> VerifiedSequence(std::string_view message);

// Decodes messages one after the other: those that were appended together have
// the same time, which is decoded only once.
class MessageDecoder {
 public:
  // Verifies the checksum of an encoded Message and decodes it; the views in
  // `message` point into `bytes`. Leaves channel, epoch and last_of_frame
  // alone. DATA_LOSS says what is wrong.
  absl::Status Decode(std::string_view bytes, Message* message);

 private:
  std::optional<Timestamp> DecodeTime(std::string_view bytes);

  // Of the message before.
  std::array<char, EncodedTimestamp::kMaxSize> encoded_time_{};
  std::size_t encoded_time_size_ = 0;
  Timestamp time_{};
};

// A single one.
inline absl::Status DecodeMessage(std::string_view bytes, Message* message) {
  return MessageDecoder().Decode(bytes, message);
}

// The sender's part of an encoded Message, as the two parts of canonical
// NewMessage bytes, and its time. For messages that this process has encoded:
// nothing is checked.
struct StoredParts {
  std::string_view before_producer;
  std::string_view after_producer;
  Timestamp send_time;
};
StoredParts SplitMessage(std::string_view bytes);

}  // namespace messenger::wire
