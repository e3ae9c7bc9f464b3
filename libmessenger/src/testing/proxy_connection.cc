#include "testing/proxy_connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace messenger::testing {
namespace {

FlowFaults ToServer(const NetworkFaults& faults) {
  return {.stalled = faults.stall_to_server,
          .delay = faults.delay,
          .max_fragment_bytes = faults.max_fragment_bytes,
          .bytes_per_second = faults.bytes_per_second};
}

FlowFaults ToClient(const NetworkFaults& faults) {
  FlowFaults result = ToServer(faults);
  result.stalled = faults.stall_to_client;
  return result;
}

pollfd Polled(const Fd& fd, bool read, bool write) {
  const int events = (read ? POLLIN : 0) | (write ? POLLOUT : 0);
  return {.fd = events == 0 ? -1 : fd.get(),
          // NOLINTNEXTLINE(google-runtime-int): the type that poll takes
          .events = static_cast<short>(events),
          .revents = 0};
}

// Reads and drops; false once there is nothing to come.
bool Drop(const Fd& fd) {
  constexpr int kReads = 16;  // then others have their turn
  std::array<char, 16 << 10> buffer;
  for (int i = 0; i < kReads; ++i) {
    const ssize_t got = recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (got > 0 || (got < 0 && errno == EINTR)) continue;
    return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
  }
  return true;
}

}  // namespace

ProxyConnection::ProxyConnection(Fd client, Fd server)
    : client_{.fd = std::move(client)}, server_{.fd = std::move(server)} {}

std::array<pollfd, 2> ProxyConnection::Polled(
    Clock::time_point now, const NetworkFaults& faults) const {
  using testing::Polled;
  if (closing_) {
    return {Polled(client_.fd, !client_.failed, false),
            Polled(server_.fd, !server_.failed, false)};
  }
  const FlowFaults up = ToServer(faults);
  const FlowFaults down = ToClient(faults);
  const bool both = !client_.failed && !server_.failed;
  if (!connected_) {
    return {Polled(client_.fd, both && to_server_.WantsToRead(up), false),
            Polled(server_.fd, false, !server_.failed)};
  }
  return {Polled(client_.fd, both && to_server_.WantsToRead(up),
                 both && to_client_.WantsToWrite(now, down)),
          Polled(server_.fd, both && to_client_.WantsToRead(down),
                 both && to_server_.WantsToWrite(now, up))};
}

std::optional<Clock::time_point> ProxyConnection::NextTurn(
    const NetworkFaults& faults) const {
  if (closing_ || client_.failed || server_.failed) return std::nullopt;
  const auto up = to_server_.NextWrite(ToServer(faults));
  const auto down = to_client_.NextWrite(ToClient(faults));
  if (!up || !connected_) return down;
  if (!down) return up;
  return std::min(*up, *down);
}

void ProxyConnection::Move(Clock::time_point now, const NetworkFaults& faults,
                           Passed* passed) {
  const FlowFaults up = ToServer(faults);
  const FlowFaults down = ToClient(faults);
  // Each step only if none before has failed: a socket tells of its error once,
  // and looks as if it had ended well after that.
  const auto alive = [this] { return !client_.failed && !server_.failed; };
  if (alive()) client_.failed = !to_server_.Read(client_.fd, now, up);
  if (!connected_) return;
  if (alive()) {
    server_.failed = !to_server_.Write(server_.fd, now, up, &passed->to_server);
  }
  if (alive()) server_.failed = !to_client_.Read(server_.fd, now, down);
  if (alive()) {
    client_.failed =
        !to_client_.Write(client_.fd, now, down, &passed->to_client);
  }
}

bool ProxyConnection::Turn(Clock::time_point now, const NetworkFaults& faults,
                           Passed* passed) {
  if (closing_) return TurnClosing();
  if (!connected_ && !server_.failed) {
    pollfd ready = testing::Polled(server_.fd, false, true);
    if (poll(&ready, 1, 0) > 0) {
      connected_ = IsConnected(server_.fd);
      server_.failed = !connected_;
      passed->refused = !connected_;
    }
  }
  Move(now, faults, passed);
  const bool tell_client = server_.failed && !faults.stall_to_client;
  const bool tell_server = client_.failed && !faults.stall_to_server;
  if (tell_client || tell_server) {
    ResetBoth();
    return false;
  }
  return !to_server_.finished() || !to_client_.finished();
}

bool ProxyConnection::TurnClosing() {
  for (Peer* const peer : {&client_, &server_}) {
    if (!peer->failed && !Drop(peer->fd)) peer->failed = true;
  }
  return !client_.failed || !server_.failed;
}

void ProxyConnection::ResetBoth() {
  Reset(std::move(client_.fd));
  Reset(std::move(server_.fd));
}

void ProxyConnection::Close() {
  closing_ = true;
  shutdown(client_.fd.get(), SHUT_WR);
  shutdown(server_.fd.get(), SHUT_WR);
}

}  // namespace messenger::testing
