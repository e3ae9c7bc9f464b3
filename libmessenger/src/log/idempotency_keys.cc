#include "log/idempotency_keys.h"

#include <utility>

#include "log/log_clock.h"

namespace messenger {
namespace {

// So that nobody waits for long when many keys are too old at once.
constexpr std::size_t kMostExpiredAtOnce = 64;

}  // namespace

IdempotencyKeys::Pointer IdempotencyKeys::Find(std::string_view channel,
                                               std::string_view owner,
                                               std::string_view key,
                                               SteadyTime now) {
  absl::MutexLock lock(&mu_);
  for (std::size_t i = 0; i < kMostExpiredAtOnce && size_ > prepared_; ++i) {
    if (!IsExpired(*(*blocks_.front())[popped_], now)) break;
    PopOldest();
  }
  const auto found = by_name_.find(Name(channel, owner, key));
  if (found == by_name_.end() || IsExpired(*found->second, now)) return nullptr;
  return found->second;
}

void IdempotencyKeys::Prepare(IdempotencyKey key) {
  auto pointer = std::make_shared<const IdempotencyKey>(std::move(key));
  absl::MutexLock lock(&mu_);
  Push(std::move(pointer));
  ++prepared_;
}

void IdempotencyKeys::Commit() {
  absl::MutexLock lock(&mu_);
  prepared_ = 0;
  ForgetExcess();
}

void IdempotencyKeys::Undo() {
  absl::MutexLock lock(&mu_);
  for (; prepared_ > 0; --prepared_) {
    Block& block = *blocks_.back();
    by_name_.erase(NameOf(*block.back()));
    block.pop_back();
    --size_;
    const std::size_t popped = blocks_.size() == 1 ? popped_ : 0;
    if (block.size() > popped) continue;
    blocks_.pop_back();
    if (blocks_.empty()) popped_ = 0;
  }
}

void IdempotencyKeys::Restore(IdempotencyKey key) {
  auto pointer = std::make_shared<const IdempotencyKey>(std::move(key));
  absl::MutexLock lock(&mu_);
  Push(std::move(pointer));
  ForgetExcess();
}

std::size_t IdempotencyKeys::size() const {
  absl::MutexLock lock(&mu_);
  return size_;
}

IdempotencyKeys::Snapshot IdempotencyKeys::Save() {
  Snapshot snapshot;
  absl::MutexLock lock(&mu_);
  snapshot.blocks_.assign(blocks_.begin(), blocks_.end());
  snapshot.popped_ = popped_;
  snapshot.size_ = size_;
  last_is_shared_ = true;
  return snapshot;
}

void IdempotencyKeys::Push(Pointer key) {
  if (blocks_.empty() || blocks_.back()->size() == kBlockSize) {
    blocks_.push_back(std::make_shared<Block>());
    blocks_.back()->reserve(kBlockSize);
  } else if (last_is_shared_) {
    auto copy = std::make_shared<Block>();
    copy->reserve(kBlockSize);
    *copy = *blocks_.back();
    blocks_.back() = std::move(copy);
  }
  last_is_shared_ = false;
  // Not insert_or_assign: the names are views into their keys.
  by_name_.erase(NameOf(*key));
  by_name_.emplace(NameOf(*key), key);
  blocks_.back()->push_back(std::move(key));
  ++size_;
}

void IdempotencyKeys::PopOldest() {
  const Block& block = *blocks_.front();
  const Pointer& oldest = block[popped_];
  const auto found = by_name_.find(NameOf(*oldest));
  if (found != by_name_.end() && found->second == oldest) by_name_.erase(found);
  --size_;
  if (++popped_ < block.size()) return;
  blocks_.pop_front();
  popped_ = 0;
}

void IdempotencyKeys::ForgetExcess() {
  while (size_ > limits_.max_keys) PopOldest();
}

bool IdempotencyKeys::IsExpired(const IdempotencyKey& key,
                                SteadyTime now) const {
  return Elapsed(key.written, now) > limits_.timeout;
}

}  // namespace messenger
