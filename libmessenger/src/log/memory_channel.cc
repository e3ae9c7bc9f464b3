#include "log/memory_channel.h"

#include <algorithm>
#include <utility>

#include "base/narrow.h"
#include "log/duplicates.h"

namespace messenger {
namespace {

// Of each channel, unless RetentionOptions says otherwise.
constexpr std::uint64_t kDefaultMaxBytes = std::uint64_t{1} << 30;

// Memory that its entries may take.
std::size_t MemoryFor(const AppendBatch& batch) {
  constexpr std::size_t kOverhead = 64;  // of an entry
  std::size_t bytes = 0;
  for (const wire::CanonicalMessage& message : batch.messages) {
    bytes += message.size() + kOverhead;
  }
  return bytes;
}

}  // namespace

MemoryChannel::MemoryChannel(std::string name, std::uint64_t epoch,
                             const LogOptions& options, const LogClock& clock,
                             std::shared_ptr<MemoryBudget> budget)
    : name_(std::move(name)),
      epoch_(epoch),
      retention_(options.retention),
      clock_(clock),
      producers_({.max_producers = options.max_producers_per_channel,
                  .idle_timeout = options.producer_idle_timeout}),
      writer_(options.retention, std::move(budget)) {}

MemoryChannel::MemoryChannel(std::string name, std::uint64_t epoch,
                             const LogOptions& options, const LogClock& clock,
                             std::shared_ptr<MemoryBudget> budget,
                             const Tombstone& tombstone)
    : MemoryChannel(std::move(name), epoch, options, clock, std::move(budget)) {
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
  // Retention need not wait until there is more than it keeps.
  if (!runs.ok() && MakeRoom(writer_.max_chunk() + MemoryFor(batch))) {
    runs = writer_.Write(batch, repeated, first, time, now);
  }
  if (!runs.ok()) return runs.status();

  const std::size_t count = batch.messages.size() - repeated;
  receipts.push_back({.epoch = epoch_,
                      .first_sequence = first,
                      .count = Narrow<std::uint32_t>(count),
                      .send_time = time});
  std::optional<ProducerRun> sent;
  if (batch.producer_id) {
    sent = {.producer_sequence = batch.first_producer_sequence + repeated,
            .sequence = first,
            .count = count};
  }
  last_time_ = time;
  Publish(*std::move(runs), batch.producer_id, sent, now);
  *advanced = true;
  return receipts;
}

bool MemoryChannel::MakeRoom(std::size_t bytes) {
  Dropped dropped;
  absl::MutexLock lock(&mu_);
  DropExpired(&dropped);
  DropExcess(bytes, &dropped);
  return !dropped.empty();
}

void MemoryChannel::Publish(std::vector<EntryRun> runs,
                            const std::optional<ProducerId>& producer,
                            const std::optional<ProducerRun>& sent,
                            SteadyTime now) noexcept {
  if (producer && sent) producers_.Record(*producer, *sent, now);
  Dropped dropped;
  absl::MutexLock lock(&mu_);
  for (EntryRun& run : runs) {
    head_.store(run.end_sequence() - 1, std::memory_order_release);
    entries_.Push(std::move(run));
  }
  DropExpired(&dropped);
  DropExcess(0, &dropped);
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

void MemoryChannel::DropExcess(std::size_t bytes, Dropped* dropped) {
  const std::uint64_t max_bytes =
      retention_.max_bytes.value_or(kDefaultMaxBytes);
  while (entries_.memory() + bytes > max_bytes && entries_.run_count() > 1) {
    DropFront(dropped);
  }
}

void MemoryChannel::DropFront(Dropped* dropped) {
  last_dropped_time_ = entries_.front().last_time;
  dropped->push_back(entries_.Pop());
}

}  // namespace messenger
