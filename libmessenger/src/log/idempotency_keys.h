// The idempotency keys that a log remembers, so that a message that is sent
// once more with its key is stored once. The contract is in
// proto/messenger/v1/messenger.proto.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "messenger/message.h"
#include "wire/canonical_message.h"

namespace messenger {

// Of one message.
struct IdempotencyKey {
  using SteadyTime = std::chrono::steady_clock::time_point;

  std::string channel;
  std::string key;
  std::uint64_t sequence = 0;
  Timestamp send_time;
  wire::ContentHash content{};
  SteadyTime written;      // of the log
  std::string owner = {};  // empty: none

  friend bool operator==(const IdempotencyKey&,
                         const IdempotencyKey&) = default;
};

// Of all channels together, oldest first. The oldest are forgotten beyond a
// number of them, and all when they are too old.
//
// What is *prepared* is found at once, and forgets nothing else before it is
// committed. If it could not be stored, it is undone. Both are for all that was
// prepared since the last of them.
//
// Thread safety: all members may be called from any thread. Whoever calls Undo
// must be the only one who prepares.
class IdempotencyKeys {
 public:
  using SteadyTime = IdempotencyKey::SteadyTime;
  using Pointer = std::shared_ptr<const IdempotencyKey>;

  struct Limits {
    std::size_t max_keys;
    std::chrono::nanoseconds timeout;
  };
  explicit IdempotencyKeys(const Limits& limits) : limits_(limits) {}

  // Null if it is not remembered. The same key of another owner is another one.
  Pointer Find(std::string_view channel, std::string_view owner,
               std::string_view key, SteadyTime now) ABSL_LOCKS_EXCLUDED(mu_);

  // The key, which Find has not found, has this message.
  void Prepare(IdempotencyKey key) ABSL_LOCKS_EXCLUDED(mu_);
  void Commit() ABSL_LOCKS_EXCLUDED(mu_);
  void Undo() ABSL_LOCKS_EXCLUDED(mu_);

  // For recovery: what was stored, in the order in which it was.
  void Restore(IdempotencyKey key) ABSL_LOCKS_EXCLUDED(mu_);

  // That are in memory: some may be too old already.
  std::size_t size() const ABSL_LOCKS_EXCLUDED(mu_);

  // All that are remembered, oldest first, as they are now. They are in blocks
  // that never change, so that taking them costs little, however many they are.
  class Snapshot;
  // Nothing may be prepared.
  Snapshot Save() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using Block = std::vector<Pointer>;
  static constexpr std::size_t kBlockSize = 256;

  void Push(Pointer key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PopOldest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ForgetExcess() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool IsExpired(const IdempotencyKey& key, SteadyTime now) const;

  // By channel, owner and key.
  using Name = std::tuple<std::string_view, std::string_view, std::string_view>;
  static Name NameOf(const IdempotencyKey& key) {
    return {key.channel, key.owner, key.key};
  }

  const Limits limits_;
  mutable absl::Mutex mu_;
  // None is empty. The first one begins with `popped_` that are forgotten.
  std::deque<std::shared_ptr<Block>> blocks_ ABSL_GUARDED_BY(mu_);
  std::size_t popped_ ABSL_GUARDED_BY(mu_) = 0;
  bool last_is_shared_ ABSL_GUARDED_BY(mu_) = false;  // with a snapshot
  std::size_t size_ ABSL_GUARDED_BY(mu_) = 0;
  std::size_t prepared_ ABSL_GUARDED_BY(mu_) = 0;  // the newest ones
  // The newest one of each name, which is a view into it.
  absl::flat_hash_map<Name, Pointer> by_name_ ABSL_GUARDED_BY(mu_);
};

// Thread safety: as a value.
class IdempotencyKeys::Snapshot {
 public:
  Snapshot() = default;

  template <typename Visit>
  void ForEach(Visit visit) const {
    std::size_t skipped = popped_;
    for (const std::shared_ptr<const Block>& block : blocks_) {
      for (; skipped < block->size(); ++skipped) visit(*(*block)[skipped]);
      skipped = 0;
    }
  }
  std::size_t size() const { return size_; }

 private:
  friend class IdempotencyKeys;

  std::vector<std::shared_ptr<const Block>> blocks_;
  std::size_t popped_ = 0;
  std::size_t size_ = 0;
};

}  // namespace messenger
