#include "log/producer_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "absl/status/status.h"
#include "base/reason.h"
#include "log/log_clock.h"
#include "log/owner.h"

namespace messenger {

absl::Status ProducerTable::CheckFirst(std::uint64_t producer_sequence) {
  if (producer_sequence == 1) return absl::OkStatus();
  return WithReason(
      absl::FailedPreconditionError(fmt::format(
          "producer sequence {}: expected 1, since this producer is not known, "
          "or no longer known, in this channel",
          producer_sequence)),
      reason::kProducerUnknown, {{"expected_sequence", "1"}});
}

absl::StatusOr<ProducerTable::Stored> ProducerTable::Find(
    const ProducerId& id, std::string_view user,
    std::uint64_t first_producer_sequence, std::uint64_t count) const {
  const auto it = producers_.find(id);
  if (it == producers_.end()) {
    absl::Status s = CheckFirst(first_producer_sequence);
    if (!s.ok()) return s;
    return Stored();
  }
  const Producer& producer = it->second;
  if (!MayUse(producer.owner, user)) return OwnedByAnother("producer_id:");
  const std::uint64_t expected = producer.last_sequence() + 1;
  if (first_producer_sequence > expected) {
    return WithReason(absl::FailedPreconditionError(
                          fmt::format("producer sequence {}: expected {}",
                                      first_producer_sequence, expected)),
                      reason::kProducerSequenceSkips,
                      {{"expected_sequence", std::to_string(expected)}});
  }
  const std::uint64_t end = std::min(first_producer_sequence + count, expected);
  Stored stored = Remembered(producer, first_producer_sequence, end);
  std::uint64_t remembered = 0;
  for (const ProducerRun& run : stored) remembered += run.count;
  // There are holes in it if it was a named producer once.
  if (remembered < end - first_producer_sequence) {
    return WithReason(
        absl::FailedPreconditionError(fmt::format(
            "producer sequence {}: expected {}; what was stored before {} is "
            "no longer remembered",
            first_producer_sequence, expected,
            producer.runs.front().producer_sequence)),
        reason::kProducerSequenceTooOld,
        {{"expected_sequence", std::to_string(expected)}});
  }
  return stored;
}

ProducerTable::Stored ProducerTable::FindRemembered(
    const ProducerId& id, std::uint64_t first_producer_sequence,
    std::uint64_t count) const {
  const auto it = producers_.find(id);
  if (it == producers_.end()) return {};
  return Remembered(it->second, first_producer_sequence,
                    first_producer_sequence + count);
}

ProducerTable::Stored ProducerTable::Remembered(const Producer& producer,
                                                std::uint64_t begin,
                                                std::uint64_t end) {
  Stored stored;
  auto run = std::partition_point(
      producer.runs.begin(), producer.runs.end(), [&](const ProducerRun& r) {
        return r.producer_sequence + r.count <= begin;
      });
  for (; run != producer.runs.end() && run->producer_sequence < end; ++run) {
    const std::uint64_t from = std::max(begin, run->producer_sequence);
    const std::uint64_t to = std::min(end, run->producer_sequence + run->count);
    stored.push_back(
        {.producer_sequence = from,
         .sequence = run->sequence + (from - run->producer_sequence),
         .count = to - from});
  }
  return stored;
}

ProducerTable::Recorded ProducerTable::Record(const ProducerId& id,
                                              const ProducerRun& run,
                                              Clock::time_point now,
                                              Counts counts,
                                              std::string_view user) {
  Recorded recorded = {.id = id, .count = run.count};
  auto [it, added] = producers_.try_emplace(id);
  Producer& producer = it->second;
  if (added) {
    producer.place = by_use_.insert(by_use_.end(), id);
  } else {
    by_use_.splice(by_use_.end(), by_use_, producer.place);
  }
  producer.last_used = now;
  const bool goes_on =
      !added && producer.last_sequence() + 1 == run.producer_sequence;
  // In a replay: it had been forgotten then, or what is between was lost.
  if (!goes_on &&
      (counts == Counts::kConsecutively ||
       (!added && producer.last_sequence() >= run.producer_sequence))) {
    producer.runs.clear();
    if (run.producer_sequence == 1) producer.owner.clear();
  }
  if (producer.owner.empty() && !user.empty()) {
    producer.owner = user;
    recorded.sets_owner = true;
  }
  if (goes_on && producer.runs.back().sequence + producer.runs.back().count ==
                     run.sequence) {
    producer.runs.back().count += run.count;
  } else {
    // Before it grows, or it would grow to twice the size.
    if (producer.runs.size() == kMaxRuns) {
      recorded.forgotten = producer.runs.front();
      producer.runs.erase(producer.runs.begin());
    }
    producer.runs.push_back(run);
  }
  if (added) ForgetIdle(now);
  return recorded;
}

void ProducerTable::Undo(const Recorded& recorded) {
  const auto it = producers_.find(recorded.id);
  if (it == producers_.end()) return;
  if (recorded.sets_owner) it->second.owner.clear();
  std::vector<ProducerRun>& runs = it->second.runs;
  runs.back().count -= recorded.count;
  if (runs.back().count == 0) runs.pop_back();
  if (recorded.forgotten) runs.insert(runs.begin(), *recorded.forgotten);
  if (runs.empty()) {
    by_use_.erase(it->second.place);
    producers_.erase(it);
  }
}

void ProducerTable::ForgetStored(Clock::time_point now) {
  ForgetIdle(now);
  for (auto& [id, producer] : producers_) {
    producer.runs = std::vector<ProducerRun>{producer.runs.back()};
  }
  producers_.rehash(0);
}

std::vector<ProducerTable::Snapshot> ProducerTable::Save() const {
  std::vector<Snapshot> snapshots;
  snapshots.reserve(by_use_.size());
  for (const ProducerId& id : by_use_) {
    const Producer& producer = producers_.find(id)->second;
    snapshots.push_back({.id = id,
                         .runs = producer.runs,
                         .last_used = producer.last_used,
                         .owner = producer.owner});
  }
  return snapshots;
}

void ProducerTable::Restore(Snapshot producer) {
  producers_.try_emplace(
      producer.id, Producer{.runs = std::move(producer.runs),
                            .last_used = producer.last_used,
                            .place = by_use_.insert(by_use_.end(), producer.id),
                            .owner = std::move(producer.owner)});
}

void ProducerTable::RestoreOwner(const ProducerId& id, std::string_view owner) {
  const auto it = producers_.find(id);
  if (it != producers_.end()) it->second.owner = owner;
}

std::size_t ProducerTable::run_capacity() const {
  std::size_t runs = 0;
  for (const auto& [id, producer] : producers_) {
    runs += producer.runs.capacity();
  }
  return runs;
}

void ProducerTable::ForgetIdle(Clock::time_point now) {
  while (!by_use_.empty()) {
    const auto oldest = producers_.find(by_use_.front());
    if (producers_.size() <= limits_.max_producers &&
        Elapsed(oldest->second.last_used, now) <= limits_.idle_timeout) {
      return;
    }
    producers_.erase(oldest);
    by_use_.pop_front();
  }
}

}  // namespace messenger
