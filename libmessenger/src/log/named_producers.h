// The named producers of a log: those whose sequences outlive their process.
// The contract is in proto/messenger/v1/messenger.proto.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "log/message_log.h"
#include "messenger/message.h"

namespace messenger {

struct NamedProducer {
  ProducerId id{};
  std::uint64_t generation = 0;
  std::uint64_t last_sequence = 0;  // of its own numbers; 0: none
  Timestamp last_used;
  std::string owner = {};  // empty: it has none

  friend bool operator==(const NamedProducer&, const NamedProducer&) = default;
};

ProducerInfo InfoOf(const ProducerKey& key, const NamedProducer& producer,
                    std::uint64_t epoch);

// Of all channels together, and only what must be kept for good: where recent
// messages of a producer are is in the ProducerTable of its channel.
//
// What is *prepared* counts at once for those who append and open, and is
// listed when it is committed. If it could not be stored, it is undone. Both
// are for all that was prepared since the last of them.
//
// Thread safety: all members may be called from any thread. Whoever calls Undo
// must be the only one who prepares.
class NamedProducers {
 public:
  explicit NamedProducers(std::size_t max_producers)
      : max_producers_(max_producers) {}

  // ---- Appending.

  // For a batch that has a producer: the last sequence of the named producer
  // that sends it; nothing if that is none. PERMISSION_DENIED, which tells
  // nothing else, if it has another owner; FAILED_PRECONDITION if there is no
  // such named producer in the channel, or this is not its present generation.
  //
  // Where there are no named producers, it is one load of an atomic.
  absl::StatusOr<std::optional<std::uint64_t>> Find(
      const AppendBatch& batch) const {
    if (batch.producer_generation == 0 &&
        count_.load(std::memory_order_relaxed) == 0) {
      return std::nullopt;
    }
    return FindNamed(batch);
  }

  // `batch`, whose sender Find has found, is stored with this send time. As
  // Find, since somebody may have opened the producer meanwhile.
  absl::Status PrepareAppend(const AppendBatch& batch, Timestamp time)
      ABSL_LOCKS_EXCLUDED(mu_);

  // ---- Opening and deleting.

  // By `user`, who becomes the owner of a producer that has none; sending does
  // not make anybody that. PERMISSION_DENIED if there is another owner,
  // RESOURCE_EXHAUSTED if there would be too many.
  absl::Status CheckOpening(const ProducerKey& key, std::string_view user) const
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<NamedProducer> PrepareOpening(const ProducerKey& key,
                                               std::string_view user,
                                               Timestamp time)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Returns what is deleted. NOT_FOUND if there is no such producer.
  absl::StatusOr<NamedProducer> PrepareDeletion(const ProducerKey& key)
      ABSL_LOCKS_EXCLUDED(mu_);

  void Commit() ABSL_LOCKS_EXCLUDED(mu_);
  void Undo() ABSL_LOCKS_EXCLUDED(mu_);

  // ---- What is committed.

  std::size_t size() const ABSL_LOCKS_EXCLUDED(mu_);
  // As MessageLog::ListProducers, of a log with this epoch.
  std::vector<ProducerInfo> List(std::string_view channel,
                                 const ProducerKey& after, std::size_t max,
                                 std::uint64_t epoch) const
      ABSL_LOCKS_EXCLUDED(mu_);

  struct Kept {
    ProducerKey key;
    NamedProducer producer;
  };
  std::optional<Kept> FindById(const ProducerId& id) const
      ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<Kept> Save() const ABSL_LOCKS_EXCLUDED(mu_);

  // The log begins another epoch: what was stored last may be lost, with
  // openings, so that all generations rise, by more than there can be of those.
  // Otherwise who had opened a producer could be taken for who does so next,
  // and would go on after messages that are not there any more. Nothing may be
  // prepared.
  void BeginEpoch() ABSL_LOCKS_EXCLUDED(mu_);

  // ---- For recovery: what was stored, in the order in which it was.

  // Instead of the one that there is of this name. False, and nothing is
  // changed, if another name has its id.
  bool Restore(Kept kept) ABSL_LOCKS_EXCLUDED(mu_);
  void RestoreDeletion(const ProducerKey& key) ABSL_LOCKS_EXCLUDED(mu_);
  // A message of `id`. Whether that is a named producer.
  bool RestoreAppend(const ProducerId& id, std::uint64_t sequence,
                     Timestamp time) {
    return count_.load(std::memory_order_relaxed) != 0 &&
           RestoreNamedAppend(id, sequence, time);
  }

 private:
  using Map = std::map<ProducerKey, NamedProducer>;

  absl::StatusOr<std::optional<std::uint64_t>> FindNamed(
      const AppendBatch& batch) const ABSL_LOCKS_EXCLUDED(mu_);
  bool RestoreNamedAppend(const ProducerId& id, std::uint64_t sequence,
                          Timestamp time) ABSL_LOCKS_EXCLUDED(mu_);

  // The end if the batch has no named producer.
  absl::StatusOr<Map::const_iterator> FindSender(const AppendBatch& batch) const
      ABSL_SHARED_LOCKS_REQUIRED(mu_);
  absl::Status CheckKey(const ProducerKey& key, std::string_view user) const
      ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void Insert(const ProducerKey& key, const NamedProducer& producer)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Erase(const ProducerKey& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::size_t max_producers_;
  mutable absl::Mutex mu_;
  Map producers_ ABSL_GUARDED_BY(mu_);  // with what is prepared
  absl::flat_hash_map<ProducerId, Map::iterator> by_id_ ABSL_GUARDED_BY(mu_);
  std::atomic<std::size_t> count_{0};  // of producers_; written under mu_
  Map committed_ ABSL_GUARDED_BY(mu_);
  // In which producers_ is not as committed_.
  std::vector<ProducerKey> prepared_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger
