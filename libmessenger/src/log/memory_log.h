// The log that lives in memory.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/out_of_memory.h"
#include "log/channel_context.h"
#include "log/channel_map.h"
#include "log/log_clock.h"
#include "log/log_listeners.h"
#include "log/memory_budget.h"
#include "log/memory_channel.h"
#include "log/message_log.h"
#include "log/room_watch.h"

namespace messenger {

// Everything is in memory, so reads and appends complete at once, on the
// calling thread. Nothing outlives the process; the next log has a new epoch.
class MemoryLog final : public MessageLog {
 public:
  // While it is out of memory, it looks every `room_interval` whether there is
  // some again.
  explicit MemoryLog(
      LogOptions options, LogClock clock = {},
      std::chrono::milliseconds room_interval = std::chrono::seconds(1));

  std::uint64_t epoch() const override { return context_.epoch(); }
  LogStats Stats() const override;
  std::unique_ptr<LogAppender> OpenAppender() override;
  std::unique_ptr<LogReader> OpenReader(std::string_view channel,
                                        const Start& start,
                                        ReaderOptions options) override;
  void GetChannel(std::string_view channel, ChannelDone done) override {
    done(channels_.GetInfo(channel));
  }
  void ListChannels(std::string_view after, std::size_t max,
                    ChannelsDone done) override {
    done(channels_.List(after, max));
  }
  void DeleteChannel(std::string_view channel,
                     absl::AnyInvocable<void(absl::Status)> done) override;
  void OpenProducer(std::string_view channel, std::string_view name,
                    std::string_view owner, ProducerDone done) override;
  void ListProducers(std::string_view channel, const ProducerKey& after,
                     std::size_t max, ProducersDone done) override {
    done(RefuseIfOutOfMemory([&] {
      return absl::StatusOr<std::vector<ProducerInfo>>(
          context_.named_producers->List(channel, after, max, epoch()));
    }));
  }
  void DeleteProducer(std::string_view channel, std::string_view name,
                      absl::AnyInvocable<void(absl::Status)> done) override;
  void AddListener(LogListener* listener) override { listeners_.Add(listener); }
  void RemoveListener(LogListener* listener) override {
    listeners_.Remove(listener);
  }

 private:
  class Appender;
  class Reader;

  // `*bytes` are those that new messages take.
  AppendResult Store(const AppendBatch& batch, std::uint64_t* bytes);
  // An append of this size was refused: maybe for want of memory.
  void NoteRefusal(const absl::Status& refusal, std::size_t size);
  // Lets retention drop what has expired, then looks.
  bool HasRoom();
  // The channel for its first batch.
  absl::StatusOr<std::shared_ptr<MemoryChannel>> Create(
      const AppendBatch& batch);

  const ChannelContext context_;
  const std::shared_ptr<MemoryBudget> budget_;
  ChannelMap<MemoryChannel> channels_;
  LogListeners listeners_;
  alignas(ABSL_CACHELINE_SIZE) LogStats counters_;
  std::atomic<std::uint64_t> needed_room_{0};
  RoomWatch room_watch_;
};

}  // namespace messenger
