#include "messenger/server.h"

#include <fmt/format.h>
#include <grpc/grpc.h>
#include <grpcpp/ext/health_check_service_server_builder_option.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/cond_var.h"
#include "base/descriptor.h"
#include "base/forked.h"
#include "base/narrow.h"
#include "messenger/grpc.h"
#include "server/acceptor.h"
#include "server/caller.h"
#include "server/connection_bounds.h"
#include "server/health_service.h"
#include "server/listener.h"
#include "server/local_client.h"
#include "server/reflection_guard.h"
#include "server/refusal_server.h"
#include "server/server_certificates.h"
#include "server/service_core.h"

namespace messenger {
namespace {

constexpr std::size_t kDefaultPerAddress = 1024;

using GrpcAcceptor = grpc::experimental::ExternalConnectionAcceptor;

// The ways into gRPC servers.
struct Doors {
  std::unique_ptr<GrpcAcceptor> encrypted;  // null: there is none
  std::unique_ptr<GrpcAcceptor> plain;      // likewise
  std::unique_ptr<RefusalServer> refusal;   // likewise
};

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

class Server::Impl final {
 public:
  Impl(std::shared_ptr<const MessageLog> log,
       std::unique_ptr<ServerCertificates> certificates,
       std::unique_ptr<Service> service, Access* access,
       std::unique_ptr<HealthService> health,
       std::unique_ptr<grpc::Server> server, Doors doors)
      : log_(std::move(log)),
        certificates_(std::move(certificates)),
        service_(std::move(service)),
        access_(access),
        health_(std::move(health)),
        server_(std::move(server)),
        doors_(std::move(doors)) {
    service_->WatchServing([this](bool serving) {
      health_->SetServing(serving);
      if (doors_.refusal) doors_.refusal->health().SetServing(serving);
    });
  }

