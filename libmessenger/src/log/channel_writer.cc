#include "log/channel_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/utility/utility.h"
#include "base/narrow.h"
#include "base/reason.h"
#include "base/status.h"
#include "wire/entry.h"
#include "wire/receipt.h"

namespace messenger {
namespace {

// Adds message `sequence`, 0 if that is not known, to the last run, or as one
// of its own.
void AddDuplicate(std::uint64_t epoch, std::uint64_t sequence, Timestamp time,
                  AppendResult::value_type* receipts) {
  if (!receipts->empty()) {
    wire::ReceiptRun& last = receipts->back();
    const bool follows = last.has_position()
                             ? last.first_sequence + last.count == sequence
                             : sequence == 0;
    if (follows && last.send_time == time) {
      ++last.count;
      return;
    }
  }
  receipts->push_back({.epoch = epoch,
                       .first_sequence = sequence,
                       .count = 1,
                       .send_time = time,
                       .duplicate = true});
}

}  // namespace

ChannelWriter::ChannelWriter(const ChannelContext& context, const Place& place,
                             std::vector<ProducerTable::Snapshot> producers,
                             std::shared_ptr<MemoryBudget> budget)
    : context_(context),
      place_(place),
      entries_(context.options.retention, std::move(budget)),
      producers_({.max_producers = context.options.max_producers_per_channel,
                  .idle_timeout = context.options.producer_idle_timeout}) {
  for (ProducerTable::Snapshot& producer : producers) {
    producers_.Restore(std::move(producer));
  }
}

absl::StatusOr<ChannelWriter::Prepared> ChannelWriter::Prepare(
    const AppendBatch& batch, FindMessage find, MakeRoom make_room,
    MayStore may_store) {
  Prepared prepared;
  const SteadyTime now = context_.clock.steady_now();
  if (!batch.idempotency_key.empty()) {
    const auto stored = FindKey(batch, now);
    if (!stored.ok()) return stored.status();
    if (*stored) {
      prepared.receipts.push_back(**stored);
      return prepared;
    }
  }
  std::size_t repeated = 0;
  if (batch.producer_id) {
    AppendResult duplicates = FindDuplicates(batch, find);
    if (!duplicates.ok()) return duplicates.status();
    prepared.receipts = *std::move(duplicates);
    for (const wire::ReceiptRun& run : prepared.receipts) repeated += run.count;
  }
  if (repeated == batch.messages.size()) return prepared;
  if (absl::Status s = CheckCondition(batch); !s.ok()) return s;
  if (absl::Status s = may_store(); !s.ok()) return s;

  Save();
  const Timestamp time = std::max(context_.clock.now(), place_.last_time);
  const auto encode = [&] {
    return entries_.Write(batch, repeated, place_.head + 1, time, now);
  };
  const bool is_named = batch.producer_generation != 0;
  EntryWriter::Place before;
  if (is_named) before = entries_.place();
  absl::StatusOr<std::vector<EntryRun>> runs = encode();
  if (!runs.ok() && make_room(entries_.max_chunk() + StoredSize(batch))) {
    runs = encode();
  }
  if (!runs.ok()) return runs.status();
  if (is_named) {
    absl::Status s = context_.named_producers->PrepareAppend(batch, time);
    if (!s.ok()) {
      runs = std::vector<EntryRun>();
      entries_.GoBackTo(std::move(before));
      return s;
    }
  }
  Take(batch, repeated, *std::move(runs), &prepared);
  return prepared;
}

absl::StatusOr<std::optional<wire::ReceiptRun>> ChannelWriter::FindKey(
    const AppendBatch& batch, SteadyTime now) const {
  const IdempotencyKeys::Pointer stored = context_.idempotency_keys->Find(
      batch.channel, batch.owner, batch.idempotency_key, now);
  if (stored == nullptr) return std::nullopt;
  if (stored->content != wire::HashContent(batch.messages.front())) {
    return WithReason(
        absl::FailedPreconditionError(
            fmt::format("idempotency_key: \"{}\" is that of message {}, which "
                        "has another content",
                        batch.idempotency_key, stored->sequence)),
        reason::kIdempotencyKeyReused);
  }
  return wire::ReceiptRun{.epoch = context_.epoch(),
                          .first_sequence = stored->sequence,
                          .count = 1,
                          .send_time = stored->send_time,
                          .duplicate = true};
}

absl::Status ChannelWriter::CheckCondition(const AppendBatch& batch) const {
  const std::optional<std::uint64_t>& expected = batch.expected_last_sequence;
  const std::uint64_t epoch = context_.epoch();
  const bool right_epoch =
      batch.expected_epoch == 0 || batch.expected_epoch == epoch;
  if (!expected || (*expected == place_.head && right_epoch)) {
    return absl::OkStatus();
  }
  return WithReason(
      absl::AbortedError(
          right_epoch
              ? fmt::format("expected_last_sequence: {}, but the last one is "
                            "{}",
                            *expected, place_.head)
              : fmt::format("expected_epoch: {}, but the log has the epoch {}, "
                            "in which the last sequence is {}",
                            batch.expected_epoch, epoch, place_.head)),
      reason::kWrongLastSequence,
      {{"epoch", std::to_string(epoch)},
       {"last_sequence", std::to_string(place_.head)}});
}

absl::StatusOr<LogBytes> ChannelWriter::FindPrepared(std::uint64_t sequence,
                                                     FindMessage find) const {
  if (sequence <= place_.deleted_head) return LogBytes();
  for (const EntryRun& run : prepared_) {
    if (sequence >= run.first_sequence && sequence < run.end_sequence()) {
      const std::uint64_t index = sequence - run.first_sequence;
      return LogBytes{run.chunk,
                      wire::MessageOfEntry(run.Entries(index, index + 1))};
    }
  }
  return find(sequence);
}

AppendResult ChannelWriter::FindDuplicates(const AppendBatch& batch,
                                           FindMessage find) const {
  const auto last_of_named = context_.named_producers->Find(batch);
  if (!last_of_named.ok()) return last_of_named.status();
  if (*last_of_named) return FindNamedDuplicates(batch, **last_of_named, find);
  const absl::StatusOr<ProducerTable::Stored> stored =
      producers_.Find(*batch.producer_id, batch.owner,
                      batch.first_producer_sequence, batch.messages.size());
  if (!stored.ok()) return stored.status();
  AppendResult::value_type receipts;
  for (const ProducerRun& run : *stored) {
    for (std::uint64_t i = 0; i < run.count; ++i) {
      const std::uint64_t producer_sequence = run.producer_sequence + i;
      const std::uint64_t sequence = run.sequence + i;
      const absl::StatusOr<LogBytes> message = FindPrepared(sequence, find);
      if (!message.ok()) return message.status();
      if (message->bytes.empty()) {
        return WithReason(absl::FailedPreconditionError(fmt::format(
                              "producer sequence {}: was stored as {}, which "
                              "is no longer there to compare with",
                              producer_sequence, sequence)),
                          reason::kProducerSequenceTooOld);
      }
      const wire::StoredParts parts = wire::SplitMessage(message->bytes);
      const wire::CanonicalMessage& repeated =
          batch.messages[producer_sequence - batch.first_producer_sequence];
      if (parts.before_producer != repeated.before_producer() ||
          parts.after_producer != repeated.after_producer()) {
        return WithReason(
            absl::FailedPreconditionError(fmt::format(
                "producer sequence {}: was stored as {} with another content",
                producer_sequence, sequence)),
            reason::kProducerSequenceReused);
      }
      AddDuplicate(context_.epoch(), sequence, parts.send_time, &receipts);
    }
  }
  return receipts;
}

AppendResult ChannelWriter::FindNamedDuplicates(const AppendBatch& batch,
                                                std::uint64_t last_sequence,
                                                FindMessage find) const {
  const std::uint64_t first = batch.first_producer_sequence;
  if (first > last_sequence) return AppendResult(absl::in_place);
  AppendResult::value_type receipts;
  const std::uint64_t end =
      first +
      std::min<std::uint64_t>(batch.messages.size(), last_sequence - first + 1);
  const std::uint64_t epoch = context_.epoch();
  std::uint64_t at = first;
  const auto add_unknown_before = [&](std::uint64_t sequence) {
    for (; at < sequence; ++at) {
      AddDuplicate(epoch, 0, Timestamp(), &receipts);
    }
  };
  for (const ProducerRun& run :
       producers_.FindRemembered(*batch.producer_id, first, end - first)) {
    add_unknown_before(run.producer_sequence);
    for (std::uint64_t i = 0; i < run.count; ++i, ++at) {
      const absl::StatusOr<LogBytes> message =
          FindPrepared(run.sequence + i, find);
      // What is damaged is not there any more either.
      if (!message.ok() && !absl::IsDataLoss(message.status())) {
        return message.status();
      }
      if (!message.ok() || message->bytes.empty()) {
        AddDuplicate(epoch, 0, Timestamp(), &receipts);
      } else {
        AddDuplicate(epoch, run.sequence + i,
                     wire::SplitMessage(message->bytes).send_time, &receipts);
      }
    }
  }
  add_unknown_before(end);
  return receipts;
}

void ChannelWriter::Save() {
  if (!before_) before_ = {.place = place_, .entries = entries_.place()};
}

void ChannelWriter::Take(const AppendBatch& batch, std::size_t repeated,
                         std::vector<EntryRun> runs,
                         Prepared* prepared) noexcept {
  const std::uint64_t first = place_.head + 1;
  const std::size_t count = batch.messages.size() - repeated;
  const std::size_t run_count = runs.size();
  place_.head += count;
  place_.last_time = runs.back().last_time;
  if (batch.producer_id) {
    // Whose a named producer is, its own table says.
    const bool is_named = batch.producer_generation != 0;
    recorded_.push_back(producers_.Record(
        *batch.producer_id,
        {.producer_sequence = batch.first_producer_sequence + repeated,
         .sequence = first,
         .count = count},
        runs.back().last_write,
        is_named ? ProducerTable::Counts::kWithHoles
                 : ProducerTable::Counts::kConsecutively,
        is_named ? std::string_view() : batch.owner));
    prepared->sets_owner = recorded_.back().sets_owner;
    in_tables_ = in_tables_ || is_named;
  }
  if (!batch.idempotency_key.empty()) {
    prepared->idempotency_key = {
        .channel = batch.channel,
        .key = batch.idempotency_key,
        .sequence = first,
        .send_time = place_.last_time,
        .content = wire::HashContent(batch.messages.front()),
        .written = runs.back().last_write,
        .owner = batch.owner};
    context_.idempotency_keys->Prepare(*prepared->idempotency_key);
    in_tables_ = true;
  }
  prepared->receipts.push_back({.epoch = context_.epoch(),
                                .first_sequence = first,
                                .count = Narrow<std::uint32_t>(count),
                                .send_time = place_.last_time});
  if (prepared_.empty()) {
    prepared_ = std::move(runs);
  } else {
    prepared_.insert(prepared_.end(), std::make_move_iterator(runs.begin()),
                     std::make_move_iterator(runs.end()));
  }
  prepared->runs = std::span(prepared_).last(run_count);
}

void ChannelWriter::PrepareDeletion(SteadyTime now) {
  Save();
  place_.deleted_head = place_.head;
  prepared_.clear();
  deletion_ = now;
}

std::vector<EntryRun> ChannelWriter::Commit() {
  if (deletion_) producers_.ForgetStored(*deletion_);
  deletion_.reset();
  before_.reset();
  recorded_.clear();
  if (std::exchange(in_tables_, false)) {
    context_.named_producers->Commit();
    context_.idempotency_keys->Commit();
  }
  return std::exchange(prepared_, {});
}

void ChannelWriter::Undo() {
  if (before_) {
    place_ = before_->place;
    entries_.GoBackTo(std::move(before_->entries));
  }
  deletion_.reset();
  before_.reset();
  prepared_.clear();
  while (!recorded_.empty()) {
    producers_.Undo(recorded_.back());
    recorded_.pop_back();
  }
  if (std::exchange(in_tables_, false)) {
    context_.named_producers->Undo();
    context_.idempotency_keys->Undo();
  }
}

absl::StatusOr<std::vector<EntryRun>> ChannelWriter::Replay(
    std::uint64_t first_sequence, std::string_view entries,
    SteadyTime written) {
  if (first_sequence != place_.head + 1) {
    return absl::DataLossError(
        fmt::format("message {} follows {}", first_sequence, place_.head));
  }
  wire::EntryReader reader(entries);
  while (reader.Next()) {
    Message message;
    absl::Status s = wire::DecodeMessage(reader.message(), &message);
    if (s.ok() && message.sequence != place_.head + 1) {
      s = absl::DataLossError("it has another sequence");
    }
    if (!s.ok()) {
      return absl::DataLossError(
          fmt::format("message {}: {}", place_.head + 1, MessageOf(s)));
    }
    place_.head = message.sequence;
    place_.last_time = message.send_time;
    if (message.producer_id != ProducerId{}) {
      const bool is_named = context_.named_producers->RestoreAppend(
          message.producer_id, message.producer_sequence, message.send_time);
      producers_.Record(message.producer_id,
                        {.producer_sequence = message.producer_sequence,
                         .sequence = message.sequence,
                         .count = 1},
                        written,
                        is_named ? ProducerTable::Counts::kWithHoles
                                 : ProducerTable::Counts::kConsecutively);
    }
  }
  return Copy(first_sequence, entries, written);
}

}  // namespace messenger
