#include "log/named_producers.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/random.h"
#include "base/reason.h"
#include "log/owner.h"

namespace messenger {
namespace {

absl::Status Unknown(const std::string& text) {
  return WithReason(absl::FailedPreconditionError(text),
                    reason::kProducerUnknown);
}

absl::Status Fenced(const ProducerKey& key, std::uint64_t sent,
                    std::uint64_t present) {
  return WithReason(
      absl::FailedPreconditionError(
          sent == 0
              ? fmt::format("producer_generation: none; this is the named "
                            "producer \"{}\", whose generation is {}",
                            key.name, present)
              : fmt::format("producer_generation: {}; the named producer "
                            "\"{}\" was opened again, and its generation is {}",
                            sent, key.name, present)),
      reason::kProducerFenced, {{"generation", std::to_string(present)}});
}

absl::Status TooMany(const ProducerKey& key, std::size_t limit) {
  return WithReason(
      absl::ResourceExhaustedError(fmt::format(
          "name: \"{}\" would be one more than the {} named producers that "
          "this server keeps (max_named_producers); delete one first",
          key.name, limit)),
      reason::kLimitReached,
      {{"limit", "max_named_producers"}, {"value", std::to_string(limit)}});
}

absl::Status NoSuchProducer(const ProducerKey& key) {
  return absl::NotFoundError(
      fmt::format(R"(name: channel "{}" has no named producer "{}")",
                  key.channel, key.name));
}

}  // namespace

ProducerInfo InfoOf(const ProducerKey& key, const NamedProducer& producer,
                    std::uint64_t epoch) {
  return {.channel = key.channel,
          .name = key.name,
          .producer_id = producer.id,
          .generation = producer.generation,
          .last_producer_sequence = producer.last_sequence,
          .epoch = epoch,
          .last_used = producer.last_used,
          .owner = producer.owner};
}

absl::StatusOr<std::optional<std::uint64_t>> NamedProducers::FindNamed(
    const AppendBatch& batch) const {
  absl::ReaderMutexLock lock(&mu_);
  const auto sender = FindSender(batch);
  if (!sender.ok()) return sender.status();
  if (*sender == producers_.end()) return std::nullopt;
  return (*sender)->second.last_sequence;
}

absl::StatusOr<NamedProducers::Map::const_iterator> NamedProducers::FindSender(
    const AppendBatch& batch) const {
  const std::uint64_t sent = batch.producer_generation;
  const auto found = by_id_.find(*batch.producer_id);
  if (found == by_id_.end()) {
    if (sent == 0) return producers_.end();
    return Unknown(
        fmt::format("producer_generation: {}; channel \"{}\" has no named "
                    "producer with this producer_id, or no longer",
                    sent, batch.channel));
  }
  const auto& [key, producer] = *found->second;
  if (!MayUse(producer.owner, batch.owner)) {
    return OwnedByAnother("producer_id:");
  }
  if (sent == 0) return Fenced(key, sent, producer.generation);
  if (key.channel != batch.channel) {
    return Unknown(
        fmt::format("producer_id: is that of a named producer of channel "
                    "\"{}\", and not of \"{}\"",
                    key.channel, batch.channel));
  }
  if (sent < producer.generation) {
    return Fenced(key, sent, producer.generation);
  }
  if (sent > producer.generation) {
    return Unknown(fmt::format(
        "producer_generation: {}; that of the named producer \"{}\" is {}",
        sent, key.name, producer.generation));
  }
  return found->second;
}

absl::Status NamedProducers::PrepareAppend(const AppendBatch& batch,
                                           Timestamp time) {
  absl::MutexLock lock(&mu_);
  const auto sender = FindSender(batch);
  if (!sender.ok()) return sender.status();
  if (*sender == producers_.end()) return absl::OkStatus();
  const auto found = by_id_.find(*batch.producer_id)->second;
  if (prepared_.empty() || prepared_.back() != found->first) {
    prepared_.push_back(found->first);
  }
  NamedProducer& producer = found->second;
  producer.last_sequence =
      batch.first_producer_sequence + batch.messages.size() - 1;
  producer.last_used = std::max(producer.last_used, time);
  return absl::OkStatus();
}

absl::Status NamedProducers::CheckOpening(const ProducerKey& key,
                                          std::string_view user) const {
  absl::ReaderMutexLock lock(&mu_);
  return CheckKey(key, user);
}

absl::Status NamedProducers::CheckKey(const ProducerKey& key,
                                      std::string_view user) const {
  const auto found = producers_.find(key);
  if (found == producers_.end()) {
    return producers_.size() < max_producers_ ? absl::OkStatus()
                                              : TooMany(key, max_producers_);
  }
  if (!MayUse(found->second.owner, user)) {
    return OwnedByAnother(fmt::format("name: \"{}\"", key.name));
  }
  if (found->second.generation < UINT64_MAX) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      fmt::format("name: \"{}\" has had all generations that there are; "
                  "delete it first",
                  key.name));
}

