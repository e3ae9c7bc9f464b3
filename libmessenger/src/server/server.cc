#include "messenger/server.h"

#include <fmt/format.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "log/message_log.h"
#include "messenger/grpc.h"

namespace messenger {
namespace {

constexpr std::string_view kHealthServiceName = "messenger.v1.MessengerServer";

// gRPC only logs why it cannot listen, so try again by hand.
std::string WhyNotListen(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) return "it is not host:port";
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo hints = {};
  hints.ai_flags = AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(
          host.c_str(), address.substr(colon + 1).c_str(), &hints, &found);
      error != 0) {
    return gai_strerror(error);
  }
  std::string reason = "unknown reason";
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  constexpr int kOn = 1;
  if (fd < 0 ||
      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &kOn, sizeof kOn) != 0 ||
      bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, 1) != 0) {
    reason = std::system_category().message(errno);
  }
  if (fd >= 0) close(fd);
  freeaddrinfo(found);
  return reason;
}

}  // namespace

class Server::Impl final : private LogListener {
 public:
  Impl(std::shared_ptr<MessageLog> log, std::unique_ptr<Service> service,
       std::unique_ptr<grpc::Server> server, int port, std::string address)
      : log_(std::move(log)),
        service_(std::move(service)),
        server_(std::move(server)),
        port_(port),
        address_(std::move(address)) {
    SetHealthy(true);
    log_->AddListener(this);
  }

  ~Impl() override {
    log_->RemoveListener(this);
    server_.reset();  // before service_
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  int port() const { return port_; }
  const std::string& address() const { return address_; }

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
  const int port_;
  const std::string address_;
  absl::Mutex mu_;
  bool shutting_down_ ABSL_GUARDED_BY(mu_) = false;
  absl::Notification down_;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options) {
  if (!options.log) {
    absl::StatusOr<std::shared_ptr<MessageLog>> log = OpenLog("memory:");
    if (!log.ok()) return log.status();
    options.log = *std::move(log);
  }
  absl::StatusOr<std::unique_ptr<Service>> service =
      Service::Create(options.log, options.service);
  if (!service.ok()) return service.status();

  grpc::ServerBuilder builder;
  (*service)->Register(builder);
  // A second server on the same port must fail, not take half of the clients.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  int port = 0;
  if (!options.listen.empty()) {
    builder.AddListeningPort(options.listen, grpc::InsecureServerCredentials(),
                             &port);
  }
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server || (!options.listen.empty() && port == 0)) {
    return absl::UnavailableError(
        fmt::format("listen: cannot listen on \"{}\": {}", options.listen,
                    WhyNotListen(options.listen)));
  }
  std::string address;
  if (!options.listen.empty()) {
    address = fmt::format(
        "{}:{}", options.listen.substr(0, options.listen.rfind(':')), port);
  }
  return std::unique_ptr<Server>(new Server(
      std::make_unique<Impl>(std::move(options.log), *std::move(service),
                             std::move(server), port, std::move(address))));
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
