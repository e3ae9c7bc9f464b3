#include "log/durable/durable_reader.h"

#include <fmt/format.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/counters.h"
#include "base/status.h"
#include "log/cursor.h"
#include "log/durable/segment_reader.h"

namespace messenger {
namespace {

// A reader's place. It outlives the reader while a read is under way.
class Place {
 public:
  Place(DurableCore* core, std::string_view channel, const Start& start,
        MessageLog::ReaderOptions options)
      : core_(core),
        skip_damaged_(options.skip_damaged),
        cursor_(channel, start, options.strict) {}

  // The result, or nothing if it takes a segment to tell.
  std::optional<absl::StatusOr<ReadResult>> ReadMemory(
      const ReadBounds& bounds) {
    return Read(bounds, /*may_block=*/false);
  }
  absl::StatusOr<ReadResult> ReadSegments(const ReadBounds& bounds) {
    while (!cancelled_) {
      absl::StatusOr<ReadResult> result = *Read(bounds, /*may_block=*/true);
      // Retention has dropped the segment meanwhile: what the channel lists now
      // comes after it.
      if (!absl::IsNotFound(result.status())) return result;
    }
    return absl::CancelledError("cancelled");
  }

  void Cancel() { cancelled_ = true; }

  bool Behind() {
    const std::shared_ptr<DurableChannel> channel = Channel();
    return channel != nullptr && channel->head() >= cursor_.next();
  }

 private:
  std::optional<absl::StatusOr<ReadResult>> Read(const ReadBounds& bounds,
                                                 bool may_block);
  // Nothing if it takes a segment to tell.
  std::optional<absl::StatusOr<Origin>> FindStart(bool may_block);
  std::optional<absl::Status> ReadFrom(std::uint64_t next,
                                       const ReadBounds& bounds, bool may_block,
                                       ReadResult* result);
  absl::Status ReadSegment(DurableChannel& channel, const SegmentInfo& info,
                           const ReadBounds& bounds, ReadResult* result);
  absl::Status FindInSegment(DurableChannel& channel, const SegmentInfo& info,
                             std::uint64_t sequence);

  // Null until the channel's first message; retired if it is deleted.
  std::shared_ptr<DurableChannel> Channel() ABSL_LOCKS_EXCLUDED(channel_mu_) {
    absl::MutexLock lock(&channel_mu_);
    if (channel_ == nullptr || channel_->retired()) {
      const ChannelContext& context = core_->context;
      channel_ = core_->channels.FindToRead(
          cursor_.channel(), std::move(channel_),
          [&](const Tombstone& tombstone) {
            return std::make_shared<DurableChannel>(
                StateOf(cursor_.channel(), tombstone, context.epochs), context);
          });
    }
    return channel_;
  }

  DurableCore* const core_;
  const bool skip_damaged_;
  Cursor cursor_;
  std::atomic<bool> cancelled_{false};
  absl::Mutex channel_mu_;
  std::shared_ptr<DurableChannel> channel_ ABSL_GUARDED_BY(channel_mu_);

