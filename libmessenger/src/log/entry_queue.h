// Entries in memory.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/memory_budget.h"
#include "log/memory_chunk.h"
#include "log/message_log.h"
#include "messenger/message.h"

namespace messenger {

// Entries of consecutive messages in one chunk of memory, which may hold others
// before and after them.
struct EntryRun {
  using SteadyTime = std::chrono::steady_clock::time_point;

  std::shared_ptr<MemoryChunk> chunk;
  std::uint64_t first_sequence = 0;
  // Where each entry begins, and where the last one ends.
  std::vector<std::uint32_t> offsets;
  Timestamp last_time;    // send time of the newest message
  SteadyTime last_write;  // when it was written

  std::uint64_t count() const { return offsets.size() - 1; }
  std::uint64_t end_sequence() const { return first_sequence + count(); }
  std::size_t size() const { return offsets.back() - offsets.front(); }
  // Those with index from `from` to before `to`.
  std::string_view Entries(std::size_t from, std::size_t to) const {
    return {chunk->data() + offsets[from], offsets[to] - offsets[from]};
  }
  std::string_view bytes() const { return Entries(0, count()); }
};

// Encodes messages into chunks, one after the other. A chunk is filled for as
// long as something else refers to it.
//
// Thread safety: none.
class EntryWriter {
 public:
  using SteadyTime = EntryRun::SteadyTime;

  struct Limits {
    std::size_t max_chunk;
    // A chunk takes no more entries when it is that old; zero: at any age.
    std::chrono::nanoseconds max_chunk_age;
  };
  // Chunks are taken from `budget`, if there is one.
  explicit EntryWriter(const RetentionOptions& retention,
                       std::shared_ptr<MemoryBudget> budget = nullptr);

  // Where the next entry goes.
  struct Place {
    std::weak_ptr<MemoryChunk> chunk;  // being filled
    std::size_t used = 0;              // of it
    SteadyTime since;                  // its first write
  };
  const Place& place() const { return place_; }
  // To where it was before: nothing refers to what was written since.
  void GoBackTo(Place place) { place_ = std::move(place); }

  // Of most chunks; one with a larger message is as large as that.
  std::size_t max_chunk() const { return limits_.max_chunk; }

  // Encodes the batch's messages after the first `skip` ones, with sequences
  // from `sequence` on. RESOURCE_EXHAUSTED if there is no memory, or not in the
  // budget: nothing is written then.
  absl::StatusOr<std::vector<EntryRun>> Write(const AppendBatch& batch,
                                              std::size_t skip,
                                              std::uint64_t sequence,
                                              Timestamp time, SteadyTime now);

  // Copies entries, whose messages have sequences from `sequence` on.
  absl::StatusOr<std::vector<EntryRun>> Copy(std::string_view entries,
                                             std::uint64_t sequence,
                                             SteadyTime now);

 private:
  class Session;

  absl::StatusOr<std::vector<EntryRun>> WriteAll(const AppendBatch& batch,
                                                 std::size_t skip,
                                                 std::uint64_t sequence,
                                                 Timestamp time,
                                                 SteadyTime now);
  absl::StatusOr<std::vector<EntryRun>> CopyAll(std::string_view entries,
                                                std::uint64_t sequence,
                                                SteadyTime now);
  absl::Status NoMemory(std::size_t entry_size) const;

  Limits limits_;
  std::shared_ptr<MemoryBudget> budget_;
  Place place_;
};

// Entries of consecutive messages, oldest first.
//
// Thread safety: none.
class EntryQueue {
 public:
  bool empty() const { return runs_.empty(); }
  // Of the oldest message; there must be one.
  std::uint64_t first_sequence() const { return runs_.front().first_sequence; }
  // One past the newest message; there must be one.
  std::uint64_t end_sequence() const { return runs_.back().end_sequence(); }
  std::size_t run_count() const { return runs_.size(); }
  std::size_t memory() const { return memory_; }  // of the chunks
  std::uint64_t bytes() const { return bytes_; }  // of the entries
  const EntryRun& front() const { return runs_.front(); }
  const std::deque<EntryRun>& runs() const { return runs_; }

  // `run` follows the newest message.
  void Push(EntryRun run);
  // Runs that are pushed from now on stay apart from those that are here.
  void Seal() { sealed_ = true; }
  EntryRun Pop();
  // `copies` have the same entries as one run that is here, and take its place.
  // Returns what is not needed: that run, or the copies if it is gone.
  std::vector<EntryRun> Replace(std::vector<EntryRun> copies);

  // Adds to `result` the entries from result->next_sequence, which must be
  // here, to `last`, within `bounds`.
  void Read(std::uint64_t last, const ReadBounds& bounds,
            ReadResult* result) const;

  // The encoded Message with this sequence, which must be here, and what keeps
  // it alive.
  LogBytes FindMessage(std::uint64_t sequence) const;

  // The first message whose send time is not before `time`; end_sequence() if
  // there is none. The queue must not be empty.
  std::uint64_t FindTime(Timestamp time) const;

 private:
  std::deque<EntryRun>::const_iterator FindRun(std::uint64_t sequence) const;

  std::deque<EntryRun> runs_;
  bool sealed_ = false;
  std::size_t memory_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace messenger
