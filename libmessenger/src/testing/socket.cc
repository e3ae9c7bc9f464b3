#include "testing/socket.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "absl/status/status.h"
#include "base/status.h"
#include "messenger/address.h"

namespace messenger::testing {
namespace {

void SetNoDelay(int fd) {
  constexpr int kOn = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &kOn, sizeof kOn);
}

}  // namespace

absl::StatusOr<Address> Resolve(std::string_view target) {
  const auto fail = [target](std::string_view why) {
    return absl::InvalidArgumentError(
        fmt::format("target: \"{}\": {}", target, why));
  };
  const absl::StatusOr<messenger::Address> parsed = ParseAddress(target);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("target: {}", MessageOf(parsed.status())));
  }
  if (parsed->port == 0) return fail("the port is 0; must be 1 to 65535");
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error =
          getaddrinfo(parsed->host.c_str(),
                      std::to_string(parsed->port).c_str(), &hints, &found);
      error != 0) {
    return fail(gai_strerror(error));
  }
  Address address;
  address.size = found->ai_addrlen;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
  return address;
}

absl::StatusOr<std::pair<Fd, int>> Listen() {
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (!fd.valid() || bind(fd.get(), generic, size) != 0 ||
      listen(fd.get(), SOMAXCONN) != 0 ||
      getsockname(fd.get(), generic, &size) != 0) {
    return absl::UnavailableError("cannot listen: " + ErrorText());
  }
  return std::pair(std::move(fd), int{ntohs(address.sin_port)});
}

std::optional<Fd> Accept(const Fd& listener) {
  Fd fd(
      accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd.valid()) return std::nullopt;
  SetNoDelay(fd.get());
  return fd;
}

Fd Connect(const Address& address) {
  Fd fd(socket(address.storage.ss_family,
               SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fd;
  SetNoDelay(fd.get());
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address.storage),
              address.size) != 0 &&
      errno != EINPROGRESS) {
    fd.Close();
  }
  return fd;
}

bool IsConnected(const Fd& fd) {
  int error = 0;
  socklen_t size = sizeof error;
  return getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
         error == 0;
}

void Reset(Fd fd) {
  const linger abrupt = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
  fd.Close();
}

std::string ErrorText() {
  return std::system_category().message(errno);
}

}  // namespace messenger::testing
