// Gives what is appended to a channel its place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "log/channel_context.h"
#include "log/entry_queue.h"
#include "log/memory_budget.h"
#include "log/message_log.h"
#include "log/producer_table.h"
#include "messenger/message.h"

namespace messenger {

// Finds what a producer repeats, or was sent with an idempotency key before,
// gives new messages their sequences and time, and encodes them. What is
// *prepared* follows what was prepared before it. When the log has stored it,
// all of it is committed; if it could not, undone; and so is what that has
// prepared in the tables of the whole log, which are in the context.
//
// Thread safety: none.
class ChannelWriter {
 public:
  using SteadyTime = EntryRun::SteadyTime;

  // Where a channel goes on.
  struct Place {
    std::uint64_t head = 0;
    std::uint64_t deleted_head = 0;  // the head when it was last deleted
    Timestamp last_time;             // send time of the last message
  };

  // `context` must outlive it. Memory is taken from `budget`, if there is one.
  ChannelWriter(const ChannelContext& context, const Place& place,
                std::vector<ProducerTable::Snapshot> producers,
                std::shared_ptr<MemoryBudget> budget = nullptr);

  // With what is prepared.
  const Place& place() const { return place_; }

  struct Prepared {
    AppendResult::value_type receipts;
    // What is to be stored; none if all are duplicates. Valid until the next
    // call.
    std::span<const EntryRun> runs;
    // Of the batch's message, if it is new and has one.
    std::optional<IdempotencyKey> idempotency_key;
    // The batch's producer, which is no named one, has its owner from it.
    bool sets_owner = false;

    std::uint64_t bytes() const {
      std::uint64_t sum = 0;
      for (const EntryRun& run : runs) sum += run.bytes().size();
      return sum;
    }
  };
  // The encoded Message with this sequence, which was committed; empty if it is
  // no longer there.
  using FindMessage =
      absl::FunctionRef<absl::StatusOr<LogBytes>(std::uint64_t sequence)>;
  // Whether it has freed memory, since there is none for so many bytes.
  using MakeRoom = absl::FunctionRef<bool(std::size_t bytes)>;
  // Asked once it is known that something of the batch is to be stored.
  using MayStore = absl::FunctionRef<absl::Status()>;
  // Nothing is prepared after an error: PERMISSION_DENIED a producer of another
  // owner, FAILED_PRECONDITION a producer conflict, or an idempotency key that
  // has another message, ABORTED a condition that does not hold,
  // RESOURCE_EXHAUSTED no memory, or one of `find` and `may_store`.
  absl::StatusOr<Prepared> Prepare(
      const AppendBatch& batch, FindMessage find,
      MakeRoom make_room = [](std::size_t) { return false; },
      MayStore may_store = [] { return absl::OkStatus(); });
  // Of all that is there and prepared.
  void PrepareDeletion(SteadyTime now);

  // What was prepared, after a deletion if there was one, is stored.
  std::vector<EntryRun> Commit();
  // Nothing of what was prepared is stored.
  void Undo();

  // Takes entries that were stored before, as the next ones. DATA_LOSS if they
  // are damaged, or others.
  absl::StatusOr<std::vector<EntryRun>> Replay(std::uint64_t first_sequence,
                                               std::string_view entries,
                                               SteadyTime written);
  // A producer of them has this owner.
  void RestoreOwner(const ProducerOwner& owner) {
    producers_.RestoreOwner(owner.id, owner.owner);
  }
  // Copies entries that are there already.
  absl::StatusOr<std::vector<EntryRun>> Copy(std::uint64_t first_sequence,
                                             std::string_view entries,
                                             SteadyTime written) {
    return entries_.Copy(entries, first_sequence, written);
  }

  // What is remembered of the producers.
  std::vector<ProducerTable::Snapshot> SaveProducers() const {
    return producers_.Save();
  }

 private:
  struct Before {
    Place place;
    EntryWriter::Place entries;
  };

  // Before anything is prepared.
  void Save();
  // ABORTED if the condition does not hold, if there is one.
  absl::Status CheckCondition(const AppendBatch& batch) const;
  // The receipt of the message with the batch's idempotency key; nothing if
  // there is none.
  absl::StatusOr<std::optional<wire::ReceiptRun>> FindKey(
      const AppendBatch& batch, SteadyTime now) const;
  // The receipts of the leading messages that are stored already.
  AppendResult FindDuplicates(const AppendBatch& batch, FindMessage find) const;
  // Those of a named producer with this last sequence.
  AppendResult FindNamedDuplicates(const AppendBatch& batch,
                                   std::uint64_t last_sequence,
                                   FindMessage find) const;
  // As `find`, and what is prepared as well.
  absl::StatusOr<LogBytes> FindPrepared(std::uint64_t sequence,
                                        FindMessage find) const;
  // Encoded messages count from here on: should there be no memory for the
  // little that this takes, the program ends rather than go on with half of it.
  void Take(const AppendBatch& batch, std::size_t repeated,
            std::vector<EntryRun> runs, Prepared* prepared) noexcept;

  const ChannelContext& context_;
  Place place_;
  EntryWriter entries_;
  ProducerTable producers_;

  // What is prepared.
  std::optional<Before> before_;
  std::vector<EntryRun> prepared_;  // after the deletion, if there is one
  std::vector<ProducerTable::Recorded> recorded_;
  std::optional<SteadyTime> deletion_;
  bool in_tables_ = false;  // something of it, in those of the whole log
};

}  // namespace messenger
