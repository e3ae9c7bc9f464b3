#include "messenger/server.h"

#include <fmt/format.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "base/descriptor.h"
#include "base/narrow.h"
#include "log/message_log.h"
#include "messenger/grpc.h"
#include "server/acceptor.h"
#include "server/connection_bounds.h"
#include "server/listener.h"
#include "server/service_core.h"

namespace messenger {
namespace {

constexpr std::string_view kHealthServiceName = "messenger.v1.MessengerServer";

// Within which a peer that has connected must have said that it speaks HTTP/2.
constexpr std::chrono::milliseconds kHandshakeTimeout =
    std::chrono::seconds(20);

constexpr std::size_t kDefaultPerAddress = 1024;

using GrpcAcceptor = grpc::experimental::ExternalConnectionAcceptor;

// gRPC takes connections over only from when it has started until Shutdown; it
// would leak others. So this is never called before or after that.
void HandOver(GrpcAcceptor& grpc, int listening_socket, Descriptor connection) {
  GrpcAcceptor::NewConnectionParameters parameters;
  parameters.listener_fd = listening_socket;
  parameters.fd = connection.Release();
  grpc.HandleNewConnection(&parameters);
}

// The bounds with their defaults filled in.
Acceptor::Options AcceptorOptions(const ServerOptions& options) {
  std::size_t total = options.max_connections;
  if (total == 0) {
    rlimit limit{};
    constexpr rlim_t kMost = 1 << 20;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = 0;
    total = DefaultMaxConnections(std::min(limit.rlim_cur, kMost));
  }
  std::size_t per_address = options.max_connections_per_address;
  // One address must not keep all others out.
  if (per_address == 0) {
    per_address =
        std::min(kDefaultPerAddress, std::max<std::size_t>(total / 2, 1));
  }
  return {.max_connections = total,
          .max_connections_per_address = per_address,
          .on_notice = options.on_notice};
}

}  // namespace

class Server::Impl final : private LogListener {
 public:
  Impl(std::shared_ptr<MessageLog> log, std::unique_ptr<Service> service,
       std::unique_ptr<grpc::Server> server,
       std::unique_ptr<GrpcAcceptor> grpc_acceptor)
      : log_(std::move(log)),
        service_(std::move(service)),
        server_(std::move(server)),
        grpc_acceptor_(std::move(grpc_acceptor)) {
    SetHealthy(true);
    log_->AddListener(this);
  }

  ~Impl() override {
    log_->RemoveListener(this);
    acceptor_.reset();
    grpc_acceptor_.reset();  // before server_
    server_.reset();         // before service_
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // Accepts from now on. Called before any other member, at most once.
  absl::Status Accept(Listener listener, Acceptor::Options options) {
    port_ = listener.port();
    address_ = listener.address();
    auto acceptor = Acceptor::Start(
        std::move(listener), std::move(options),
        [this](int listening_socket, Descriptor connection) {
          HandOver(*grpc_acceptor_, listening_socket, std::move(connection));
        });
    if (!acceptor.ok()) return acceptor.status();
    acceptor_ = *std::move(acceptor);
    return absl::OkStatus();
  }

  int port() const { return port_; }
  const std::string& address() const { return address_; }
  std::uint64_t refused_connections() const {
    return acceptor_ ? acceptor_->refused() : 0;
  }

  Client LocalClient(ClientOptions options) {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                   ends.data()) != 0) {
      // A client whose calls fail.
      return Client::FromFd(-1, std::move(options));
    }
    {
      absl::MutexLock lock(&mu_);
      if (shutting_down_) {
        close(ends[0]);
      } else {
        grpc::AddInsecureChannelFromFd(server_.get(), ends[0]);
      }
    }
    return Client::FromFd(ends[1], std::move(options));
  }

  void Shutdown(std::chrono::milliseconds deadline) {
    bool first;
    {
      absl::MutexLock lock(&mu_);
      first = !std::exchange(shutting_down_, true);
    }
    if (first) {
      SetHealthy(false);
      // Before gRPC is shut down: it would not take over what comes later.
      if (acceptor_) acceptor_->Stop();
      service_->Drain();
      constexpr std::chrono::milliseconds kLongest = std::chrono::hours(24);
      server_->Shutdown(std::chrono::system_clock::now() +
                        std::min(deadline, kLongest));
      down_.Notify();
    }
    Wait();
  }

  void Wait() { down_.WaitForNotification(); }

 private:
  // It still reads, but who looks for a server to send to should not come here.
  void OnFailure(const absl::Status& /*failure*/) override {
    SetHealthy(false);
  }

  void SetHealthy(bool healthy) {
    // There only if the program has enabled it.
    if (auto* const health = server_->GetHealthCheckService()) {
      health->SetServingStatus(std::string(kHealthServiceName), healthy);
      if (!healthy) health->SetServingStatus(false);
    }
  }

  const std::shared_ptr<MessageLog> log_;
  const std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
  // Null without an address to listen on; so is acceptor_.
  std::unique_ptr<GrpcAcceptor> grpc_acceptor_;
  int port_ = 0;
  std::string address_;
  std::unique_ptr<Acceptor> acceptor_;
  absl::Mutex mu_;
  bool shutting_down_ ABSL_GUARDED_BY(mu_) = false;
  absl::Notification down_;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options) {
  // What can be known before is known before there is a log, which may leave a
  // directory behind.
  if (absl::Status s = CheckBounds(options.service); !s.ok()) return s;
  std::optional<Listener> listener;
  if (!options.listen.empty()) {
    absl::StatusOr<Listener> opened =
        Listener::Open(options.listen, options.service.keepalive_timeout);
    if (!opened.ok()) return opened.status();
    listener = *std::move(opened);
  }

  if (!options.log) {
    absl::StatusOr<std::shared_ptr<MessageLog>> log =
        options.open_log ? options.open_log() : OpenLog("memory:");
    if (!log.ok()) return log.status();
    options.log = *std::move(log);
  }
  absl::StatusOr<std::unique_ptr<Service>> service =
      Service::Create(options.log, options.service);
  if (!service.ok()) return service.status();

  grpc::ServerBuilder builder;
  (*service)->Register(builder);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                             Narrow<int>(kHandshakeTimeout.count()));
  std::unique_ptr<GrpcAcceptor> grpc_acceptor;
  if (listener) {
    grpc_acceptor = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        grpc::InsecureServerCredentials());
  }
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server) return absl::UnavailableError("gRPC cannot start a server");
  auto impl =
      std::make_unique<Impl>(std::move(options.log), *std::move(service),
                             std::move(server), std::move(grpc_acceptor));
  std::unique_ptr<Server> result(new Server(std::move(impl)));
  if (listener) {
    if (absl::Status s = result->impl_->Accept(*std::move(listener),
                                               AcceptorOptions(options));
        !s.ok()) {
      return s;
    }
  }
  return result;
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() {
  Shutdown(std::chrono::seconds(1));
}

int Server::port() const {
  return impl_->port();
}

const std::string& Server::address() const {
  return impl_->address();
}

std::uint64_t Server::refused_connections() const {
  return impl_->refused_connections();
}

Client Server::LocalClient(ClientOptions options) {
  return impl_->LocalClient(std::move(options));
}

void Server::Shutdown(std::chrono::milliseconds deadline) {
  impl_->Shutdown(deadline);
}

void Server::Wait() {
  impl_->Wait();
}

}  // namespace messenger
