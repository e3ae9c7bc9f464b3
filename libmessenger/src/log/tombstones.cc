#include "log/tombstones.h"

#include <algorithm>
#include <utility>

namespace messenger {

std::vector<std::uint64_t> Tombstone::HeadsIn(
    std::span<const std::uint64_t> epochs) const {
  const auto made = std::find(epochs.begin(), epochs.end(), epoch);
  std::vector<std::uint64_t> heads;
  std::size_t since = epochs.size() - 1;
  // If so many have passed that it is not known any more, it was before all.
  if (made != epochs.end()) {
    heads = epoch_heads;
    since = static_cast<std::size_t>(epochs.end() - made) - 1;
  }
  heads.insert(heads.end(), since, head);
  if (heads.size() >= epochs.size()) {
    const std::size_t excess = heads.size() - (epochs.size() - 1);
    heads.erase(heads.begin(),
                heads.begin() + static_cast<std::ptrdiff_t>(excess));
  }
  return heads;
}

void Tombstone::SetProducers(
    const std::vector<ProducerTable::Snapshot>& snapshots) {
  if (snapshots.empty()) {
    producers = nullptr;
    return;
  }
  std::vector<Producer> last;
  last.reserve(snapshots.size());
  for (const ProducerTable::Snapshot& snapshot : snapshots) {
    const ProducerRun& run = snapshot.runs.back();
    last.push_back({.id = snapshot.id,
                    .producer_sequence = run.producer_sequence + run.count - 1,
                    .sequence = run.sequence + run.count - 1,
                    .last_used = snapshot.last_used,
                    .owner = snapshot.owner});
  }
  producers = std::make_unique<const std::vector<Producer>>(std::move(last));
}

std::vector<ProducerTable::Snapshot> Tombstone::ProducerSnapshots() const {
  std::vector<ProducerTable::Snapshot> snapshots;
  if (!producers) return snapshots;
  snapshots.reserve(producers->size());
  for (const Producer& producer : *producers) {
    snapshots.push_back(
        {.id = producer.id,
         .runs = {{.producer_sequence = producer.producer_sequence,
                   .sequence = producer.sequence,
                   .count = 1}},
         .last_used = producer.last_used,
         .owner = producer.owner});
  }
  return snapshots;
}

const Tombstone* Tombstones::Find(std::string_view name) const {
  const auto found = tombstones_.find(name);
  return found == tombstones_.end() ? nullptr : &found->second.tombstone;
}

void Tombstones::Put(std::string name, Tombstone tombstone) {
  Erase(name);
  const auto added =
      tombstones_.emplace(std::move(name), Kept{std::move(tombstone), {}})
          .first;
  Kept& kept = added->second;
  if (!kept.tombstone.producers) return;
  producers_ += kept.tombstone.producers->size();
  kept.place = with_producers_.insert(with_producers_.end(), added->first);
  while (producers_ > max_producers_) {
    ForgetProducers(&tombstones_.find(with_producers_.front())->second);
  }
}

void Tombstones::Erase(std::string_view name) {
  const auto found = tombstones_.find(name);
  if (found == tombstones_.end()) return;
  ForgetProducers(&found->second);
  tombstones_.erase(found);
}

void Tombstones::ForgetProducers(Kept* kept) {
  if (!kept->tombstone.producers) return;
  producers_ -= kept->tombstone.producers->size();
  kept->tombstone.producers = nullptr;
  with_producers_.erase(kept->place);
}

}  // namespace messenger
