#include "log/message_log.h"

#include "wire/entry.h"

namespace messenger {

std::size_t StoredSize(const AppendBatch& batch) {
  std::size_t size = batch.messages.size() * wire::kMaxEntryOverhead;
  for (const wire::CanonicalMessage& message : batch.messages) {
    size += message.size();
  }
  if (!batch.idempotency_key.empty()) {
    // And what is stored of the key.
    constexpr std::size_t kMostBesideNames = 128;
    size +=
        batch.channel.size() + batch.idempotency_key.size() + kMostBesideNames;
  }
  return size;
}

LogStats StatsOf(const MessageLog& log) {
  return log.Stats();
}

}  // namespace messenger
