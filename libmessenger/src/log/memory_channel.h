// One channel of the memory log.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "log/channel_context.h"
#include "log/channel_writer.h"
#include "log/entry_queue.h"
#include "log/memory_budget.h"
#include "log/message_log.h"
#include "log/resolve_start.h"
#include "log/tombstones.h"

namespace messenger {

// Appenders are serialised by append_mu_ and encode outside of mu_, so readers
// wait only for the moment in which a batch is published.
//
// A channel that is deleted is *retired*: it takes no more messages, and
// another one, made from its tombstone, goes on where it was. Readers that hold
// it find out by themselves.
//
// Thread safety: all members may be called from any thread.
class MemoryChannel {
 public:
  // Goes on where a deleted one was, if there is a tombstone of one. `context`
  // must outlive it.
  MemoryChannel(std::string name, const ChannelContext& context,
                std::shared_ptr<MemoryBudget> budget,
                const Tombstone& tombstone = {});

  const std::string& name() const { return name_; }

  // As LogAppender::Append. `*bytes` are those that new messages take, 0 if
  // there are none. Nothing if the channel is retired: there is another one, or
  // none.
  std::optional<AppendResult> Append(const AppendBatch& batch,
                                     std::uint64_t* bytes)
      ABSL_LOCKS_EXCLUDED(append_mu_, mu_);

  // Where a reader starts that starts now.
  absl::StatusOr<Origin> Resolve(const Start& start, bool strict)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Reads from `next` on and says in `result` what was found.
  void Read(std::uint64_t next, const ReadBounds& bounds, ReadResult* result)
      ABSL_LOCKS_EXCLUDED(mu_);

  std::uint64_t head() const { return head_.load(std::memory_order_acquire); }

  // Nothing if it has no message yet, or none since it was deleted.
  std::optional<ChannelInfo> Info() ABSL_LOCKS_EXCLUDED(mu_);

  // Drops all messages. Nothing if there has never been one.
  std::optional<Tombstone> Retire() ABSL_LOCKS_EXCLUDED(append_mu_, mu_);
  // The same, unless it has a message: then false.
  bool RetireIfEmpty(std::optional<Tombstone>* tombstone)
      ABSL_LOCKS_EXCLUDED(append_mu_, mu_);
  bool retired() const { return retired_.load(std::memory_order_acquire); }

 private:
  // Memory dropped under mu_ and freed when it goes out of scope, after mu_.
  using Dropped = std::vector<EntryRun>;

  // `dropped` is freed after mu_.
  std::optional<Tombstone> RetireLocked(EntryQueue* dropped)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(append_mu_, mu_);

  // Shows readers what is prepared: it is stored then, so that should there be
  // no memory for the little that this takes, the program ends.
  void Publish() noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(append_mu_)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Drops what retention would drop if so many bytes were added; whether there
  // was something.
  bool MakeRoom(std::size_t bytes) ABSL_LOCKS_EXCLUDED(mu_);
  // The encoded Message with this sequence; empty if it is not stored.
  LogBytes FindMessage(std::uint64_t sequence) ABSL_LOCKS_EXCLUDED(mu_);

  std::uint64_t FindTime(Timestamp time) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::uint64_t first_sequence() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ChannelExtent extent() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropExpired(Dropped* dropped) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // So that there is room for so many bytes.
  void DropExcess(std::size_t bytes, Dropped* dropped)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropFront(Dropped* dropped) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const RetentionOptions& retention() const {
    return context_.options.retention;
  }

  const std::string name_;
  const ChannelContext& context_;

  absl::Mutex append_mu_ ABSL_ACQUIRED_BEFORE(mu_);
  ChannelWriter writer_ ABSL_GUARDED_BY(append_mu_);

  // Written under append_mu_ and mu_.
  std::atomic<std::uint64_t> head_{0};
  std::atomic<bool> retired_{false};

  absl::Mutex mu_;
  EntryQueue entries_ ABSL_GUARDED_BY(mu_);
  // The newest message that retention dropped.
  std::optional<Timestamp> last_dropped_time_ ABSL_GUARDED_BY(mu_);
  // The head when the channel was last deleted.
  std::uint64_t deleted_head_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace messenger
