// SendMessages: one pipelined sender.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "log/message_log.h"
#include "rpc/self_owned.h"
#include "server/append_gate.h"
#include "server/call.h"

namespace messenger {

// Sends the log's epoch. Reads requests, hands them to the log one after the
// other without waiting, and sends the receipts in that order, which is the
// order in which the log answers. Receipts that become due while a response is
// on its way gather in the next one. Reading pauses while too many appends are
// under way, of this call or of all (see AppendGate), or the client does not
// take its receipts. When the call is gone, what the log has not begun to store
// is dropped.
//
// mu_ is held over StartRead, StartWrite and Finish: they start operations and
// never run reactions, and it makes sure that none is started after Finish.
class SendStream final
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
      public AppendGate::Waiter,
      public LiveCall,
      public rpc::SelfOwned<SendStream>,
      public std::enable_shared_from_this<SendStream> {
 public:
  static grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Start(
      const Call& call, grpc::CallbackServerContext* context);

  SendStream(Call call, grpc::CallbackServerContext* context)
      : call_(std::move(call)), context_(context) {}

  // If it is not admitted any more, it accepts no more requests, and ends when
  // what was accepted is answered.
  void Reconsider() override ABSL_LOCKS_EXCLUDED(mu_);
  void ReconsiderAtOnce() override ABSL_LOCKS_EXCLUDED(context_mu_);

  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mu_);
  void OnDone() override;

  void OnAdmitted() override ABSL_LOCKS_EXCLUDED(mu_);
  void OnTurnedAway() override ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void EndUnlessAdmitted() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Parses request_ and hands it to the log, now or when it has entered.
  void Accept() ABSL_LOCKS_EXCLUDED(mu_);
  void Append() ABSL_LOCKS_EXCLUDED(mu_);
  // Of a request that is not handed to the log.
  void Refuse(absl::Status status) ABSL_LOCKS_EXCLUDED(mu_);
  void OnAppended(const AppendResult& result) ABSL_LOCKS_EXCLUDED(mu_);
  // Stops reading; the first call decides the status.
  void EndWith(absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Ends without waiting for the appends under way: they fail as well, since an
  // append has failed (see LogAppender), or nobody is left to be told.
  void GiveUpAppends(absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The call is gone: nothing more can be sent.
  void Abort() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Starts whatever can be started now.
  void Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Call call_;
  const std::shared_ptr<AppendGate> gate_ = call_.core().append_gate();
  const std::unique_ptr<LogAppender> appender_ =
      call_.core().log().OpenAppender();
  AppendBatch batch_;  // that is on its way into the gate

  absl::Mutex mu_;
  std::size_t appends_ ABSL_GUARDED_BY(mu_) = 0;  // under way
  std::string outgoing_ ABSL_GUARDED_BY(mu_);     // the next response
  bool reading_ ABSL_GUARDED_BY(mu_) = false;
  bool entering_ ABSL_GUARDED_BY(mu_) = false;  // the gate
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  // How the stream ends once all receipts are sent.
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mu_);
  // The answers to the appends under way do not matter any more.
  bool given_up_ ABSL_GUARDED_BY(mu_) = false;

  grpc::ByteBuffer request_;   // while reading_
  grpc::ByteBuffer response_;  // while writing_

  absl::Mutex context_mu_;
  // Null after OnDone.
  grpc::CallbackServerContext* context_ ABSL_GUARDED_BY(context_mu_);
};

}  // namespace messenger
