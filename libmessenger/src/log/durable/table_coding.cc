#include "log/durable/table_coding.h"

#include <algorithm>
#include <cstdint>

#include "base/narrow.h"
#include "base/utf8.h"
#include "log/durable/disk_coding.h"
#include "log/owner.h"
#include "messenger/storage/v1/checkpoint.pb.h"
#include "wire/channel_name.h"
#include "wire/producers.h"
#include "wire/send.h"

namespace messenger {
namespace {

bool Parse(std::string_view bytes, google::protobuf::Message* message) {
  const auto size = TryNarrow<int>(bytes.size());
  return size && message->ParseFromArray(bytes.data(), *size);
}

bool IsChannel(const std::string& name) {
  return !name.empty() && wire::ResolveChannelName(name).ok();
}

// Copies bytes that have the size of `out`; false if they have another one.
template <typename Array>
bool Copy(const std::string& bytes, Array* out) {
  if (bytes.size() != out->size()) return false;
  std::copy(bytes.begin(), bytes.end(), out->begin());
  return true;
}

}  // namespace

std::string EncodeNamedProducer(const NamedProducers::Kept& kept) {
  storage::v1::NamedProducer encoded;
  encoded.set_channel(kept.key.channel);
  encoded.set_name(kept.key.name);
  encoded.set_id(kept.producer.id.data(), kept.producer.id.size());
  encoded.set_generation(kept.producer.generation);
  encoded.set_last_sequence(kept.producer.last_sequence);
  encoded.set_last_used(ToNanos(kept.producer.last_used));
  encoded.set_owner(kept.producer.owner);
  return encoded.SerializeAsString();
}

std::optional<NamedProducers::Kept> DecodeNamedProducer(
    std::string_view bytes) {
  storage::v1::NamedProducer encoded;
  if (!Parse(bytes, &encoded)) return std::nullopt;
  NamedProducers::Kept kept = {
      .key = {.channel = encoded.channel(), .name = encoded.name()},
      .producer = {.generation = encoded.generation(),
                   .last_sequence = encoded.last_sequence(),
                   .last_used = TimestampOfNanos(encoded.last_used()),
                   .owner = encoded.owner()}};
  if (!IsChannel(kept.key.channel) || !IsValidOwner(kept.producer.owner) ||
      !wire::CheckProducerName("name", kept.key.name).ok() ||
      !Copy(encoded.id(), &kept.producer.id) ||
      kept.producer.id == ProducerId{} || kept.producer.generation == 0) {
    return std::nullopt;
  }
  return kept;
}

std::string EncodeIdempotencyKey(const IdempotencyKey& key) {
  storage::v1::IdempotencyKey encoded;
  encoded.set_channel(key.channel);
  encoded.set_key(key.key);
  encoded.set_sequence(key.sequence);
  encoded.set_send_time(ToNanos(key.send_time));
  encoded.set_content(key.content.data(), key.content.size());
  encoded.set_written(ToNanos(key.written));
  encoded.set_owner(key.owner);
  return encoded.SerializeAsString();
}

std::optional<IdempotencyKey> DecodeIdempotencyKey(std::string_view bytes) {
  storage::v1::IdempotencyKey encoded;
  if (!Parse(bytes, &encoded)) return std::nullopt;
  IdempotencyKey key = {.channel = encoded.channel(),
                        .key = encoded.key(),
                        .sequence = encoded.sequence(),
                        .send_time = TimestampOfNanos(encoded.send_time()),
                        .written = LogTimeOfNanos(encoded.written()),
                        .owner = encoded.owner()};
  if (!IsChannel(key.channel) || !IsValidOwner(key.owner) ||
      !wire::kIdempotencyKeySize.Contain(key.key.size()) ||
      !IsValidUtf8(key.key) || key.sequence == 0 || key.sequence > kMaxNumber ||
      !Copy(encoded.content(), &key.content)) {
    return std::nullopt;
  }
  return key;
}

std::string EncodeProducerOwner(const ProducerOwner& owner) {
  storage::v1::ProducerOwner encoded;
  encoded.set_channel(owner.channel);
  encoded.set_id(owner.id.data(), owner.id.size());
  encoded.set_owner(owner.owner);
  encoded.set_sequence(owner.sequence);
  return encoded.SerializeAsString();
}

std::optional<ProducerOwner> DecodeProducerOwner(std::string_view bytes) {
  storage::v1::ProducerOwner encoded;
  if (!Parse(bytes, &encoded)) return std::nullopt;
  ProducerOwner owner = {.channel = encoded.channel(),
                         .owner = encoded.owner(),
                         .sequence = encoded.sequence()};
  if (!IsChannel(owner.channel) || owner.owner.empty() ||
      !IsValidOwner(owner.owner) || owner.sequence == 0 ||
      owner.sequence > kMaxNumber || !Copy(encoded.id(), &owner.id) ||
      owner.id == ProducerId{}) {
    return std::nullopt;
  }
  return owner;
}

std::size_t EncodedSize(const IdempotencyKey& key) {
  // Tags and sizes, the two times, the content and the sequence.
  constexpr std::size_t kMostBesideNames = 76;
  return key.channel.size() + key.key.size() + key.owner.size() +
         kMostBesideNames;
}

}  // namespace messenger
