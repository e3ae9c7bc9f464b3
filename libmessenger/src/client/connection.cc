#include "client/connection.h"

#include <fmt/format.h>
#include <grpc/compression.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/cond_var.h"
#include "base/narrow.h"
#include "base/reason.h"
#include "base/status.h"
#include "base/target.h"
#include "messenger/printable.h"
#include "rpc/bytes.h"
#include "rpc/init.h"
#include "rpc/status.h"
#include "wire/coding.h"

namespace messenger {
namespace {

// What a server may send in one piece, beside frames: receipts for all that is
// in flight; a page of 1,000 channels. See Connection::kMaxReceiveBytes.
constexpr int kMaxReceiptsBytes = (1 << 20) - 1;
constexpr int kMaxAnswerBytes = (256 << 10) - 1;

constexpr std::string_view kServiceName = "messenger.v1.MessengerServer";
constexpr std::string_view kHealthName = "grpc.health.v1.Health";

// https://github.com/grpc/grpc/blob/master/doc/service_config.md
std::string AnswerLimits() {
  const auto limit = [](std::string_view service, std::string_view method,
                        int bytes) {
    return fmt::format(R"({{"name": [{{"service": "{}", "method": "{}"}}], )"
                       R"("maxResponseMessageBytes": {}}})",
                       service, method, bytes);
  };
  return fmt::format(R"({{"methodConfig": [{}, {}, {}, {}, {}, {}, {}, {}]}})",
                     limit(kServiceName, "SendMessages", kMaxReceiptsBytes),
                     limit(kServiceName, "ListChannels", kMaxAnswerBytes),
                     limit(kServiceName, "GetChannel", kMaxAnswerBytes),
                     limit(kServiceName, "DeleteChannel", kMaxAnswerBytes),
                     limit(kServiceName, "OpenProducer", kMaxAnswerBytes),
                     limit(kServiceName, "ListProducers", kMaxAnswerBytes),
                     limit(kServiceName, "DeleteProducer", kMaxAnswerBytes),
                     limit(kHealthName, "Check", kMaxAnswerBytes));
}

// The server behind the proxy, as gRPC's handshake with one knows it. gRPC's
// own option for a proxy (GRPC_ARG_HTTP_PROXY) would ask no_proxy in the
// environment whether to use it.
constexpr const char* kConnectServer = "grpc.http_connect_server";

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
                   Narrow<int>(options.keepalive_time.count()));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                   Narrow<int>(options.keepalive_timeout.count()));
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // gRPC would otherwise size the windows by pinging the server while it reads,
  // and settle on ones that fall out of the CPU's caches: half as fast.
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindowBytes);
  // What is compressed is refused, and not unpacked in order to be refused.
  arguments.SetInt(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET,
                   1 << GRPC_COMPRESS_NONE);
  arguments.SetInt(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  arguments.SetServiceConfigJSON(AnswerLimits());
  // Neither the environment nor a name server says how to connect.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  if (!options.http_proxy.empty()) {
    arguments.SetString(kConnectServer, options.target);
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, options.target);
  }
  // Each client has connections of its own, and a new one is a new connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return arguments;
}

std::string FullName(std::string_view service, std::string_view method) {
  return fmt::format("/{}/{}", service, method);
}

// How an error of ours begins that says something of the server: its address
// takes the place.
constexpr std::string_view kIt = "it ";

// What was refused here, and not by the server, though it has the same code.
bool IsTooLarge(const grpc::Status& status) {
  if (status.error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED) return false;
  const std::string message = status.error_message();
  for (const int limit :
       {Connection::kMaxReceiveBytes, kMaxReceiptsBytes, kMaxAnswerBytes}) {
    if (message.ends_with(fmt::format(" vs. {})", limit))) return true;
  }
  return message.find("metadata size exceeds") != std::string::npos;
}

// What can be told of a peer by how it takes a handshake.
constexpr std::string_view kSpeaksNoTls = "it does not speak TLS";
constexpr std::string_view kNotTrusted =
    "the server's certificate comes from no CA that is trusted here, or is not "
    "valid at present";
constexpr std::string_view kHungUp = "it has closed the new connection";

