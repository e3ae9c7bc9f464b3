#include "wire/send.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>

#include "base/bounds.h"
#include "base/narrow.h"
#include "base/status.h"
#include "wire/channel_name.h"
#include "wire/coding.h"
#include "wire/new_message.h"
#include "wire/sequence.h"
#include "wire/tags.h"
#include "wire/timestamp.h"
#include "wire/unknown_field.h"

namespace messenger::wire {
namespace {

// Fills in and checks everything but the messages.
class RequestBuilder {
 public:
  RequestBuilder(std::string_view sequence_field, const SendLimits& limits)
      : sequence_field_(sequence_field), parser_(limits.max_message_bytes) {}

  absl::Status SetProducerId(std::string_view bytes) {
    request_.producer_id.reset();
    if (bytes.empty()) return absl::OkStatus();
    if (bytes.size() != sizeof(ProducerId)) {
      return absl::InvalidArgumentError(
          fmt::format("producer_id: {} bytes; must be {}, or none",
                      bytes.size(), sizeof(ProducerId)));
    }
    std::memcpy(request_.producer_id.emplace().data(), bytes.data(),
                bytes.size());
    return absl::OkStatus();
  }

  void SetSequence(std::uint64_t sequence) {
    request_.first_producer_sequence = sequence;
  }

  void SetExpectedLastSequence(std::uint64_t sequence) {
    request_.expected_last_sequence = sequence;
  }
  void SetExpectedEpoch(std::uint64_t epoch) {
    request_.expected_epoch = epoch;
  }

  void SetProducerGeneration(std::uint64_t generation) {
    request_.producer_generation = generation;
  }
  void SetIdempotencyKey(std::string_view key) {
    request_.idempotency_key = key;
  }

  absl::Status AddMessage(std::string_view encoded) {
    const absl::StatusOr<CanonicalMessage> message =
        parser_.Parse(encoded, request_.storage);
    if (!message.ok()) return message.status();
    request_.messages.push_back(*message);
    return absl::OkStatus();
  }

  absl::StatusOr<SendRequest> Finish(std::string_view channel) {
    absl::StatusOr<std::string_view> resolved = ResolveChannelName(channel);
    if (!resolved.ok()) return resolved.status();
    request_.channel = *resolved;
    if (request_.messages.empty()) {
      return absl::InvalidArgumentError(
          "messages: none; a request holds at least one");
    }
    const bool has_sequence = request_.first_producer_sequence != 0;
    if (request_.producer_id.has_value() != has_sequence) {
      return absl::InvalidArgumentError(
          has_sequence
              ? fmt::format("{}: {} without a producer_id", sequence_field_,
                            request_.first_producer_sequence)
              : fmt::format("{}: 0; a producer counts from 1",
                            sequence_field_));
    }
    if (has_sequence &&
        !IsRun(request_.first_producer_sequence, request_.messages.size())) {
      return absl::InvalidArgumentError(
          fmt::format("{}: {} is too large", sequence_field_,
                      request_.first_producer_sequence));
    }
    if (request_.expected_epoch != 0 && !request_.expected_last_sequence) {
      return absl::InvalidArgumentError(
          fmt::format("expected_epoch: {} without an expected_last_sequence",
                      request_.expected_epoch));
    }
    if (request_.producer_generation != 0 && !request_.producer_id) {
      return absl::InvalidArgumentError(
          fmt::format("producer_generation: {} without a producer_id",
                      request_.producer_generation));
    }
    if (absl::Status s = CheckKey(); !s.ok()) return s;
    return std::move(request_);
  }

 private:
  absl::Status CheckKey() const {
    const std::string_view key = request_.idempotency_key;
    if (key.empty()) return absl::OkStatus();
    if (absl::Status s = wire::CheckIdempotencyKey(key); !s.ok()) return s;
    if (request_.producer_id) {
      return absl::InvalidArgumentError(
          "idempotency_key: together with a producer_id; a request has one of "
          "them");
    }
    if (request_.messages.size() != 1) {
      return absl::InvalidArgumentError(fmt::format(
          "idempotency_key: of {} messages; it is the key of one message",
          request_.messages.size()));
    }
    return absl::OkStatus();
  }

