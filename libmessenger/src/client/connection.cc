#include "client/connection.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <string>
#include <utility>

#include "absl/synchronization/notification.h"
#include "rpc/bytes.h"
#include "rpc/init.h"
#include "rpc/keepalive.h"
#include "rpc/status.h"

namespace messenger {
namespace {

// Above anything that a server sends.
constexpr int kMaxReceiveBytes = 64 << 20;

grpc::ChannelArguments Arguments() {
  rpc::KeepInitialized();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS,
                   rpc::ToArgument(rpc::kKeepaliveTime));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                   rpc::ToArgument(rpc::kKeepaliveTimeout));
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // gRPC waits up to two minutes before it tries a server again.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  // Each client has a connection of its own.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return arguments;
}

std::string FullName(const char* method) {
  return std::string("/messenger.v1.MessengerServer/") + method;
}

}  // namespace

std::shared_ptr<Connection> Connection::ToTarget(const ClientOptions& options) {
  return std::make_shared<Connection>(grpc::CreateCustomChannel(
      options.target, grpc::InsecureChannelCredentials(), Arguments()));
}

std::shared_ptr<Connection> Connection::ToFd(int fd) {
  return std::make_shared<Connection>(
      grpc::CreateCustomInsecureChannelFromFd("local", fd, Arguments()));
}

void Connection::PrepareStream(grpc::ClientContext* context, const char* method,
                               ByteStream* reactor) {
  stub_.PrepareBidiStreamingCall(context, FullName(method), {}, reactor);
}

absl::Status Connection::Call(const char* method,
                              const google::protobuf::MessageLite& request,
                              google::protobuf::MessageLite* response,
                              std::chrono::milliseconds timeout) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  const grpc::ByteBuffer request_bytes =
      rpc::MakeBuffer(request.SerializeAsString());
  grpc::ByteBuffer response_bytes;
  grpc::Status status;
  absl::Notification done;
  stub_.UnaryCall(&context, FullName(method), {}, &request_bytes,
                  &response_bytes, [&](grpc::Status result) {
                    status = std::move(result);
                    done.Notify();
                  });
  done.WaitForNotification();
  if (!status.ok()) {
    return status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED
               ? rpc::FromGrpc(status)
               : StatusOfCall(status);
  }
  const grpc::Slice bytes = rpc::Flatten(response_bytes);
  if (!response->ParseFromArray(bytes.begin(),
                                static_cast<int>(bytes.size()))) {
    return absl::DataLossError("the server's answer is malformed");
  }
  return absl::OkStatus();
}

absl::Status StatusOfCall(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::UNKNOWN:
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::ABORTED:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return absl::UnavailableError("the call was cut off: " +
                                    status.error_message());
    default:
      return rpc::FromGrpc(status);
  }
}

}  // namespace messenger
