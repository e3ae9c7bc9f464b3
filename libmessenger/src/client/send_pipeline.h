// SendMessages: what a client sends.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "client/connection.h"
#include "client/strand.h"
#include "client/timers.h"
#include "messenger/client.h"
#include "wire/send.h"

namespace messenger {

// Messages gather in batches, one per channel, while a request is on its way;
// then the oldest batch goes. Receipts come back in the order of the requests.
//
// When the stream breaks, everything that has no receipt fails, since the
// server stores nothing after a failure. The next send opens another stream as
// another producer.
//
// mu_ is held over StartCall, StartRead, StartWrite and RemoveHold, which never
// run reactions, and over Strand::Post, which never runs the task.
//
// Thread safety: all members may be called from any thread.
class SendPipeline : public std::enable_shared_from_this<SendPipeline> {
 public:
  SendPipeline(std::shared_ptr<Connector> connector,
               std::shared_ptr<Timers> timers,
               std::shared_ptr<Executor> executor, ClientOptions options);

  // See Client.
  absl::StatusOr<Receipt> Send(const NewMessage& message, SendOptions options)
      ABSL_LOCKS_EXCLUDED(mu_);
  void SendAsync(const NewMessage& message, SendCallback done,
                 SendOptions options) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Flush(std::optional<std::chrono::milliseconds> timeout)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Fails what has no receipt with CANCELLED. Waits until all `done` have
  // returned, unless inside a callback.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

  // A result without a message, for `done` to be called with in its turn.
  void Report(absl::Status status, SendCallback done) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Stream;

  // A Send that waits. Shared with the thread that waits, which may give up.
  struct Waiter {
    absl::Notification done;
    absl::StatusOr<Receipt> result;
  };

  // Who is told of a message's fate.
  struct Completion {
    SendCallback done;               // or
    std::shared_ptr<Waiter> waiter;  // or nobody
  };

  // Messages for one channel that travel in one request.
  struct Batch {
    std::string channel;
    std::string messages;  // encoded fields, while it waits
    grpc::Slice encoded;   // the same, once it was sent
    bool retried = false;  // it was sent in vain once
    std::vector<Completion> completions;
    std::size_t acknowledged = 0;  // of the completions
    std::uint64_t id = 0;          // counts batches
  };

  // The call that is under way.
  struct Call {
    std::shared_ptr<Stream> stream;
    bool open = true;      // the stream takes operations: its hold is ours
    bool writing = false;  // a request is on its way
    absl::Status failure;  // what was wrong with what the server sent
  };

  struct Channel {
    std::uint64_t next_producer_sequence = 1;
    Batch* open = nullptr;  // the one in queue_ that takes more messages
  };

  // Results to hand out in the strand.
  struct Result {
    SendCallback done;
    absl::StatusOr<Receipt> result;
  };
  using Results = std::vector<Result>;

  // Queues a message; an error means that it was not queued.
  absl::Status Enqueue(const NewMessage& message, Completion& completion,
                       absl::Time deadline) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status AwaitRoom(std::size_t size, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Batch* OpenBatch(std::string_view name, std::size_t size)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WriteBatch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // What the stream reports.
  void OnResponse(const grpc::ByteBuffer& response) ABSL_LOCKS_EXCLUDED(mu_);
  void OnWritten(bool ok) ABSL_LOCKS_EXCLUDED(mu_);
  void OnBroken() ABSL_LOCKS_EXCLUDED(mu_);
  void OnEnd(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  // The stream gets no more operations; OnEnd follows.
  void Release() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // After FAILED_PRECONDITION: the server does not know this producer any more,
  // since it was idle for long. Nothing from the first request on was stored,
  // so all of them can go again, once.
  bool RetryAsNewProducer(const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnDestroyed() ABSL_LOCKS_EXCLUDED(mu_);

  // DATA_LOSS if these are not receipts for what was sent.
  absl::Status Acknowledge(const std::vector<wire::ReceiptRun>& runs,
                           Results* results) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Complete(Completion& completion, absl::StatusOr<Receipt> result,
                Results* results) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FailBatches(std::deque<std::unique_ptr<Batch>>& batches,
                   const absl::Status& status, Results* results)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Deliver(Results results) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::uint64_t OldestBatch() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::shared_ptr<Connector> connector_;
  const std::shared_ptr<Strand> strand_;
  const ClientOptions options_;

  absl::Mutex mu_;
  absl::CondVar changed_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<Call> call_ ABSL_GUARDED_BY(mu_);
  int streams_ ABSL_GUARDED_BY(mu_) = 0;  // with those that have ended
  ProducerId producer_id_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, Channel> channels_ ABSL_GUARDED_BY(mu_);
  std::deque<std::unique_ptr<Batch>> queue_ ABSL_GUARDED_BY(mu_);
  std::deque<std::unique_ptr<Batch>> in_flight_ ABSL_GUARDED_BY(mu_);
  std::uint64_t last_batch_ ABSL_GUARDED_BY(mu_) = 0;
  // Of queue_ and in_flight_.
  std::size_t messages_ ABSL_GUARDED_BY(mu_) = 0;
  std::size_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  // Results on their way to their callbacks.
  std::size_t undelivered_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status first_error_ ABSL_GUARDED_BY(mu_);  // since the last Flush
};

}  // namespace messenger