  std::string_view sequence_field_;
  NewMessageParser parser_;
  SendRequest request_;
};

absl::Status CheckSize(std::string_view bytes, const SendLimits& limits) {
  if (bytes.size() <= limits.max_request_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("request: {} bytes exceed the limit of {}", bytes.size(),
                  limits.max_request_bytes));
}

}  // namespace

absl::Status CheckIdempotencyKey(std::string_view key) {
  if (!kIdempotencyKeySize.Contain(key.size())) {
    return OutOfBounds("idempotency_key", key.size(), kIdempotencyKeySize,
                       " bytes");
  }
  return CheckUtf8("idempotency_key", key);
}

absl::StatusOr<SendRequest> ParseSendMessageRequest(std::string_view bytes,
                                                    const SendLimits& limits) {
  if (absl::Status s = CheckSize(bytes, limits); !s.ok()) return s;
  RequestBuilder builder("producer_sequence", limits);
  std::string_view channel;
  std::string_view message;
  FieldReader fields(bytes);
  while (fields.Next()) {
    switch (fields.tag()) {
      case tags::send_message_request::kChannel:
        channel = fields.bytes();
        break;
      case tags::send_message_request::kMessage:
        // Of one that does not count, since another one comes after it.
        if (absl::Status s = CheckAllKnown(message); !s.ok()) {
          return WithPath(s, "message");
        }
        message = fields.bytes();
        break;
      case tags::send_message_request::kProducerId:
        if (absl::Status s = builder.SetProducerId(fields.bytes()); !s.ok()) {
          return s;
        }
        break;
      case tags::send_message_request::kProducerSequence:
        builder.SetSequence(fields.number());
        break;
      case tags::send_message_request::kExpectedLastSequence:
        builder.SetExpectedLastSequence(fields.number());
        break;
      case tags::send_message_request::kExpectedEpoch:
        builder.SetExpectedEpoch(fields.number());
        break;
      case tags::send_message_request::kProducerGeneration:
        builder.SetProducerGeneration(fields.number());
        break;
      case tags::send_message_request::kIdempotencyKey:
        builder.SetIdempotencyKey(fields.bytes());
        break;
      default:
        return UnknownField("SendMessageRequest", fields.tag());
    }
  }
  if (!fields.ok()) return MalformedRequest("SendMessageRequest");
  if (absl::Status s = builder.AddMessage(message); !s.ok()) {
    return WithPath(s, "message");
  }
  return builder.Finish(channel);
}

absl::StatusOr<SendRequest> ParseSendMessagesRequest(std::string_view bytes,
                                                     const SendLimits& limits) {
  if (absl::Status s = CheckSize(bytes, limits); !s.ok()) return s;
  RequestBuilder builder("first_producer_sequence", limits);
  std::string_view channel;
  std::size_t index = 0;
  FieldReader fields(bytes);
  while (fields.Next()) {
    switch (fields.tag()) {
      case tags::send_messages_request::kChannel:
        channel = fields.bytes();
        break;
      case tags::send_messages_request::kProducerId:
        if (absl::Status s = builder.SetProducerId(fields.bytes()); !s.ok()) {
          return s;
        }
        break;
      case tags::send_messages_request::kFirstProducerSequence:
        builder.SetSequence(fields.number());
        break;
      case tags::send_messages_request::kMessages:
        if (index == kMaxRequestMessages) {
          return absl::InvalidArgumentError(
              fmt::format("messages: more than {} in one request", index));
        }
        if (absl::Status s = builder.AddMessage(fields.bytes()); !s.ok()) {
          return WithPath(s, fmt::format("messages[{}]", index));
        }
        ++index;
        break;
      case tags::send_messages_request::kExpectedLastSequence:
        builder.SetExpectedLastSequence(fields.number());
        break;
      case tags::send_messages_request::kExpectedEpoch:
        builder.SetExpectedEpoch(fields.number());
        break;
      case tags::send_messages_request::kProducerGeneration:
        builder.SetProducerGeneration(fields.number());
        break;
      case tags::send_messages_request::kIdempotencyKey:
        builder.SetIdempotencyKey(fields.bytes());
        break;
      default:
        return UnknownField("SendMessagesRequest", fields.tag());
    }
  }
  if (!fields.ok()) return MalformedRequest("SendMessagesRequest");
  return builder.Finish(channel);
}

std::string EncodeSendMessagesHeader(const SendHeader& header) {
  namespace fields = tags::send_messages_request;
  std::string out;
  AppendBytesField(out, fields::kChannel, header.channel);
  if (header.producer_id) {
    const ProducerId& id = *header.producer_id;
    AppendBytesField(out, fields::kProducerId,
                     {reinterpret_cast<const char*>(id.data()), id.size()});
    AppendVarintField(out, fields::kFirstProducerSequence,
                      header.first_producer_sequence);
  }
  if (header.expected_last_sequence) {
    AppendVarintField(out, fields::kExpectedLastSequence,
                      *header.expected_last_sequence);
  }
  if (header.expected_epoch != 0) {
    AppendFixed64Field(out, fields::kExpectedEpoch, header.expected_epoch);
  }
  if (header.producer_generation != 0) {
    AppendVarintField(out, fields::kProducerGeneration,
                      header.producer_generation);
  }
  if (!header.idempotency_key.empty()) {
    AppendBytesField(out, fields::kIdempotencyKey, header.idempotency_key);
  }
  return out;
}

void AppendNewMessageField(std::string& out, const NewMessage& message,
                           std::size_t size) {
  const std::size_t before = out.size();
  out.resize(before + BytesFieldSize(size));
  char* at = out.data() + before;
  at = PutVarint(at, tags::send_messages_request::kMessages);
  at = PutVarint(at, size);
  PutNewMessage(at, message, size);
}

void AppendReceipt(std::string& out, const ReceiptRun& run) {
  std::string receipt;
  AppendFixed64Field(receipt, tags::receipt::kEpoch, run.epoch);
  if (run.has_position()) {
    AppendVarintField(receipt, tags::receipt::kFirstSequence,
                      run.first_sequence);
  }
  AppendVarintField(receipt, tags::receipt::kCount, run.count);
  if (run.has_position()) {
    AppendBytesField(receipt, tags::receipt::kSendTime,
                     EncodedTimestamp(run.send_time).bytes());
  }
  if (run.duplicate) AppendVarintField(receipt, tags::receipt::kDuplicate, 1);
  AppendBytesField(out, tags::send_messages_response::kReceipts, receipt);
}

std::string EncodeFirstResponse(std::uint64_t epoch,
                                Capabilities capabilities) {
  std::string out;
  AppendFixed64Field(out, tags::send_messages_response::kEpoch, epoch);
  AppendBytesField(out, tags::send_messages_response::kCapabilities,
                   capabilities.Encode());
  return out;
}

absl::StatusOr<SendResponse> ParseSendMessagesResponse(std::string_view bytes) {
  SendResponse response;
  FieldReader fields(bytes);
  bool ok = true;
  while (fields.Next()) {
    if (fields.tag() == tags::send_messages_response::kEpoch) {
      response.epoch = fields.number();
    } else if (fields.tag() == tags::send_messages_response::kCapabilities) {
      const auto capabilities = Capabilities::Decode(fields.bytes());
      ok = ok && capabilities.has_value();
      response.capabilities = capabilities.value_or(Capabilities());
    }
    if (fields.tag() != tags::send_messages_response::kReceipts) continue;
    ReceiptRun& run = response.receipts.emplace_back();
    FieldReader receipt(fields.bytes());
    while (receipt.Next()) {
      switch (receipt.tag()) {
        case tags::receipt::kEpoch:
          run.epoch = receipt.number();
          break;
        case tags::receipt::kFirstSequence:
          run.first_sequence = receipt.number();
          break;
        case tags::receipt::kCount: {
          const auto count = TryNarrow<std::uint32_t>(receipt.number());
          ok = ok && count.has_value();
          run.count = count.value_or(0);
          break;
        }
        case tags::receipt::kSendTime: {
          const auto time = DecodeTimestamp(receipt.bytes());
          ok = ok && time.has_value();
          run.send_time = time.value_or(Timestamp());
          break;
        }
        case tags::receipt::kDuplicate:
          run.duplicate = receipt.number() != 0;
          break;
        default:
          break;
      }
    }
    ok = ok && receipt.ok() && run.epoch != 0 && run.count > 0 &&
         (run.has_position() ? IsRun(run.first_sequence, run.count)
                             : run.duplicate && run.send_time == Timestamp());
  }
  if (!ok || !fields.ok()) {
    return absl::DataLossError(
        "the server's SendMessagesResponse is malformed");
  }
  return response;
}

}  // namespace messenger::wire
