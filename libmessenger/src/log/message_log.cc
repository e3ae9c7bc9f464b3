#include "log/message_log.h"

#include "wire/entry.h"

namespace messenger {

std::size_t StoredSize(const AppendBatch& batch) {
  std::size_t size = batch.messages.size() * wire::kMaxEntryOverhead;
  for (const wire::CanonicalMessage& message : batch.messages) {
    size += message.size();
  }
  const bool may_set_owner = batch.producer_id && !batch.owner.empty();
  if (!batch.idempotency_key.empty() || may_set_owner) {
    // And what is stored of the key, or of the producer's owner.
    constexpr std::size_t kMostBesideNames = 128;
    size += batch.channel.size() + batch.idempotency_key.size() +
            batch.owner.size() + kMostBesideNames;
  }
  return size;
}

LogStats StatsOf(const MessageLog& log) {
  return log.Stats();
}

}  // namespace messenger