// What gRPC says of a connection that fails, without the way it got there:
// "failed to connect to all addresses; last error: …: Connection refused".
std::string_view CauseIn(std::string_view message) {
  if (!message.starts_with("failed to connect to all addresses") &&
      !message.starts_with("DNS resolution failed")) {
    return message;
  }
  constexpr std::string_view kSeparator = ": ";
  const std::size_t last = message.rfind(kSeparator);
  if (last == std::string_view::npos) return message;
  const std::string_view cause = message.substr(last + kSeparator.size());
  // OpenSSL's errors: "error:0A00010B:SSL routines::wrong version number".
  constexpr std::string_view kRoutines = "SSL routines::";
  const std::size_t routines = cause.find(kRoutines);
  if (routines != std::string_view::npos) {
    const std::string_view reason = cause.substr(routines + kRoutines.size());
    if (reason == "wrong version number") return kSpeaksNoTls;
    return reason == "certificate verify failed" ? kNotTrusted : reason;
  }
  return cause == "Socket closed" ? kHungUp : cause;
}

// Whether a connection failed, with this `cause`, although something was there.
bool IsOfHandshake(std::string_view message, std::string_view cause) {
  // Of gRPC's two kinds of credentials, and of the verifier.
  constexpr std::array<std::string_view, 3> kMarks = {
      "Ssl handshake failed", "Tls handshake failed",
      "verification check failed"};
  return cause == kHungUp || std::ranges::any_of(kMarks, [&](auto mark) {
           return message.find(mark) != std::string_view::npos;
         });
}

// Where a call ends that somebody waits for.
class UnaryEnd {
 public:
  void Set(grpc::Status status) {
    absl::MutexLock lock(&mu_);
    status_ = std::move(status);
    changed_.Signal();
  }

  // False if it has not ended until then.
  bool Await(CondVar::Clock::time_point deadline) {
    absl::MutexLock lock(&mu_);
    while (!status_) {
      if (!changed_.WaitUntil(&mu_, deadline)) break;
    }
    return status_.has_value();
  }

  // Once it has.
  grpc::Status status() {
    absl::MutexLock lock(&mu_);
    return *status_;
  }

 private:
  absl::Mutex mu_;
  CondVar changed_;
  std::optional<grpc::Status> status_ ABSL_GUARDED_BY(mu_);
};

// Whether the first servers did not have it.
bool IsNew(std::string_view method) {
  return method.ends_with("Producer") || method.ends_with("Producers");
}

absl::Status OfOurCall(const absl::Status& status) {
  if (!absl::IsUnimplemented(status)) return status;
  return absl::UnavailableError(fmt::format(
      "{}answers, but not as a messenger server ({})", kIt, MessageOf(status)));
}

}  // namespace

CallToken::Version Connection::PrepareStream(grpc::ClientContext* context,
                                             const char* method,
                                             ByteStream* reactor) {
  const CallToken::Version token = token_->AddTo(context);
  stub_.PrepareBidiStreamingCall(context, FullName(kServiceName, method), {},
                                 reactor);
  return token;
}

void Connection::StartCall(grpc::ClientContext* context, const char* method,
                           const grpc::ByteBuffer* request,
                           grpc::ByteBuffer* response,
                           std::function<void(grpc::Status)> on_end) {
  token_->AddTo(context);
  stub_.UnaryCall(context, FullName(kServiceName, method), {}, request,
                  response, std::move(on_end));
}

absl::Status Connection::StatusOf(const grpc::Status& status,
                                  CallToken::Version token) const {
  absl::Status s = StatusOfOurCall(status);
  if (!absl::IsUnauthenticated(s) || !token_->WasReplaced(token)) return s;
  return absl::UnavailableError(fmt::format(
      "{}does not know the token any more, which was replaced", kIt));
}

absl::Status Connection::Call(const char* method,
                              const google::protobuf::MessageLite& request,
                              google::protobuf::MessageLite* response,
                              std::chrono::milliseconds timeout,
                              const std::optional<std::string>& token) {
  grpc::ByteBuffer response_bytes;
  absl::Status status = CallRaw(FullName(kServiceName, method),
                                rpc::MakeBuffer(request.SerializeAsString()),
                                &response_bytes, timeout, token);
  if (absl::IsUnimplemented(status) && IsNew(method)) {
    return absl::UnimplementedError(fmt::format(
        "the server does not know {}: it is older than this client, or no "
        "messenger server",
        method));
  }
  if (!status.ok()) return OfOurCall(status);
  const grpc::Slice bytes = rpc::Flatten(response_bytes);
  const auto size = TryNarrow<int>(bytes.size());
  if (!size || !response->ParseFromArray(bytes.begin(), *size)) {
    return absl::DataLossError("the server's answer is malformed");
  }
  return absl::OkStatus();
}

