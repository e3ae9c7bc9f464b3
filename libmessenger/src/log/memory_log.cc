#include "log/memory_log.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "base/counters.h"
#include "base/out_of_memory.h"
#include "base/random.h"
#include "log/count_append.h"
#include "log/cursor.h"

namespace messenger {
namespace {

std::optional<Tombstone> RetireChannel(MemoryChannel* channel) {
  return channel->Retire();
}

}  // namespace

class MemoryLog::Appender final : public LogAppender {
 public:
  explicit Appender(MemoryLog* log) : log_(log) {}

  void Append(AppendBatch batch, AppendDone done) override {
    if (failed_) {
      AppendResult result = FailedBefore();
      CountAppend(result, 0, log_->counters_);
      return done(std::move(result));
    }
    std::uint64_t bytes = 0;
    AppendResult result =
        RefuseIfOutOfMemory([&] { return log_->Store(batch, &bytes); });
    CountAppend(result, bytes, log_->counters_);
    failed_ = !result.ok();
    if (absl::IsResourceExhausted(result.status())) {
      log_->NoteRefusal(result.status(), StoredSize(batch));
    }
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
  Reader(MemoryLog* log, std::string_view channel, const Start& start,
         bool strict)
      : log_(log), cursor_(channel, start, strict) {}

  std::optional<absl::StatusOr<ReadResult>> Read(const ReadBounds& bounds,
                                                 ReadDone /*done*/) override {
    return cursor_.Read([this] { return FindStart(); },
                        [&](std::uint64_t next, ReadResult* result) {
                          const auto& channel = this->channel();
                          if (channel == nullptr) return absl::OkStatus();
                          channel->Read(next, bounds, result);
                          if (result->count > 0) {
                            Count(log_->counters_.memory_reads);
                          }
                          return absl::OkStatus();
                        });
  }

  void Cancel() override {}

  bool Behind() const override {
    const auto& channel = this->channel();
    return channel != nullptr && channel->head() >= cursor_.next();
  }

 private:
  absl::StatusOr<Origin> FindStart() const {
    const auto& channel = this->channel();
    return channel == nullptr
               ? cursor_.StartOfNothing(log_->context_)
               : channel->Resolve(cursor_.start(), cursor_.strict());
  }

  // Null until the channel's first message; retired if it is deleted.
  const std::shared_ptr<MemoryChannel>& channel() const {
    if (channel_ == nullptr || channel_->retired()) {
      channel_ = log_->channels_.FindToRead(
          cursor_.channel(), std::move(channel_),
          [this](const Tombstone& tombstone) {
            return std::make_shared<MemoryChannel>(
                cursor_.channel(), log_->context_, log_->budget_, tombstone);
          });
    }
    return channel_;
  }

  MemoryLog* const log_;
  Cursor cursor_;
  mutable std::shared_ptr<MemoryChannel> channel_;
};

MemoryLog::MemoryLog(LogOptions options, LogClock clock,
                     std::chrono::milliseconds room_interval)
    : context_{.options = std::move(options),
               .clock = std::move(clock),
               .epochs = {RandomNonZero64()}},
      budget_(std::make_shared<MemoryBudget>(
          context_.options.memory.max_bytes.value_or(AvailableMemory() / 2))),
      room_watch_(
          Availability(&listeners_, context_.options.on_notice), context_.clock,
          [this] { return HasRoom(); }, room_interval) {}

std::unique_ptr<LogAppender> MemoryLog::OpenAppender() {
  return std::make_unique<Appender>(this);
}

LogStats MemoryLog::Stats() const {
  LogStats stats = Snapshot(counters_);
  stats.channels = channels_.size();
  stats.named_producers = context_.named_producers->size();
  stats.idempotency_keys = context_.idempotency_keys->size();
  return stats;
}

AppendResult MemoryLog::Store(const AppendBatch& batch, std::uint64_t* bytes) {
  while (true) {
    std::shared_ptr<MemoryChannel> channel = channels_.Find(batch.channel);
    if (channel == nullptr) {
      absl::StatusOr<std::shared_ptr<MemoryChannel>> created = Create(batch);
      if (!created.ok()) return created.status();
      channel = *std::move(created);
    }
    std::optional<AppendResult> result = channel->Append(batch, bytes);
    if (!result) continue;  // deleted meanwhile
    if (*bytes > 0) listeners_.OnAppend(channel->name());
    // What was made for it must not stay if nothing was stored.
    if (*bytes == 0 && !channel->Info()) {
      channels_.Discard(batch.channel);
    }
    return *std::move(result);
  }
}

void MemoryLog::NoteRefusal(const absl::Status& refusal, std::size_t size) {
  // What a channel takes at least; and one that is too large for what there is
  // at all says nothing of others.
  constexpr std::uint64_t kLeast = std::uint64_t{4} << 10;
  constexpr std::uint64_t kPart = 16;
  const std::uint64_t needed = std::min<std::uint64_t>(
      std::max<std::uint64_t>(size, kLeast), budget_->max() / kPart);
  if (budget_->max() - budget_->used() > needed) return;  // another limit
  needed_room_ = needed;
  room_watch_.Refuse(refusal);
}

bool MemoryLog::HasRoom() {
  channels_.ForEach([](MemoryChannel* channel) { channel->Info(); });
  return budget_->max() - budget_->used() > needed_room_;
}

std::unique_ptr<LogReader> MemoryLog::OpenReader(std::string_view channel,
                                                 const Start& start,
                                                 ReaderOptions options) {
  return std::make_unique<Reader>(this, channel, start, options.strict);
}

void MemoryLog::DeleteChannel(std::string_view channel,
                              absl::AnyInvocable<void(absl::Status)> done) {
  done(channels_.Delete(channel, context_.options.max_deleted_channels,
                        RetireChannel));
}

void MemoryLog::OpenProducer(std::string_view channel, std::string_view name,
                             std::string_view owner, ProducerDone done) {
  done(RefuseIfOutOfMemory([&]() -> absl::StatusOr<ProducerInfo> {
    const ProducerKey key = {.channel = std::string(channel),
                             .name = std::string(name)};
    const absl::StatusOr<NamedProducer> opened =
        context_.named_producers->PrepareOpening(key, owner,
                                                 context_.clock.now());
    if (!opened.ok()) return opened.status();
    context_.named_producers->Commit();
    return InfoOf(key, *opened, context_.epoch());
  }));
}

void MemoryLog::DeleteProducer(std::string_view channel, std::string_view name,
                               absl::AnyInvocable<void(absl::Status)> done) {
  done(RefuseIfOutOfMemory([&] {
    absl::Status s = context_.named_producers
                         ->PrepareDeletion({.channel = std::string(channel),
                                            .name = std::string(name)})
                         .status();
    if (s.ok()) context_.named_producers->Commit();
    return s;
  }));
}

absl::StatusOr<std::shared_ptr<MemoryChannel>> MemoryLog::Create(
    const AppendBatch& batch) {
  const Tombstone none;
  return channels_.FindOrCreate(batch.channel, context_.options.max_channels,
                                [&](const Tombstone* tombstone) {
                                  return std::make_shared<MemoryChannel>(
                                      batch.channel, context_, budget_,
                                      tombstone == nullptr ? none : *tombstone);
                                });
}

}  // namespace messenger
