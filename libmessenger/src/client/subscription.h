// ReadMessages: one subscription.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "client/connection.h"
#include "client/executor.h"
#include "messenger/client.h"
#include "wire/read.h"

namespace messenger {

// gRPC's reactions only move frames into the strand, where they are decoded and
// the callbacks run. The next frame is asked for while few are waiting there.
//
// mu_ is held over StartRead and RemoveHold, which never run reactions, and
// over Strand::Post, which never runs the task.
//
// Kept alive by its Subscription, by the call until OnDone, and by the tasks in
// the strand.
class Subscription::Impl final
    : public ByteStream,
      public std::enable_shared_from_this<Subscription::Impl> {
 public:
  Impl(std::shared_ptr<Connection> connection,
       std::shared_ptr<Executor> executor, ReadOptions options,
       ReadCallbacks callbacks);

  // Ends at once with `status` unless that is OK. Call it once.
  void Start(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  // Cancels without waiting.
  void StartCancel() ABSL_LOCKS_EXCLUDED(mu_);
  // Waits for the terminal callback, unless inside a callback of the client.
  void AwaitEnd() ABSL_LOCKS_EXCLUDED(mu_);

  absl::Status Wait() ABSL_LOCKS_EXCLUDED(mu_);
  std::optional<Position> position() const ABSL_LOCKS_EXCLUDED(mu_);
  bool ended() const ABSL_LOCKS_EXCLUDED(mu_);

  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnDone(const grpc::Status& status) override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void MaybeStartRead() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ReleaseCall() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // In the strand.
  void HandleFrame(const grpc::ByteBuffer& bytes) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Deliver(const wire::Frame& frame) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status DeliverHeader(const wire::FrameHeader& header)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Whether a frame with this header can come next.
  absl::Status CheckHeader(const wire::FrameHeader& header, bool joining) const;
  absl::Status DeliverMessages(const wire::Frame& frame)
      ABSL_LOCKS_EXCLUDED(mu_);
  // To just before next_sequence_.
  void SetPosition() ABSL_LOCKS_EXCLUDED(mu_);
  std::string_view Flatten(const grpc::ByteBuffer& frame);
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  bool cancelled() const { return cancelled_.load(); }

  const std::shared_ptr<Connection> connection_;
  const std::shared_ptr<Strand> strand_;
  const ReadOptions options_;
  std::shared_ptr<Impl> self_;  // until OnDone
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer incoming_;  // while reading_

  std::atomic<bool> cancelled_{false};
  // Goes with position_epoch_; its own, since it changes with every message.
  std::atomic<std::uint64_t> position_sequence_{0};

  mutable absl::Mutex mu_;
  absl::CondVar changed_;
  bool in_call_ ABSL_GUARDED_BY(mu_) = false;  // the call's hold is ours
  bool reading_ ABSL_GUARDED_BY(mu_) = false;
  int waiting_frames_ ABSL_GUARDED_BY(mu_) = 0;  // in the strand
  std::optional<std::uint64_t> position_epoch_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mu_);

  // In the strand.
  ReadCallbacks callbacks_;
  std::string channel_;
  std::vector<char> bytes_;  // of the frame being delivered
  absl::Status failure_;     // what was wrong with a frame
  std::uint64_t epoch_ = 0;
  std::uint64_t next_sequence_ = 0;  // 0: not joined
  bool caught_up_ = false;
};

}  // namespace messenger
