#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/forked.h"
#include "messenger/log.h"
#include "messenger/testing.h"

namespace messenger::testing {
namespace {

constexpr std::chrono::milliseconds kStopDeadline{1000};

}  // namespace

class TestServer::Impl {
 public:
  explicit Impl(ServerOptions options) : options_(std::move(options)) {
    options_.listen = "127.0.0.1:0";
  }

  ~Impl() {
    if (proxy_) Kill();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // Before anything else.
  absl::Status Start() {
    absl::MutexLock lock(&mu_);
    if (!options_.log) {
      if (absl::Status s = RenewLog(); !s.ok()) return s;
    }
    auto server = Server::Start(options_);
    if (!server.ok()) return server.status();
    auto proxy = FaultProxy::Start((*server)->address());
    if (!proxy.ok()) return proxy.status();
    server_ = *std::move(server);
    proxy_ = *std::move(proxy);
    return absl::OkStatus();
  }

  FaultProxy& proxy() { return *proxy_; }
  const std::string& target() const { return proxy_->address(); }

  Client LocalClient(ClientOptions options) {
    absl::MutexLock lock(&mu_);
    // One whose calls fail.
    if (!server_) return Client::FromFd(-1, std::move(options));
    return server_->LocalClient(std::move(options));
  }

  void Kill() {
    absl::MutexLock lock(&mu_);
    KillLocked();
  }

  void Stop() {
    absl::MutexLock lock(&mu_);
    if (!server_) return;
    proxy_->RemoveTarget();
    server_->Shutdown(kStopDeadline);
    server_.reset();
  }

  absl::Status Restart() {
    absl::MutexLock lock(&mu_);
    KillLocked();
    return StartAgain();
  }

  absl::Status RestartWithNewLog() {
    absl::MutexLock lock(&mu_);
    KillLocked();
    if (absl::Status s = RenewLog(); !s.ok()) return s;
    return StartAgain();
  }

 private:
  // Nothing that it still does can be seen: nobody is connected.
  void KillLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!server_) return;
    proxy_->RemoveTarget();
    proxy_->ResetConnections();
    server_->Shutdown(std::chrono::milliseconds(0));
    server_.reset();
  }

  absl::Status StartAgain() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    auto server = Server::Start(options_);
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    return proxy_->SetTarget(server_->address());
  }

  absl::Status RenewLog() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    auto log = OpenLog("memory:");
    if (!log.ok()) return log.status();
    options_.log = *std::move(log);
    return absl::OkStatus();
  }

  absl::Mutex mu_;
  ServerOptions options_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<Server> server_ ABSL_GUARDED_BY(mu_);  // while it runs
  std::unique_ptr<FaultProxy> proxy_;
};

absl::StatusOr<std::unique_ptr<TestServer>> TestServer::Start(
    ServerOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  if (absl::Status s = impl->Start(); !s.ok()) return s;
  return std::unique_ptr<TestServer>(new TestServer(std::move(impl)));
}

TestServer::TestServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

TestServer::~TestServer() {
  if (InForkedChild()) static_cast<void>(impl_.release());
}

const std::string& TestServer::target() const {
  return impl_->target();
}

Client TestServer::Connect(ClientOptions options) const {
  options.target = target();
  return Client::Connect(std::move(options));
}

Client TestServer::LocalClient(ClientOptions options) {
  return impl_->LocalClient(std::move(options));
}

FaultProxy& TestServer::proxy() {
  return impl_->proxy();
}

void TestServer::Kill() {
  impl_->Kill();
}

void TestServer::Stop() {
  impl_->Stop();
}

absl::Status TestServer::Restart() {
  return impl_->Restart();
}

absl::Status TestServer::RestartWithNewLog() {
  return impl_->RestartWithNewLog();
}

}  // namespace messenger::testing
