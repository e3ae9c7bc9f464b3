// What a hostile client sends to be stored: SendMessage and SendMessages, as
// ParseBatch takes it from gRPC, held against protobuf.
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/check.h"
#include "fuzz/input.h"
#include "fuzz/protobuf.h"
#include "fuzz/targets.h"
#include "messenger/v1/messenger.pb.h"
#include "security/access.h"
#include "server/parse_batch.h"
#include "wire/channel_name.h"
#include "wire/new_message.h"
#include "wire/send.h"

namespace messenger::fuzz {
namespace send_request_fuzz {
namespace {

constexpr wire::SendLimits kLimits{.max_request_bytes = 64'000,
                                   .max_message_bytes = 2'000};

absl::StatusOr<Sender> Anybody(std::string_view /*channel*/) {
  return Sender();
}

// As it would come in slices of this size; 0 for one.
grpc::ByteBuffer InSlices(std::string_view bytes, std::size_t size) {
  std::vector<grpc::Slice> slices;
  if (size == 0) size = bytes.size();
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, size);
    slices.emplace_back(piece.data(), piece.size());
    bytes.remove_prefix(piece.size());
  }
  return {slices.data(), slices.size()};
}

void CheckMessage(std::string_view canonical, const v1::NewMessage& proto) {
  Check(canonical == proto.SerializeAsString(),
        "a message is not as protobuf encodes it");
  Check(canonical.size() <= kLimits.max_message_bytes,
        "a message is over the limit");
  wire::NewMessageParser parser(kLimits.max_message_bytes);
  std::deque<std::string> storage;
  const auto again = parser.Parse(canonical, storage);
  CheckOk(again.status(), "a canonical message");
  Check(again->data() == canonical.data() && storage.empty(),
        "a canonical message was encoded again");
}

// Of either request.
template <typename Request>
void CheckRest(const AppendBatch& batch, const Request& proto,
               std::uint64_t first_producer_sequence) {
  Check(batch.channel == (proto.channel().empty() ? std::string(kDefaultChannel)
                                                  : proto.channel()),
        "another channel");
  const std::string id =
      batch.producer_id
          ? std::string(batch.producer_id->begin(), batch.producer_id->end())
          : std::string();
  Check(id == proto.producer_id(), "another producer");
  Check(batch.first_producer_sequence == first_producer_sequence,
        "another producer sequence");
  Check(batch.producer_id.has_value() == (first_producer_sequence != 0),
        "half a producer");
  Check(batch.producer_generation == proto.producer_generation(),
        "another generation");
  Check(batch.producer_generation == 0 || batch.producer_id.has_value(),
        "a generation of nobody");
  Check(batch.idempotency_key == proto.idempotency_key(), "another key");
  Check(batch.idempotency_key.empty() ||
            (!batch.producer_id && batch.messages.size() == 1 &&
             batch.idempotency_key.size() <= wire::kIdempotencyKeySize.most),
        "a key that there cannot be");
  Check(batch.expected_last_sequence.has_value() ==
                proto.has_expected_last_sequence() &&
            batch.expected_last_sequence.value_or(0) ==
                proto.expected_last_sequence() &&
            batch.expected_epoch == proto.expected_epoch(),
        "another condition");
}

void RunOne(std::string_view bytes, const grpc::ByteBuffer& buffer) {
  const auto batch =
      ParseBatch(buffer, kLimits, &wire::ParseSendMessageRequest, Anybody);
  if (!batch.ok()) {
    return CheckRefusal<v1::SendMessageRequest>(batch.status(), bytes);
  }
  Check(batch->messages.size() == 1, "not one message");
  v1::SendMessageRequest proto;
  // It accepts no field that is not UTF-8, we none that counts.
  if (!ParseProto(bytes, &proto)) return;
  Check(test::KnowsAllFields(proto), "an unknown field is accepted");
  if (Occurrences(bytes, 2) > 1) return;
  CheckMessage(batch->messages[0], proto.message());
  CheckRest(*batch, proto, proto.producer_sequence());
}

void RunMany(std::string_view bytes, const grpc::ByteBuffer& buffer) {
  const auto batch =
      ParseBatch(buffer, kLimits, &wire::ParseSendMessagesRequest, Anybody);
  if (!batch.ok()) {
    return CheckRefusal<v1::SendMessagesRequest>(batch.status(), bytes);
  }
  v1::SendMessagesRequest proto;
  if (!ParseProto(bytes, &proto)) return;
  Check(test::KnowsAllFields(proto), "an unknown field is accepted");
  Check(batch->messages.size() ==
            static_cast<std::size_t>(proto.messages().size()),
        "another number of messages");
  for (int i = 0; i < proto.messages().size(); ++i) {
    CheckMessage(batch->messages[static_cast<std::size_t>(i)],
                 proto.messages(i));
  }
  CheckRest(*batch, proto, proto.first_producer_sequence());
}

}  // namespace
}  // namespace send_request_fuzz

void FuzzSendRequest(Input input) {
  const std::uint8_t how = input.Byte();
  const std::string_view bytes = input.Rest();
  const grpc::ByteBuffer buffer = send_request_fuzz::InSlices(bytes, how >> 1U);
  if ((how & 1U) != 0) {
    send_request_fuzz::RunOne(bytes, buffer);
  } else {
    send_request_fuzz::RunMany(bytes, buffer);
  }
}

}  // namespace messenger::fuzz
