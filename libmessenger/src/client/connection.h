// The channel to the server, and calls that are not streams.
#pragma once

#include <google/protobuf/message_lite.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/client_callback.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "messenger/client.h"

namespace messenger {

using ByteStream = grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

// The last reference must not be dropped on one of gRPC's own threads:
// gRPC 1.51 ends these threads with the last channel, and a thread that joins
// itself takes memory with it that is still in use. (A ClientContext refers to
// its channel as well.) So what holds a connection is given to an executor to
// be destroyed.
//
// Thread safety: all members may be called from any thread.
class Connection {
 public:
  static std::shared_ptr<Connection> ToTarget(const ClientOptions& options);
  // Takes ownership of `fd`.
  static std::shared_ptr<Connection> ToFd(int fd);

  explicit Connection(std::shared_ptr<grpc::Channel> channel)
      : stub_(std::move(channel)) {}

  // Prepares a streaming call; StartCall on the reactor starts it. `method` is
  // its name within the service.
  void PrepareStream(grpc::ClientContext* context, const char* method,
                     ByteStream* reactor);

  // Blocks until the answer is there or `timeout` is over.
  absl::Status Call(const char* method,
                    const google::protobuf::MessageLite& request,
                    google::protobuf::MessageLite* response,
                    std::chrono::milliseconds timeout);

  // Asks gRPC's health service after the message service. UNAVAILABLE if that
  // is not SERVING, UNIMPLEMENTED if there is no health service.
  absl::Status CheckHealth(std::chrono::milliseconds timeout);

 private:
  // `method` with its service.
  absl::Status CallRaw(const std::string& method,
                       const grpc::ByteBuffer& request,
                       grpc::ByteBuffer* response,
                       std::chrono::milliseconds timeout);

  grpc::GenericStub stub_;
};

// The status of a call that the client did not cancel. A call that broke, in
// whichever way, is UNAVAILABLE; the server's own answers stay as they are.
absl::Status StatusOfCall(const grpc::Status& status);

}  // namespace messenger
