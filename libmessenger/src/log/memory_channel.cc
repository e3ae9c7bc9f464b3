#include "log/memory_channel.h"

#include <algorithm>
#include <utility>

#include "log/duplicates.h"

namespace messenger {
namespace {

// Of each channel, unless RetentionOptions says otherwise.
constexpr std::uint64_t kDefaultMaxBytes = std::uint64_t{1} << 30;

}  // namespace

MemoryChannel::MemoryChannel(std::string name, std::uint64_t epoch,
                             const LogOptions& options, const LogClock& clock)
    : name_(std::move(name)),
      epoch_(epoch),
      retention_(options.retention),
      clock_(clock),
      producers_({.max_producers = options.max_producers_per_channel,
                  .idle_timeout = options.producer_idle_timeout}),
      writer_(options.retention) {}

MemoryChannel::MemoryChannel(std::string name, std::uint64_t epoch,
                             const LogOptions& options, const LogClock& clock,
                             const Tombstone& tombstone)
    : MemoryChannel(std::move(name), epoch, options, clock) {
  last_time_ = tombstone.last_time;
  last_dropped_time_ = tombstone.last_time;
  head_ = tombstone.head;
  deleted_head_ = tombstone.head;
  for (ProducerTable::Snapshot& producer : tombstone.ProducerSnapshots()) {
    producers_.Restore(std::move(producer));
  }
}

std::optional<AppendResult> MemoryChannel::Append(const AppendBatch& batch,
                                                  bool* advanced) {
  *advanced = false;
  absl::MutexLock lock(&append_mu_);
  if (retired()) return std::nullopt;
  return Store(batch, advanced);
}

AppendResult MemoryChannel::Store(const AppendBatch& batch, bool* advanced) {
  AppendResult::value_type receipts;
  std::size_t repeated = 0;
  if (batch.producer_id) {
    absl::StatusOr<ProducerTable::Stored> stored =
        producers_.Find(*batch.producer_id, batch.first_producer_sequence,
                        batch.messages.size());
    if (!stored.ok()) return stored.status();
    AppendResult duplicates = ReceiptsOfDuplicates(
        batch, *stored, epoch_,
        [this](std::uint64_t sequence) { return FindMessage(sequence); });
    if (!duplicates.ok()) return duplicates.status();
    receipts = *std::move(duplicates);
    for (const wire::ReceiptRun& run : receipts) repeated += run.count;
  }
  if (repeated == batch.messages.size()) return receipts;

  const Timestamp time = std::max(clock_.now(), last_time_);
  const std::uint64_t first = head() + 1;
  const SteadyTime now = clock_.steady_now();
  absl::StatusOr<std::vector<EntryRun>> runs =
      writer_.Write(batch, repeated, first, time, now);
  if (!runs.ok()) return runs.status();

  const std::size_t count = batch.messages.size() - repeated;
  last_time_ = time;
  Publish(*std::move(runs));
  if (batch.producer_id) {
    producers_.Record(
        *batch.producer_id,
        {.producer_sequence = batch.first_producer_sequence + repeated,
         .sequence = first,
         .count = count},
        now);
  }
  receipts.push_back({.epoch = epoch_,
                      .first_sequence = first,
                      .count = static_cast<std::uint32_t>(count),
                      .send_time = time});
  *advanced = true;
  return receipts;
}

void MemoryChannel::Publish(std::vector<EntryRun> runs) {
  Dropped dropped;
  absl::MutexLock lock(&mu_);
  for (EntryRun& run : runs) {
    head_.store(run.end_sequence() - 1, std::memory_order_release);
    entries_.Push(std::move(run));
  }
  DropExpired(&dropped);
  DropExcess(&dropped);
}

absl::StatusOr<Origin> MemoryChannel::Resolve(const Start& start, bool strict) {
  Dropped dropped;
  absl::MutexLock lock(&mu_);
  DropExpired(&dropped);
  const std::uint64_t sent_since =
      start.kind == Start::Kind::kTime ? FindTime(start.time) : 0;
  return ResolveStart(start, strict, extent(), sent_since);
}

void MemoryChannel::Read(std::uint64_t next, const ReadBounds& bounds,
                         ReadResult* result) {
  Dropped dropped;
  absl::MutexLock lock(&mu_);
  DropExpired(&dropped);
  const ChannelExtent extent = this->extent();
  result->head = extent.head;
  if (std::optional<Gap> gap = extent.GapBefore(next)) {
    result->gap = gap;
    next = gap->next;
  }
  result->next_sequence = next;
  entries_.Read(std::min(result->head, bounds.last_sequence), bounds, result);
}

std::optional<ChannelInfo> MemoryChannel::Info() {
  Dropped dropped;
  absl::MutexLock lock(&mu_);
  DropExpired(&dropped);
  const ChannelExtent extent = this->extent();
  if (extent.head == extent.deleted_head) return std::nullopt;
  return ChannelInfo{.name = name_,
                     .epoch = epoch_,
                     .first_sequence = extent.first_sequence,
                     .head = extent.head,
                     .bytes = entries_.bytes()};
}

std::optional<Tombstone> MemoryChannel::Retire() {
  EntryQueue dropped;
  absl::MutexLock append_lock(&append_mu_);
  absl::MutexLock lock(&mu_);
  retired_.store(true, std::memory_order_release);
  const std::uint64_t head = head_.load(std::memory_order_relaxed);
  if (head == 0) return std::nullopt;
  deleted_head_ = head;
  std::swap(dropped, entries_);
  last_dropped_time_ = last_time_;
  producers_.ForgetStored(clock_.steady_now());
  Tombstone tombstone;
  tombstone.head = head;
  tombstone.epoch = epoch_;
  tombstone.last_time = last_time_;
  tombstone.SetProducers(producers_.Save());
  return tombstone;
}

LogBytes MemoryChannel::FindMessage(std::uint64_t sequence) {
  absl::MutexLock lock(&mu_);
  if (sequence < first_sequence() ||
      sequence > head_.load(std::memory_order_relaxed)) {
    return {};
  }
  return entries_.FindMessage(sequence);
}

std::uint64_t MemoryChannel::FindTime(Timestamp time) {
  // If the newest of the dropped messages is wanted, so may be any other one.
  if (last_dropped_time_ && *last_dropped_time_ >= time) return 1;
  return entries_.empty() ? first_sequence() : entries_.FindTime(time);
}

std::uint64_t MemoryChannel::first_sequence() const {
  return entries_.empty() ? head_.load(std::memory_order_relaxed) + 1
                          : entries_.first_sequence();
}

ChannelExtent MemoryChannel::extent() const {
  return {.name = name_,
          .epoch = epoch_,
          .first_sequence = first_sequence(),
          .head = head_.load(std::memory_order_relaxed),
          .deleted_head = deleted_head_};
}

void MemoryChannel::DropExpired(Dropped* dropped) {
  if (retention_.max_age.count() == 0 || entries_.empty()) return;
  const SteadyTime now = clock_.steady_now();
  while (!entries_.empty() &&
         now - entries_.front().last_write > retention_.max_age) {
    DropFront(dropped);
  }
}

void MemoryChannel::DropExcess(Dropped* dropped) {
  const std::uint64_t max_bytes =
      retention_.max_bytes.value_or(kDefaultMaxBytes);
  while (entries_.memory() > max_bytes && entries_.run_count() > 1) {
    DropFront(dropped);
  }
}

void MemoryChannel::DropFront(Dropped* dropped) {
  last_dropped_time_ = entries_.front().last_time;
  dropped->push_back(entries_.Pop());
}

}  // namespace messenger
