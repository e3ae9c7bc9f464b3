#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <list>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/cond_var.h"
#include "base/forked.h"
#include "messenger/testing.h"
#include "testing/proxy_connection.h"
#include "testing/socket.h"

namespace messenger::testing {
namespace {

// When a connection cannot be accepted for want of descriptors, the next try.
constexpr std::chrono::milliseconds kAcceptAgain{10};

constexpr std::chrono::microseconds kMaxDelay = std::chrono::hours(1);

timespec ToTimespec(Clock::duration duration) {
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(duration);
  return {.tv_sec = seconds.count(),
          .tv_nsec = std::chrono::nanoseconds(duration - seconds).count()};
}

}  // namespace

// The connections belong to its thread, and so does what they are told to do:
// others hand it over as a command, and wait until that is done.
class FaultProxy::Impl {
 public:
  Impl(Fd listener, int port, Fd event, Address target)
      : port_(port),
        address_(fmt::format("127.0.0.1:{}", port)),
        listener_(std::move(listener)),
        event_(std::move(event)),
        target_(target) {}

  // Before anything else; throws if there is no thread left.
  void Start() {
    thread_ = std::thread([this] { Work(); });
  }

  ~Impl() {
    if (!thread_.joinable()) return;
    Run([this] {
      ResetAll();
      ended_ = true;
    });
    thread_.join();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  int port() const { return port_; }
  const std::string& address() const { return address_; }

  void Set(NetworkFaults faults) {
    faults.delay =
        std::clamp(faults.delay, std::chrono::microseconds(0), kMaxDelay);
    Run([this, &faults] { faults_ = faults; });
  }

  void ResetConnections() {
    Run([this] { ResetAll(); });
  }

  void CloseConnections() {
    Run([this] {
      for (ProxyConnection& connection : connections_) connection.Close();
    });
  }

  void SetTarget(std::optional<Address> target) {
    Run([this, &target] { target_ = target; });
  }

  Counters counters() const {
    absl::MutexLock lock(&mu_);
    return published_;
  }

  bool Await(const std::function<bool(const Counters&)>& condition,
             std::chrono::milliseconds timeout) const {
    const auto deadline = CondVar::After(timeout);
    absl::MutexLock lock(&mu_);
    while (!condition(published_)) {
      if (!changed_.WaitUntil(&mu_, deadline)) {
        return condition(published_);
      }
    }
    return true;
  }

 private:
  struct Command {
    std::function<void()> run;
    bool done = false;
  };

  // Has the thread do it, and waits until it has.
  void Run(std::function<void()> run) {
    Command command = {.run = std::move(run)};
    absl::MutexLock lock(&mu_);
    commands_.push_back(&command);
    constexpr std::uint64_t kOne = 1;
    static_cast<void>(write(event_.get(), &kOne, sizeof kOne));
    while (!command.done) done_.Wait(&mu_);
  }

  void Work() {
    while (!ended_) {
      AwaitTurn();
      const bool told = AcceptAndObey();
      Turn(told);
      Publish();
    }
  }

  // Blocks until there is something to do, and notes for whom.
  void AwaitTurn() {
    const Clock::time_point now = Clock::now();
    std::optional<Clock::time_point> next;
    const auto note = [&next](Clock::time_point time) {
      next = next ? std::min(*next, time) : time;
    };
    polled_.clear();
    polled_.push_back({.fd = event_.get(), .events = POLLIN, .revents = 0});
    const bool accepting = accept_again_ <= now;
    polled_.push_back({.fd = accepting ? listener_.get() : -1,
                       .events = POLLIN,
                       .revents = 0});
    if (!accepting) note(accept_again_);
    for (const ProxyConnection& connection : connections_) {
      for (const pollfd& one : connection.Polled(now, faults_)) {
        polled_.push_back(one);
      }
      // What is due now waits for its socket.
      const auto turn = connection.NextTurn(faults_);
      if (turn && *turn > now) note(*turn);
    }
    timespec timeout{};
    if (next) timeout = ToTimespec(*next - now);
    ppoll(polled_.data(), polled_.size(), next ? &timeout : nullptr, nullptr);
  }

  void AcceptAll() {
    if (accept_again_ > Clock::now()) return;
    while (std::optional<Fd> client = Accept(listener_)) {
      ++counters_.connections;
      Fd server;
      if (target_ && !faults_.refuse_connections) server = Connect(*target_);
      if (!server.valid()) {
        ++counters_.refused;
        Reset(*std::move(client));
        continue;
      }
      connections_.emplace_back(*std::move(client), std::move(server));
    }
    if (errno == EMFILE || errno == ENFILE) {
      accept_again_ = Clock::now() + kAcceptAgain;
    }
  }

  // Returns whether there were commands.
  bool AcceptAndObey() {
    absl::MutexLock lock(&mu_);
    // With the lock, so that a command finds all that was connected before it.
    AcceptAll();
    if (commands_.empty()) return false;
    std::uint64_t ignored = 0;
    static_cast<void>(read(event_.get(), &ignored, sizeof ignored));
    for (Command* const command : commands_) {
      command->run();
      command->done = true;
    }
    commands_.clear();
    counters_.open = connections_.size();
    published_ = counters_;
    changed_.SignalAll();
    done_.SignalAll();
    return true;
  }

  // Of all connections, or of those that something has happened for.
  void Turn(bool all) {
    const Clock::time_point now = Clock::now();
    ProxyConnection::Passed passed;
    std::size_t at = 2;  // of what was polled
    for (auto i = connections_.begin(); i != connections_.end();) {
      // New ones were not polled.
      const bool ready = all || at + 1 >= polled_.size() ||
                         polled_[at].revents != 0 ||
                         polled_[at + 1].revents != 0;
      at += 2;
      const auto due = i->NextTurn(faults_);
      if (!ready && (!due || *due > now)) {
        ++i;
        continue;
      }
      passed.refused = false;
      const bool goes_on = i->Turn(now, faults_, &passed);
      if (passed.refused) ++counters_.refused;
      i = goes_on ? std::next(i) : connections_.erase(i);
    }
    counters_.bytes_to_server += passed.to_server;
    counters_.bytes_to_client += passed.to_client;
  }

  void ResetAll() {
    for (ProxyConnection& connection : connections_) connection.ResetBoth();
    connections_.clear();
  }

  void Publish() {
    counters_.open = connections_.size();
    absl::MutexLock lock(&mu_);
    published_ = counters_;
    changed_.SignalAll();
  }

  const int port_;
  const std::string address_;
  mutable absl::Mutex mu_;
  mutable CondVar changed_;  // published_
  absl::CondVar done_;       // a command
  std::vector<Command*> commands_ ABSL_GUARDED_BY(mu_);
  Counters published_ ABSL_GUARDED_BY(mu_);

  // ---- Of the thread
  const Fd listener_;
  const Fd event_;  // wakes it
  std::optional<Address> target_;
  NetworkFaults faults_;
  std::list<ProxyConnection> connections_;
  std::vector<pollfd> polled_;  // event, listener, two for each connection
  Clock::time_point accept_again_;
  Counters counters_;
  bool ended_ = false;

  std::thread thread_;
};

absl::StatusOr<std::unique_ptr<FaultProxy>> FaultProxy::Start(
    std::string_view target) {
  WatchForks();
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  absl::StatusOr<Address> address = Resolve(target);
  if (!address.ok()) return address.status();
  auto listening = Listen();
  if (!listening.ok()) return listening.status();
  Fd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid()) {
    return absl::UnavailableError("eventfd: " + ErrorText());
  }
  auto impl =
      std::make_unique<Impl>(std::move(listening->first), listening->second,
                             std::move(event), *std::move(address));
  try {
    impl->Start();
  } catch (const std::system_error& error) {
    return absl::UnavailableError(error.what());
  }
  return std::unique_ptr<FaultProxy>(new FaultProxy(std::move(impl)));
}

FaultProxy::FaultProxy(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

FaultProxy::~FaultProxy() {
  if (InForkedChild()) static_cast<void>(impl_.release());
}

int FaultProxy::port() const {
  return impl_->port();
}

const std::string& FaultProxy::address() const {
  return impl_->address();
}

void FaultProxy::Set(const NetworkFaults& faults) {
  impl_->Set(faults);
}

void FaultProxy::ResetConnections() {
  impl_->ResetConnections();
}

void FaultProxy::CloseConnections() {
  impl_->CloseConnections();
}

absl::Status FaultProxy::SetTarget(std::string_view target) {
  absl::StatusOr<Address> address = Resolve(target);
  if (!address.ok()) return address.status();
  impl_->SetTarget(*std::move(address));
  return absl::OkStatus();
}

void FaultProxy::RemoveTarget() {
  impl_->SetTarget(std::nullopt);
}

FaultProxy::Counters FaultProxy::counters() const {
  return impl_->counters();
}

bool FaultProxy::Await(const std::function<bool(const Counters&)>& condition,
                       std::chrono::milliseconds timeout) const {
  return impl_->Await(condition, timeout);
}

}  // namespace messenger::testing
