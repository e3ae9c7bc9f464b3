#include "server/acceptor.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/narrow.h"

namespace messenger {
namespace {

using SteadyClock = std::chrono::steady_clock;

// Accepted from a socket before another one, and what has ended, have a turn.
constexpr int kBatch = 64;
// How long to wait if a connection can neither be accepted nor be refused.
constexpr std::chrono::milliseconds kStuckPause{10};

// Its peer sees ECONNRESET.
void ResetConnection(const Descriptor& connection) {
  const linger abrupt = {.l_onoff = 1, .l_linger = 0};
  setsockopt(connection.get(), SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
}

// The kernel's tcp_info, which has grown since that of netinet/tcp.h: the file
// of the kernel's, linux/tcp.h, cannot be included beside it.
struct TcpInfo {
  tcp_info since_2002;
  std::uint64_t pacing_rate;
  std::uint64_t max_pacing_rate;
  std::uint64_t bytes_acked;
  std::uint64_t bytes_received;
};
static_assert(offsetof(TcpInfo, bytes_received) == 128);

// Whether it has sent what an HTTP/2 client says first, or as much else.
bool HasSpoken(const Descriptor& connection) {
  constexpr std::uint64_t kPreface = 24;
  constexpr std::uint64_t kEmptySettings = 9;
  TcpInfo info{};
  socklen_t size = sizeof info;
  return getsockopt(connection.get(), IPPROTO_TCP, TCP_INFO, &info, &size) !=
             0 ||
         size < sizeof info ||  // an old kernel
         info.bytes_received >= kPreface + kEmptySettings;
}

Descriptor OpenReserve() {
  return Descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

Descriptor AcceptFrom(int listening_socket, sockaddr_storage* peer) {
  socklen_t size = sizeof *peer;
  return Descriptor(accept4(listening_socket, reinterpret_cast<sockaddr*>(peer),
                            &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Start(Listener listener,
                                                          Options options,
                                                          HandOver hand_over) {
  std::unique_ptr<Acceptor> acceptor(new Acceptor(
      std::move(listener), std::move(options), std::move(hand_over)));
  if (absl::Status s = acceptor->Prepare(); !s.ok()) return s;
  if (absl::Status s = acceptor->listener_.Listen(); !s.ok()) return s;
  acceptor->thread_ = std::thread([raw = acceptor.get()] { raw->Run(); });
  return acceptor;
}

Acceptor::Acceptor(Listener listener, Options options, HandOver hand_over)
    : listener_(std::move(listener)),
      handshake_timeout_(options.handshake_timeout),
      on_notice_(std::move(options.on_notice)),
      hand_over_(std::move(hand_over)),
      bounds_(options.max_connections, options.max_connections_per_address) {}

absl::Status Acceptor::Prepare() {
  reserve_ = OpenReserve();
  watched_ = Descriptor(epoll_create1(EPOLL_CLOEXEC));
  stop_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (reserve_.valid() && watched_.valid() && stop_.valid()) {
    return absl::OkStatus();
  }
  return absl::UnavailableError("cannot accept connections: " +
                                std::system_category().message(errno));
}

void Acceptor::Stop() {
  if (!thread_.joinable()) return;
  eventfd_write(stop_.get(), 1);
  thread_.join();
}

void Acceptor::Run() {
  bool stuck = false;
  for (eventfd_t stop = 0; eventfd_read(stop_.get(), &stop) != 0;) {
    Wait(!stuck);
    TakeEvents();
    EndSilent();
    stuck = !AcceptAll();
    if (notices_.due() <= SteadyClock::now()) TellNotice();
  }
  if (notices_.due() != RefusalNotices::TimePoint::max()) TellNotice();
  // Whoever waits for an accept is reset now.
  { const Listener closed = std::move(listener_); }
  connections_.clear();
  watched_.Close();
  reserve_.Close();
}

void Acceptor::Wait(bool for_connections) {
  std::vector<pollfd> waited = {
      {.fd = stop_.get(), .events = POLLIN, .revents = 0},
      {.fd = watched_.get(), .events = POLLIN, .revents = 0}};
  std::chrono::milliseconds timeout{-1};
  if (for_connections) {
    for (const Descriptor& socket : listener_.sockets()) {
      waited.push_back({.fd = socket.get(), .events = POLLIN, .revents = 0});
    }
  } else {
    timeout = kStuckPause;
  }
  if (const TimePoint next = NextTime(); next != TimePoint::max()) {
    const auto left = std::max(
        std::chrono::ceil<std::chrono::milliseconds>(next - SteadyClock::now()),
        std::chrono::milliseconds(0));
    timeout = for_connections ? left : std::min(left, timeout);
  }
  poll(waited.data(), waited.size(), Narrow<int>(timeout.count()));
}

Acceptor::TimePoint Acceptor::NextTime() const {
  return newcomers_.empty() ? notices_.due()
                            : std::min(notices_.due(), newcomers_.front().due);
}

void Acceptor::EndSilent() {
  const TimePoint now = SteadyClock::now();
  while (!newcomers_.empty()) {
    const auto [due, id] = newcomers_.front();
    const auto it = connections_.find(id);
    if (it != connections_.end()) {
      if (due > now) return;
      if (!HasSpoken(it->second.duplicate)) {
        shutdown(it->second.duplicate.get(), SHUT_RDWR);
      }
    }
    newcomers_.pop_front();
  }
}

void Acceptor::TakeEvents() {
  std::array<epoll_event, 128> events;
  int count = 0;
  do {
    count = epoll_wait(watched_.get(), events.data(),
                       Narrow<int>(events.size()), 0);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events.at(static_cast<std::size_t>(i));
      const std::uint64_t id = event.data.u64;  // it is packed: no reference
      const auto it = connections_.find(id);
      if (it == connections_.end()) continue;
      if ((event.events & EPOLLHUP) == 0) {
        OnReadable(id, &it->second);
        continue;
      }
      // Closing it is not enough while gRPC has the socket open.
      epoll_ctl(watched_.get(), EPOLL_CTL_DEL, it->second.duplicate.get(),
                nullptr);
      bounds_.Remove(it->second.network);
      connections_.erase(it);
    }
  } while (count == Narrow<int>(events.size()));
}

void Acceptor::OnReadable(std::uint64_t id, Connection* connection) {
  if (!connection->waiting.valid()) return;
  char first = 0;
  const ssize_t got =
      recv(connection->waiting.get(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  // It has closed its end, or its connection has failed.
  if (got <= 0) {
    shutdown(connection->waiting.get(), SHUT_RDWR);
    return connection->waiting.Close();
  }
  // What else comes is not for this thread.
  epoll_event event = {.events = EPOLLET, .data = {.u64 = id}};
  epoll_ctl(watched_.get(), EPOLL_CTL_MOD, connection->duplicate.get(), &event);
  // RFC 8446, 5.1: the type of a record with a handshake.
  constexpr char kHandshake = 22;
  hand_over_(
      {.listening_socket = connection->listening_socket,
       .connection = std::move(connection->waiting),
       .peer = connection->peer,
       .protocol = first == kHandshake ? Protocol::kTls : Protocol::kOther});
}

bool Acceptor::AcceptAll() {
  bool stuck = false;
  for (const Descriptor& socket : listener_.sockets()) {
    Next next = Next::kTaken;
    for (int i = 0; i < kBatch && next == Next::kTaken; ++i) {
      next = AcceptNext(socket.get());
    }
    stuck |= next == Next::kStuck;
  }
  return !stuck;
}

Acceptor::Next Acceptor::AcceptNext(int listening_socket) {
  sockaddr_storage peer{};
  Descriptor connection = AcceptFrom(listening_socket, &peer);
  if (connection.valid()) {
    Take(listening_socket, std::move(connection), peer);
    return Next::kTaken;
  }
  switch (errno) {
    case EMFILE:
    case ENFILE:
      return Shed(listening_socket);
    case EAGAIN:
      return Next::kNone;
    case EBADF:
    case EINVAL:
    case ENOBUFS:
    case ENOMEM:
      return Next::kStuck;
    default:
      // That connection has failed, not the socket: see accept(2).
      return Next::kTaken;
  }
}

Acceptor::Next Acceptor::Shed(int listening_socket) {
  reserve_.Close();
  sockaddr_storage peer{};
  Descriptor connection = AcceptFrom(listening_socket, &peer);
  const bool shed = connection.valid();
  // Another thread may have been faster with the descriptor.
  const bool none = !shed && errno == EAGAIN;
  if (shed) {
    Refuse(Refusal::kNoDescriptor, NetworkOf(peer), std::move(connection));
  }
  reserve_ = OpenReserve();
  if (shed) return Next::kTaken;
  return none ? Next::kNone : Next::kStuck;
}

void Acceptor::Take(int listening_socket, Descriptor connection,
                    const sockaddr_storage& peer) {
  const Network network = NetworkOf(peer);
  if (const auto refusal = Admit(network)) {
    return Refuse(*refusal, network, std::move(connection));
  }
  if (!Watch(listening_socket, &connection, peer)) {
    bounds_.Remove(network);
    Refuse(Refusal::kNoDescriptor, network, std::move(connection));
  }
}

std::optional<Refusal> Acceptor::Admit(const Network& network) {
  std::optional<Refusal> refusal = bounds_.Add(network);
  if (refusal) {
    // There may be room, but for what has ended just now.
    TakeEvents();
    refusal = bounds_.Add(network);
  }
  return refusal;
}

bool Acceptor::Watch(int listening_socket, Descriptor* connection,
                     const sockaddr_storage& peer) {
  Descriptor duplicate(fcntl(connection->get(), F_DUPFD_CLOEXEC, 0));
  if (!duplicate.valid()) return false;
  const std::uint64_t id = next_id_++;
  // EPOLLHUP needs no asking, and is told once.
  epoll_event event = {.events = EPOLLIN | EPOLLET, .data = {.u64 = id}};
  if (epoll_ctl(watched_.get(), EPOLL_CTL_ADD, duplicate.get(), &event) != 0) {
    return false;
  }
  connections_.emplace(id, Connection{.duplicate = std::move(duplicate),
                                      .network = NetworkOf(peer),
                                      .waiting = std::move(*connection),
                                      .listening_socket = listening_socket,
                                      .peer = peer});
  newcomers_.push_back(
      {.due = SteadyClock::now() + handshake_timeout_, .id = id});
  return true;
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): it ends here
void Acceptor::Refuse(Refusal refusal, const Network& network,
                      Descriptor connection) {
  ResetConnection(connection);
  ++refused_;
  notices_.Add(refusal, network, SteadyClock::now());
}

void Acceptor::TellNotice() {
  const std::string notice =
      notices_.Take(bounds_, std::max(notices_.due(), SteadyClock::now()));
  if (on_notice_) on_notice_(notice);
}

}  // namespace messenger
