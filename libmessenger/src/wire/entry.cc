#include "wire/entry.h"

#define XXH_INLINE_ALL
#include <fmt/format.h>
#include <xxhash.h>

#include <cstring>
#include <optional>

#include "wire/coding.h"
#include "wire/tags.h"

namespace messenger::wire {
namespace {

constexpr std::size_t kFixed64FieldSize = 1 + sizeof(std::uint64_t);
constexpr std::size_t kProducerIdFieldSize = 2 + sizeof(ProducerId);

std::uint64_t Checksum(std::string_view bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

bool ChecksumMatches(std::string_view bytes) {
  if (bytes.size() < kFixed64FieldSize) return false;
  const char* field = bytes.data() + bytes.size() - kFixed64FieldSize;
  return static_cast<unsigned char>(*field) == tags::message::kChecksum &&
         GetFixed64(field + 1) ==
             Checksum(bytes.substr(0, bytes.size() - kFixed64FieldSize));
}

}  // namespace

std::size_t MessageSize(const EntryParts& parts) {
  std::size_t size = kFixed64FieldSize + 2 + parts.encoded_time.size() +
                     parts.new_message.size() + kFixed64FieldSize;
  if (parts.producer_id != nullptr) {
    size += kProducerIdFieldSize + 1 + VarintSize(parts.producer_sequence);
  }
  return size;
}

std::size_t EntrySize(std::size_t message_size) {
  return BytesFieldSize(message_size);
}

char* PutEntry(char* out, const EntryParts& parts, std::size_t message_size) {
  out = PutVarint(out, kEntryTag);
  out = PutVarint(out, message_size);
  const char* const message = out;
  out = PutVarint(out, tags::message::kSequence);
  out = PutFixed64(out, parts.sequence);
  out = PutVarint(out, tags::message::kSendTime);
  out = PutVarint(out, parts.encoded_time.size());
  out = PutBytes(out, parts.encoded_time);
  out = PutBytes(out, parts.new_message.before_producer());
  if (parts.producer_id != nullptr) {
    out = PutVarint(out, tags::message::kProducerId);
    out = PutVarint(out, sizeof(ProducerId));
    std::memcpy(out, parts.producer_id->data(), sizeof(ProducerId));
    out += sizeof(ProducerId);
    out = PutVarint(out, tags::message::kProducerSequence);
    out = PutVarint(out, parts.producer_sequence);
  }
  out = PutBytes(out, parts.new_message.after_producer());
  const std::uint64_t checksum = Checksum({message, out});
  out = PutVarint(out, tags::message::kChecksum);
  return PutFixed64(out, checksum);
}

std::string_view MessageOfEntry(std::string_view entries) {
  EntryReader reader(entries);
  return reader.Next() ? reader.message() : std::string_view();
}

std::optional<std::uint64_t> VerifiedSequence(std::string_view message) {
  if (!ChecksumMatches(message) || message.size() < 2 * kFixed64FieldSize ||
      static_cast<unsigned char>(message.front()) != tags::message::kSequence) {
    return std::nullopt;
  }
  return GetFixed64(message.data() + 1);
}

std::optional<Timestamp> MessageDecoder::DecodeTime(std::string_view bytes) {
  // That no bytes are the beginning of 1970 needs no decoding either.
  if (bytes == std::string_view(encoded_time_.data(), encoded_time_size_)) {
    return time_;
  }
  const std::optional<Timestamp> time = DecodeTimestamp(bytes);
  if (time && bytes.size() <= encoded_time_.size()) {
    std::memcpy(encoded_time_.data(), bytes.data(), bytes.size());
    encoded_time_size_ = bytes.size();
    time_ = *time;
  }
  return time;
}

absl::Status MessageDecoder::Decode(std::string_view bytes, Message* message) {
  if (!ChecksumMatches(bytes)) {
    return absl::DataLossError("the checksum does not match");
  }
  message->sequence = 0;
  message->author = {};
  message->text = {};
  message->attributes = {};
  message->producer_id = {};
  message->producer_sequence = 0;
  message->data = {};
  message->content_type = {};
  const char* attributes = nullptr;
  const char* attributes_end = nullptr;
  std::optional<Timestamp> time;
  FieldReader fields(bytes);
  while (fields.Next()) {
    switch (fields.tag()) {
      case tags::message::kSequence:
        // Where VerifiedSequence looks for it, and nowhere else.
        if (fields.begin() != bytes.data()) {
          return absl::DataLossError("the sequence does not come first");
        }
        message->sequence = fields.number();
        break;
      case tags::message::kSendTime:
        time = DecodeTime(fields.bytes());
        if (!time) return absl::DataLossError("send_time is not valid");
        break;
      case tags::message::kAuthor:
        message->author = fields.bytes();
        break;
      case tags::message::kText:
        message->text = fields.bytes();
        break;
      case tags::message::kAttributes:
        if (attributes == nullptr) attributes = fields.begin();
        attributes_end = fields.end();
        break;
      case tags::message::kProducerId:
        if (fields.bytes().size() != sizeof(ProducerId)) {
          return absl::DataLossError("producer_id is not valid");
        }
        std::memcpy(message->producer_id.data(), fields.bytes().data(),
                    sizeof(ProducerId));
        break;
      case tags::message::kProducerSequence:
        message->producer_sequence = fields.number();
        break;
      case tags::message::kData:
        message->data = fields.bytes();
        break;
      case tags::message::kContentType:
        message->content_type = fields.bytes();
        break;
      default:  // the checksum, or a field from the future
        break;
    }
  }
  if (!fields.ok() || !time) return absl::DataLossError("malformed");
  message->send_time = *time;
  if (attributes != nullptr) {
    message->attributes = Attributes({attributes, attributes_end});
  }
  return absl::OkStatus();
}

StoredParts SplitMessage(std::string_view bytes) {
  // A run of fields, as far as it is known.
  struct Run {
    const char* begin = nullptr;
    const char* end = nullptr;

    void Add(const FieldReader& field) {
      if (begin == nullptr) begin = field.begin();
      end = field.end();
    }
  };
  StoredParts parts;
  Run before;
  Run after;
  FieldReader fields(bytes);
  while (fields.Next()) {
    const std::uint32_t tag = fields.tag();
    if (tag == tags::message::kSendTime) {
      parts.send_time = DecodeTimestamp(fields.bytes()).value_or(Timestamp());
    } else if (IsBeforeProducer(tag)) {
      if (tag > tags::message::kSendTime) before.Add(fields);
    } else if (tag > tags::message::kProducerSequence &&
               tag < tags::message::kChecksum) {
      after.Add(fields);
    }
  }
  parts.before_producer = {before.begin, before.end};
  parts.after_producer = {after.begin, after.end};
  return parts;
}

}  // namespace messenger::wire
