#include "log/entry_queue.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>
#include <utility>

#include "base/narrow.h"
#include "base/out_of_memory.h"
#include "base/reason.h"
#include "log/log_clock.h"
#include "wire/entry.h"
#include "wire/timestamp.h"

namespace messenger {
namespace {

constexpr std::size_t kMinChunk = std::size_t{4} << 10;
constexpr std::size_t kMaxChunk = std::size_t{256} << 10;

Timestamp SendTimeOf(std::string_view entries) {
  return wire::SplitMessage(wire::MessageOfEntry(entries)).send_time;
}

}  // namespace

// Retention drops whole chunks, so a channel is made of several at least; and a
// chunk is dropped when its newest message is too old, so a slow channel starts
// another one in time.
EntryWriter::EntryWriter(const RetentionOptions& retention,
                         std::shared_ptr<MemoryBudget> budget)
    : limits_{.max_chunk = std::clamp<std::size_t>(
                  retention.max_bytes.value_or(UINT64_MAX) / 8, kMinChunk,
                  kMaxChunk),
              .max_chunk_age = retention.max_age / 8},
      budget_(std::move(budget)) {}

// Entries that are being written. Until Finish, the writer is as it was.
class EntryWriter::Session {
 public:
  Session(EntryWriter* writer, SteadyTime now)
      : writer_(writer),
        now_(now),
        chunk_(writer->place_.chunk.lock()),
        used_(writer->place_.used),
        since_(writer->place_.since) {
    if (writer->limits_.max_chunk_age.count() > 0 &&
        Elapsed(since_, now) > writer->limits_.max_chunk_age) {
      chunk_ = nullptr;
    }
  }

  // Room for the entry of the message with this sequence; null if there is no
  // memory.
  char* Add(std::uint64_t sequence, std::size_t entry_size) {
    // Offsets in a chunk have 32 bits.
    if (!TryNarrow<std::uint32_t>(entry_size)) return nullptr;
    if (!chunk_ || chunk_->capacity() - used_ < entry_size) {
      const std::size_t grown = chunk_ ? chunk_->capacity() * 2 : kMinChunk;
      const std::size_t wanted =
          std::max(std::min(grown, writer_->limits_.max_chunk), entry_size);
      const std::size_t least = std::max(kMinChunk, entry_size);
      chunk_ = MemoryChunk::Allocate(wanted, writer_->budget_);
      // When little is left, all of it can be used.
      if (!chunk_ && least < wanted) {
        chunk_ = MemoryChunk::Allocate(least, writer_->budget_);
      }
      if (!chunk_) return nullptr;
      used_ = 0;
      since_ = now_;
      StartRun(sequence);
    } else if (runs_.empty()) {
      StartRun(sequence);
    }
    char* const at = chunk_->data() + used_;
    used_ += entry_size;
    runs_.back().offsets.push_back(Narrow<std::uint32_t>(used_));
    return at;
  }

  // The entry for which there was room last was sent at `time`.
  void SetTime(Timestamp time) { runs_.back().last_time = time; }

  std::vector<EntryRun> Finish() {
    writer_->place_ = {.chunk = chunk_, .used = used_, .since = since_};
    return std::move(runs_);
  }

 private:
  void StartRun(std::uint64_t sequence) {
    runs_.push_back({.chunk = chunk_,
                     .first_sequence = sequence,
                     .offsets = {Narrow<std::uint32_t>(used_)},
                     .last_time = {},
                     .last_write = now_});
  }

