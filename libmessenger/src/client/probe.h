// A question to a server that has become silent.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>

#include <memory>

#include "absl/functional/any_invocable.h"
#include "client/connection.h"

namespace messenger {

// A small call beside the one that waits. gRPC has pings for this, but their
// timers stand still for as long as the wall clock was set back. Any answer
// will do. If the network is gone, the system breaks the connection because
// the question is not confirmed (TCP_USER_TIMEOUT); if the server hangs, there
// is no answer.
//
// Must not be destroyed on a thread of gRPC's: see Connection.
//
// Thread safety: all members may be called from any thread.
class Probe {
 public:
  explicit Probe(std::shared_ptr<Connection> connection)
      : connection_(std::move(connection)) {}

  // Once. `on_end` runs on a thread of gRPC's, never before Ask has returned
  // on this one: there is an answer, or the call has broken or was cancelled.
  void Ask(absl::AnyInvocable<void()> on_end);

  void Cancel() { context_.TryCancel(); }

 private:
  const std::shared_ptr<Connection> connection_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  absl::AnyInvocable<void()> on_end_;
};

}  // namespace messenger
