// What is committed together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/durable/durable_channel.h"
#include "log/durable/durable_core.h"
#include "log/durable/journal.h"
#include "log/durable/request_queue.h"
#include "log/message_log.h"
#include "wire/entry.h"

namespace messenger {

// What has changed since the last checkpoint.
struct Changes {
  absl::flat_hash_set<DurableChannel*> channels;
  absl::flat_hash_set<ProducerId> named_producers;

  bool empty() const { return channels.empty() && named_producers.empty(); }
};

// Requests are prepared one after the other, each as it is with those before
// it. When the journal has the round, all of it is published; if it could not
// be written, it fails, and all is as it was. Then, or if there was nothing to
// write, it is completed, and the next round begins.
//
// Thread safety: none; for the commit thread.
class CommitRound {
 public:
  // `core`, whose channels are there, must outlive it.
  explicit CommitRound(DurableCore* core);

  // An append is refused because of `refusal`, unless that is OK, and a
  // deletion because of `failure`.
  void Prepare(AppendRequest request, const absl::Status& refusal);
  void Prepare(DeleteRequest request, const absl::Status& failure);
  // As appends.
  void Prepare(OpenProducerRequest request, const absl::Status& refusal);
  void Prepare(DeleteProducerRequest request, const absl::Status& refusal);

  // How many requests it has.
  std::size_t size() const { return outcomes_.size(); }
  // What is to be written.
  JournalRound& journal_round() { return round_; }

  // Adds what has changed to `changes`.
  void Publish(Changes* changes);
  void Fail(const absl::Status& status);
  // After Fail: prepares those deletions again that have failed with the round.
  // Appends may have failed with it; a deletion takes little room, and makes
  // some.
  void PrepareDeletions(const absl::Status& failure);

  // Whether a channel was deleted.
  bool HasDeleted() const;

  // Counts what has become of its appends. Returns what calls the `done` of
  // each request, in order; null if there was none.
  absl::AnyInvocable<void()> Complete();

  // Of channels, as of the last round that was published.
  std::size_t existing() const { return counts_before_.existing; }

 private:
  // A request that was looked at, and how it will be answered if the round is
  // written.
  struct AppendOutcome {
    AppendRequest request;
    AppendResult result;
    std::uint64_t bytes = 0;  // of new messages
    bool decided = false;     // before the round
  };
  struct DeleteOutcome {
    DeleteRequest request;
    absl::Status result;
    bool decided = false;  // before the round
  };
  struct OpenProducerOutcome {
    OpenProducerRequest request;
    absl::StatusOr<ProducerInfo> result;
  };
  struct DeleteProducerOutcome {
    DeleteProducerRequest request;
    absl::Status result;
  };
  using Outcome = std::variant<AppendOutcome, DeleteOutcome,
                               OpenProducerOutcome, DeleteProducerOutcome>;

  // `*bytes` are those that new messages take.
  AppendResult PrepareBatch(const AppendBatch& batch, std::uint64_t* bytes);
  absl::StatusOr<ProducerInfo> OpenProducer(const ProducerKey& key,
                                            std::string_view owner);
  absl::Status DeleteProducer(const ProducerKey& key);
  // Before what an older server does not know is written.
  absl::Status RaiseVersion();
  // For its first message: counts it among the channels.
  absl::StatusOr<DurableChannel*> FindOrCreate(const AppendBatch& batch);
  // As it is with what is prepared; null if there is none.
  DurableChannel* Find(const std::string& name) const;
  // The encoded Message with this sequence; empty if it is no longer there.
  absl::StatusOr<LogBytes> ReadMessage(DurableChannel& channel,
                                       const SegmentInfo& segment,
                                       std::uint64_t sequence);
  // Nothing of it is prepared any more.
  void Undo();

  DurableCore* const core_;
  JournalRound round_;
  std::vector<Outcome> outcomes_;
  absl::flat_hash_set<DurableChannel*> touched_;
  // That appear with the round.
  absl::flat_hash_map<std::string, std::shared_ptr<DurableChannel>> new_;
  // Channels that exist, and those that are deleted, with what is prepared.
  struct Counts {
    std::size_t existing = 0;
    std::size_t deleted = 0;
  };
  Counts counts_;
  Counts counts_before_;
  // Named ones that have appended, or were opened or deleted.
  std::vector<ProducerId> changed_producers_;
  // Messages from a segment that a producer repeats, since it will go on to
  // repeat those after them.
  struct Repeated {
    const DurableChannel* channel = nullptr;
    std::uint64_t next = 0;
    std::shared_ptr<const void> owner;
    wire::EntryReader entries{{}};
  };
  Repeated repeated_;
  bool raise_failed_ = false;  // and the operator has been told
};

}  // namespace messenger
