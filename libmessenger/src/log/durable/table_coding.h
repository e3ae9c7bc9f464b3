// Named producers, idempotency keys and the owners of producers as a checkpoint
// and the records of a journal have them. The format is in doc/log_format.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "log/idempotency_keys.h"
#include "log/named_producers.h"
#include "log/producer_table.h"

namespace messenger {

// messenger.storage.v1.NamedProducer, IdempotencyKey and ProducerOwner. Nothing
// if what is decoded is malformed, or there cannot be such a thing.
std::string EncodeNamedProducer(const NamedProducers::Kept& kept);
std::optional<NamedProducers::Kept> DecodeNamedProducer(std::string_view bytes);

std::string EncodeIdempotencyKey(const IdempotencyKey& key);
std::optional<IdempotencyKey> DecodeIdempotencyKey(std::string_view bytes);

std::string EncodeProducerOwner(const ProducerOwner& owner);
std::optional<ProducerOwner> DecodeProducerOwner(std::string_view bytes);

// At least as many bytes as it takes in a checkpoint.
std::size_t EncodedSize(const IdempotencyKey& key);

}  // namespace messenger
