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
// own: appends, reads, what channels there are. While it is held, nothing is
// done.
//
// Thread safety: all members may be called from any thread.
class TestLog final : public MessageLog {
 public:
  // Changes the bytes that a read returns; it may replace them.
  using Tamper = std::function<void(ReadResult& result)>;

  explicit TestLog(const LogOptions& options = {}, Tamper tamper = nullptr,
                   LogClock clock = {})
      : log_(options, std::move(clock)),
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

  TestLog(const TestLog&) = delete;
  TestLog& operator=(const TestLog&) = delete;

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

  // Waits until this many operations have completed and their `done` has
  // returned; false after the deadline.
  bool AwaitCompleted(std::size_t count) {
    absl::MutexLock lock(&mu_);
    return Await(mu_, changed_, [&] {
      mu_.AssertHeld();
      return completed_ >= count;
    });
  }

  // From now on, appends get stuck on their way in, as if they were still being
  // parsed; not beyond the deadline.
  void HoldAppends() {
    absl::MutexLock lock(&mu_);
    appends_held_ = true;
  }
  void ReleaseAppends() {
    absl::MutexLock lock(&mu_);
    appends_held_ = false;
    changed_.SignalAll();
  }
  // Waits until this many are stuck; false after the deadline.
  bool AwaitHeldAppends(int count) {
    absl::MutexLock lock(&mu_);
    return Await(mu_, changed_, [&] {
      mu_.AssertHeld();
      return waiting_appends_ >= count;
    });
  }

  // Waits until this many senders are gone; false after the deadline.
  bool AwaitCancelled(int count) {
    absl::MutexLock lock(&mu_);
    return Await(mu_, changed_, [&] {
      mu_.AssertHeld();
      return cancelled_ >= count;
    });
  }

  // The next append that is come to fails with this, as if the storage did.
  void FailNextAppend(absl::Status status) {
    absl::MutexLock lock(&mu_);
    failure_ = std::move(status);
  }

  std::uint64_t epoch() const override { return log_.epoch(); }

  LogStats Stats() const override { return log_.Stats(); }

  std::unique_ptr<LogAppender> OpenAppender() override {
    return std::make_unique<Appender>(this);
  }

  std::unique_ptr<LogReader> OpenReader(std::string_view channel,
                                        const Start& start,
                                        ReaderOptions options) override {
    return std::make_unique<Reader>(this,
                                    log_.OpenReader(channel, start, options));
  }

  void GetChannel(std::string_view channel, ChannelDone done) override {
    Post([this, name = std::string(channel), done = std::move(done)]() mutable {
      log_.GetChannel(name, std::move(done));
    });
  }
  void ListChannels(std::string_view after, std::size_t max,
                    ChannelsDone done) override {
    Post([this, name = std::string(after), max,
          done = std::move(done)]() mutable {
      log_.ListChannels(name, max, std::move(done));
    });
  }
  void DeleteChannel(std::string_view channel,
                     absl::AnyInvocable<void(absl::Status)> done) override {
    Post([this, name = std::string(channel), done = std::move(done)]() mutable {
      log_.DeleteChannel(name, std::move(done));
    });
  }
  void OpenProducer(std::string_view channel, std::string_view name,
                    std::string_view owner, ProducerDone done) override {
    Post([this, channel = std::string(channel), name = std::string(name),
          owner = std::string(owner), done = std::move(done)]() mutable {
      log_.OpenProducer(channel, name, owner, std::move(done));
    });
  }
  void ListProducers(std::string_view channel, const ProducerKey& after,
                     std::size_t max, ProducersDone done) override {
    Post([this, channel = std::string(channel), after, max,
          done = std::move(done)]() mutable {
      log_.ListProducers(channel, after, max, std::move(done));
    });
  }
  void DeleteProducer(std::string_view channel, std::string_view name,
                      absl::AnyInvocable<void(absl::Status)> done) override {
    Post([this, channel = std::string(channel), name = std::string(name),
          done = std::move(done)]() mutable {
      log_.DeleteProducer(channel, name, std::move(done));
    });
  }
  void AddListener(LogListener* listener) override {
    log_.AddListener(listener);
  }
  void RemoveListener(LogListener* listener) override {
    log_.RemoveListener(listener);
  }

 private:
  using Task = absl::AnyInvocable<void()>;

  class Appender final : public LogAppender {
   public:
    explicit Appender(TestLog* log)
        : log_(log), state_(std::make_shared<State>(log)) {}

    void Append(AppendBatch batch, AppendDone done) override {
      log_->PassIn();
      log_->Post([state = state_, batch = std::move(batch),
                  done = std::move(done)]() mutable {
        done(state->Append(std::move(batch)));
      });
    }
    void Cancel() override {
      state_->Cancel();
      absl::MutexLock lock(&log_->mu_);
      ++log_->cancelled_;
      log_->changed_.SignalAll();
    }

   private:
    // Outlives the appender while appends are under way. Used by the log's
    // thread.
    class State {
     public:
      explicit State(TestLog* log)
          : log_(log), appender_(log->log_.OpenAppender()) {}

      AppendResult Append(AppendBatch batch) {
        if (failed_) return FailedBefore();
        if (cancelled_) return Cancelled();
        if (absl::Status s = log_->TakeFailure(); !s.ok()) {
          failed_ = true;
          return s;
        }
        AppendResult result;
        appender_->Append(std::move(batch), [&result](AppendResult stored) {
          result = std::move(stored);
        });
        failed_ = !result.ok();
        return result;
      }
      void Cancel() { cancelled_ = true; }

     private:
      TestLog* const log_;
      const std::unique_ptr<LogAppender> appender_;
      bool failed_ = false;
      std::atomic<bool> cancelled_{false};
    };

    TestLog* const log_;
    const std::shared_ptr<State> state_;
  };

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

  void PassIn() {
    absl::MutexLock lock(&mu_);
    ++waiting_appends_;
    changed_.SignalAll();
    Await(mu_, changed_, [&] {
      mu_.AssertHeld();
      return !appends_held_;
    });
    --waiting_appends_;
  }

  // That of the next append, if one is due.
  absl::Status TakeFailure() {
    absl::MutexLock lock(&mu_);
    return std::exchange(failure_, absl::OkStatus());
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
      absl::MutexLock lock(&mu_);
      ++completed_;
      changed_.SignalAll();
    }
  }

  MemoryLog log_;
  const Tamper tamper_;
  absl::Mutex mu_;
  absl::CondVar changed_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mu_);
  std::size_t completed_ ABSL_GUARDED_BY(mu_) = 0;
  bool held_ ABSL_GUARDED_BY(mu_) = false;
  bool appends_held_ ABSL_GUARDED_BY(mu_) = false;
  int waiting_appends_ ABSL_GUARDED_BY(mu_) = 0;
  int cancelled_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);  // of the next append
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace messenger::test
