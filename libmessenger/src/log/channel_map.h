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
#include "log/channel_errors.h"
#include "messenger/message.h"

namespace messenger {

// Channels are never removed, so pointers to them stay valid.
//
// Thread safety: all members may be called from any thread.
template <typename Channel>
class ChannelMap {
 public:
  using Map = std::map<std::string, std::unique_ptr<Channel>, std::less<>>;

  ChannelMap() = default;
  explicit ChannelMap(Map channels) : channels_(std::move(channels)) {}
  ~ChannelMap() = default;
  ChannelMap(const ChannelMap&) = delete;
  ChannelMap& operator=(const ChannelMap&) = delete;

  void Assign(Map channels) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    channels_ = std::move(channels);
  }

  std::size_t size() const ABSL_LOCKS_EXCLUDED(mu_) {
    absl::ReaderMutexLock lock(&mu_);
    return channels_.size();
  }

  // Null if there is none.
  Channel* Find(std::string_view name) const ABSL_LOCKS_EXCLUDED(mu_) {
    absl::ReaderMutexLock lock(&mu_);
    const auto it = channels_.find(name);
    return it == channels_.end() ? nullptr : it->second.get();
  }

  // There must be none with its name.
  void Insert(std::unique_ptr<Channel> channel) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    std::string name = channel->name();
    channels_.emplace(std::move(name), std::move(channel));
  }

  // RESOURCE_EXHAUSTED if it would be one more than `max`.
  absl::StatusOr<Channel*> FindOrCreate(
      const std::string& name, std::size_t max,
      absl::FunctionRef<std::unique_ptr<Channel>()> create)
      ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    const auto it = channels_.find(name);
    if (it != channels_.end()) return it->second.get();
    if (channels_.size() >= max) return TooManyChannels(name, max);
    return channels_.emplace(name, create()).first->second.get();
  }

  // Who looks for a channel does not wait for the visits.
  void ForEach(absl::FunctionRef<void(Channel*)> visit) const
      ABSL_LOCKS_EXCLUDED(mu_) {
    std::vector<Channel*> channels;
    {
      absl::ReaderMutexLock lock(&mu_);
      channels.reserve(channels_.size());
      for (const auto& [name, channel] : channels_) {
        channels.push_back(channel.get());
      }
    }
    for (Channel* const channel : channels) visit(channel);
  }

  // As MessageLog::GetChannel and ListChannels.
  absl::StatusOr<ChannelInfo> GetInfo(std::string_view name) const {
    Channel* const found = Find(name);
    std::optional<ChannelInfo> info;
    if (found != nullptr) info = found->Info();
    if (!info) return NoSuchChannel(name);
    return *std::move(info);
  }
  std::vector<ChannelInfo> List(std::string_view after, std::size_t max) const
      ABSL_LOCKS_EXCLUDED(mu_) {
    std::vector<ChannelInfo> infos;
    absl::ReaderMutexLock lock(&mu_);
    for (auto it = channels_.upper_bound(after);
         it != channels_.end() && infos.size() < max; ++it) {
      if (std::optional<ChannelInfo> info = it->second->Info()) {
        infos.push_back(*std::move(info));
      }
    }
    return infos;
  }

 private:
  mutable absl::Mutex mu_;
  Map channels_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger
