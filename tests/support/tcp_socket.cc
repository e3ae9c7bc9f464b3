#include "support/tcp_socket.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "support/raw_client.h"

namespace messenger::test {
namespace {

[[noreturn]] void Throw(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// NOLINTNEXTLINE(google-runtime-int): the type that poll takes
void Await(int fd, short events) {
  pollfd waited = {.fd = fd, .events = events, .revents = 0};
  const auto timeout =
      std::chrono::duration_cast<std::chrono::milliseconds>(kRawDeadline);
  const int ready = poll(&waited, 1, static_cast<int>(timeout.count()));
  if (ready < 0 && errno != EINTR) Throw("poll");
  if (ready == 0) {
    throw std::runtime_error("the socket is not ready within the deadline");
  }
}

std::string BigEndian(std::uint64_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) {
    out += static_cast<char>((value >> (8 * i)) & 0xFFU);
  }
  return out;
}

constexpr std::uint8_t kData = 0;
constexpr std::uint8_t kHeaders = 1;
constexpr std::uint8_t kSettings = 4;
constexpr std::uint8_t kWindowUpdate = 8;
constexpr std::uint8_t kEndStream = 1;
constexpr std::uint8_t kEndHeaders = 4;

std::string Http2Frame(std::uint8_t type, std::uint8_t flags,
                       std::uint32_t stream, std::string_view payload) {
  std::string frame = BigEndian(payload.size(), 3);
  frame += static_cast<char>(type);
  frame += static_cast<char>(flags);
  frame += BigEndian(stream, 4);
  frame += payload;
  return frame;
}

// A literal header field, never indexed; both below 127 bytes.
std::string Header(std::string_view name, std::string_view value) {
  std::string field(1, '\x10');
  field += static_cast<char>(name.size());
  field += name;
  field += static_cast<char>(value.size());
  field += value;
  return field;
}

}  // namespace

TcpSocket::TcpSocket(int port)
    : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  if (fd_ < 0) Throw("socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&address),
              sizeof address) != 0) {
    close(fd_);
    Throw("connect");
  }
}

std::unique_ptr<TcpSocket> TcpSocket::TryConnect(int port) {
  try {
    return std::make_unique<TcpSocket>(port);
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::connection_reset) return nullptr;
    throw;
  }
}

TcpSocket::~TcpSocket() {
  if (fd_ >= 0) close(fd_);
}

bool TcpSocket::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    Await(fd_, POLLOUT);
    const ssize_t sent =
        send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EAGAIN || errno == EINTR) continue;
      if (errno == EPIPE || errno == ECONNRESET) return false;
      Throw("send");
    }
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

std::string TcpSocket::Receive(std::size_t at_least) {
  std::string received;
  std::array<char, 16 << 10> buffer;
  while (received.size() < at_least) {
    Await(fd_, POLLIN);
    const ssize_t got = recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got <= 0) break;
    received.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return received;
}

void TcpSocket::AwaitArrived(std::size_t at_least) {
  // poll reports so much and not less.
  const int size = static_cast<int>(at_least);
  if (setsockopt(fd_, SOL_SOCKET, SO_RCVLOWAT, &size, sizeof size) != 0) {
    Throw("SO_RCVLOWAT");
  }
  Await(fd_, POLLIN);
}

void TcpSocket::CloseSending() {
  shutdown(fd_, SHUT_WR);
}

bool TcpSocket::AwaitClose() {
  std::array<char, 16 << 10> buffer;
  for (;;) {
    Await(fd_, POLLIN);
    const ssize_t got = recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got == 0) return false;
    if (got < 0 && errno != EAGAIN && errno != EINTR) return true;
  }
}

bool TcpSocket::ArrivesWithin(std::chrono::milliseconds time) {
  pollfd waited = {.fd = fd_, .events = POLLIN, .revents = 0};
  return poll(&waited, 1, static_cast<int>(time.count())) > 0;
}

std::size_t TcpSocket::SendUntilFull() {
  // Buffers may still grow.
  constexpr int kFullMs = 200;
  const std::string bytes(64 << 10, 'x');
  std::size_t total = 0;
  pollfd waited = {.fd = fd_, .events = POLLOUT, .revents = 0};
  while (poll(&waited, 1, kFullMs) > 0) {
    const ssize_t sent =
        send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) Throw("send");
    if (sent > 0) total += static_cast<std::size_t>(sent);
  }
  return total;
}

void TcpSocket::Reset() {
  const linger abrupt = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
  close(fd_);
  fd_ = -1;
}

void TcpSocket::Vanish() {
  sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog program = {.len = 1, .filter = &drop};
  if (setsockopt(fd_, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) !=
      0) {
    Throw("SO_ATTACH_FILTER");
  }
}

TcpListener::TcpListener()
    : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (fd_ < 0 || bind(fd_, generic, size) != 0 || listen(fd_, SOMAXCONN) != 0 ||
      getsockname(fd_, generic, &size) != 0) {
    Throw("listen");
  }
  port_ = ntohs(address.sin_port);
}

TcpListener::~TcpListener() {
  close(fd_);
}

TcpSocket TcpListener::Accept() const {
  Await(fd_, POLLIN);
  const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) Throw("accept");
  return TcpSocket(TcpSocket::Taken{fd});
}

std::string Http2Preface(std::uint32_t stream_window) {
  constexpr std::uint16_t kInitialWindowSize = 4;
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" +
         Http2Frame(
             kSettings, 0, 0,
             BigEndian(kInitialWindowSize, 2) + BigEndian(stream_window, 4));
}

std::string Http2Window(std::uint32_t bytes) {
  return Http2Frame(kWindowUpdate, 0, 0, BigEndian(bytes, 4));
}

std::string Http2Call(std::uint32_t stream, std::string_view method) {
  std::string path = "/messenger.v1.MessengerServer/";
  path += method;
  return Http2Frame(kHeaders, kEndHeaders, stream,
                    Header(":method", "POST") + Header(":scheme", "http") +
                        Header(":path", path) +
                        Header(":authority", "localhost") +
                        Header("content-type", "application/grpc") +
                        Header("te", "trailers"));
}

std::string Http2Data(std::uint32_t stream, std::string_view data, bool last) {
  return Http2Frame(kData, last ? kEndStream : std::uint8_t{0}, stream, data);
}

std::string GrpcMessage(std::string_view bytes) {
  return std::string(1, '\0') + BigEndian(bytes.size(), 4) + std::string(bytes);
}

}  // namespace messenger::test
