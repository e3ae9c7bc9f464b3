// A log around the memory log that answers late, or not at all, or wrongly.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "log/memory_log.h"
#include "support/recorder.h"

namespace messenger::test {

// Everything that the memory log does at once, this one does on a thread of its
// own: appends, reads and their completions. While it is held, nothing is done.
//
// Thread safety: all members may be called from any thread.
class TestLog final : public MessageLog {
 public:
  // Changes the bytes that a read returns; it may replace them.
  using Tamper = std::function<void(ReadResult& result)>;

  explicit TestLog(const LogOptions& options = {}, Tamper tamper = nullptr)
      : log_(options),
        tamper_(std::move(tamper)),
        thread_([this] { Work(); }) {}

  ~TestLog() override {
    {
      absl::MutexLock lock(&mu_);
      stopping_ = true;
      held_ = false;
      changed_.SignalAll();
    }
    thread_.join();
  }

  void Hold() {
    absl::MutexLock lock(&mu_);
    held_ = true;
  }
  void Release() {
    absl::MutexLock lock(&mu_);
    held_ = false;
    changed_.SignalAll();
  }
  // Waits until this many operations are waiting; false after the deadline.
  bool AwaitPending(std::size_t count) {
    absl::MutexLock lock(&mu_);
    return Await(mu_, changed_, [&] {
      mu_.AssertHeld();
      return tasks_.size() >= count;
    });
  }

  std::uint64_t epoch() const override { return log_.epoch(); }

  void Append(AppendBatch batch, AppendDone done) override {
    Post([this, batch = std::move(batch), done = std::move(done)]() mutable {
      log_.Append(std::move(batch), std::move(done));
    });
  }

  std::unique_ptr<LogReader> OpenReader(std::string_view channel,
                                        const Start& start,
                                        ReaderOptions options) override {
    return std::make_unique<Reader>(this,
                                    log_.OpenReader(channel, start, options));
  }

  absl::StatusOr<ChannelInfo> GetChannel(std::string_view channel) override {
    return log_.GetChannel(channel);
  }
  std::vector<ChannelInfo> ListChannels(std::string_view after,
                                        std::size_t max) override {
    return log_.ListChannels(after, max);
  }
  void DeleteChannel(std::string_view channel,
                     absl::AnyInvocable<void(absl::Status)> done) override {
    Post([this, name = std::string(channel), done = std::move(done)]() mutable {
      log_.DeleteChannel(name, std::move(done));
    });
  }
  void AddTailListener(TailListener* listener) override {
    log_.AddTailListener(listener);
  }
  void RemoveTailListener(TailListener* listener) override {
    log_.RemoveTailListener(listener);
  }

 private:
  using Task = absl::AnyInvocable<void()>;

  class Reader final : public LogReader {
   public:
    Reader(TestLog* log, std::unique_ptr<LogReader> reader)
        : log_(log), reader_(std::move(reader)) {}

    std::optional<absl::StatusOr<ReadResult>> Read(const ReadBounds& bounds,
                                                   ReadDone done) override {
      log_->Post([log = log_, reader = reader_, cancelled = cancelled_, bounds,
                  done = std::move(done)]() mutable {
        if (*cancelled) return done(absl::CancelledError("cancelled"));
        auto result = *reader->Read(bounds, nullptr);
        if (result.ok() && log->tamper_) log->tamper_(*result);
        done(std::move(result));
      });
      return std::nullopt;
    }
    void Cancel() override { *cancelled_ = true; }
    bool Behind() const override { return reader_->Behind(); }

   private:
    TestLog* const log_;
    const std::shared_ptr<LogReader> reader_;
    const std::shared_ptr<std::atomic<bool>> cancelled_ =
        std::make_shared<std::atomic<bool>>(false);
  };

  void Post(Task task) {
    absl::MutexLock lock(&mu_);
    tasks_.push_back(std::move(task));
    changed_.SignalAll();
  }

  void Work() {
    while (true) {
      Task task;
      {
        absl::MutexLock lock(&mu_);
        while (held_ || (tasks_.empty() && !stopping_)) changed_.Wait(&mu_);
        if (tasks_.empty()) return;
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      task();
    }
  }

  MemoryLog log_;
  const Tamper tamper_;
  absl::Mutex mu_;
  absl::CondVar changed_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mu_);
  bool held_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace messenger::test
