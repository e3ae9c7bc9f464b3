#include "log/memory_channel.h"

#include <algorithm>
#include <utility>

namespace messenger {
namespace {

// Of each channel, unless RetentionOptions says otherwise.
constexpr std::uint64_t kDefaultMaxBytes = std::uint64_t{1} << 30;

}  // namespace

MemoryChannel::MemoryChannel(std::string name, const ChannelContext& context,
                             std::shared_ptr<MemoryBudget> budget,
                             const Tombstone& tombstone)
    : name_(std::move(name)),
      context_(context),
      writer_(context,
              {.head = tombstone.head,
               .deleted_head = tombstone.head,
               .last_time = tombstone.last_time},
              tombstone.ProducerSnapshots(), std::move(budget)),
      head_(tombstone.head),
      deleted_head_(tombstone.head) {
  if (tombstone.head > 0) last_dropped_time_ = tombstone.last_time;
}

std::optional<AppendResult> MemoryChannel::Append(const AppendBatch& batch,
                                                  std::uint64_t* bytes) {
  *bytes = 0;
  absl::MutexLock lock(&append_mu_);
  if (retired()) return std::nullopt;
  absl::StatusOr<ChannelWriter::Prepared> prepared = writer_.Prepare(
      batch, [this](std::uint64_t sequence) { return FindMessage(sequence); },
      // Retention need not wait until there is more than it keeps.
      [this](std::size_t needed) { return MakeRoom(needed); });
  if (!prepared.ok()) return prepared.status();
  *bytes = prepared->bytes();
  if (*bytes > 0) Publish();
  return std::move(prepared->receipts);
}

bool MemoryChannel::MakeRoom(std::size_t bytes) {
  Dropped dropped;
  absl::MutexLock lock(&mu_);
  DropExpired(&dropped);
  DropExcess(bytes, &dropped);
  return !dropped.empty();
}

void MemoryChannel::Publish() noexcept {
  std::vector<EntryRun> runs = writer_.Commit();
  Dropped dropped;
  absl::MutexLock lock(&mu_);
  for (EntryRun& run : runs) entries_.Push(std::move(run));
  head_.store(writer_.place().head, std::memory_order_release);
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
                     .epoch = context_.epoch(),
                     .first_sequence = extent.first_sequence,
                     .head = extent.head,
                     .bytes = entries_.bytes()};
}

std::optional<Tombstone> MemoryChannel::Retire() {
  EntryQueue dropped;
  absl::MutexLock append_lock(&append_mu_);
  absl::MutexLock lock(&mu_);
  return RetireLocked(&dropped);
}

bool MemoryChannel::RetireIfEmpty(std::optional<Tombstone>* tombstone) {
  EntryQueue dropped;
  absl::MutexLock append_lock(&append_mu_);
  absl::MutexLock lock(&mu_);
  const ChannelExtent extent = this->extent();
  if (extent.head != extent.deleted_head) return false;
  *tombstone = RetireLocked(&dropped);
  return true;
}

std::optional<Tombstone> MemoryChannel::RetireLocked(EntryQueue* dropped) {
  retired_.store(true, std::memory_order_release);
  const ChannelWriter::Place& place = writer_.place();
  if (place.head == 0) return std::nullopt;
  writer_.PrepareDeletion(context_.clock.steady_now());
  writer_.Commit();
  deleted_head_ = place.head;
  std::swap(*dropped, entries_);
  last_dropped_time_ = place.last_time;
  Tombstone tombstone;
  tombstone.head = place.head;
  tombstone.epoch = context_.epoch();
  tombstone.last_time = place.last_time;
  tombstone.SetProducers(writer_.SaveProducers());
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
          .epoch = context_.epoch(),
          .first_sequence = first_sequence(),
          .head = head_.load(std::memory_order_relaxed),
          .deleted_head = deleted_head_};
}

void MemoryChannel::DropExpired(Dropped* dropped) {
  if (retention().max_age.count() == 0 || entries_.empty()) return;
  const auto now = context_.clock.steady_now();
  while (!entries_.empty() &&
         now - entries_.front().last_write > retention().max_age) {
    DropFront(dropped);
  }
}

void MemoryChannel::DropExcess(std::size_t bytes, Dropped* dropped) {
  const std::uint64_t max_bytes =
      retention().max_bytes.value_or(kDefaultMaxBytes);
  while (entries_.memory() + bytes > max_bytes && entries_.run_count() > 1) {
    DropFront(dropped);
  }
}

void MemoryChannel::DropFront(Dropped* dropped) {
  last_dropped_time_ = entries_.front().last_time;
  dropped->push_back(entries_.Pop());
}

}  // namespace messenger
