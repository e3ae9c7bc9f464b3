// SendMessages: what a client sends.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/cond_var.h"
#include "client/backoff.h"
#include "client/connection.h"
#include "client/flight.h"
#include "client/probe.h"
#include "client/send_window.h"
#include "client/strand.h"
#include "client/timers.h"
#include "messenger/client.h"
#include "messenger/stats.h"
#include "rpc/pace.h"
#include "wire/capabilities.h"

namespace messenger {

// Writes what is in the window, a request at a time, on one stream after the
// other: a stream that ends is followed by another one for as long as there is
// something to send, at once if it was ended by a refusal, else after a while.
// Nothing is written before the server has answered: so what was written may be
// stored, and what was not is not.
//
// mu_ is held over StartCall, StartRead, StartWrite and RemoveHold, which never
// run reactions, over Strand::Post, which never runs the task, and over the use
// of timers.
//
// Thread safety: all members may be called from any thread.
class SendPipeline : public std::enable_shared_from_this<SendPipeline> {
 public:
  SendPipeline(std::shared_ptr<Connector> connector,
               std::shared_ptr<Timers> timers, std::shared_ptr<RunQueue> queue,
               ClientOptions options);

  // See Client.
  absl::StatusOr<Receipt> Send(
      const NewMessage& message, const SendOptions& options,
      const std::optional<SendTerms::Number>& number = std::nullopt)
      ABSL_LOCKS_EXCLUDED(mu_);
  void SendAsync(const NewMessage& message, SendCallback done,
                 const SendOptions& options) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status CheckIdle(std::string_view channel) ABSL_LOCKS_EXCLUDED(mu_);
  void SetNamedProducer(const ProducerInfo& producer) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Flush(std::optional<std::chrono::milliseconds> timeout)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status FlushCallbacks(std::optional<std::chrono::milliseconds> timeout)
      ABSL_LOCKS_EXCLUDED(mu_);

  ClientSendStats Stats() ABSL_LOCKS_EXCLUDED(mu_);

  // Fails what has no receipt with CANCELLED. Waits until all `done` have
  // returned, unless inside a callback.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

  // A result without a message, for `done` to be called with in its turn.
  void Report(absl::Status status, SendCallback done) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Stream;
  using TimePoint = Timers::TimePoint;
  using Fates = SendWindow::Fates;

  // The call that is under way.
  struct Call {
    std::shared_ptr<Stream> stream;
    bool open = true;       // the stream takes operations: its hold is ours
    bool writing = false;   // a request is on its way
    TimePoint written;      // when it was begun
    std::size_t bytes = 0;  // of it
    bool answered = false;  // the server takes requests
    wire::Capabilities capabilities;  // then: of the server
    bool progressed = false;          // and has given a receipt
    TimePoint since;                  // when it was started
    // When it is to have said something.
    std::optional<Timers::Id> silence_timer;
    // When it said something last, or got something that it owes an answer for.
    TimePoint heard;
    std::shared_ptr<Probe> probe;  // asks whether it is still there
    absl::Status silent;   // it was ended since the server has not answered
    absl::Status failure;  // what was wrong with what it said
  };

  // As Enqueue. What is not put into the window, and would have been sent as
  // the named producer, fails those after it as well.
  absl::Status Submit(const NewMessage& message, Completion& completion,
                      const SendOptions& options,
                      const std::optional<SendTerms::Number>& number =
                          std::nullopt) ABSL_LOCKS_EXCLUDED(mu_);
  bool IsNamed(const SendOptions& options,
               const std::optional<SendTerms::Number>& number) const;
  // Puts a message into the window; an error means that it was not, and leaves
  // `completion` as it was.
  absl::Status Enqueue(const NewMessage& message, Completion& completion,
                       const SendOptions& options,
                       const std::optional<SendTerms::Number>& number)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Numbers the message, if it is to be one of the named producer.
  absl::Status SetNumber(std::string_view channel, const SendOptions& options,
                         SendTerms* terms) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status AwaitRoom(std::size_t size, TimePoint deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool HasRoom(std::size_t size) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Whether another request may be in flight. There must be one in the queue.
  bool MayWrite() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Starts whatever can be started now.
  void Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // What the stream reports.
  void OnResponse(const grpc::ByteBuffer& response) ABSL_LOCKS_EXCLUDED(mu_);
  // DATA_LOSS unless the stream's first response has the epoch, and the others
  // have receipts.
  absl::Status CheckOrder(const wire::SendResponse& response) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnWritten(bool ok) ABSL_LOCKS_EXCLUDED(mu_);
  void OnBroken() ABSL_LOCKS_EXCLUDED(mu_);
  // It may not have answered in time: asks it, or gives the stream up.
  void OnSilence() ABSL_LOCKS_EXCLUDED(mu_);
  void ArmSilence(TimePoint time) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void StartProbe() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnProbeEnd(const std::shared_ptr<Probe>& probe) ABSL_LOCKS_EXCLUDED(mu_);
  void OnEnd(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  void OnDestroyed() ABSL_LOCKS_EXCLUDED(mu_);
  // The stream gets no more operations; OnEnd follows.
  void Release() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // A message has its receipt, or is refused for good.
  void NoteProgress() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The connection is gone. True if there is something to try again for.
  bool Retry(const absl::Status& reason, Fates* fates)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnRetry() ABSL_LOCKS_EXCLUDED(mu_);

  Timers::Id Schedule(TimePoint time, void (SendPipeline::*task)());
  void ArmExpiry(TimePoint deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnExpiry() ABSL_LOCKS_EXCLUDED(mu_);

  void Deliver(Fates fates) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Waits until all that was sent before has its result; false if `deadline`
  // has come.
  bool AwaitResults(TimePoint deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::shared_ptr<Connector> connector_;
  const std::shared_ptr<Timers> timers_;
  const std::shared_ptr<Strand> strand_;
  const ClientOptions options_;

  absl::Mutex mu_;
  CondVar changed_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  SendWindow window_ ABSL_GUARDED_BY(mu_);
  ClientSendStats counters_ ABSL_GUARDED_BY(mu_);
  rpc::Pace pace_ ABSL_GUARDED_BY(mu_);  // of one request
  Flight flight_ ABSL_GUARDED_BY(mu_);   // of all that are in flight
  std::optional<Call> call_ ABSL_GUARDED_BY(mu_);
  // Streams and probes, with those that have ended.
  int streams_ ABSL_GUARDED_BY(mu_) = 0;
  Backoff backoff_ ABSL_GUARDED_BY(mu_);
  std::optional<Timers::Id> retry_timer_ ABSL_GUARDED_BY(mu_);
  absl::Status away_ ABSL_GUARDED_BY(mu_);  // why the server is
  // When messages are next looked at whose time may be up.
  std::optional<Timers::Id> expiry_timer_ ABSL_GUARDED_BY(mu_);
  // Results whose callbacks were posted, and those whose callbacks have
  // returned: the strand keeps their order.
  std::uint64_t posted_ ABSL_GUARDED_BY(mu_) = 0;
  std::uint64_t returned_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status first_error_ ABSL_GUARDED_BY(mu_);  // since the last Flush
};

}  // namespace messenger