// https://github.com/grpc/grpc/blob/master/doc/health-checking.md
absl::Status Connection::CheckHealth(std::chrono::milliseconds timeout) {
  constexpr wire::BytesField kService = 1;  // of HealthCheckRequest
  constexpr wire::VarintField kStatus = 1;  // of HealthCheckResponse
  constexpr std::uint64_t kServing = 1;
  std::string request;
  wire::AppendBytesField(request, kService, kServiceName);
  grpc::ByteBuffer response;
  absl::Status status =
      CallRaw(FullName(kHealthName, "Check"),
              rpc::MakeBuffer(std::move(request)), &response, timeout);
  if (!status.ok()) return status;
  const grpc::Slice bytes = rpc::Flatten(response);
  wire::FieldReader fields(rpc::View(bytes));
  std::uint64_t health = 0;
  while (fields.Next()) {
    if (fields.tag() == kStatus) health = fields.number();
  }
  if (fields.ok() && health == kServing) return absl::OkStatus();
  return WithReason(
      absl::UnavailableError(
          "the server takes no messages: its health is not SERVING"),
      reason::kNotServing);
}

absl::Status Connection::CallRaw(const std::string& method,
                                 const grpc::ByteBuffer& request,
                                 grpc::ByteBuffer* response,
                                 std::chrono::milliseconds timeout,
                                 const std::optional<std::string>& token) {
  grpc::ClientContext context;
  UnaryEnd end;
  if (token) {
    AddToken(&context, *token);
  } else {
    token_->AddTo(&context);
  }
  stub_.UnaryCall(&context, method, {}, &request, response,
                  [&end](grpc::Status result) { end.Set(std::move(result)); });
  // Not a deadline of gRPC's: its timers stand still while the wall clock is
  // behind what it was.
  const bool in_time = end.Await(CondVar::After(timeout));
  if (!in_time) {
    context.TryCancel();
    static_cast<void>(end.Await(CondVar::Clock::time_point::max()));
  }
  const grpc::Status status = end.status();
  if (status.ok()) return absl::OkStatus();
  if (!in_time) {
    return absl::DeadlineExceededError(
        std::string(MessageOf(NotAnswered(timeout))));
  }
  return StatusOfCall(status);
}

std::shared_ptr<Connector> Connector::ToTarget(
    const ClientOptions& options,
    std::shared_ptr<grpc::ChannelCredentials> credentials) {
  const std::string first_hop = TargetUri(
      options.http_proxy.empty() ? options.target : options.http_proxy);
  const auto own = std::make_shared<ConnectionCredentials>(options);
  grpc::ChannelArguments arguments = Arguments(options);
  if (!credentials && options.tls) {
    arguments.SetSslTargetNameOverride(own->server_name());
  }
  return std::make_shared<Connector>(
      options,
      Parts{.name = options.http_proxy.empty()
                        ? options.target
                        : fmt::format("{} (through the proxy {})",
                                      options.target, options.http_proxy),
            .make = [first_hop, own, arguments,
                     credentials = std::move(credentials)] {
              return grpc::CreateCustomChannel(
                  first_hop, credentials ? credentials : own->Get(), arguments);
            }});
}

std::shared_ptr<Connector> Connector::ToFd(int fd,
                                           const ClientOptions& options) {
  return std::make_shared<Connector>(
      options, Parts{.name = {},
                     .can_reconnect = false,
                     .first = grpc::CreateCustomInsecureChannelFromFd(
                         "local", fd, Arguments(options))});
}

std::shared_ptr<Connector> Connector::Over(
    std::shared_ptr<grpc::Channel> channel, const ClientOptions& options) {
  return std::make_shared<Connector>(
      options, Parts{.name = {}, .first = std::move(channel)});
}

