// The log that lives in a directory.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/durable/checkpoint_thread.h"
#include "log/durable/committer.h"
#include "log/durable/durable_core.h"
#include "log/durable/durable_reader.h"
#include "log/message_log.h"

namespace messenger {

// Opens, wires and closes. What the threads share is in DurableCore. Appends
// and deletions are queued for the *commit thread* (Committer), which writes
// them to the journal; the *checkpoint thread* (CheckpointThread) brings what
// is there into segments. What is not in memory, readers get by the *I/O
// thread* (ReadThreads).
class DurableLog final : public MessageLog {
 public:
  // Opens the log in `directory`, which is created if its parent exists. Blocks
  // on the disk; see Recover.
  static absl::StatusOr<std::shared_ptr<DurableLog>> Open(
      const std::string& directory, const LogOptions& options,
      DurableLogOptions durable = {});

  ~DurableLog() override;
  DurableLog(const DurableLog&) = delete;
  DurableLog& operator=(const DurableLog&) = delete;

  std::uint64_t epoch() const override { return core_.context.epoch(); }
  std::string_view directory() const override { return core_.directory; }
  LogStats Stats() const override;
  std::unique_ptr<LogAppender> OpenAppender() override {
    return committer_->OpenAppender();
  }
  std::unique_ptr<LogReader> OpenReader(std::string_view channel,
                                        const Start& start,
                                        ReaderOptions options) override {
    return OpenDurableReader(&core_, &read_threads_, channel, start, options);
  }
  void GetChannel(std::string_view channel, ChannelDone done) override {
    done(core_.channels.GetInfo(channel));
  }
  void ListChannels(std::string_view after, std::size_t max,
                    ChannelsDone done) override {
    done(core_.channels.List(after, max));
  }
  void DeleteChannel(std::string_view channel,
                     absl::AnyInvocable<void(absl::Status)> done) override;
  void OpenProducer(std::string_view channel, std::string_view name,
                    std::string_view owner, ProducerDone done) override;
  void ListProducers(std::string_view channel, const ProducerKey& after,
                     std::size_t max, ProducersDone done) override;
  void DeleteProducer(std::string_view channel, std::string_view name,
                      absl::AnyInvocable<void(absl::Status)> done) override;
  void AddListener(LogListener* listener) override {
    core_.listeners.Add(listener);
  }
  void RemoveListener(LogListener* listener) override {
    core_.listeners.Remove(listener);
  }

 private:
  DurableLog(std::string directory, const LogOptions& options,
             DurableLogOptions durable)
      : core_(std::move(directory), options, std::move(durable)) {}
  absl::Status SetUp();
  absl::Status SetUpDirectory();
  // Of a log that could not be created.
  void RemoveTraces(bool directory_is_new);
  // If, by the wall clock, all is too old when the log, which has channels, is
  // opened: the time since it was last written is what that says.
  void NotifyOfAge(std::chrono::nanoseconds said) const;

  DurableCore core_;
  ReadThreads read_threads_;
  // Null if the log could not be opened.
  std::unique_ptr<Committer> committer_;
  std::unique_ptr<CheckpointThread> checkpoints_;
};

}  // namespace messenger
