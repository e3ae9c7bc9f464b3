// The tags of wire/tags.h against what protoc has made of the contract.
#include "wire/tags.h"

#include <doctest/doctest.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/wire_format.h>

#include <cstdint>
#include <map>
#include <string>

#include "messenger/v1/messenger.pb.h"

namespace messenger::wire::tags_test {
namespace {

using google::protobuf::Descriptor;
using Tags = std::map<std::string, std::uint32_t>;

// By "Message.field".
Tags Ours() {
  return {
      {"Message.sequence", tags::message::kSequence},
      {"Message.send_time", tags::message::kSendTime},
      {"Message.author", tags::message::kAuthor},
      {"Message.text", tags::message::kText},
      {"Message.attributes", tags::message::kAttributes},
      {"Message.producer_id", tags::message::kProducerId},
      {"Message.producer_sequence", tags::message::kProducerSequence},
      {"Message.data", tags::message::kData},
      {"Message.content_type", tags::message::kContentType},
      {"Message.checksum", tags::message::kChecksum},
      {"Attribute.name", tags::attribute::kName},
      {"Attribute.value", tags::attribute::kValue},
      {"NewMessage.author", tags::new_message::kAuthor},
      {"NewMessage.text", tags::new_message::kText},
      {"NewMessage.attributes", tags::new_message::kAttributes},
      {"NewMessage.data", tags::new_message::kData},
      {"NewMessage.content_type", tags::new_message::kContentType},
      {"Receipt.epoch", tags::receipt::kEpoch},
      {"Receipt.first_sequence", tags::receipt::kFirstSequence},
      {"Receipt.count", tags::receipt::kCount},
      {"Receipt.send_time", tags::receipt::kSendTime},
      {"Receipt.duplicate", tags::receipt::kDuplicate},
      {"SendMessageRequest.channel", tags::send_message_request::kChannel},
      {"SendMessageRequest.message", tags::send_message_request::kMessage},
      {"SendMessageRequest.producer_id",
       tags::send_message_request::kProducerId},
      {"SendMessageRequest.producer_sequence",
       tags::send_message_request::kProducerSequence},
      {"SendMessageRequest.expected_last_sequence",
       tags::send_message_request::kExpectedLastSequence},
      {"SendMessageRequest.expected_epoch",
       tags::send_message_request::kExpectedEpoch},
      {"SendMessageRequest.producer_generation",
       tags::send_message_request::kProducerGeneration},
      {"SendMessageRequest.idempotency_key",
       tags::send_message_request::kIdempotencyKey},
      {"SendMessageResponse.receipt", tags::send_message_response::kReceipt},
      {"SendMessagesRequest.channel", tags::send_messages_request::kChannel},
      {"SendMessagesRequest.producer_id",
       tags::send_messages_request::kProducerId},
      {"SendMessagesRequest.first_producer_sequence",
       tags::send_messages_request::kFirstProducerSequence},
      {"SendMessagesRequest.messages", tags::send_messages_request::kMessages},
      {"SendMessagesRequest.expected_last_sequence",
       tags::send_messages_request::kExpectedLastSequence},
      {"SendMessagesRequest.expected_epoch",
       tags::send_messages_request::kExpectedEpoch},
      {"SendMessagesRequest.producer_generation",
       tags::send_messages_request::kProducerGeneration},
      {"SendMessagesRequest.idempotency_key",
       tags::send_messages_request::kIdempotencyKey},
      {"SendMessagesResponse.receipts",
       tags::send_messages_response::kReceipts},
      {"SendMessagesResponse.epoch", tags::send_messages_response::kEpoch},
      {"SendMessagesResponse.capabilities",
       tags::send_messages_response::kCapabilities},
      {"Capabilities.data", tags::capabilities::kData},
      {"Capabilities.conditional_append",
       tags::capabilities::kConditionalAppend},
      {"Capabilities.named_producers", tags::capabilities::kNamedProducers},
      {"Capabilities.idempotency_keys", tags::capabilities::kIdempotencyKeys},
      {"ReadMessagesRequest.channel", tags::read_messages_request::kChannel},
      {"ReadMessagesRequest.new_only", tags::read_messages_request::kNewOnly},
      {"ReadMessagesRequest.earliest", tags::read_messages_request::kEarliest},
      {"ReadMessagesRequest.sequence", tags::read_messages_request::kSequence},
      {"ReadMessagesRequest.time", tags::read_messages_request::kTime},
      {"ReadMessagesRequest.last", tags::read_messages_request::kLast},
      {"ReadMessagesRequest.resume_after",
       tags::read_messages_request::kResumeAfter},
      {"ReadMessagesRequest.limit", tags::read_messages_request::kLimit},
      {"ReadMessagesRequest.until_caught_up",
       tags::read_messages_request::kUntilCaughtUp},
      {"ReadMessagesRequest.strict", tags::read_messages_request::kStrict},
      {"ReadMessagesRequest.heartbeat_interval",
       tags::read_messages_request::kHeartbeatInterval},
      {"ReadMessagesRequest.skip_damaged",
       tags::read_messages_request::kSkipDamaged},
      {"Position.epoch", tags::position::kEpoch},
      {"Position.sequence", tags::position::kSequence},
      {"ReadMessagesResponse.messages",
       tags::read_messages_response::kMessages},
      {"ReadMessagesResponse.epoch", tags::read_messages_response::kEpoch},
      {"ReadMessagesResponse.next_sequence",
       tags::read_messages_response::kNextSequence},
      {"ReadMessagesResponse.head", tags::read_messages_response::kHead},
      {"ReadMessagesResponse.caught_up",
       tags::read_messages_response::kCaughtUp},
      {"ReadMessagesResponse.gap", tags::read_messages_response::kGap},
      {"ReadMessagesResponse.heartbeat_interval",
       tags::read_messages_response::kHeartbeatInterval},
      {"ReadMessagesResponse.next_frame_bytes",
       tags::read_messages_response::kNextFrameBytes},
      {"Gap.first_missing", tags::gap::kFirstMissing},
      {"Gap.next", tags::gap::kNext},
      {"Gap.reason", tags::gap::kReason},
      {"ListChannelsRequest.page_size", tags::list_channels_request::kPageSize},
      {"ListChannelsRequest.page_token",
       tags::list_channels_request::kPageToken},
      {"ListChannelsResponse.channels",
       tags::list_channels_response::kChannels},
      {"ListChannelsResponse.next_page_token",
       tags::list_channels_response::kNextPageToken},
      {"GetChannelRequest.channel", tags::get_channel_request::kChannel},
      {"GetChannelResponse.channel", tags::get_channel_response::kChannel},
      {"Channel.name", tags::channel::kName},
      {"Channel.epoch", tags::channel::kEpoch},
      {"Channel.first_sequence", tags::channel::kFirstSequence},
      {"Channel.head", tags::channel::kHead},
      {"Channel.bytes", tags::channel::kBytes},
      {"Channel.readers", tags::channel::kReaders},
      {"DeleteChannelRequest.channel", tags::delete_channel_request::kChannel},
      {"OpenProducerRequest.channel", tags::open_producer_request::kChannel},
      {"OpenProducerRequest.name", tags::open_producer_request::kName},
      {"OpenProducerResponse.producer",
       tags::open_producer_response::kProducer},
      {"ListProducersRequest.page_size",
       tags::list_producers_request::kPageSize},
      {"ListProducersRequest.page_token",
       tags::list_producers_request::kPageToken},
      {"ListProducersRequest.channel", tags::list_producers_request::kChannel},
      {"ListProducersResponse.producers",
       tags::list_producers_response::kProducers},
      {"ListProducersResponse.next_page_token",
       tags::list_producers_response::kNextPageToken},
      {"DeleteProducerRequest.channel",
       tags::delete_producer_request::kChannel},
      {"DeleteProducerRequest.name", tags::delete_producer_request::kName},
      {"Producer.channel", tags::producer::kChannel},
      {"Producer.name", tags::producer::kName},
      {"Producer.producer_id", tags::producer::kProducerId},
      {"Producer.generation", tags::producer::kGeneration},
      {"Producer.last_producer_sequence",
       tags::producer::kLastProducerSequence},
      {"Producer.epoch", tags::producer::kEpoch},
      {"Producer.last_used", tags::producer::kLastUsed},
      {"Producer.owner", tags::producer::kOwner},
  };
}

// Of a message and those within it.
void AddTags(const Descriptor& message, Tags* tags) {
  for (int i = 0; i < message.field_count(); ++i) {
    const auto* const field = message.field(i);
    (*tags)[message.name() + "." + field->name()] =
        google::protobuf::internal::WireFormat::MakeTag(field);
  }
  for (int i = 0; i < message.nested_type_count(); ++i) {
    AddTags(*message.nested_type(i), tags);
  }
}

TEST_CASE("tags: each field of the contract has the tag that protoc gives it") {
  const auto* const file = v1::Message::descriptor()->file();
  Tags theirs;
  for (int i = 0; i < file->message_type_count(); ++i) {
    AddTags(*file->message_type(i), &theirs);
  }
  const Tags ours = Ours();
  for (const auto& field : theirs) {
    CAPTURE(field.first);
    REQUIRE(ours.contains(field.first));
    CHECK(ours.at(field.first) == field.second);
  }
  CHECK(ours.size() == theirs.size());
}

TEST_CASE("tags: Timestamp and Duration have the same fields") {
  for (const Descriptor* const message :
       {google::protobuf::Timestamp::descriptor(),
        google::protobuf::Duration::descriptor()}) {
    Tags theirs;
    AddTags(*message, &theirs);
    CHECK(theirs ==
          Tags{{message->name() + ".seconds", tags::timestamp::kSeconds},
               {message->name() + ".nanos", tags::timestamp::kNanos}});
  }
}

TEST_CASE("tags: what a sender gives has the same fields in both messages") {
  const Descriptor* const sent = v1::NewMessage::descriptor();
  const Descriptor* const stored = v1::Message::descriptor();
  for (int i = 0; i < sent->field_count(); ++i) {
    const auto* const field = sent->field(i);
    const auto* const same = stored->FindFieldByNumber(field->number());
    CAPTURE(field->name());
    REQUIRE(same != nullptr);
    CHECK(same->name() == field->name());
    CHECK(same->type() == field->type());
  }
  CHECK(static_cast<std::uint32_t>(tags::message::kChecksum) >
        static_cast<std::uint32_t>(tags::message::kProducerSequence));
}

}  // namespace
}  // namespace messenger::wire::tags_test