Connector::Connector(const ClientOptions& options, Parts parts)
    : on_notice_(options.on_notice),
      encrypts_(options.tls.has_value()),
      token_(std::make_shared<CallToken>(options)),
      name_(std::move(parts.name)),
      name_in_errors_(options.name_in_errors.empty() ? name_
                                                     : options.name_in_errors),
      can_reconnect_(parts.can_reconnect),
      make_(std::move(parts.make)),
      connection_(parts.first ? std::make_shared<Connection>(
                                    std::move(parts.first), token_)
                              : nullptr),
      connections_(connection_ ? 1 : 0) {}

std::shared_ptr<Connection> Connector::Get() {
  absl::MutexLock lock(&mu_);
  if (!connection_) {
    connection_ = std::make_shared<Connection>(make_(), token_);
    ++connections_;
  }
  return connection_;
}

std::uint64_t Connector::connections() {
  absl::MutexLock lock(&mu_);
  return connections_;
}

void Connector::Discard(const std::shared_ptr<Connection>& connection) {
  absl::MutexLock lock(&mu_);
  if (make_ && connection_ == connection) connection_.reset();
}

void Connector::ReportAway(const absl::Status& reason) {
  if (!on_notice_) return;
  bool lost = false;
  std::optional<std::uint64_t> untold;
  {
    absl::MutexLock lock(&mu_);
    untold = away_.Holds(MessageOf(reason), std::chrono::steady_clock::now());
    lost = was_connected_;
  }
  if (!untold) return;
  on_notice_(fmt::format("{} {}: {}; trying again{}",
                         lost ? "lost" : "cannot reach", name_,
                         MessageOf(reason), TimesMore(*untold)));
}

void Connector::ReportBack() {
  if (!on_notice_) return;
  std::chrono::duration<double> away;
  {
    absl::MutexLock lock(&mu_);
    was_connected_ = true;
    const auto now = std::chrono::steady_clock::now();
    away = now - away_.since().value_or(now);
    if (!away_.Ends(now)) return;
  }
  on_notice_(
      fmt::format("connected to {} after {:.1f} s", name_, away.count()));
}

absl::Status Connector::WithAddress(const absl::Status& status) const {
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnimplemented:
      return status;
    default:
      break;
  }
  if (name_in_errors_.empty()) return status;
  std::string message(MessageOf(status));
  if (message == kHungUp) {
    message += encrypts_ ? ": it may want a client certificate, or not accept "
                           "this one"
                         : ": it may want TLS";
  }
  return WithMessage(
      status, message.starts_with(kIt)
                  ? fmt::format("{} {}", name_in_errors_,
                                std::string_view(message).substr(kIt.size()))
                  : fmt::format("{}: {}", name_in_errors_, message));
}

absl::Status NotAnswered(std::chrono::nanoseconds waited) {
  return absl::UnavailableError(fmt::format(
      "{}has not answered within {} ms", kIt,
      std::chrono::duration_cast<std::chrono::milliseconds>(waited).count()));
}

absl::Status StatusOfOurCall(const grpc::Status& status) {
  return OfOurCall(StatusOfCall(status));
}

absl::Status StatusOfCall(const grpc::Status& status) {
  if (IsTooLarge(status)) {
    return absl::UnavailableError(
        fmt::format("{}says more at once than any messenger server: {}", kIt,
                    rpc::Excerpt(status.error_message())));
  }
  switch (status.error_code()) {
    case grpc::StatusCode::ABORTED:
      // An answer, if it says of what; gRPC's own says nothing.
      if (absl::Status s = rpc::FromGrpc(status);
          ReasonOf(s) == reason::kWrongLastSequence) {
        return s;
      }
      [[fallthrough]];
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::UNKNOWN:
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return absl::UnavailableError(
          fmt::format("the call was cut off: {}",
                      Printable(rpc::Excerpt(status.error_message()))));
    case grpc::StatusCode::UNAVAILABLE: {
      const std::string message = status.error_message();
      const std::string_view cause = CauseIn(message);
      absl::Status away = rpc::WithDetailsOf(
          status, absl::UnavailableError(Printable(rpc::Excerpt(cause))));
      return IsOfHandshake(message, cause)
                 ? WithReason(std::move(away), reason::kHandshakeFailed)
                 : away;
    }
    default:
      return rpc::FromGrpc(status);
  }
}

}  // namespace messenger
