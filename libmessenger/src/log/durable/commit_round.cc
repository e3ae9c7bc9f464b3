#include "log/durable/commit_round.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/out_of_memory.h"
#include "base/reason.h"
#include "base/status.h"
#include "log/channel_errors.h"
#include "log/count_append.h"

namespace messenger {
namespace {

template <typename... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <typename... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

absl::Status RefusesWrites(const absl::Status& why) {
  const std::string text =
      fmt::format("the log cannot be written to: {}", MessageOf(why));
  // Of a full disk, it is known that nothing was stored.
  return absl::IsResourceExhausted(why)
             ? WithReason(absl::ResourceExhaustedError(text),
                          reason::kStorageFull)
             : WithReason(absl::UnavailableError(text), reason::kStorageFailed);
}

// Whether an older server would damage what it makes.
bool UsesNewVersion(const AppendBatch& batch) {
  // Of an ordinary producer: where there are named ones, it is new already.
  const bool sets_owner = batch.producer_id && !batch.owner.empty();
  return sets_owner || !batch.idempotency_key.empty() ||
         std::any_of(batch.messages.begin(), batch.messages.end(),
                     [](const wire::CanonicalMessage& message) {
                       return !message.after_producer().empty();
                     });
}

}  // namespace

CommitRound::CommitRound(DurableCore* core)
    : core_(core),
      counts_{.existing = 0, .deleted = core->channels.tombstones()} {
  core_->channels.ForEach([this](DurableChannel* channel) {
    ++(channel->exists() ? counts_.existing : counts_.deleted);
  });
  counts_before_ = counts_;
}

void CommitRound::Prepare(AppendRequest request, const absl::Status& refusal) {
  AppenderState& appender = *request.appender;
  AppendOutcome outcome = {.request = std::move(request),
                           .result = AppendResult()};
  outcome.decided = appender.failed || outcome.request.cancelled;
  if (appender.failed) {
    outcome.result = LogAppender::FailedBefore();
  } else if (outcome.request.cancelled) {
    outcome.result = LogAppender::Cancelled();
  } else if (!refusal.ok()) {
    outcome.result = RefusesWrites(refusal);
  } else {
    outcome.result = PrepareBatch(outcome.request.batch, &outcome.bytes);
  }
  appender.failed = !outcome.result.ok();
  outcomes_.emplace_back(std::move(outcome));
}

AppendResult CommitRound::PrepareBatch(const AppendBatch& batch,
                                       std::uint64_t* bytes) {
  // Before anything is prepared that could not be written.
  absl::Status room = RefuseIfOutOfMemory([&] {
    round_.MakeRoom(StoredSize(batch));
    return absl::OkStatus();
  });
  if (!room.ok()) return room;
  absl::StatusOr<DurableChannel*> channel = FindOrCreate(batch);
  if (!channel.ok()) return channel.status();
  touched_.insert(*channel);
  const bool existed = (*channel)->exists();
  const bool deleted = !existed && (*channel)->deleted();
  absl::StatusOr<ChannelWriter::Prepared> prepared = (*channel)->Prepare(
      batch,
      [&](const SegmentInfo& segment, std::uint64_t sequence) {
        return ReadMessage(**channel, segment, sequence);
      },
      [&] {
        return core_->checkpoint.raised() || !UsesNewVersion(batch)
                   ? absl::OkStatus()
                   : RaiseVersion();
      });
  if (!prepared.ok()) {
    // Of reading what is repeated.
    if (!absl::IsInternal(prepared.status())) return prepared.status();
    core_->NoteUnreadable(batch.channel, prepared.status());
    return absl::UnavailableError(prepared.status().message());
  }
  if (!existed && (*channel)->exists()) {
    ++counts_.existing;
    if (deleted) --counts_.deleted;
  }
  for (const EntryRun& run : prepared->runs) {
    round_.AddEntries(batch.channel, run.first_sequence, run.bytes());
  }
  if (prepared->sets_owner) {
    round_.AddProducerOwner(
        {.channel = batch.channel,
         .id = *batch.producer_id,
         .owner = batch.owner,
         .sequence = prepared->runs.back().end_sequence() - 1});
  }
  if (prepared->idempotency_key) {
    round_.AddIdempotencyKey(*prepared->idempotency_key);
  }
  if (batch.producer_generation != 0 && !prepared->runs.empty()) {
    changed_producers_.push_back(*batch.producer_id);
  }
  *bytes = prepared->bytes();
  return std::move(prepared->receipts);
}

absl::StatusOr<DurableChannel*> CommitRound::FindOrCreate(
    const AppendBatch& batch) {
  DurableChannel* const found = Find(batch.channel);
  if (found != nullptr && found->exists()) return found;
  if (counts_.existing >= core_->context.options.max_channels) {
    return TooManyChannels(batch.channel, core_->context.options.max_channels);
  }
  if (found != nullptr) return found;
  std::shared_ptr<DurableChannel> created = core_->channels.FindOrRevive(
      batch.channel, [&](const Tombstone& tombstone) {
        return std::make_shared<DurableChannel>(
            StateOf(batch.channel, tombstone, core_->context.epochs),
            core_->context);
      });
  if (!created) {
    if (batch.producer_id) {
      // What an empty channel would refuse need not be made.
      const auto named = core_->context.named_producers->Find(batch);
      absl::Status s = named.status();
      if (s.ok() && !*named) {
        s = ProducerTable::CheckFirst(batch.first_producer_sequence);
      }
      if (!s.ok()) return s;
    }
    created = std::make_shared<DurableChannel>(batch.channel, core_->context);
  }
  return new_.emplace(batch.channel, std::move(created)).first->second.get();
}

DurableChannel* CommitRound::Find(const std::string& name) const {
  const auto it = new_.find(name);
  // The map keeps it alive, since only this thread takes anything out of it.
  return it != new_.end() ? it->second.get() : core_->channels.Find(name).get();
}

absl::StatusOr<LogBytes> CommitRound::ReadMessage(DurableChannel& channel,
                                                  const SegmentInfo& segment,
                                                  std::uint64_t sequence) {
  const bool goes_on = repeated_.channel == &channel &&
                       repeated_.next == sequence && repeated_.entries.Next();
  if (!goes_on) {
    repeated_ = {};
    const auto reader = core_->OpenSegment(channel, segment);
    if (absl::IsNotFound(reader.status())) return LogBytes();
    if (!reader.ok()) return reader.status();
    auto place = (*reader)->Find(sequence, segment);
    if (!place.ok()) return place.status();
    constexpr ReadBounds kBounds{.max_bytes = std::size_t{64} << 10};
    auto entries = (*reader)->Read(&*place, kBounds, segment);
    if (!entries.ok()) return entries.status();
    repeated_ = {.channel = &channel,
                 .next = sequence,
                 .owner = std::move(entries->bytes.owner),
                 .entries = wire::EntryReader(entries->bytes.bytes)};
    repeated_.entries.Next();
  }
  ++repeated_.next;
  return LogBytes{repeated_.owner, repeated_.entries.message()};
}

void CommitRound::Prepare(DeleteRequest request, const absl::Status& failure) {
  DeleteOutcome outcome = {.request = std::move(request)};
  const std::string& name = outcome.request.channel;
  DurableChannel* const channel = Find(name);
  const std::size_t max_deleted = core_->context.options.max_deleted_channels;
  if (channel == nullptr || !channel->exists()) {
    outcome.result = NoSuchChannel(name);
  } else if (!failure.ok()) {
    outcome.result = RefusesWrites(failure);
  } else if (counts_.deleted >= max_deleted) {
    outcome.result = TooManyDeletedChannels(name, max_deleted);
  } else {
    --counts_.existing;
    ++counts_.deleted;
    touched_.insert(channel);
    round_.AddDeletion(name, channel->PrepareDeletion());
  }
  outcome.decided = !outcome.result.ok();
  outcomes_.emplace_back(std::move(outcome));
}

void CommitRound::Prepare(OpenProducerRequest request,
                          const absl::Status& refusal) {
  absl::StatusOr<ProducerInfo> result =
      refusal.ok() ? OpenProducer(request.producer, request.owner)
                   : absl::StatusOr<ProducerInfo>(RefusesWrites(refusal));
  outcomes_.emplace_back(OpenProducerOutcome{.request = std::move(request),
                                             .result = std::move(result)});
}

absl::StatusOr<ProducerInfo> CommitRound::OpenProducer(const ProducerKey& key,
                                                       std::string_view owner) {
  const ChannelContext& context = core_->context;
  absl::Status s = context.named_producers->CheckOpening(key, owner);
  if (s.ok()) s = RaiseVersion();
  if (!s.ok()) return s;
  const absl::StatusOr<NamedProducer> opened =
      context.named_producers->PrepareOpening(key, owner, context.clock.now());
  if (!opened.ok()) return opened.status();
  round_.AddProducer({.key = key, .producer = *opened});
  changed_producers_.push_back(opened->id);
  return InfoOf(key, *opened, context.epoch());
}

void CommitRound::Prepare(DeleteProducerRequest request,
                          const absl::Status& refusal) {
  absl::Status status =
      refusal.ok() ? DeleteProducer(request.producer) : RefusesWrites(refusal);
  outcomes_.emplace_back(DeleteProducerOutcome{.request = std::move(request),
                                               .result = std::move(status)});
}

absl::Status CommitRound::DeleteProducer(const ProducerKey& key) {
  const absl::StatusOr<NamedProducer> deleted =
      core_->context.named_producers->PrepareDeletion(key);
  if (!deleted.ok()) return deleted.status();
  round_.AddProducerDeletion({.key = key, .producer = *deleted});
  changed_producers_.push_back(deleted->id);
  return absl::OkStatus();
}

absl::Status CommitRound::RaiseVersion() {
  if (core_->checkpoint.raised()) return absl::OkStatus();
  absl::Status s =
      RefuseIfOutOfMemory([&] { return core_->checkpoint.Raise(); });
  if (s.ok()) return s;
  const std::string what =
      fmt::format("the checkpoint cannot be made one of format version {}: {}",
                  kCheckpointVersion, MessageOf(s));
  if (!std::exchange(raise_failed_, true)) {
    core_->Notify(what + "; what needs it is refused until it can");
  }
  return RefusesWrites({s.code(), what});
}

void CommitRound::Publish(Changes* changes) {
  counts_before_ = counts_;
  if (!changed_producers_.empty()) {
    changes->named_producers.insert(changed_producers_.begin(),
                                    changed_producers_.end());
    changed_producers_.clear();
    core_->context.named_producers->Commit();
  }
  // Not one whose only batch was refused.
  absl::erase_if(new_, [this](const auto& created) {
    DurableChannel* const channel = created.second.get();
    if (channel->advances()) return false;
    channel->Undo();
    touched_.erase(channel);
    return true;
  });
  std::vector<DurableChannel*> advanced;
  for (DurableChannel* const channel : touched_) {
    if (channel->Publish()) advanced.push_back(channel);
    if (channel->head() > 0) changes->channels.insert(channel);
  }
  touched_.clear();
  for (auto& [name, channel] : new_) core_->channels.Insert(std::move(channel));
  new_.clear();
  for (DurableChannel* const channel : advanced) {
    core_->listeners.OnAppend(channel->name());
  }
}

// Of the requests of this round, the first one of each appender has failed with
// the round, and the others follow a failure.
void CommitRound::Fail(const absl::Status& status) {
  Undo();
  round_.Clear();
  counts_ = counts_before_;
  absl::flat_hash_set<AppenderState*> failed;
  for (Outcome& outcome : outcomes_) {
    std::visit(Overloaded{[&](AppendOutcome& append) {
                            if (append.decided) return;
                            AppenderState* const appender =
                                append.request.appender.get();
                            appender->failed = true;
                            append.result = failed.insert(appender).second
                                                ? RefusesWrites(status)
                                                : LogAppender::FailedBefore();
                          },
                          [&](DeleteOutcome& deletion) {
                            if (deletion.result.ok()) {
                              deletion.result = RefusesWrites(status);
                            }
                          },
                          // A refusal may rest on what is undone.
                          [&](auto& of_producer) {
                            of_producer.result = RefusesWrites(status);
                          }},
               outcome);
  }
}

void CommitRound::Undo() {
  for (DurableChannel* const channel : touched_) channel->Undo();
  touched_.clear();
  new_.clear();
  if (!changed_producers_.empty()) core_->context.named_producers->Undo();
  changed_producers_.clear();
}

void CommitRound::PrepareDeletions(const absl::Status& failure) {
  std::vector<DeleteRequest> deletions;
  std::erase_if(outcomes_, [&](Outcome& outcome) {
    auto* const deletion = std::get_if<DeleteOutcome>(&outcome);
    if (deletion == nullptr || deletion->decided) return false;
    deletions.push_back(std::move(deletion->request));
    return true;
  });
  for (DeleteRequest& deletion : deletions) {
    Prepare(std::move(deletion), failure);
  }
}

bool CommitRound::HasDeleted() const {
  return std::any_of(
      outcomes_.begin(), outcomes_.end(), [](const Outcome& outcome) {
        const auto* const deletion = std::get_if<DeleteOutcome>(&outcome);
        return deletion != nullptr && deletion->result.ok();
      });
}

absl::AnyInvocable<void()> CommitRound::Complete() {
  round_.Clear();
  repeated_ = {};
  // Whatever was refused was touched, but nothing of it is prepared.
  Undo();
  if (outcomes_.empty()) return nullptr;
  for (const Outcome& outcome : outcomes_) {
    if (const auto* const append = std::get_if<AppendOutcome>(&outcome)) {
      CountAppend(append->result, append->bytes, core_->counters);
    }
  }
  return [outcomes = std::exchange(outcomes_, {})]() mutable {
    for (Outcome& outcome : outcomes) {
      std::visit(Overloaded{[](AppendOutcome& append) {
                              append.request.done(std::move(append.result));
                            },
                            [](auto& other) {
                              other.request.done(std::move(other.result));
                            }},
                 outcome);
    }
  };
}

}  // namespace messenger
