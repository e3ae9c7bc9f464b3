#include "wire/send.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>

#include "base/narrow.h"
#include "base/status.h"
#include "wire/channel_name.h"
#include "wire/coding.h"
#include "wire/new_message.h"
#include "wire/sequence.h"
#include "wire/timestamp.h"

namespace messenger::wire {
namespace {

// SendMessagesRequest.
constexpr std::uint32_t kRequestChannel = 1;
constexpr std::uint32_t kProducerId = 2;
constexpr std::uint32_t kFirstProducerSequence = 3;
constexpr std::uint32_t kMessages = 4;

// Receipt, and the one field of both responses.
constexpr std::uint32_t kReceipt = 1;
constexpr std::uint32_t kResponseEpoch = 2;  // of SendMessagesResponse
constexpr std::uint32_t kReceiptEpoch = 1;
constexpr std::uint32_t kFirstSequence = 2;
constexpr std::uint32_t kCount = 3;
constexpr std::uint32_t kSendTime = 4;
constexpr std::uint32_t kDuplicate = 5;

absl::Status WithPath(const absl::Status& status, std::string_view path) {
  return {status.code(), fmt::format("{}: {}", path, MessageOf(status))};
}

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

  absl::Status AddMessage(std::string_view encoded) {
    absl::StatusOr<std::string_view> message =
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
    if (request_.first_producer_sequence >
        UINT64_MAX - request_.messages.size()) {
      return absl::InvalidArgumentError(
          fmt::format("{}: {} is too large", sequence_field_,
                      request_.first_producer_sequence));
    }
    return std::move(request_);
  }

 private:
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

absl::StatusOr<SendRequest> ParseSendMessageRequest(std::string_view bytes,
                                                    const SendLimits& limits) {
  if (absl::Status s = CheckSize(bytes, limits); !s.ok()) return s;
  RequestBuilder builder("producer_sequence", limits);
  std::string_view channel;
  std::string_view message;
  FieldReader fields(bytes);
  while (fields.Next()) {
    switch (fields.tag()) {
      case MakeTag(1, WireType::kBytes):
        channel = fields.bytes();
        break;
      case MakeTag(2, WireType::kBytes):
        message = fields.bytes();
        break;
      case MakeTag(3, WireType::kBytes):
        if (absl::Status s = builder.SetProducerId(fields.bytes()); !s.ok()) {
          return s;
        }
        break;
      case MakeTag(4, WireType::kVarint):
        builder.SetSequence(fields.number());
        break;
      default:
        break;
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
      case MakeTag(kRequestChannel, WireType::kBytes):
        channel = fields.bytes();
        break;
      case MakeTag(kProducerId, WireType::kBytes):
        if (absl::Status s = builder.SetProducerId(fields.bytes()); !s.ok()) {
          return s;
        }
        break;
      case MakeTag(kFirstProducerSequence, WireType::kVarint):
        builder.SetSequence(fields.number());
        break;
      case MakeTag(kMessages, WireType::kBytes):
        if (index == kMaxRequestMessages) {
          return absl::InvalidArgumentError(
              fmt::format("messages: more than {} in one request", index));
        }
        if (absl::Status s = builder.AddMessage(fields.bytes()); !s.ok()) {
          return WithPath(s, fmt::format("messages[{}]", index));
        }
        ++index;
        break;
      default:
        break;
    }
  }
  if (!fields.ok()) return MalformedRequest("SendMessagesRequest");
  return builder.Finish(channel);
}

std::string EncodeSendMessagesHeader(std::string_view channel,
                                     const ProducerId& producer_id,
                                     std::uint64_t first_producer_sequence) {
  std::string out;
  AppendBytesField(out, kRequestChannel, channel);
  AppendBytesField(
      out, kProducerId,
      {reinterpret_cast<const char*>(producer_id.data()), producer_id.size()});
  AppendVarintField(out, kFirstProducerSequence, first_producer_sequence);
  return out;
}

void AppendNewMessageField(std::string& out, const NewMessage& message,
                           std::size_t size) {
  const std::size_t before = out.size();
  out.resize(before + BytesFieldSize(size));
  char* at = out.data() + before;
  at = PutVarint(at, MakeTag(kMessages, WireType::kBytes));
  at = PutVarint(at, size);
  PutNewMessage(at, message);
}

void AppendReceipt(std::string& out, const ReceiptRun& run) {
  std::string receipt;
  AppendFixed64Field(receipt, kReceiptEpoch, run.epoch);
  AppendVarintField(receipt, kFirstSequence, run.first_sequence);
  AppendVarintField(receipt, kCount, run.count);
  AppendBytesField(receipt, kSendTime, EncodedTimestamp(run.send_time).bytes());
  if (run.duplicate) AppendVarintField(receipt, kDuplicate, 1);
  AppendBytesField(out, kReceipt, receipt);
}

std::string EncodeEpochResponse(std::uint64_t epoch) {
  std::string out;
  AppendFixed64Field(out, kResponseEpoch, epoch);
  return out;
}

absl::StatusOr<SendResponse> ParseSendMessagesResponse(std::string_view bytes) {
  SendResponse response;
  FieldReader fields(bytes);
  bool ok = true;
  while (fields.Next()) {
    if (fields.tag() == MakeTag(kResponseEpoch, WireType::kFixed64)) {
      response.epoch = fields.number();
    }
    if (fields.tag() != MakeTag(kReceipt, WireType::kBytes)) continue;
    ReceiptRun& run = response.receipts.emplace_back();
    FieldReader receipt(fields.bytes());
    while (receipt.Next()) {
      switch (receipt.tag()) {
        case MakeTag(kReceiptEpoch, WireType::kFixed64):
          run.epoch = receipt.number();
          break;
        case MakeTag(kFirstSequence, WireType::kVarint):
          run.first_sequence = receipt.number();
          break;
        case MakeTag(kCount, WireType::kVarint): {
          const auto count = TryNarrow<std::uint32_t>(receipt.number());
          ok = ok && count.has_value();
          run.count = count.value_or(0);
          break;
        }
        case MakeTag(kSendTime, WireType::kBytes): {
          const auto time = DecodeTimestamp(receipt.bytes());
          ok = ok && time.has_value();
          run.send_time = time.value_or(Timestamp());
          break;
        }
        case MakeTag(kDuplicate, WireType::kVarint):
          run.duplicate = receipt.number() != 0;
          break;
        default:
          break;
      }
    }
    ok = ok && receipt.ok() && run.epoch != 0 && run.count > 0 &&
         IsRun(run.first_sequence, run.count);
  }
  if (!ok || !fields.ok()) {
    return absl::DataLossError(
        "the server's SendMessagesResponse is malformed");
  }
  return response;
}

}  // namespace messenger::wire