  EntryWriter* const writer_;
  const SteadyTime now_;
  std::vector<EntryRun> runs_;
  std::shared_ptr<MemoryChunk> chunk_;
  std::size_t used_;
  SteadyTime since_;
};

absl::Status EntryWriter::NoMemory(std::size_t entry_size) const {
  if (budget_ &&
      budget_->max() - budget_->used() < std::max(kMinChunk, entry_size)) {
    return WithReason(
        absl::ResourceExhaustedError(
            fmt::format("the log has no room for a message of {} bytes: {} of "
                        "{} bytes of memory are used (memory.max_bytes)",
                        entry_size, budget_->used(), budget_->max())),
        reason::kStorageFull);
  }
  return absl::ResourceExhaustedError(fmt::format(
      "the server has no memory for a message of {} bytes", entry_size));
}

absl::StatusOr<std::vector<EntryRun>> EntryWriter::Write(
    const AppendBatch& batch, std::size_t skip, std::uint64_t sequence,
    Timestamp time, SteadyTime now) {
  return RefuseIfOutOfMemory(
      [&] { return WriteAll(batch, skip, sequence, time, now); });
}

absl::StatusOr<std::vector<EntryRun>> EntryWriter::Copy(
    std::string_view entries, std::uint64_t sequence, SteadyTime now) {
  return RefuseIfOutOfMemory([&] { return CopyAll(entries, sequence, now); });
}

absl::StatusOr<std::vector<EntryRun>> EntryWriter::WriteAll(
    const AppendBatch& batch, std::size_t skip, std::uint64_t sequence,
    Timestamp time, SteadyTime now) {
  const wire::EncodedTimestamp encoded_time(time);
  Session session(this, now);
  for (std::size_t i = skip; i < batch.messages.size(); ++i, ++sequence) {
    const wire::EntryParts parts = {
        .sequence = sequence,
        .encoded_time = encoded_time.bytes(),
        .new_message = batch.messages[i],
        .producer_id = batch.producer_id ? &*batch.producer_id : nullptr,
        .producer_sequence = batch.first_producer_sequence + i};
    const std::size_t message_size = wire::MessageSize(parts);
    const std::size_t entry_size = wire::EntrySize(message_size);
    char* const at = session.Add(sequence, entry_size);
    if (at == nullptr) return NoMemory(entry_size);
    session.SetTime(time);
    wire::PutEntry(at, parts, message_size);
  }
  return session.Finish();
}

absl::StatusOr<std::vector<EntryRun>> EntryWriter::CopyAll(
    std::string_view entries, std::uint64_t sequence, SteadyTime now) {
  Session session(this, now);
  wire::EntryReader reader(entries);
  for (; reader.Next(); ++sequence) {
    const std::string_view entry = reader.entry();
    char* const at = session.Add(sequence, entry.size());
    if (at == nullptr) return NoMemory(entry.size());
    session.SetTime(SendTimeOf(entry));
    std::memcpy(at, entry.data(), entry.size());
  }
  return session.Finish();
}

void EntryQueue::Push(EntryRun run) {
  bytes_ += run.size();
  EntryRun* const last = runs_.empty() || sealed_ ? nullptr : &runs_.back();
  sealed_ = false;
  if (last != nullptr && last->chunk == run.chunk &&
      last->offsets.back() == run.offsets.front()) {
    last->offsets.insert(last->offsets.end(), run.offsets.begin() + 1,
                         run.offsets.end());
    last->last_time = run.last_time;
    last->last_write = run.last_write;
  } else {
    memory_ += run.chunk->capacity();
    runs_.push_back(std::move(run));
  }
}

EntryRun EntryQueue::Pop() {
  EntryRun front = std::move(runs_.front());
  runs_.pop_front();
  memory_ -= front.chunk->capacity();
  bytes_ -= front.size();
  return front;
}

std::vector<EntryRun> EntryQueue::Replace(std::vector<EntryRun> copies) {
  const std::uint64_t first = copies.front().first_sequence;
  const auto place = std::partition_point(
      runs_.begin(), runs_.end(),
      [first](const EntryRun& run) { return run.first_sequence < first; });
  if (place == runs_.end() || place->first_sequence != first ||
      place->end_sequence() != copies.back().end_sequence()) {
    return copies;
  }
  std::vector<EntryRun> replaced;
  replaced.push_back(std::move(*place));
  memory_ -= replaced.front().chunk->capacity();
  for (const EntryRun& run : copies) memory_ += run.chunk->capacity();
  const auto next = runs_.erase(place);
  runs_.insert(next, std::make_move_iterator(copies.begin()),
               std::make_move_iterator(copies.end()));
  return replaced;
}

void EntryQueue::Read(std::uint64_t last, const ReadBounds& bounds,
                      ReadResult* result) const {
  std::uint64_t next = result->next_sequence;
  if (next > last) return;
  std::uint64_t wanted = std::min(last - next + 1, bounds.max_count);
  std::size_t room = bounds.max_bytes;
  for (auto run = FindRun(next); wanted > 0; ++run) {
    const std::uint64_t from = next - run->first_sequence;
    const std::uint64_t available = std::min(wanted, run->count() - from);
    const auto begin = run->offsets.begin() + static_cast<std::ptrdiff_t>(from);
    const std::uint64_t limit = *begin + std::uint64_t{room};
    const auto end = std::upper_bound(
        begin + 1, begin + 1 + static_cast<std::ptrdiff_t>(available), limit);
    auto taken = static_cast<std::uint64_t>(end - begin - 1);
    if (taken == 0) {
      if (result->count > 0) break;
      taken = 1;
    }
    const std::string_view bytes = run->Entries(from, from + taken);
    result->entries.push_back({run->chunk, bytes, run->chunk->capacity()});
    result->count += taken;
    next += taken;
    wanted -= taken;
    room -= std::min(room, bytes.size());
    if (taken < available) break;
  }
}

LogBytes EntryQueue::FindMessage(std::uint64_t sequence) const {
  const auto run = FindRun(sequence);
  const std::uint64_t index = sequence - run->first_sequence;
  return {run->chunk, wire::MessageOfEntry(run->Entries(index, index + 1))};
}

std::deque<EntryRun>::const_iterator EntryQueue::FindRun(
    std::uint64_t sequence) const {
  // Most readers are near the head.
  if (runs_.back().first_sequence <= sequence) return std::prev(runs_.end());
  return std::prev(std::upper_bound(runs_.begin(), runs_.end(), sequence,
                                    [](std::uint64_t s, const EntryRun& run) {
                                      return s < run.first_sequence;
                                    }));
}

std::uint64_t EntryQueue::FindTime(Timestamp time) const {
  const auto run = std::partition_point(
      runs_.begin(), runs_.end(),
      [time](const EntryRun& r) { return r.last_time < time; });
  if (run == runs_.end()) return end_sequence();
  const auto sent_before = [&](std::uint32_t offset) {
    return SendTimeOf({run->chunk->data() + offset,
                       run->offsets.back() - offset}) < time;
  };
  const auto entry = std::partition_point(
      run->offsets.begin(), std::prev(run->offsets.end()), sent_before);
  return run->first_sequence +
         static_cast<std::uint64_t>(entry - run->offsets.begin());
}

}  // namespace messenger
