// ReadMessages: one subscription, over as many calls as it takes.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "client/backoff.h"
#include "client/connection.h"
#include "client/strand.h"
#include "client/timers.h"
#include "messenger/client.h"
#include "wire/read.h"

namespace messenger {

// What a subscription needs of its client.
struct ReadContext {
  std::shared_ptr<Connector> connector;
  std::shared_ptr<Timers> timers;
  std::shared_ptr<Executor> executor;
  RetryOptions retry;
  std::chrono::milliseconds join_timeout;
};

// There is one call at a time. gRPC's reactions only move its frames into the
// strand, where they are decoded and the callbacks run; the call's end comes
// there too, after its last frame. So the strand knows what was delivered when
// it decides whether, and from where, to read on with another call. The next
// frame is asked for while few are waiting there.
//
// mu_ is held over StartRead and RemoveHold, which never run reactions, over
// Strand::Post, which never runs the task, and over the use of timers.
//
// Kept alive by its Subscription, by the call until OnDone, and by the tasks in
// the strand and among the timers.
class Subscription::Impl final
    : public std::enable_shared_from_this<Subscription::Impl> {
 public:
  Impl(ReadContext context, ReadOptions options, ReadCallbacks callbacks);

  // Ends at once with `status` unless that is OK. Call it once.
  void Start(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  // Cancels without waiting.
  void StartCancel() ABSL_LOCKS_EXCLUDED(mu_);
  // Waits for the terminal callback, unless inside a callback of the client.
  void AwaitEnd() ABSL_LOCKS_EXCLUDED(mu_);

  absl::Status Wait() ABSL_LOCKS_EXCLUDED(mu_);
  std::optional<Position> position() const ABSL_LOCKS_EXCLUDED(mu_);
  std::optional<Bookmark> bookmark() const ABSL_LOCKS_EXCLUDED(mu_);
  SubscriptionState state() const ABSL_LOCKS_EXCLUDED(mu_);
  bool ended() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Call;

  // What the call reports, on gRPC's threads.
  void OnReadDone(bool ok) ABSL_LOCKS_EXCLUDED(mu_);

  void MaybeStartRead() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The call gets no more operations; its end follows.
  void ReleaseCall() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // The watchdog: a read that takes longer than `patience_` ends the call. It
  // bites only when all frames before have been delivered: so a callback that
  // takes its time is not taken for a server that is gone, and what the server
  // has announced is known.
  void SetPatience(std::chrono::nanoseconds patience) ABSL_LOCKS_EXCLUDED(mu_);
  void ArmWatchdog() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnWatchdog() ABSL_LOCKS_EXCLUDED(mu_);

  // In the strand.
  void Connect() ABSL_LOCKS_EXCLUDED(mu_);
  // What remains to be read.
  wire::ReadRequest Request() const;
  void HandleFrame(const grpc::ByteBuffer& bytes) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Deliver(const wire::Frame& frame) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status DeliverHeader(const wire::FrameHeader& header)
      ABSL_LOCKS_EXCLUDED(mu_);
  // What a frame has brought.
  void NoteProgress(bool messages, bool caught_up);
  // Whether a frame with this header can come next.
  absl::Status CheckHeader(const wire::FrameHeader& header) const;
  void Join(const wire::FrameHeader& header) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status DeliverGap(const Gap& gap) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status DeliverMessages(const wire::Frame& frame)
      ABSL_LOCKS_EXCLUDED(mu_);
  void DeliverNews(const wire::Frame& frame) ABSL_LOCKS_EXCLUDED(mu_);
  // Nothing more is wanted.
  bool Finished() const;
  // To just before next_sequence_.
  void SetPosition() ABSL_LOCKS_EXCLUDED(mu_);
  void OnCallEnd(const absl::Status& status,
                 const std::shared_ptr<Connection>& connection)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Why the call has ended, in our words.
  absl::Status ReasonOf(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  bool MayRetry(const absl::Status& reason);
  void Retry(const absl::Status& reason) ABSL_LOCKS_EXCLUDED(mu_);
  void SetState(const SubscriptionState& state) ABSL_LOCKS_EXCLUDED(mu_);
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  // The same, with what a call has come to.
  void Fail(const absl::Status& reason) ABSL_LOCKS_EXCLUDED(mu_);
  bool cancelled() const { return cancelled_.load(); }

  const ReadContext context_;
  const std::shared_ptr<Strand> strand_;
  const ReadOptions options_;
  // Resolved; of options_ if that is not a name.
  const std::string channel_;

  std::atomic<bool> cancelled_{false};
  // Goes with position_epoch_; its own, since it changes with every message.
  std::atomic<std::uint64_t> position_sequence_{0};

  mutable absl::Mutex mu_;
  absl::CondVar changed_;
  std::shared_ptr<Call> call_ ABSL_GUARDED_BY(mu_);
  bool in_call_ ABSL_GUARDED_BY(mu_) = false;  // the call's hold is ours
  bool reading_ ABSL_GUARDED_BY(mu_) = false;
  int waiting_frames_ ABSL_GUARDED_BY(mu_) = 0;  // in the strand
  // Of the next try.
  std::optional<Timers::Id> retry_timer_ ABSL_GUARDED_BY(mu_);
  std::optional<Timers::Id> watchdog_ ABSL_GUARDED_BY(mu_);
  std::chrono::nanoseconds patience_ ABSL_GUARDED_BY(mu_){0};  // 0: for ever
  Timers::TimePoint reading_since_ ABSL_GUARDED_BY(mu_);
  bool bitten_ ABSL_GUARDED_BY(mu_) = false;  // the watchdog has ended the call
  std::optional<std::uint64_t> position_epoch_ ABSL_GUARDED_BY(mu_);
  SubscriptionState state_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mu_);

  // In the strand.
  ReadCallbacks callbacks_;
  Backoff backoff_;
  // Of the present call.
  bool joining_ = false;
  std::chrono::milliseconds heartbeat_interval_{0};  // as the server says
  absl::Status failure_;         // what was wrong with a frame
  std::uint64_t call_head_ = 0;  // when it joined
  bool progressed_ = false;      // messages have come, or it has caught up
  std::optional<Timers::TimePoint> caught_up_since_;
  std::uint64_t head_ = 0;  // as the last frame has it
  // Of the subscription.
  std::uint64_t epoch_ = 0;
  std::uint64_t next_sequence_ = 0;  // 0: was never joined
  std::uint64_t delivered_ = 0;      // messages
  // The head when it joined: where until_caught_up ends.
  std::uint64_t first_head_ = 0;
  bool caught_up_ = false;
  // Where something last arrived damaged.
  std::optional<std::uint64_t> damaged_at_;
};

}  // namespace messenger
