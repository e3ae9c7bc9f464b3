#include "log/memory_log.h"

#include <algorithm>
#include <utility>

#include "base/random.h"
#include "log/channel_errors.h"

namespace messenger {

class MemoryLog::Appender final : public LogAppender {
 public:
  explicit Appender(MemoryLog* log) : log_(log) {}

  void Append(AppendBatch batch, AppendDone done) override {
    if (failed_) return done(FailedBefore());
    AppendResult result = log_->Store(batch);
    failed_ = !result.ok();
    done(std::move(result));
  }

  // Nothing ever waits.
  void Cancel() override {}

 private:
  MemoryLog* const log_;
  bool failed_ = false;
};

class MemoryLog::Reader final : public LogReader {
 public:
  Reader(const MemoryLog* log, std::string_view channel, const Start& start,
         bool strict)
      : log_(log), name_(channel), start_(start), strict_(strict) {}

  std::optional<absl::StatusOr<ReadResult>> Read(const ReadBounds& bounds,
                                                 ReadDone /*done*/) override {
    std::optional<Gap> gap;
    const bool first = next_ == 0;
    if (first) {
      absl::StatusOr<Origin> origin = Resolve();
      if (!origin.ok()) return origin.status();
      next_ = origin->next;
      gap = origin->gap;
    }
    ReadResult result;
    result.next_sequence = next_;
    if (MemoryChannel* channel = this->channel()) {
      channel->Read(next_, bounds, &result);
    }
    if (first && strict_ && result.gap) {
      return StartIsMissing(name_, *result.gap);
    }
    if (gap) {
      // Retention may have gone on since the start was found.
      gap->next = result.next_sequence;
      result.gap = gap;
    }
    next_ = result.next_sequence + result.count;
    return result;
  }

  void Cancel() override {}

  bool Behind() const override {
    MemoryChannel* channel = this->channel();
    return channel != nullptr && channel->head() >= next_;
  }

 private:
  absl::StatusOr<Origin> Resolve() {
    if (MemoryChannel* channel = this->channel()) {
      return channel->Resolve(start_, strict_);
    }
    return ResolveStart(start_, strict_, {.name = name_, .epoch = log_->epoch_},
                        /*sent_since=*/1);
  }

  // Null until the channel's first message.
  MemoryChannel* channel() const {
    if (channel_ == nullptr) channel_ = log_->channels_.Find(name_);
    return channel_;
  }

  const MemoryLog* const log_;
  const std::string name_;
  const Start start_;
  const bool strict_;
  mutable MemoryChannel* channel_ = nullptr;
  std::uint64_t next_ = 0;  // 0: the start has not been found yet
};

MemoryLog::MemoryLog(LogOptions options, LogClock clock)
    : options_(std::move(options)),
      clock_(std::move(clock)),
      epoch_(RandomNonZero64()) {}

std::unique_ptr<LogAppender> MemoryLog::OpenAppender() {
  return std::make_unique<Appender>(this);
}

AppendResult MemoryLog::Store(const AppendBatch& batch) {
  MemoryChannel* channel = channels_.Find(batch.channel);
  if (channel == nullptr) {
    absl::StatusOr<MemoryChannel*> created = Create(batch);
    if (!created.ok()) return created.status();
    channel = *created;
  }
  bool advanced = false;
  AppendResult result = channel->Append(batch, &advanced);
  if (advanced) listeners_.OnAppend(channel->name());
  return result;
}

std::unique_ptr<LogReader> MemoryLog::OpenReader(std::string_view channel,
                                                 const Start& start,
                                                 ReaderOptions options) {
  return std::make_unique<Reader>(this, channel, start, options.strict);
}

absl::StatusOr<ChannelInfo> MemoryLog::GetChannel(std::string_view channel) {
  return channels_.GetInfo(channel);
}

std::vector<ChannelInfo> MemoryLog::ListChannels(std::string_view after,
                                                 std::size_t max) {
  return channels_.List(after, max);
}

void MemoryLog::DeleteChannel(std::string_view channel,
                              absl::AnyInvocable<void(absl::Status)> done) {
  MemoryChannel* const found = channels_.Find(channel);
  const bool deleted = found != nullptr && found->Delete();
  done(deleted ? absl::OkStatus() : NoSuchChannel(channel));
}

absl::StatusOr<MemoryChannel*> MemoryLog::Create(const AppendBatch& batch) {
  if (batch.producer_id) {
    // What an empty channel would refuse must not leave one behind.
    absl::Status s = ProducerTable::CheckFirst(batch.first_producer_sequence);
    if (!s.ok()) return s;
  }
  return channels_.FindOrCreate(batch.channel, options_.max_channels, [&] {
    return std::make_unique<MemoryChannel>(batch.channel, epoch_, options_,
                                           clock_);
  });
}

}  // namespace messenger
