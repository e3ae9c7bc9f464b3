// The log that lives in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "log/log_clock.h"
#include "log/memory_channel.h"
#include "log/message_log.h"

namespace messenger {

// Everything is in memory, so reads and appends complete at once, on the
// calling thread. Nothing outlives the process; the next log has a new epoch.
class MemoryLog final : public MessageLog {
 public:
  explicit MemoryLog(LogOptions options, LogClock clock = {});

  std::uint64_t epoch() const override { return epoch_; }
  std::unique_ptr<LogAppender> OpenAppender() override;
  std::unique_ptr<LogReader> OpenReader(std::string_view channel,
                                        const Start& start,
                                        ReaderOptions options) override;
  absl::StatusOr<ChannelInfo> GetChannel(std::string_view channel) override;
  std::vector<ChannelInfo> ListChannels(std::string_view after,
                                        std::size_t max) override;
  void DeleteChannel(std::string_view channel,
                     absl::AnyInvocable<void(absl::Status)> done) override;
  void AddAppendListener(AppendListener* listener) override;
  void RemoveAppendListener(AppendListener* listener) override;

 private:
  class Appender;
  class Reader;

  AppendResult Store(const AppendBatch& batch);
  // Null if there is none. Channels are never removed, so the pointer stays
  // valid.
  MemoryChannel* Find(std::string_view name) const
      ABSL_LOCKS_EXCLUDED(channels_mu_);
  // The channel for its first batch, unless that would be refused.
  absl::StatusOr<MemoryChannel*> Create(const AppendBatch& batch)
      ABSL_LOCKS_EXCLUDED(channels_mu_);

  const LogOptions options_;
  const LogClock clock_;
  const std::uint64_t epoch_;

  mutable absl::Mutex channels_mu_;
  std::map<std::string, std::unique_ptr<MemoryChannel>, std::less<>> channels_
      ABSL_GUARDED_BY(channels_mu_);

  absl::Mutex listeners_mu_;
  std::vector<AppendListener*> listeners_ ABSL_GUARDED_BY(listeners_mu_);
};

}  // namespace messenger