  // Where the last read from a segment has ended.
  std::weak_ptr<SegmentReader> last_segment_;
  std::uint64_t segment_first_ = 0;
  SegmentReader::Place in_segment_;
  std::shared_ptr<SegmentReader> segment_;  // during a read
};

std::optional<absl::StatusOr<ReadResult>> Place::Read(const ReadBounds& bounds,
                                                      bool may_block) {
  return cursor_.Read([&] { return FindStart(may_block); },
                      [&](std::uint64_t next, ReadResult* result) {
                        return ReadFrom(next, bounds, may_block, result);
                      });
}

std::optional<absl::StatusOr<Origin>> Place::FindStart(bool may_block) {
  const std::shared_ptr<DurableChannel> channel = Channel();
  if (channel == nullptr) return cursor_.StartOfNothing(core_->context);
  std::optional<SegmentInfo> info;
  absl::StatusOr<Origin> origin =
      channel->Resolve(cursor_.start(), cursor_.strict(), &info);
  if (!info) return origin;
  if (!may_block) return std::nullopt;
  const auto reader = core_->OpenSegment(*channel, *info);
  absl::StatusOr<std::uint64_t> sequence =
      reader.ok() ? (*reader)->FindTime(cursor_.start().time, *info)
                  : reader.status();
  if (!sequence.ok()) {
    core_->NoteUnreadable(cursor_.channel(), sequence.status());
  }
  // All of it is damaged: any of its messages may be wanted.
  if (absl::IsDataLoss(sequence.status())) sequence = info->first_sequence;
  if (!sequence.ok()) return sequence.status();
  return channel->ResolveTime(cursor_.start(), cursor_.strict(), *sequence);
}

std::optional<absl::Status> Place::ReadFrom(std::uint64_t next,
                                            const ReadBounds& bounds,
                                            bool may_block,
                                            ReadResult* result) {
  const std::shared_ptr<DurableChannel> channel = Channel();
  if (channel == nullptr) return absl::OkStatus();
  const std::optional<SegmentInfo> info = channel->Read(next, bounds, result);
  if (!info) {
    if (result->count > 0) Count(core_->counters.memory_reads);
    return absl::OkStatus();
  }
  if (!may_block) return std::nullopt;
  return ReadSegment(*channel, *info, bounds, result);
}

absl::Status Place::ReadSegment(DurableChannel& channel,
                                const SegmentInfo& info,
                                const ReadBounds& bounds, ReadResult* result) {
  const std::uint64_t first = result->next_sequence;
  // No file stays open between reads.
  const absl::Cleanup close = [this] { segment_.reset(); };
  absl::Status s = FindInSegment(channel, info, first);
  // Without a header, nothing in the segment can be trusted.
  std::uint64_t resumed = info.end_sequence;
  if (s.ok()) {
    auto entries = segment_->Read(&in_segment_, bounds, info);
    if (entries.ok()) {
      result->count = entries->count;
      result->entries.push_back(std::move(entries->bytes));
      Count(core_->counters.segment_reads);
      return absl::OkStatus();
    }
    s = entries.status();
    if (absl::IsDataLoss(s) && skip_damaged_) {
      absl::Status skipped = segment_->SkipDamage(&in_segment_, info);
      if (!skipped.ok()) return skipped;
      resumed = in_segment_.sequence;
    }
  }
  if (absl::IsDataLoss(s)) Count(core_->counters.damaged_reads);
  core_->NoteUnreadable(cursor_.channel(), s);
  if (!absl::IsDataLoss(s) || !skip_damaged_) {
    return {s.code(),
            fmt::format("channel \"{}\": {}", cursor_.channel(), MessageOf(s))};
  }
  result->gap =
      Gap{.first_missing = result->gap ? result->gap->first_missing : first,
          .next = resumed,
          .reason = Gap::Reason::kDamaged};
  result->next_sequence = resumed;
  return absl::OkStatus();
}

absl::Status Place::FindInSegment(DurableChannel& channel,
                                  const SegmentInfo& info,
                                  std::uint64_t sequence) {
  if (segment_first_ == info.first_sequence &&
      in_segment_.sequence == sequence) {
    segment_ = last_segment_.lock();
    if (segment_ != nullptr) return absl::OkStatus();
  }
  auto opened = core_->OpenSegment(channel, info);
  if (!opened.ok()) return opened.status();
  segment_ = *std::move(opened);
  last_segment_ = segment_;
  segment_first_ = info.first_sequence;
  const auto found = segment_->Find(sequence, info);
  if (!found.ok()) return found.status();
  in_segment_ = *found;
  return absl::OkStatus();
}

class DurableReader final : public LogReader {
 public:
  DurableReader(ReadThreads* threads, std::shared_ptr<Place> place)
      : threads_(threads), place_(std::move(place)) {}

  std::optional<absl::StatusOr<ReadResult>> Read(const ReadBounds& bounds,
                                                 ReadDone done) override {
    auto result = place_->ReadMemory(bounds);
    if (result) return result;
    threads_->io.Post([threads = threads_, place = place_, bounds,
                       done = std::move(done)]() mutable {
      threads->completions.Post(
          [read = place->ReadSegments(bounds),
           done = std::move(done)]() mutable { done(std::move(read)); });
    });
    return std::nullopt;
  }

  void Cancel() override { place_->Cancel(); }
  bool Behind() const override { return place_->Behind(); }

 private:
  ReadThreads* const threads_;
  const std::shared_ptr<Place> place_;
};

}  // namespace

std::unique_ptr<LogReader> OpenDurableReader(
    DurableCore* core, ReadThreads* threads, std::string_view channel,
    const Start& start, MessageLog::ReaderOptions options) {
  return std::make_unique<DurableReader>(
      threads, std::make_shared<Place>(core, channel, start, options));
}

}  // namespace messenger