absl::StatusOr<NamedProducer> NamedProducers::PrepareOpening(
    const ProducerKey& key, std::string_view user, Timestamp time) {
  absl::MutexLock lock(&mu_);
  if (absl::Status s = CheckKey(key, user); !s.ok()) return s;
  auto found = producers_.find(key);
  if (found == producers_.end()) {
    prepared_.push_back(key);
    Insert(key, {.id = RandomProducerId()});
    found = producers_.find(key);
  } else {
    prepared_.push_back(key);
  }
  NamedProducer& producer = found->second;
  ++producer.generation;
  if (producer.owner.empty()) producer.owner = user;
  producer.last_used = std::max(producer.last_used, time);
  return producer;
}

absl::StatusOr<NamedProducer> NamedProducers::PrepareDeletion(
    const ProducerKey& key) {
  absl::MutexLock lock(&mu_);
  const auto found = producers_.find(key);
  if (found == producers_.end()) return NoSuchProducer(key);
  const NamedProducer deleted = found->second;
  prepared_.push_back(key);
  Erase(key);
  return deleted;
}

void NamedProducers::Commit() {
  absl::MutexLock lock(&mu_);
  for (const ProducerKey& key : prepared_) {
    const auto found = producers_.find(key);
    if (found == producers_.end()) {
      committed_.erase(key);
    } else {
      committed_.insert_or_assign(key, found->second);
    }
  }
  prepared_.clear();
}

void NamedProducers::Undo() {
  absl::MutexLock lock(&mu_);
  for (const ProducerKey& key : prepared_) {
    Erase(key);
    const auto found = committed_.find(key);
    if (found != committed_.end()) Insert(key, found->second);
  }
  prepared_.clear();
}

std::size_t NamedProducers::size() const {
  absl::ReaderMutexLock lock(&mu_);
  return committed_.size();
}

std::vector<ProducerInfo> NamedProducers::List(std::string_view channel,
                                               const ProducerKey& after,
                                               std::size_t max,
                                               std::uint64_t epoch) const {
  std::vector<ProducerInfo> infos;
  // No name is empty.
  const ProducerKey begin = std::max(after, {std::string(channel), {}});
  absl::ReaderMutexLock lock(&mu_);
  for (auto it = committed_.upper_bound(begin);
       it != committed_.end() && infos.size() < max; ++it) {
    const auto& [key, producer] = *it;
    if (!channel.empty() && key.channel != channel) break;
    infos.push_back(InfoOf(key, producer, epoch));
  }
  return infos;
}

std::optional<NamedProducers::Kept> NamedProducers::FindById(
    const ProducerId& id) const {
  absl::ReaderMutexLock lock(&mu_);
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return std::nullopt;
  const auto committed = committed_.find(found->second->first);
  if (committed == committed_.end() || committed->second.id != id) {
    return std::nullopt;
  }
  return Kept{.key = committed->first, .producer = committed->second};
}

std::vector<NamedProducers::Kept> NamedProducers::Save() const {
  std::vector<Kept> all;
  absl::ReaderMutexLock lock(&mu_);
  all.reserve(committed_.size());
  for (const auto& [key, producer] : committed_) {
    all.push_back({.key = key, .producer = producer});
  }
  return all;
}

void NamedProducers::BeginEpoch() {
  constexpr std::uint64_t kStep = std::uint64_t{1} << 32;
  absl::MutexLock lock(&mu_);
  for (auto& [key, producer] : producers_) {
    producer.generation += std::min(kStep, UINT64_MAX - producer.generation);
    committed_.insert_or_assign(key, producer);
  }
}

bool NamedProducers::Restore(Kept kept) {
  absl::MutexLock lock(&mu_);
  const auto same = by_id_.find(kept.producer.id);
  if (same != by_id_.end() && same->second->first != kept.key) return false;
  Erase(kept.key);
  Insert(kept.key, kept.producer);
  committed_.insert_or_assign(std::move(kept.key), kept.producer);
  return true;
}

void NamedProducers::RestoreDeletion(const ProducerKey& key) {
  absl::MutexLock lock(&mu_);
  Erase(key);
  committed_.erase(key);
}

bool NamedProducers::RestoreNamedAppend(const ProducerId& id,
                                        std::uint64_t sequence,
                                        Timestamp time) {
  absl::MutexLock lock(&mu_);
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return false;
  auto& [key, producer] = *found->second;
  producer.last_sequence = std::max(producer.last_sequence, sequence);
  producer.last_used = std::max(producer.last_used, time);
  committed_.insert_or_assign(key, producer);
  return true;
}

void NamedProducers::Insert(const ProducerKey& key,
                            const NamedProducer& producer) {
  // Should there be no memory, it is in neither of them.
  by_id_.reserve(by_id_.size() + 1);
  const auto inserted = producers_.emplace(key, producer).first;
  by_id_.emplace(producer.id, inserted);
  count_.store(producers_.size(), std::memory_order_relaxed);
}

void NamedProducers::Erase(const ProducerKey& key) {
  const auto found = producers_.find(key);
  if (found == producers_.end()) return;
  by_id_.erase(found->second.id);
  producers_.erase(found);
  count_.store(producers_.size(), std::memory_order_relaxed);
}

}  // namespace messenger
