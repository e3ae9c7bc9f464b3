#include "server/listener.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <optional>
#include <system_error>

#include "absl/status/status.h"
#include "base/narrow.h"
#include "base/status.h"
#include "messenger/address.h"

namespace messenger {
namespace {

// The kernel's own limit (net.core.somaxconn) is no larger, as a rule.
constexpr int kBacklog = 4096;
// A port that is free at one address may be taken at the next one.
constexpr int kTries = 32;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  sockaddr* generic() { return reinterpret_cast<sockaddr*>(&storage); }
  void SetPort(std::uint16_t port) {
    if (storage.ss_family == AF_INET6) {
      reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port = htons(port);
    } else {
      reinterpret_cast<sockaddr_in*>(&storage)->sin_port = htons(port);
    }
  }
  std::uint16_t port() const {
    return ntohs(
        storage.ss_family == AF_INET6
            ? reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port
            : reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
  }
  // As it is written, without its port.
  std::string Text() const {
    std::array<char, NI_MAXHOST> text{};
    getnameinfo(reinterpret_cast<const sockaddr*>(&storage), size, text.data(),
                text.size(), nullptr, 0, NI_NUMERICHOST);
    return text.data();
  }
  bool operator==(const SocketAddress& other) const {
    return size == other.size &&
           std::memcmp(&storage, &other.storage, size) == 0;
  }
};

std::string ErrorText(int error) {
  return std::system_category().message(error);
}

// The TCP addresses of `host`, each once; or why there are none.
std::optional<std::string> FindAddresses(const Address& wanted,
                                         std::vector<SocketAddress>* result) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int error =
          getaddrinfo(wanted.host.c_str(), nullptr, &hints, &found);
      error != 0) {
    return error == EAI_SYSTEM ? ErrorText(errno) : gai_strerror(error);
  }
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    if (info->ai_family != AF_INET && info->ai_family != AF_INET6) continue;
    SocketAddress address;
    std::memcpy(&address.storage, info->ai_addr, info->ai_addrlen);
    address.size = info->ai_addrlen;
    address.SetPort(wanted.port);
    bool known = false;
    for (const SocketAddress& other : *result) known |= other == address;
    if (!known) result->push_back(address);
  }
  freeaddrinfo(found);
  if (result->empty()) return "it has no address";
  return std::nullopt;
}

// No IPv6, or no such address, here.
bool IsMissingHere(int error) {
  return error == EAFNOSUPPORT || error == EADDRNOTAVAIL ||
         error == EPROTONOSUPPORT;
}

template <typename T>
bool SetOption(const Descriptor& socket, int level, int name, const T& value) {
  return setsockopt(socket.get(), level, name, &value, sizeof value) == 0;
}

// In the seconds that the kernel takes.
int ToKeepalive(std::chrono::milliseconds time) {
  constexpr std::chrono::seconds kShortest(1);
  constexpr std::chrono::seconds kLongest(INT16_MAX);
  return Narrow<int>(std::clamp(std::chrono::ceil<std::chrono::seconds>(time),
                                kShortest, kLongest)
                         .count());
}

// Takes the address, and notes the port; errno tells why it does not. The
// sockets that are accepted inherit the options. Never SO_REUSEPORT: a second
// server on the port must fail, not take half of the clients.
Descriptor Bind(SocketAddress* address, const PeerTimeouts& timeouts) {
  Descriptor fd(socket(address->storage.ss_family,
                       SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fd;
  // An IPv6 wildcard takes IPv4 as well, whatever the system's default is.
  if ((address->storage.ss_family == AF_INET6 &&
       !SetOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0)) ||
      !SetOption(fd, SOL_SOCKET, SO_REUSEADDR, 1) ||
      !SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1) ||
      !SetOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
                 Narrow<unsigned>(timeouts.unconfirmed.count())) ||
      !SetOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1) ||
      !SetOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, ToKeepalive(timeouts.silent)) ||
      !SetOption(fd, IPPROTO_TCP, TCP_KEEPINTVL,
                 ToKeepalive(timeouts.unconfirmed)) ||
      bind(fd.get(), address->generic(), address->size) != 0 ||
      getsockname(fd.get(), address->generic(), &address->size) != 0) {
    const int error = errno;
    fd.Close();
    errno = error;
  }
  return fd;
}

absl::Status CannotListen(std::string_view address, std::string_view why) {
  return absl::UnavailableError(
      fmt::format("listen: cannot listen on \"{}\": {}", address, why));
}

struct Sockets {
  std::vector<Descriptor> open;
  std::uint16_t port = 0;
  int error = 0;           // why one of them could not be opened
  std::string error_text;  // with its address, if there are several
};

// All of `addresses` on one port, or an error.
Sockets BindAll(std::vector<SocketAddress> addresses, std::uint16_t port,
                const PeerTimeouts& timeouts) {
  Sockets sockets = {.open = {}, .port = port, .error = 0, .error_text = {}};
  Sockets missing;
  for (SocketAddress& address : addresses) {
    address.SetPort(sockets.port);
    const std::string text = address.Text();
    Descriptor fd = Bind(&address, timeouts);
    if (fd.valid()) {
      sockets.port = address.port();
      sockets.open.push_back(std::move(fd));
      continue;
    }
    Sockets& failed = IsMissingHere(errno) ? missing : sockets;
    failed.error = errno;
    failed.error_text = ErrorText(errno);
    if (addresses.size() > 1) {
      failed.error_text = fmt::format("{}: {}", text, failed.error_text);
    }
    if (sockets.error != 0) return sockets;
  }
  return sockets.open.empty() ? std::move(missing) : std::move(sockets);
}

}  // namespace

absl::StatusOr<Listener> Listener::Open(std::string_view address,
                                        PeerTimeouts timeouts) {
  const absl::StatusOr<Address> wanted = ParseAddress(address);
  if (!wanted.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("listen: {}", MessageOf(wanted.status())));
  }
  const auto error = [address](std::string_view why) {
    return CannotListen(address, why);
  };
  std::vector<SocketAddress> addresses;
  if (const auto why = FindAddresses(*wanted, &addresses)) return error(*why);
  Sockets sockets;
  for (int i = 0; i < kTries; ++i) {
    sockets = BindAll(addresses, wanted->port, timeouts);
    const bool other_port = wanted->port == 0 && addresses.size() > 1 &&
                            sockets.error == EADDRINUSE;
    if (!other_port) break;
  }
  if (IsMissingHere(sockets.error) && wanted->host == "::") {
    addresses.clear();
    const Address ipv4 = {.host = "0.0.0.0", .port = wanted->port};
    if (const auto why = FindAddresses(ipv4, &addresses)) return error(*why);
    sockets = BindAll(addresses, wanted->port, timeouts);
  }
  if (sockets.error != 0) return error(sockets.error_text);
  return Listener(std::move(sockets.open), sockets.port,
                  fmt::format("{}:{}", address.substr(0, address.rfind(':')),
                              sockets.port));
}

absl::Status Listener::Listen() const {
  for (const Descriptor& socket : sockets_) {
    if (listen(socket.get(), kBacklog) != 0) {
      return CannotListen(address_, ErrorText(errno));
    }
  }
  return absl::OkStatus();
}

}  // namespace messenger
