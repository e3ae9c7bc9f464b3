// The fields of the messages of the contract,
// proto/messenger/v1/messenger.proto: a namespace for each message that has
// some. tests/unit/wire/tags_test.cc holds them against what protoc has made of
// it.
#pragma once

#include "wire/coding.h"

namespace messenger::wire::tags {

namespace message {
inline constexpr Fixed64Field kSequence = 1;
inline constexpr BytesField kSendTime = 2;
inline constexpr BytesField kAuthor = 3;
inline constexpr BytesField kText = 4;
inline constexpr BytesField kAttributes = 5;
inline constexpr BytesField kProducerId = 6;
inline constexpr VarintField kProducerSequence = 7;
inline constexpr BytesField kData = 8;
inline constexpr BytesField kContentType = 9;
inline constexpr Fixed64Field kChecksum = 15;
}  // namespace message

namespace attribute {
inline constexpr BytesField kName = 1;
inline constexpr BytesField kValue = 2;
}  // namespace attribute

namespace new_message {
inline constexpr BytesField kAuthor = 3;
inline constexpr BytesField kText = 4;
inline constexpr BytesField kAttributes = 5;
inline constexpr BytesField kData = 8;
inline constexpr BytesField kContentType = 9;
}  // namespace new_message

namespace receipt {
inline constexpr Fixed64Field kEpoch = 1;
inline constexpr VarintField kFirstSequence = 2;
inline constexpr VarintField kCount = 3;
inline constexpr BytesField kSendTime = 4;
inline constexpr VarintField kDuplicate = 5;
}  // namespace receipt

namespace send_message_request {
inline constexpr BytesField kChannel = 1;
inline constexpr BytesField kMessage = 2;
inline constexpr BytesField kProducerId = 3;
inline constexpr VarintField kProducerSequence = 4;
inline constexpr VarintField kExpectedLastSequence = 5;
inline constexpr Fixed64Field kExpectedEpoch = 6;
inline constexpr VarintField kProducerGeneration = 7;
inline constexpr BytesField kIdempotencyKey = 8;
}  // namespace send_message_request

namespace send_message_response {
inline constexpr BytesField kReceipt = 1;
}  // namespace send_message_response

namespace send_messages_request {
inline constexpr BytesField kChannel = 1;
inline constexpr BytesField kProducerId = 2;
inline constexpr VarintField kFirstProducerSequence = 3;
inline constexpr BytesField kMessages = 4;
inline constexpr VarintField kExpectedLastSequence = 5;
inline constexpr Fixed64Field kExpectedEpoch = 6;
inline constexpr VarintField kProducerGeneration = 7;
inline constexpr BytesField kIdempotencyKey = 8;
}  // namespace send_messages_request

namespace send_messages_response {
inline constexpr BytesField kReceipts = 1;
inline constexpr Fixed64Field kEpoch = 2;
inline constexpr BytesField kCapabilities = 3;
}  // namespace send_messages_response

namespace capabilities {
inline constexpr VarintField kData = 1;
inline constexpr VarintField kConditionalAppend = 2;
inline constexpr VarintField kNamedProducers = 3;
inline constexpr VarintField kIdempotencyKeys = 4;
}  // namespace capabilities

namespace read_messages_request {
inline constexpr BytesField kChannel = 1;
inline constexpr BytesField kNewOnly = 2;
inline constexpr BytesField kEarliest = 3;
inline constexpr VarintField kSequence = 4;
inline constexpr BytesField kTime = 5;
inline constexpr VarintField kLast = 6;
inline constexpr BytesField kResumeAfter = 7;
inline constexpr VarintField kLimit = 8;
inline constexpr VarintField kUntilCaughtUp = 9;
inline constexpr VarintField kStrict = 10;
inline constexpr BytesField kHeartbeatInterval = 11;
inline constexpr VarintField kSkipDamaged = 12;
}  // namespace read_messages_request

namespace position {
inline constexpr Fixed64Field kEpoch = 1;
inline constexpr VarintField kSequence = 2;
}  // namespace position

namespace read_messages_response {
inline constexpr BytesField kMessages = 1;
inline constexpr Fixed64Field kEpoch = 2;
inline constexpr VarintField kNextSequence = 3;
inline constexpr VarintField kHead = 4;
inline constexpr VarintField kCaughtUp = 5;
inline constexpr BytesField kGap = 6;
inline constexpr BytesField kHeartbeatInterval = 7;
inline constexpr VarintField kNextFrameBytes = 8;
}  // namespace read_messages_response

namespace gap {
inline constexpr VarintField kFirstMissing = 1;
inline constexpr VarintField kNext = 2;
inline constexpr VarintField kReason = 3;
}  // namespace gap

namespace list_channels_request {
inline constexpr VarintField kPageSize = 1;
inline constexpr BytesField kPageToken = 2;
}  // namespace list_channels_request

namespace list_channels_response {
inline constexpr BytesField kChannels = 1;
inline constexpr BytesField kNextPageToken = 2;
}  // namespace list_channels_response

namespace get_channel_request {
inline constexpr BytesField kChannel = 1;
}  // namespace get_channel_request

namespace get_channel_response {
inline constexpr BytesField kChannel = 1;
}  // namespace get_channel_response

namespace channel {
inline constexpr BytesField kName = 1;
inline constexpr Fixed64Field kEpoch = 2;
inline constexpr VarintField kFirstSequence = 3;
inline constexpr VarintField kHead = 4;
inline constexpr VarintField kBytes = 5;
inline constexpr VarintField kReaders = 6;
}  // namespace channel

namespace delete_channel_request {
inline constexpr BytesField kChannel = 1;
}  // namespace delete_channel_request

namespace open_producer_request {
inline constexpr BytesField kChannel = 1;
inline constexpr BytesField kName = 2;
}  // namespace open_producer_request

namespace open_producer_response {
inline constexpr BytesField kProducer = 1;
}  // namespace open_producer_response

namespace list_producers_request {
inline constexpr VarintField kPageSize = 1;
inline constexpr BytesField kPageToken = 2;
inline constexpr BytesField kChannel = 3;
}  // namespace list_producers_request

namespace list_producers_response {
inline constexpr BytesField kProducers = 1;
inline constexpr BytesField kNextPageToken = 2;
}  // namespace list_producers_response

namespace delete_producer_request {
inline constexpr BytesField kChannel = 1;
inline constexpr BytesField kName = 2;
}  // namespace delete_producer_request

namespace producer {
inline constexpr BytesField kChannel = 1;
inline constexpr BytesField kName = 2;
inline constexpr BytesField kProducerId = 3;
inline constexpr VarintField kGeneration = 4;
inline constexpr VarintField kLastProducerSequence = 5;
inline constexpr Fixed64Field kEpoch = 6;
inline constexpr BytesField kLastUsed = 7;
inline constexpr BytesField kOwner = 8;
}  // namespace producer

// google.protobuf.Timestamp, and Duration, which has the same fields.
namespace timestamp {
inline constexpr VarintField kSeconds = 1;
inline constexpr VarintField kNanos = 2;
}  // namespace timestamp

}  // namespace messenger::wire::tags