  ~Impl() {
    service_->WatchServing(nullptr);
    acceptor_.reset();
    doors_ = {};      // before server_
    server_.reset();  // before service_, health_ and certificates_
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // Accepts from now on. Called before any other member, at most once.
  absl::Status Accept(Listener listener, Acceptor::Options options) {
    port_ = listener.port();
    address_ = listener.address();
    auto acceptor = Acceptor::Start(
        std::move(listener), std::move(options),
        [this](Acceptor::Accepted accepted) { Let(std::move(accepted)); });
    if (!acceptor.ok()) return acceptor.status();
    acceptor_ = *std::move(acceptor);
    return absl::OkStatus();
  }

  int port() const { return port_; }
  const std::string& address() const { return address_; }
  std::uint64_t refused_connections() const {
    return acceptor_ ? acceptor_->refused() : 0;
  }

  ServerStats Stats() const {
    return {.service = service_->Stats(),
            .log = StatsOf(*log_),
            .refused_connections = refused_connections()};
  }

  Client LocalClient(ClientOptions options) {
    absl::MutexLock lock(&mu_);
    return ConnectLocally(shutting_down_ ? nullptr : server_.get(),
                          std::move(options));
  }

  void Shutdown(std::chrono::milliseconds deadline) {
    bool first;
    {
      absl::MutexLock lock(&mu_);
      first = !std::exchange(shutting_down_, true);
    }
    if (first) {
      // Before gRPC is shut down: it would not take over what comes later.
      if (acceptor_) acceptor_->Stop();
      service_->Drain();
      health_->End();
      if (doors_.refusal) doors_.refusal->Shutdown();
      // Not a deadline of gRPC's: its timers stand still while the wall clock
      // is behind what it was.
      constexpr std::chrono::milliseconds kLongest = std::chrono::hours(24);
      const auto time = CondVar::After(std::min(deadline, kLongest));
      std::thread cutter([this, time] {
        if (!AwaitDown(time)) grpc_server_cancel_all_calls(server_->c_server());
      });
      server_->Shutdown();
      {
        absl::MutexLock lock(&mu_);
        down_ = true;
        changed_.SignalAll();
      }
      cutter.join();
    }
    Wait();
  }

  void Wait() {
    static_cast<void>(AwaitDown(CondVar::Clock::time_point::max()));
  }

 private:
  // A peer that does not speak TLS where all others have to, or that is too far
  // away to be served without it, is told so. One that speaks TLS where nobody
  // can finds out by itself.
  //
  // gRPC takes connections over only from when it has started until Shutdown;
  // it would leak others. So this is never called before or after that.
  void Let(Acceptor::Accepted accepted) {
    GrpcAcceptor& door = DoorFor(accepted);
    GrpcAcceptor::NewConnectionParameters parameters;
    parameters.listener_fd = accepted.listening_socket;
    parameters.fd = accepted.connection.Release();
    door.HandleNewConnection(&parameters);
  }

  GrpcAcceptor& DoorFor(const Acceptor::Accepted& accepted) {
    const Caller caller = UnencryptedCaller(PeerAt(accepted.peer));
    const bool speaks_tls = accepted.protocol == Acceptor::Protocol::kTls;
    const bool all_alike = !doors_.plain && !doors_.refusal;
    if (doors_.encrypted && (speaks_tls || all_alike)) return *doors_.encrypted;
    if (speaks_tls) {
      access_->TellOnce(caller.address, "SPEAKS_TLS",
                        "speaks TLS, but this server has no certificate");
    }
    const bool is_refused =
        doors_.refusal && !CheckTransport(*access_->rules(), caller).ok();
    return is_refused ? doors_.refusal->acceptor() : *doors_.plain;
  }

  // False if it is not down until then.
  bool AwaitDown(CondVar::Clock::time_point time) {
    absl::MutexLock lock(&mu_);
    while (!down_) {
      if (!changed_.WaitUntil(&mu_, time)) break;
    }
    return down_;
  }

  const std::shared_ptr<const MessageLog> log_;
  const std::unique_ptr<ServerCertificates> certificates_;  // null: no TLS
  const std::unique_ptr<Service> service_;
  Access* const access_;  // of service_
  const std::unique_ptr<HealthService> health_;
  std::unique_ptr<grpc::Server> server_;
  Doors doors_;  // none without an address to listen on
  int port_ = 0;
  std::string address_;
  std::unique_ptr<Acceptor> acceptor_;  // null without one
  absl::Mutex mu_;
  bool shutting_down_ ABSL_GUARDED_BY(mu_) = false;
  bool down_ ABSL_GUARDED_BY(mu_) = false;
  CondVar changed_;  // down_
};

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options) {
  return Start(std::move(options), nullptr);
}

absl::StatusOr<std::unique_ptr<Server>> StartServer(
    ServerOptions options,
    std::shared_ptr<grpc::ServerCredentials> credentials) {
  if (!credentials) return absl::InvalidArgumentError("credentials: null");
  if (options.tls) {
    return absl::InvalidArgumentError(
        "tls: together with credentials; a server has one of them");
  }
  return Server::Start(std::move(options), std::move(credentials));
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(
    ServerOptions options,
    std::shared_ptr<grpc::ServerCredentials> credentials) {
  WatchForks();
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  // What can be known before is known before there is a log, which may leave a
  // directory behind.
  if (absl::Status s = CheckBounds(options.service); !s.ok()) return s;
  std::unique_ptr<ServerCertificates> certificates;
  AccessOptions& access_options = options.service.access;
  if (!access_options.on_notice) access_options.on_notice = options.on_notice;
  if (options.tls) {
    auto opened = ServerCertificates::Open(*options.tls, options.on_notice);
    if (!opened.ok()) return opened.status();
    certificates = *std::move(opened);
    if (access_options.transport == Transport::kLocalOrEncrypted) {
      access_options.transport = Transport::kEncrypted;
    }
    access_options.identify |= !options.tls->client_ca_file.empty();
  }
  auto access = Access::Open(access_options);
  if (!access.ok()) return access.status();
  Access* const its_access = access->get();
  std::optional<Listener> listener;
  if (!options.listen.empty()) {
    const ServiceOptions& limits = options.service;
    absl::StatusOr<Listener> opened = Listener::Open(
        options.listen,
        {.unconfirmed = limits.keepalive_timeout,
         .silent = limits.keepalive_time + limits.keepalive_timeout});
    if (!opened.ok()) return opened.status();
    listener = *std::move(opened);
  }

  if (!options.log) {
    absl::StatusOr<std::shared_ptr<MessageLog>> log =
        options.open_log ? options.open_log() : OpenLog("memory:");
    if (!log.ok()) return log.status();
    options.log = *std::move(log);
  }
  if (!options.log) return absl::InvalidArgumentError("open_log: gave none");
  std::unique_ptr<Service> service =
      Service::Create(options.log, options.service, *std::move(access));

  const absl::Status no_server =
      absl::UnavailableError("gRPC cannot start a server");
  grpc::ServerBuilder builder;
  service->Register(builder);
  auto health = std::make_unique<HealthService>();
  builder.RegisterCallbackGenericService(health.get());
  // Instead of gRPC's own, should the process have asked for that.
  builder.SetOption(
      std::make_unique<grpc::HealthCheckServiceServerBuilderOption>(nullptr));
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                             Narrow<int>(kHandshakeTimeout.count()));
  builder.experimental().SetInterceptorCreators(
      ReflectionGuard::Creators(its_access));
  Doors doors;
  if (listener) {
    using Type = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
    // What credentials of the program's own make of a peer is their business.
    if (!credentials && its_access->transport() != Transport::kAny) {
      doors.refusal =
          RefusalServer::Start([service = service.get()](const Caller& caller) {
            return service->RefusalOf(caller);
          });
      if (!doors.refusal) return no_server;
    }
    const bool is_plain =
        !credentials && its_access->transport() != Transport::kEncrypted;
    if (certificates) credentials = certificates->Credentials();
    if (credentials) {
      doors.encrypted = builder.experimental().AddExternalConnectionAcceptor(
          Type::FROM_FD, credentials);
    }
    if (is_plain) {
      doors.plain = builder.experimental().AddExternalConnectionAcceptor(
          Type::FROM_FD, grpc::InsecureServerCredentials());
    }
  }
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server) return no_server;
  auto impl = std::make_unique<Impl>(
      std::move(options.log), std::move(certificates), std::move(service),
      its_access, std::move(health), std::move(server), std::move(doors));
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
  if (InForkedChild()) {
    static_cast<void>(impl_.release());
  } else {
    Shutdown(std::chrono::seconds(1));
  }
}

int Server::port() const {
  return impl_->port();
}

const std::string& Server::address() const {
  return impl_->address();
}

std::uint64_t Server::refused_connections() const {
  return InForkedChild() ? 0 : impl_->refused_connections();
}

ServerStats Server::Stats() const {
  return InForkedChild() ? ServerStats() : impl_->Stats();
}

Client Server::LocalClient(ClientOptions options) {
  if (InForkedChild()) return Client::FromFd(-1, std::move(options));
  return impl_->LocalClient(std::move(options));
}

void Server::Shutdown(std::chrono::milliseconds deadline) {
  if (!InForkedChild()) impl_->Shutdown(deadline);
}

void Server::Wait() {
  if (!InForkedChild()) impl_->Wait();
}

}  // namespace messenger
