#include "log/durable/durable_channel.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/status.h"
#include "log/durable/retention.h"
#include "wire/entry.h"

namespace messenger {
namespace {

std::uint64_t EntryBytes(const SegmentInfo& segment) {
  return segment.size - kSegmentHeaderSize;
}

}  // namespace

DurableChannel::DurableChannel(std::string name, const ChannelContext& context)
    : DurableChannel(ChannelState{.name = std::move(name)}, context) {}

DurableChannel::DurableChannel(ChannelState state,
                               const ChannelContext& context)
    : name_(std::move(state.name)),
      context_(context),
      writer_(context,
              {.head = state.head,
               .deleted_head = state.deleted_head,
               .last_time = state.last_time},
              std::move(state.producers)),
      head_(state.head),
      first_sequence_(state.first_sequence),
      deleted_head_(state.deleted_head),
      last_dropped_time_(state.last_dropped_time),
      segments_(std::move(state.segments)),
      epoch_heads_(std::move(state.epoch_heads)) {
  for (const SegmentInfo& segment : segments_) {
    segment_bytes_ += EntryBytes(segment);
  }
}

// ---------------------------------------------------------------------------
// Reading

absl::StatusOr<Origin> DurableChannel::Resolve(
    const Start& start, bool strict, std::optional<SegmentInfo>* segment) {
  Dropped dropped;
  absl::MutexLock lock(&mu_);
  ApplyRetention(&dropped);
  std::uint64_t found = 0;
  if (start.kind == Start::Kind::kTime) {
    if (last_dropped_time_ && *last_dropped_time_ >= start.time) {
      // If the newest of the dropped messages is wanted, so may be any other.
      found = 1;
    } else {
      const auto it = std::partition_point(
          segments_.begin(), segments_.end(),
          [&](const SegmentInfo& s) { return s.last_time < start.time; });
      if (it != segments_.end()) {
        *segment = *it;
        return Origin();
      }
      found = queue_.empty() ? head_.load(std::memory_order_relaxed) + 1
                             : queue_.FindTime(start.time);
    }
  }
  return ResolveStart(start, strict, extent(), found);
}

absl::StatusOr<Origin> DurableChannel::ResolveTime(const Start& start,
                                                   bool strict,
                                                   std::uint64_t found) {
  absl::MutexLock lock(&mu_);
  return ResolveStart(start, strict, extent(), found);
}

std::optional<SegmentInfo> DurableChannel::Read(std::uint64_t next,
                                                const ReadBounds& bounds,
                                                ReadResult* result) {
  Dropped dropped;
  absl::MutexLock lock(&mu_);
  ApplyRetention(&dropped);
  const ChannelExtent extent = this->extent();
  result->head = extent.head;
  if (std::optional<Gap> gap = extent.GapBefore(next)) {
    result->gap = gap;
    next = gap->next;
  }
  result->next_sequence = next;
  const std::uint64_t last = std::min(result->head, bounds.last_sequence);
  if (next > last) return std::nullopt;
  if (InMemory(next)) {
    queue_.Read(last, bounds, result);
    return std::nullopt;
  }
  if (const SegmentInfo* segment = FindSegment(next)) return *segment;
  // Between segments: what was there was damaged, and is gone.
  const auto after = std::partition_point(
      segments_.begin(), segments_.end(),
      [next](const SegmentInfo& s) { return s.end_sequence <= next; });
  const std::uint64_t resumed = after != segments_.end() ? after->first_sequence
                                : queue_.empty()         ? result->head + 1
                                                 : queue_.first_sequence();
  result->gap =
      Gap{.first_missing = result->gap ? result->gap->first_missing : next,
          .next = resumed,
          .reason = Gap::Reason::kDamaged};
  result->next_sequence = resumed;
  return std::nullopt;
}

bool DurableChannel::HasSegment(std::uint64_t first_sequence) {
  absl::MutexLock lock(&mu_);
  const SegmentInfo* const found = FindSegment(first_sequence);
  return found != nullptr && found->first_sequence == first_sequence;
}

std::optional<ChannelInfo> DurableChannel::Info() {
  Dropped dropped;
  absl::MutexLock lock(&mu_);
  ApplyRetention(&dropped);
  const ChannelExtent extent = this->extent();
  if (extent.head == extent.deleted_head) return std::nullopt;
  return ChannelInfo{.name = name_,
                     .epoch = context_.epoch(),
                     .first_sequence = extent.first_sequence,
                     .head = extent.head,
                     .bytes = bytes()};
}

ChannelExtent DurableChannel::extent() const {
  return {.name = name_,
          .epoch = context_.epoch(),
          .first_sequence = first_sequence_,
          .head = head_.load(std::memory_order_relaxed),
          .deleted_head = deleted_head_,
          .past_epochs = {.epochs = context_.epochs, .heads = epoch_heads_}};
}

const SegmentInfo* DurableChannel::FindSegment(std::uint64_t sequence) const {
  const auto it = std::partition_point(
      segments_.begin(), segments_.end(),
      [sequence](const SegmentInfo& s) { return s.end_sequence <= sequence; });
  return it == segments_.end() || it->first_sequence > sequence ? nullptr
                                                                : &*it;
}

bool DurableChannel::InMemory(std::uint64_t sequence) const {
  return !queue_.empty() && queue_.first_sequence() <= sequence;
}

std::uint64_t DurableChannel::unflushed_begin() const {
  return segments_.empty() ? first_sequence_ : segments_.back().end_sequence;
}

std::uint64_t DurableChannel::bytes() const {
  return segment_bytes_ + queue_.bytes() - cached_bytes_;
}

// ---------------------------------------------------------------------------
// Retention

void DurableChannel::ApplyRetention(Dropped* dropped) {
  const RetentionOptions& retention = context_.options.retention;
  while (unit_count() > 1 && IsExcess(retention, bytes())) {
    DropOldest(dropped);
  }
  if (retention.max_age.count() == 0) return;
  const auto now = context_.clock.steady_now();
  while (!(segments_.empty() && queue_.empty()) &&
         IsExpired(retention,
                   segments_.empty() ? queue_.front().last_write
                                     : segments_.front().last_write,
                   now)) {
    DropOldest(dropped);
  }
}

std::size_t DurableChannel::unit_count() const {
  return segments_.size() +
         (queue_.bytes() > cached_bytes_ ? queue_.run_count() : 0);
}

void DurableChannel::DropOldest(Dropped* dropped) {
  if (segments_.empty()) {
    last_dropped_time_ = queue_.front().last_time;
    PopQueue(dropped);
  } else {
    const SegmentInfo oldest = segments_.front();
    last_dropped_time_ = oldest.last_time;
    segments_.erase(segments_.begin());
    segment_bytes_ -= EntryBytes(oldest) - std::exchange(front_dropped_, 0);
    dropped_segments_.push_back(oldest.first_sequence);
    while (!queue_.empty() && queue_.first_sequence() < oldest.end_sequence) {
      cached_bytes_ -= queue_.front().size();
      PopQueue(dropped);
    }
  }
  first_sequence_ = !segments_.empty() ? segments_.front().first_sequence
                    : !queue_.empty()
                        ? queue_.first_sequence()
                        : head_.load(std::memory_order_relaxed) + 1;
}

void DurableChannel::PopQueue(Dropped* dropped) {
  dropped->push_back(queue_.Pop());
}

void DurableChannel::Evict(std::uint64_t end) {
  Dropped dropped;
  absl::MutexLock lock(&mu_);
  end = std::min(end, unflushed_begin());
  while (!queue_.empty() && !segments_.empty() &&
         queue_.front().end_sequence() <= end) {
    cached_bytes_ -= queue_.front().size();
    PopQueue(&dropped);
  }
}

std::vector<std::uint64_t> DurableChannel::TakeDroppedSegments() {
  absl::MutexLock lock(&mu_);
  return std::exchange(dropped_segments_, {});
}

bool DurableChannel::HasDroppedSegments() {
  absl::MutexLock lock(&mu_);
  return !dropped_segments_.empty();
}

// ---------------------------------------------------------------------------
// Appending

absl::StatusOr<ChannelWriter::Prepared> DurableChannel::Prepare(
    const AppendBatch& batch, ReadMessage in_segment,
    ChannelWriter::MayStore may_store) {
  return writer_.Prepare(
      batch,
      [&](std::uint64_t sequence) { return FindMessage(sequence, in_segment); },
      [](std::size_t) { return false; }, may_store);
}

absl::StatusOr<LogBytes> DurableChannel::FindMessage(std::uint64_t sequence,
                                                     ReadMessage in_segment) {
  std::optional<SegmentInfo> segment;
  {
    absl::MutexLock lock(&mu_);
    if (sequence < first_sequence_) return LogBytes();
    if (InMemory(sequence)) return queue_.FindMessage(sequence);
    if (const SegmentInfo* found = FindSegment(sequence)) segment = *found;
  }
  if (!segment) return LogBytes();
  return in_segment(*segment, sequence);
}

std::uint64_t DurableChannel::PrepareDeletion() {
  writer_.PrepareDeletion(context_.clock.steady_now());
  return place().head;
}

bool DurableChannel::Publish() {
  std::vector<EntryRun> runs = writer_.Commit();
  Dropped dropped;
  absl::MutexLock lock(&mu_);
  if (place().deleted_head != deleted_head_) PublishDeletion(&dropped);
  for (EntryRun& run : runs) queue_.Push(std::move(run));
  head_.store(place().head, std::memory_order_release);
  ApplyRetention(&dropped);
  return !runs.empty();
}

void DurableChannel::PublishDeletion(Dropped* dropped) {
  deleted_head_ = place().deleted_head;
  ++deletions_;
  last_dropped_time_ = place().last_time;
  for (const SegmentInfo& segment : segments_) {
    dropped_segments_.push_back(segment.first_sequence);
  }
  segments_.clear();
  segment_bytes_ = 0;
  front_dropped_ = 0;
  while (!queue_.empty()) PopQueue(dropped);
  cached_bytes_ = 0;
  first_sequence_ = deleted_head_ + 1;
}

// ---------------------------------------------------------------------------
// Recovery

absl::Status DurableChannel::Replay(std::uint64_t first_sequence,
                                    std::string_view entries,
                                    EntryRun::SteadyTime written) {
  absl::StatusOr<std::vector<EntryRun>> copies =
      writer_.Replay(first_sequence, entries, written);
  if (!copies.ok()) {
    return {copies.status().code(), fmt::format("channel \"{}\": {}", name_,
                                                MessageOf(copies.status()))};
  }
  PushCopies(*std::move(copies));
  return absl::OkStatus();
}

absl::Status DurableChannel::RestoreCarried(std::uint64_t first_sequence,
                                            std::string_view entries,
                                            EntryRun::SteadyTime written) {
  std::uint64_t expected = first_sequence;
  wire::EntryReader reader(entries);
  bool follows = false;
  {
    absl::MutexLock lock(&mu_);
    follows = (segments_.empty() ||
               first_sequence >= segments_.back().end_sequence) &&
              (queue_.empty() || first_sequence == queue_.end_sequence());
  }
  while (follows && reader.Next()) {
    follows = wire::VerifiedSequence(reader.message()) == expected;
    ++expected;
  }
  if (!follows || expected == first_sequence || expected - 1 > place().head) {
    return absl::DataLossError(fmt::format(
        "channel \"{}\": message {}, which was carried over, does not fit",
        name_, expected - 1));
  }
  absl::StatusOr<std::vector<EntryRun>> copies =
      writer_.Copy(first_sequence, entries, written);
  if (!copies.ok()) return copies.status();
  PushCopies(*std::move(copies));
  return absl::OkStatus();
}

void DurableChannel::PushCopies(std::vector<EntryRun> copies) {
  Dropped dropped;
  absl::MutexLock lock(&mu_);
  for (EntryRun& run : copies) queue_.Push(std::move(run));
  head_.store(place().head, std::memory_order_release);
  // What a checkpoint knew to be dropped was dropped.
  while (!queue_.empty() && queue_.front().end_sequence() <= first_sequence_) {
    PopQueue(&dropped);
  }
}

absl::Status DurableChannel::ReplayDeletion(std::uint64_t head,
                                            EntryRun::SteadyTime time) {
  Dropped dropped;
  absl::MutexLock lock(&mu_);
  if (head <= deleted_head_) return absl::OkStatus();
  if (head != place().head) {
    return absl::DataLossError(
        fmt::format("channel \"{}\": deleted at {}, with a head of {}", name_,
                    head, place().head));
  }
  writer_.PrepareDeletion(time);
  writer_.Commit();
  PublishDeletion(&dropped);
  return absl::OkStatus();
}

void DurableChannel::EndEpoch() {
  absl::MutexLock lock(&mu_);
  ForgetDropsOfLost();
  // An epoch that the channel was not there for ended with a head of 0.
  epoch_heads_.push_back(head_.load(std::memory_order_relaxed));
  if (epoch_heads_.size() >= ChannelContext::kMaxEpochs) {
    epoch_heads_.erase(epoch_heads_.begin());
  }
}

bool DurableChannel::ForgetDropsOfLost() {
  const std::uint64_t end = head_.load(std::memory_order_relaxed) + 1;
  if (first_sequence_ <= end) return false;
  first_sequence_ = end;
  return true;
}

bool DurableChannel::EndRecovery() {
  absl::MutexLock lock(&mu_);
  // What was carried over stays a run of its own, as the checkpoint knows it.
  queue_.Seal();
  const bool lost = ForgetDropsOfLost();
  // Of a run, all or nothing is dropped.
  if (segments_.empty() && !queue_.empty()) {
    // After a repair there may be a hole before it.
    first_sequence_ = std::min(first_sequence_, queue_.first_sequence());
  }
  return lost;
}

// ---------------------------------------------------------------------------
// Checkpoints

ChannelState DurableChannel::BeginCheckpoint() {
  ChannelState state = {.name = name_,
                        .head = place().head,
                        .last_time = place().last_time,
                        .producers = writer_.SaveProducers()};
  absl::MutexLock lock(&mu_);
  queue_.Seal();
  return state;
}

DurableChannel::Flush DurableChannel::BeginFlush(std::uint64_t head) {
  Flush flush;
  absl::MutexLock lock(&mu_);
  flush.deletions = deletions_;
  if (!segments_.empty()) flush.last_segment = segments_.back();
  const std::uint64_t begin = unflushed_begin();
  for (const EntryRun& run : queue_.runs()) {
    if (run.first_sequence >= begin && run.end_sequence() - 1 <= head) {
      flush.runs.push_back(run);
    }
  }
  return flush;
}

void DurableChannel::EndFlush(const Flush& flush,
                              const std::vector<SegmentInfo>& segments) {
  Dropped dropped;
  absl::MutexLock lock(&mu_);
  for (const SegmentInfo& segment : segments) {
    if (flush.deletions != deletions_ ||
        segment.end_sequence <= first_sequence_) {
      // All of it was dropped meanwhile.
      dropped_segments_.push_back(segment.first_sequence);
      continue;
    }
    if (!segments_.empty() &&
        segments_.back().first_sequence == segment.first_sequence) {
      segment_bytes_ -= EntryBytes(segments_.back());
      segments_.back() = segment;
    } else {
      // It may be the one that goes on, and was dropped before it did.
      std::erase(dropped_segments_, segment.first_sequence);
      segments_.push_back(segment);
    }
    segment_bytes_ += EntryBytes(segment);
  }
  if (segments.empty() || flush.deletions != deletions_) return;
  std::uint64_t kept = 0;
  for (const EntryRun& run : flush.runs) {
    if (run.first_sequence >= first_sequence_) kept += run.size();
  }
  cached_bytes_ += kept;
  if (segments_.size() == 1 && segments_[0].first_sequence < first_sequence_) {
    front_dropped_ = EntryBytes(segments_[0]) - kept;
    segment_bytes_ = kept;
  }
  ApplyRetention(&dropped);
}

absl::Status DurableChannel::Compact(const Flush& flush, EntryWriter* writer) {
  std::vector<std::vector<EntryRun>> copies;
  for (const EntryRun& run : flush.runs) {
    auto copy = writer->Copy(run.bytes(), run.first_sequence, run.last_write);
    if (!copy.ok()) return copy.status();
    copies.push_back(*std::move(copy));
  }
  absl::MutexLock lock(&mu_);
  // Freed after the lock.
  for (std::vector<EntryRun>& copy : copies) {
    copy = queue_.Replace(std::move(copy));
  }
  return absl::OkStatus();
}

void DurableChannel::Sweep() {
  Dropped dropped;
  absl::MutexLock lock(&mu_);
  ApplyRetention(&dropped);
}

void DurableChannel::TakeDropped(ChannelState* state) {
  absl::MutexLock lock(&mu_);
  std::erase_if(state->segments, [&](const SegmentInfo& segment) {
    mu_.AssertHeld();
    const SegmentInfo* const found = FindSegment(segment.first_sequence);
    return found == nullptr || found->first_sequence != segment.first_sequence;
  });
  state->first_sequence = std::max(state->first_sequence, first_sequence_);
  state->deleted_head = std::min(deleted_head_, state->head);
  state->last_dropped_time = last_dropped_time_;
}

void DurableChannel::CompleteCheckpoint(ChannelState* state) {
  absl::MutexLock lock(&mu_);
  state->first_sequence = first_sequence_;
  // It may have been deleted again since; that is in the journal.
  state->deleted_head = std::min(deleted_head_, state->head);
  state->last_dropped_time = last_dropped_time_;
  state->segments = segments_;
  state->epoch_heads = epoch_heads_;
}

}  // namespace messenger
