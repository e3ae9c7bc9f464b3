#include "client/connection.h"

#include <fmt/format.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/synchronization/notification.h"
#include "base/narrow.h"
#include "base/status.h"
#include "rpc/bytes.h"
#include "rpc/init.h"
#include "rpc/keepalive.h"
#include "rpc/status.h"
#include "wire/coding.h"

namespace messenger {
namespace {

// What a server may send of a stream before it is taken (the HTTP/2 window).
// So much lies on a slow line, ahead of what else the connection carries: what
// lets another reader in, heartbeats, answers to pings. While a frame that is
// larger arrives, gRPC lets all of it come, so that a fast line stays busy.
constexpr int kStreamWindowBytes = 256 << 10;

grpc::ChannelArguments Arguments(const ClientOptions& options) {
  rpc::KeepInitialized();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(Connection::kMaxReceiveBytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS,
                   rpc::ToArgument(options.keepalive_time));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                   rpc::ToArgument(options.keepalive_timeout));
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // gRPC would otherwise size the windows by pinging the server while it reads,
  // and settle on ones that fall out of the CPU's caches: half as fast.
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindowBytes);
  // Each client has connections of its own, and a new one is a new connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return arguments;
}

constexpr std::string_view kServiceName = "messenger.v1.MessengerServer";

std::string FullName(const char* method) {
  return fmt::format("/{}/{}", kServiceName, method);
}

// What gRPC says of a connection that fails, without the way it got there:
// "failed to connect to all addresses; last error: …: Connection refused".
std::string_view ReasonOf(std::string_view message) {
  if (!message.starts_with("failed to connect to all addresses") &&
      !message.starts_with("DNS resolution failed")) {
    return message;
  }
  constexpr std::string_view kSeparator = ": ";
  const std::size_t last = message.rfind(kSeparator);
  return last == std::string_view::npos
             ? message
             : message.substr(last + kSeparator.size());
}

}  // namespace

void Connection::PrepareStream(grpc::ClientContext* context, const char* method,
                               ByteStream* reactor) {
  stub_.PrepareBidiStreamingCall(context, FullName(method), {}, reactor);
}

absl::Status Connection::Call(const char* method,
                              const google::protobuf::MessageLite& request,
                              google::protobuf::MessageLite* response,
                              std::chrono::milliseconds timeout) {
  grpc::ByteBuffer response_bytes;
  absl::Status status =
      CallRaw(FullName(method), rpc::MakeBuffer(request.SerializeAsString()),
              &response_bytes, timeout);
  if (!status.ok()) return status;
  const grpc::Slice bytes = rpc::Flatten(response_bytes);
  const auto size = TryNarrow<int>(bytes.size());
  if (!size || !response->ParseFromArray(bytes.begin(), *size)) {
    return absl::DataLossError("the server's answer is malformed");
  }
  return absl::OkStatus();
}

// https://github.com/grpc/grpc/blob/master/doc/health-checking.md
absl::Status Connection::CheckHealth(std::chrono::milliseconds timeout) {
  constexpr std::uint32_t kService = 1;  // of HealthCheckRequest
  constexpr std::uint32_t kStatus = 1;   // of HealthCheckResponse
  constexpr std::uint64_t kServing = 1;
  std::string request;
  wire::AppendBytesField(request, kService, kServiceName);
  grpc::ByteBuffer response;
  absl::Status status =
      CallRaw("/grpc.health.v1.Health/Check",
              rpc::MakeBuffer(std::move(request)), &response, timeout);
  if (!status.ok()) return status;
  const grpc::Slice bytes = rpc::Flatten(response);
  wire::FieldReader fields(rpc::View(bytes));
  std::uint64_t health = 0;
  while (fields.Next()) {
    if (fields.tag() == wire::MakeTag(kStatus, wire::WireType::kVarint)) {
      health = fields.number();
    }
  }
  if (health == kServing) return absl::OkStatus();
  return absl::UnavailableError(
      "the server takes no messages: its health is not SERVING");
}

absl::Status Connection::CallRaw(const std::string& method,
                                 const grpc::ByteBuffer& request,
                                 grpc::ByteBuffer* response,
                                 std::chrono::milliseconds timeout) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  grpc::Status status;
  absl::Notification done;
  stub_.UnaryCall(&context, method, {}, &request, response,
                  [&](grpc::Status result) {
                    status = std::move(result);
                    done.Notify();
                  });
  done.WaitForNotification();
  return status.ok() ||
                 status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED
             ? rpc::FromGrpc(status)
             : StatusOfCall(status);
}

std::shared_ptr<Connector> Connector::ToTarget(const ClientOptions& options) {
  return std::make_shared<Connector>(options, nullptr);
}

std::shared_ptr<Connector> Connector::ToFd(int fd,
                                           const ClientOptions& options) {
  return std::make_shared<Connector>(
      options,
      std::make_shared<Connection>(grpc::CreateCustomInsecureChannelFromFd(
          "local", fd, Arguments(options))));
}

Connector::Connector(ClientOptions options, std::shared_ptr<Connection> only)
    : options_(std::move(options)),
      can_reconnect_(only == nullptr),
      connection_(std::move(only)) {}

std::shared_ptr<Connection> Connector::Get() {
  absl::MutexLock lock(&mu_);
  if (!connection_) {
    connection_ = std::make_shared<Connection>(grpc::CreateCustomChannel(
        options_.target, grpc::InsecureChannelCredentials(),
        Arguments(options_)));
  }
  return connection_;
}

void Connector::Discard(const std::shared_ptr<Connection>& connection) {
  absl::MutexLock lock(&mu_);
  if (can_reconnect_ && connection_ == connection) connection_.reset();
}

void Connector::ReportAway(const absl::Status& reason) {
  if (!options_.on_notice) return;
  bool lost = false;
  {
    absl::MutexLock lock(&mu_);
    if (away_) return;
    away_ = std::chrono::steady_clock::now();
    lost = was_connected_;
  }
  options_.on_notice(fmt::format("{} {}: {}; trying again",
                                 lost ? "lost" : "cannot reach",
                                 options_.target, MessageOf(reason)));
}

void Connector::ReportBack() {
  if (!options_.on_notice) return;
  std::chrono::duration<double> away;
  {
    absl::MutexLock lock(&mu_);
    was_connected_ = true;
    if (!away_) return;
    away = std::chrono::steady_clock::now() - *away_;
    away_.reset();
  }
  options_.on_notice(fmt::format("connected to {} after {:.1f} s",
                                 options_.target, away.count()));
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
    case grpc::StatusCode::UNAVAILABLE:
      return absl::UnavailableError(
          std::string(ReasonOf(status.error_message())));
    default:
      return rpc::FromGrpc(status);
  }
}

}  // namespace messenger
