// The channels of a log, by name.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/out_of_memory.h"
#include "log/channel_errors.h"
#include "log/tombstones.h"
#include "messenger/message.h"

namespace messenger {

// Channels, and the tombstones of those that were deleted; no name has both. A
// channel that is removed lives on for those that hold it.
//
// Thread safety: all members may be called from any thread.
template <typename Channel>
class ChannelMap {
 public:
  using Pointer = std::shared_ptr<Channel>;
  using Map = std::map<std::string, Pointer, std::less<>>;

  ChannelMap() = default;
  ~ChannelMap() = default;
  ChannelMap(const ChannelMap&) = delete;
  ChannelMap& operator=(const ChannelMap&) = delete;

  void Assign(Map channels, Tombstones tombstones) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    channels_ = std::move(channels);
    tombstones_ = std::move(tombstones);
  }

  // Without tombstones.
  std::size_t size() const ABSL_LOCKS_EXCLUDED(mu_) {
    absl::ReaderMutexLock lock(&mu_);
    return channels_.size();
  }
  std::size_t tombstones() const ABSL_LOCKS_EXCLUDED(mu_) {
    absl::ReaderMutexLock lock(&mu_);
    return tombstones_.size();
  }

  // Null if there is none.
  Pointer Find(std::string_view name) const ABSL_LOCKS_EXCLUDED(mu_) {
    absl::ReaderMutexLock lock(&mu_);
    return FindLocked(name);
  }

  // What Find finds; or what `revive` makes of a tombstone; or null.
  Pointer FindOrRevive(
      std::string_view name,
      absl::FunctionRef<Pointer(const Tombstone& tombstone)> revive) const
      ABSL_LOCKS_EXCLUDED(mu_) {
    absl::ReaderMutexLock lock(&mu_);
    if (Pointer found = FindLocked(name)) return found;
    const Tombstone* const tombstone = tombstones_.Find(name);
    return tombstone == nullptr ? nullptr : revive(*tombstone);
  }

  // What a reader reads that has held `held` so far: that, if it is as it
  // should be; if the channel is deleted, a retired one, which `revive` makes
  // of the tombstone; null if there has never been one.
  Pointer FindToRead(
      std::string_view name, Pointer held,
      absl::FunctionRef<Pointer(const Tombstone& tombstone)> revive) const
      ABSL_LOCKS_EXCLUDED(mu_) {
    Pointer found = FindOrRevive(name, [&](const Tombstone& tombstone) {
      if (held && held->head() == tombstone.head) return held;
      Pointer revived = revive(tombstone);
      revived->Retire();
      return revived;
    });
    return found ? found : held;
  }

  // There must be none with its name; it takes the place of the tombstone.
  void Insert(Pointer channel) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    std::string name = channel->name();
    tombstones_.Erase(name);
    channels_.emplace(std::move(name), std::move(channel));
  }

  // As Insert of what `create` makes, unless there is one. `create` gets the
  // tombstone, or null. RESOURCE_EXHAUSTED if it would be one more than `max`.
  absl::StatusOr<Pointer> FindOrCreate(
      const std::string& name, std::size_t max,
      absl::FunctionRef<Pointer(const Tombstone* tombstone)> create)
      ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    if (Pointer found = FindLocked(name)) return found;
    if (channels_.size() >= max) return TooManyChannels(name, max);
    Pointer created = create(tombstones_.Find(name));
    tombstones_.Erase(name);
    channels_.emplace(name, created);
    return created;
  }

  // The tombstone takes the place of the channel, which there must be. Returns
  // that.
  Pointer Bury(const std::string& name, Tombstone tombstone)
      ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return BuryLocked(channels_.find(name), std::move(tombstone));
  }

  // As Bury, with what `retire` makes of the channel. NOT_FOUND if there is no
  // such channel, or nothing in it; RESOURCE_EXHAUSTED if there would be more
  // than `max` tombstones.
  absl::Status Delete(
      std::string_view name, std::size_t max,
      absl::FunctionRef<std::optional<Tombstone>(Channel*)> retire)
      ABSL_LOCKS_EXCLUDED(mu_) {
    Pointer buried;  // outlives the lock
    absl::MutexLock lock(&mu_);
    const auto it = channels_.find(name);
    if (it == channels_.end() || !it->second->Info()) {
      return NoSuchChannel(name);
    }
    if (tombstones_.size() >= max) return TooManyDeletedChannels(name, max);
    std::optional<Tombstone> tombstone = retire(it->second.get());
    if (!tombstone) return NoSuchChannel(name);
    buried = BuryLocked(it, *std::move(tombstone));
    return absl::OkStatus();
  }

  // Removes a channel without messages, with Channel::RetireIfEmpty, so that
  // none is stored meanwhile. What Delete would put in its place does so.
  void Discard(std::string_view name) ABSL_LOCKS_EXCLUDED(mu_) {
    Pointer discarded;  // outlives the lock
    absl::MutexLock lock(&mu_);
    const auto it = channels_.find(name);
    std::optional<Tombstone> tombstone;
    if (it == channels_.end() || !it->second->RetireIfEmpty(&tombstone)) return;
    if (tombstone) {
      discarded = BuryLocked(it, *std::move(tombstone));
    } else {
      discarded = std::move(it->second);
      channels_.erase(it);
    }
  }

  // Who looks for a channel does not wait for the visits.
  void ForEach(absl::FunctionRef<void(Channel*)> visit) const
      ABSL_LOCKS_EXCLUDED(mu_) {
    std::vector<Pointer> channels;
    {
      absl::ReaderMutexLock lock(&mu_);
      channels.reserve(channels_.size());
      for (const auto& [name, channel] : channels_) channels.push_back(channel);
    }
    for (const Pointer& channel : channels) visit(channel.get());
  }

  // As MessageLog::GetChannel and ListChannels.
  absl::StatusOr<ChannelInfo> GetInfo(std::string_view name) const
      ABSL_LOCKS_EXCLUDED(mu_) {
    return RefuseIfOutOfMemory([&]() -> absl::StatusOr<ChannelInfo> {
      const Pointer found = Find(name);
      std::optional<ChannelInfo> info;
      if (found != nullptr) info = found->Info();
      if (!info) return NoSuchChannel(name);
      return *std::move(info);
    });
  }
  absl::StatusOr<std::vector<ChannelInfo>> List(std::string_view after,
                                                std::size_t max) const
      ABSL_LOCKS_EXCLUDED(mu_) {
    using Infos = std::vector<ChannelInfo>;
    return RefuseIfOutOfMemory([&]() -> absl::StatusOr<Infos> {
      Infos infos;
      absl::ReaderMutexLock lock(&mu_);
      for (auto it = channels_.upper_bound(after);
           it != channels_.end() && infos.size() < max; ++it) {
        if (std::optional<ChannelInfo> info = it->second->Info()) {
          infos.push_back(*std::move(info));
        }
      }
      return infos;
    });
  }

 private:
  Pointer FindLocked(std::string_view name) const
      ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    const auto it = channels_.find(name);
    return it == channels_.end() ? nullptr : it->second;
  }

  Pointer BuryLocked(typename Map::iterator channel, Tombstone tombstone)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    Pointer buried = std::move(channel->second);
    tombstones_.Put(channel->first, std::move(tombstone));
    channels_.erase(channel);
    return buried;
  }

  mutable absl::Mutex mu_;
  Map channels_ ABSL_GUARDED_BY(mu_);
  Tombstones tombstones_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger
