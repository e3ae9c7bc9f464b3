#include "log/memory_channel.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "wire/entry.h"
#include "wire/timestamp.h"

namespace messenger {
namespace {

constexpr std::size_t kMinChunk = std::size_t{4} << 10;
constexpr std::size_t kMaxChunk = std::size_t{256} << 10;

// Retention drops whole chunks, so a channel is made of several at least.
std::size_t MaxChunk(const RetentionOptions& retention) {
  return std::clamp<std::size_t>(retention.max_bytes / 8, kMinChunk, kMaxChunk);
}

}  // namespace

MemoryChannel::MemoryChannel(std::string name, std::uint64_t epoch,
                             const LogOptions& options, const LogClock& clock)
    : name_(std::move(name)),
      epoch_(epoch),
      retention_(options.retention),
      clock_(clock),
      producers_({.max_producers = options.max_producers_per_channel,
                  .idle_timeout = options.producer_idle_timeout}) {}

AppendResult MemoryChannel::Append(const AppendBatch& batch, bool* advanced) {
  *advanced = false;
  absl::MutexLock lock(&append_mu_);
  AppendResult::value_type receipts;
  std::size_t repeated = 0;
  if (batch.producer_id) {
    absl::StatusOr<ProducerTable::Stored> stored =
        producers_.Find(*batch.producer_id, batch.first_producer_sequence,
                        batch.messages.size());
    if (!stored.ok()) return stored.status();
    if (absl::Status s = AddDuplicates(batch, *stored, &receipts); !s.ok()) {
      return s;
    }
    for (const wire::ReceiptRun& run : receipts) repeated += run.count;
  }
  if (repeated == batch.messages.size()) return receipts;

  const Timestamp time = std::max(clock_.now(), last_time_);
  absl::StatusOr<std::vector<Segment>> segments = Encode(batch, repeated, time);
  if (!segments.ok()) return segments.status();

  const std::uint64_t first = head() + 1;
  const std::size_t count = batch.messages.size() - repeated;
  last_time_ = time;
  Publish(*std::move(segments));
  if (batch.producer_id) {
    producers_.Record(
        *batch.producer_id,
        {.producer_sequence = batch.first_producer_sequence + repeated,
         .sequence = first,
         .count = count},
        clock_.steady_now());
  }
  receipts.push_back({.epoch = epoch_,
                      .first_sequence = first,
                      .count = static_cast<std::uint32_t>(count),
                      .send_time = time});
  *advanced = true;
  return receipts;
}

absl::Status MemoryChannel::AddDuplicates(const AppendBatch& batch,
                                          const ProducerTable::Stored& stored,
                                          AppendResult::value_type* receipts) {
  for (const ProducerRun& run : stored) {
    for (std::uint64_t i = 0; i < run.count; ++i) {
      const std::uint64_t producer_sequence = run.producer_sequence + i;
      const std::uint64_t sequence = run.sequence + i;
      std::shared_ptr<MemoryChunk> owner;
      const std::string_view message = FindMessage(sequence, &owner);
      if (message.empty()) {
        return absl::FailedPreconditionError(fmt::format(
            "producer sequence {}: was stored as {}, which is no longer there "
            "to compare with",
            producer_sequence, sequence));
      }
      const wire::StoredParts parts = wire::SplitMessage(message);
      if (parts.new_message !=
          batch.messages[producer_sequence - batch.first_producer_sequence]) {
        return absl::FailedPreconditionError(fmt::format(
            "producer sequence {}: was stored as {} with another content",
            producer_sequence, sequence));
      }
      if (!receipts->empty()) {
        wire::ReceiptRun& last = receipts->back();
        if (last.first_sequence + last.count == sequence &&
            last.send_time == parts.send_time) {
          ++last.count;
          continue;
        }
      }
      receipts->push_back({.epoch = epoch_,
                           .first_sequence = sequence,
                           .count = 1,
                           .send_time = parts.send_time,
                           .duplicate = true});
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<MemoryChannel::Segment>> MemoryChannel::Encode(
    const AppendBatch& batch, std::size_t skip, Timestamp time) {
  const wire::EncodedTimestamp encoded_time(time);
  const SteadyTime now = clock_.steady_now();
  std::uint64_t sequence = head() + 1;
  std::shared_ptr<MemoryChunk> chunk = open_chunk_;
  std::size_t used = open_used_;
  SteadyTime since = open_since_;
  // A chunk is dropped when its newest message is too old. Start another one in
  // time, so that a slow channel does not keep old messages for a new one.
  if (retention_.max_age.count() > 0 && now - since > retention_.max_age / 8) {
    chunk = nullptr;
  }
  std::vector<Segment> segments;
  const auto start_segment = [&] {
    segments.push_back({.chunk = chunk,
                        .first_sequence = sequence,
                        .offsets = {static_cast<std::uint32_t>(used)},
                        .last_time = time,
                        .last_write = now});
  };
  for (std::size_t i = skip; i < batch.messages.size(); ++i) {
    const wire::EntryParts parts = {
        .sequence = sequence,
        .encoded_time = encoded_time.bytes(),
        .new_message = batch.messages[i],
        .producer_id = batch.producer_id ? &*batch.producer_id : nullptr,
        .producer_sequence = batch.first_producer_sequence + i};
    const std::size_t message_size = wire::MessageSize(parts);
    const std::size_t entry_size = wire::EntrySize(message_size);
    if (!chunk || chunk->capacity() - used < entry_size) {
      const std::size_t grown = chunk ? chunk->capacity() * 2 : kMinChunk;
      chunk = MemoryChunk::Allocate(
          std::max(std::min(grown, MaxChunk(retention_)), entry_size));
      if (!chunk) {
        return absl::ResourceExhaustedError(fmt::format(
            "the server has no memory for a message of {} bytes", entry_size));
      }
      used = 0;
      since = now;
      start_segment();
    } else if (segments.empty()) {
      start_segment();
    }
    wire::PutEntry(chunk->data() + used, parts, message_size);
    used += entry_size;
    segments.back().offsets.push_back(static_cast<std::uint32_t>(used));
    ++sequence;
  }
  open_chunk_ = std::move(chunk);
  open_used_ = used;
  open_since_ = since;
  return segments;
}

void MemoryChannel::Publish(std::vector<Segment> segments) {
  Dropped dropped;
  absl::MutexLock lock(&mu_);
  for (Segment& segment : segments) {
    head_.store(segment.end_sequence() - 1, std::memory_order_release);
    bytes_ += segment.bytes();
    Segment* last = segments_.empty() ? nullptr : &segments_.back();
    if (last != nullptr && last->chunk == segment.chunk) {
      last->offsets.insert(last->offsets.end(), segment.offsets.begin() + 1,
                           segment.offsets.end());
      last->last_time = segment.last_time;
      last->last_write = segment.last_write;
    } else {
      memory_ += segment.chunk->capacity();
      segments_.push_back(std::move(segment));
    }
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
  const std::uint64_t last = std::min(result->head, bounds.last_sequence);
  if (next > last) return;
  std::uint64_t wanted = std::min(last - next + 1, bounds.max_count);
  std::size_t room = bounds.max_bytes;
  for (auto segment = FindSegment(next); wanted > 0; ++segment) {
    const std::uint64_t from = next - segment->first_sequence;
    const std::uint64_t available = std::min(wanted, segment->count() - from);
    const auto begin =
        segment->offsets.begin() + static_cast<std::ptrdiff_t>(from);
    const std::uint64_t limit = *begin + std::uint64_t{room};
    const auto end = std::upper_bound(
        begin + 1, begin + 1 + static_cast<std::ptrdiff_t>(available), limit);
    auto taken = static_cast<std::uint64_t>(end - begin - 1);
    if (taken == 0) {
      if (result->count > 0) break;
      taken = 1;
    }
    const std::string_view bytes = segment->Entries(from, from + taken);
    result->entries.push_back({segment->chunk, bytes});
    result->count += taken;
    next += taken;
    wanted -= taken;
    room -= std::min(room, bytes.size());
    if (taken < available) break;
  }
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
                     .bytes = bytes_};
}

bool MemoryChannel::Delete() {
  Segments dropped;
  absl::MutexLock append_lock(&append_mu_);
  absl::MutexLock lock(&mu_);
  const std::uint64_t head = head_.load(std::memory_order_relaxed);
  if (head == deleted_head_) return false;
  deleted_head_ = head;
  dropped.swap(segments_);
  memory_ = 0;
  bytes_ = 0;
  last_dropped_time_ = last_time_;
  open_chunk_.reset();
  open_used_ = 0;
  producers_.ForgetStored(clock_.steady_now());
  return true;
}

std::string_view MemoryChannel::FindMessage(
    std::uint64_t sequence, std::shared_ptr<MemoryChunk>* owner) {
  absl::MutexLock lock(&mu_);
  if (sequence < first_sequence() ||
      sequence > head_.load(std::memory_order_relaxed)) {
    return {};
  }
  const auto segment = FindSegment(sequence);
  const std::uint64_t index = sequence - segment->first_sequence;
  *owner = segment->chunk;
  return wire::MessageOfEntry(segment->Entries(index, index + 1));
}

MemoryChannel::Segments::iterator MemoryChannel::FindSegment(
    std::uint64_t sequence) {
  // Most readers are near the head.
  if (segments_.back().first_sequence <= sequence) {
    return std::prev(segments_.end());
  }
  return std::prev(
      std::upper_bound(segments_.begin(), segments_.end(), sequence,
                       [](std::uint64_t s, const Segment& segment) {
                         return s < segment.first_sequence;
                       }));
}

std::uint64_t MemoryChannel::FindTime(Timestamp time) {
  // If the newest of the dropped messages is wanted, so may be any other one.
  if (last_dropped_time_ && *last_dropped_time_ >= time) return 1;
  const auto segment = std::partition_point(
      segments_.begin(), segments_.end(),
      [time](const Segment& s) { return s.last_time < time; });
  if (segment == segments_.end()) {
    return head_.load(std::memory_order_relaxed) + 1;
  }
  const auto sent_before = [&](std::uint32_t offset) {
    const std::string_view entries(segment->chunk->data() + offset,
                                   segment->offsets.back() - offset);
    return wire::SplitMessage(wire::MessageOfEntry(entries)).send_time < time;
  };
  const auto entry = std::partition_point(
      segment->offsets.begin(), std::prev(segment->offsets.end()), sent_before);
  return segment->first_sequence +
         static_cast<std::uint64_t>(entry - segment->offsets.begin());
}

std::uint64_t MemoryChannel::first_sequence() const {
  return segments_.empty() ? head_.load(std::memory_order_relaxed) + 1
                           : segments_.front().first_sequence;
}

ChannelExtent MemoryChannel::extent() const {
  return {.name = name_,
          .epoch = epoch_,
          .first_sequence = first_sequence(),
          .head = head_.load(std::memory_order_relaxed),
          .deleted_head = deleted_head_};
}

void MemoryChannel::DropExpired(Dropped* dropped) {
  if (retention_.max_age.count() == 0 || segments_.empty()) return;
  const SteadyTime now = clock_.steady_now();
  while (!segments_.empty() &&
         now - segments_.front().last_write > retention_.max_age) {
    DropFront(dropped);
  }
}

void MemoryChannel::DropExcess(Dropped* dropped) {
  while (memory_ > retention_.max_bytes && segments_.size() > 1) {
    DropFront(dropped);
  }
}

void MemoryChannel::DropFront(Dropped* dropped) {
  Segment& front = segments_.front();
  last_dropped_time_ = front.last_time;
  memory_ -= front.chunk->capacity();
  bytes_ -= front.bytes();
  dropped->push_back(std::move(front));
  segments_.pop_front();
}

}  // namespace messenger
