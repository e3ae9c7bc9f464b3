// Connections: what the server takes, what it refuses, and that it goes on.
#include "server/acceptor.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/descriptor.h"
#include "messenger/server.h"
#include "server/listener.h"
#include "support/low_descriptor_limit.h"
#include "support/printing.h"
#include "support/raw_client.h"
#include "support/tcp_socket.h"

namespace messenger::acceptor_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr PeerTimeouts kTimeouts = {.unconfirmed = seconds(5),
                                    .silent = seconds(15)};

std::string TextOf(const absl::Status& status) {
  return std::string(status.message());
}

std::size_t OpenDescriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

// Whether it comes to be in time.
template <typename Condition>
bool Comes(Condition condition) {
  const auto end = steady_clock::now() + kRawDeadline;
  while (!condition()) {
    if (steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

// Whether the server speaks HTTP/2 on a new connection, which is left in
// `socket`.
bool IsServed(int port, std::unique_ptr<TcpSocket>* socket) {
  *socket = TcpSocket::TryConnect(port);
  if (!*socket) return false;
  (*socket)->Send(Http2Preface());
  return !(*socket)->Receive(9).empty();
}

bool IsServed(int port) {
  std::unique_ptr<TcpSocket> socket;
  return IsServed(port, &socket);
}

// Whether it breaks off a new connection.
bool IsReset(int port) {
  const auto socket = TcpSocket::TryConnect(port);
  return !socket || socket->AwaitClose();
}

// What can be connected to on this machine, at this address; errno otherwise.
int ConnectError(int family, const char* address, int port) {
  const Descriptor fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return errno;
  sockaddr_storage storage{};
  socklen_t size = 0;
  if (family == AF_INET6) {
    auto& ipv6 = reinterpret_cast<sockaddr_in6&>(storage);
    ipv6.sin6_family = AF_INET6;
    ipv6.sin6_port = htons(static_cast<std::uint16_t>(port));
    inet_pton(AF_INET6, address, &ipv6.sin6_addr);
    size = sizeof ipv6;
  } else {
    auto& ipv4 = reinterpret_cast<sockaddr_in&>(storage);
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = htons(static_cast<std::uint16_t>(port));
    inet_pton(AF_INET, address, &ipv4.sin_addr);
    size = sizeof ipv4;
  }
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&storage), size) ==
                 0
             ? 0
             : errno;
}

bool HasIpv6() {
  return Listener::Open("[::1]:0", kTimeouts).ok();
}

class Notices {
 public:
  std::function<void(std::string_view)> Callback() {
    return [this](std::string_view notice) {
      const absl::MutexLock lock(&mu_);
      notices_.emplace_back(notice);
    };
  }
  std::vector<std::string> Get() {
    const absl::MutexLock lock(&mu_);
    return notices_;
  }

 private:
  absl::Mutex mu_;
  std::vector<std::string> notices_ ABSL_GUARDED_BY(mu_);
};

TEST_CASE(
    "connections beyond the bound are reset at once, counted, and served as "
    "soon as others have gone") {
  Notices notices;
  const auto server = Server::Start({.listen = "127.0.0.1:0",
                                     .max_connections = 3,
                                     .on_notice = notices.Callback()})
                          .value();
  std::vector<std::unique_ptr<TcpSocket>> sockets(3);
  for (auto& socket : sockets) CHECK(IsServed(server->port(), &socket));
  for (std::uint64_t i = 1; i <= 20; ++i) {
    CHECK(IsReset(server->port()));
    CHECK(Comes([&] { return server->refused_connections() == i; }));
  }
  for (int i = 0; i < 20; ++i) {
    sockets.erase(sockets.begin());
    CHECK(Comes([&] {
      return IsServed(server->port(), &sockets.emplace_back()) ||
             (sockets.pop_back(), false);
    }));
  }
  sockets.clear();
  CHECK(Comes([&] { return IsServed(server->port()); }));
  CHECK(Comes([&] { return SendAndReadBack(server->port()) == "OK"; }));

  // All refusals were told, a few at a time at most.
  server->Shutdown();
  CHECK(notices.Get().size() <= 2);
  REQUIRE_FALSE(notices.Get().empty());
  CHECK(notices.Get().back().find("beyond max_connections (3)") !=
        std::string::npos);
}

// Whom it holds for is in connection_bounds_test.cc.
TEST_CASE("the bound for one address does not hold for this machine") {
  const auto server = Server::Start({.listen = "127.0.0.1:0",
                                     .max_connections = 100,
                                     .max_connections_per_address = 1})
                          .value();
  std::vector<std::unique_ptr<TcpSocket>> sockets(10);
  for (auto& socket : sockets) CHECK(IsServed(server->port(), &socket));
  CHECK(server->refused_connections() == 0);
}

TEST_CASE(
    "without descriptors it refuses at once, leaks none, and goes on when "
    "there are some") {
  std::vector<Descriptor> taken;
  std::atomic<int> handed{0};
  auto listener = Listener::Open("127.0.0.1:0", kTimeouts);
  REQUIRE(listener.ok());
  const int port = listener->port();
  absl::Mutex mu;
  auto acceptor =
      Acceptor::Start(*std::move(listener),
                      {.max_connections = 1000,
                       .max_connections_per_address = 1000,
                       .on_notice = nullptr},
                      [&](Acceptor::Accepted accepted) {
                        const absl::MutexLock lock(&mu);
                        taken.push_back(std::move(accepted.connection));
                        ++handed;
                      });
  REQUIRE(acceptor.ok());
  std::vector<std::unique_ptr<TcpSocket>> peers(20);
  // It hands over who begins to speak.
  const auto connect = [&] {
    auto peer = std::make_unique<TcpSocket>(port);
    peer->Send("P");
    return peer;
  };
  for (auto& peer : peers) peer = connect();
  int expected = 20;
  CHECK(Comes([&] { return handed == expected; }));
  const std::size_t descriptors = OpenDescriptors();
  // In turn: none is left at all, and one is left, which is not enough for a
  // connection and its duplicate.
  for (const std::ptrdiff_t left : {0, 1, 0, 1}) {
    // Connecting needs one as well.
    peers.erase(peers.begin());
    std::uint64_t refused = (*acceptor)->refused();
    {
      // Whatever number a descriptor gets, those below are all taken.
      std::vector<Descriptor> fill;
      const LowDescriptorLimit limit(1000);
      while (true) {
        Descriptor fd(dup(0));
        if (!fd.valid()) break;
        fill.push_back(std::move(fd));
      }
      // The one that the peer needs.
      fill.erase(fill.end() - (left + 1), fill.end());
      CHECK(IsReset(port));
      ++refused;
      CHECK(Comes([&] { return (*acceptor)->refused() == refused; }));
    }
    peers.push_back(connect());
    ++expected;
    CHECK(Comes([&] { return handed == expected; }));
  }
  (*acceptor)->Stop();
  {
    const absl::MutexLock lock(&mu);
    taken.clear();
  }
  peers.clear();
  acceptor->reset();
  CHECK(OpenDescriptors() < descriptors);
}

TEST_CASE("who connects and does not say that it speaks HTTP/2 is sent away") {
  auto listener = Listener::Open("127.0.0.1:0", kTimeouts);
  REQUIRE(listener.ok());
  const int port = listener->port();
  absl::Mutex mu;
  std::vector<Descriptor> taken;
  auto acceptor =
      Acceptor::Start(*std::move(listener),
                      {.max_connections = 10,
                       .max_connections_per_address = 10,
                       .handshake_timeout = std::chrono::milliseconds(200),
                       .on_notice = nullptr},
                      [&](Acceptor::Accepted accepted) {
                        const absl::MutexLock lock(&mu);
                        taken.push_back(std::move(accepted.connection));
                      });
  REQUIRE(acceptor.ok());
  TcpSocket speaks(port);
  speaks.Send(Http2Preface());
  TcpSocket silent(port);
  TcpSocket begins(port);
  begins.Send(Http2Preface().substr(0, 30));
  // It is not reset: gRPC still has the connection, and closes it.
  CHECK_FALSE(silent.AwaitClose());
  CHECK_FALSE(begins.AwaitClose());
  CHECK_FALSE(speaks.ArrivesWithin(std::chrono::milliseconds(300)));
}

TEST_CASE("the kernel looks whether a silent peer's machine is still there") {
  const auto listener = Listener::Open("127.0.0.1:0", kTimeouts);
  REQUIRE(listener.ok());
  REQUIRE(listener->Listen().ok());
  const TcpSocket peer(listener->port());
  Descriptor accepted;
  CHECK(Comes([&] {
    accepted = Descriptor(
        accept4(listener->sockets()[0].get(), nullptr, nullptr, SOCK_CLOEXEC));
    return accepted.valid();
  }));
  const auto option = [&](int level, int name) {
    int value = 0;
    socklen_t size = sizeof value;
    return getsockopt(accepted.get(), level, name, &value, &size) == 0 ? value
                                                                       : -1;
  };
  CHECK(option(SOL_SOCKET, SO_KEEPALIVE) == 1);
  CHECK(option(IPPROTO_TCP, TCP_KEEPIDLE) == 15);
  CHECK(option(IPPROTO_TCP, TCP_KEEPINTVL) == 5);
  CHECK(option(IPPROTO_TCP, TCP_USER_TIMEOUT) == 5000);
}

TEST_CASE("a thousand connections, many of them refused, leave nothing open") {
  const auto server =
      Server::Start({.listen = "127.0.0.1:0", .max_connections = 4}).value();
  CHECK(IsServed(server->port()));
  CHECK(Comes([&] { return SendAndReadBack(server->port()) == "OK"; }));
  std::size_t descriptors = 0;
  CHECK(Comes([&] {
    const std::size_t before = std::exchange(descriptors, OpenDescriptors());
    return before == descriptors;
  }));
  const auto connect = [&](int times) {
    std::vector<std::unique_ptr<TcpSocket>> sockets;
    for (int i = 0; i < times; ++i) {
      sockets.push_back(TcpSocket::TryConnect(server->port()));
      if (!sockets.back()) continue;
      // Some say nothing, some begin to, some are served, some break off.
      if (i % 2 == 0) sockets.back()->Send(Http2Preface().substr(0, 30));
      if (i % 3 == 0) sockets.back()->Send(Http2Preface().substr(30));
      if (i % 5 == 0) sockets.back()->Reset();
      if (sockets.size() == 10) sockets.clear();
    }
  };
  connect(500);
  {
    std::vector<std::unique_ptr<TcpSocket>> all(4);
    for (auto& socket : all) {
      CHECK(Comes([&] { return IsServed(server->port(), &socket); }));
    }
    const std::uint64_t refused = server->refused_connections();
    connect(500);
    CHECK(
        Comes([&] { return server->refused_connections() >= refused + 500; }));
  }
  CHECK(Comes([&] { return OpenDescriptors() <= descriptors; }));
  CHECK(Comes([&] { return SendAndReadBack(server->port()) == "OK"; }));
}

TEST_CASE("a server that is shut down while connections arrive leaves none") {
  // What gRPC opens once for the process.
  Server::Start({.listen = "127.0.0.1:0"}).value()->Shutdown();
  const std::size_t descriptors = OpenDescriptors();
  for (int i = 0; i < 20; ++i) {
    auto server = Server::Start({.listen = "127.0.0.1:0"}).value();
    const int port = server->port();
    std::atomic<bool> stop{false};
    std::atomic<int> connected{0};
    std::thread arriving([&] {
      std::vector<Descriptor> sockets;
      while (!stop) {
        Descriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<std::uint16_t>(port));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                    sizeof address) == 0) {
          ++connected;
          sockets.push_back(std::move(fd));
        }
        if (sockets.size() > 50) sockets.clear();
      }
    });
    const bool came = Comes([&] { return connected > 5 * i; });
    const auto start = steady_clock::now();
    // gRPC may take all of it if a peer that says nothing holds on.
    server->Shutdown(std::chrono::milliseconds(200));
    const auto took = steady_clock::now() - start;
    server.reset();
    stop = true;
    arriving.join();
    CHECK(came);
    CHECK(took < seconds(10));
    CHECK(ConnectError(AF_INET, "127.0.0.1", port) == ECONNREFUSED);
  }
  CHECK(Comes([&] { return OpenDescriptors() <= descriptors; }));
}

TEST_CASE("an address that is none is named, with the reason") {
  const auto error = [](const std::string& address) {
    const auto server = Server::Start({.listen = address});
    CHECK(absl::IsInvalidArgument(server.status()));
    CHECK(TextOf(server.status()).find("listen: \"" + address + "\": ") == 0);
    return TextOf(server.status());
  };
  constexpr const char* kHostPort = "it is not HOST:PORT";
  for (const char* address :
       {"127.0.0.1", "[::1]", "localhost", ":0", "unix:/tmp/socket",
        "unix:///tmp/socket", "dns:///localhost:0", "x"}) {
    CHECK(error(address).find(kHostPort) != std::string::npos);
  }
  for (const char* port : {"99999", "65536", "", "-1", "+1", "x", "http", "1x",
                           "0x1", " 1", "18446744073709551616"}) {
    CHECK(error(std::string("127.0.0.1:") + port)
              .find("the port \"" + std::string(port) + "\" is no number") !=
          std::string::npos);
  }
  for (const char* address : {"::1:0", "ipv4:127.0.0.1:0", "::1", "1:2:3"}) {
    CHECK(error(address).find("in brackets") != std::string::npos);
  }
  for (const char* address : {"[127.0.0.1]:0", "[name]:0"}) {
    CHECK(error(address).find("is no IPv6 address") != std::string::npos);
  }
  for (const char* address : {"name.invalid:0", "192.0.2.1:0"}) {
    const auto server = Server::Start({.listen = address});
    CHECK(absl::IsUnavailable(server.status()));
    CHECK(TextOf(server.status()).find(address) != std::string::npos);
  }
}

TEST_CASE("0.0.0.0 is IPv4 alone, [::] is both") {
  const auto ipv4 = Server::Start({.listen = "0.0.0.0:0"}).value();
  CHECK(ipv4->address() == "0.0.0.0:" + std::to_string(ipv4->port()));
  CHECK(ConnectError(AF_INET, "127.0.0.1", ipv4->port()) == 0);
  CHECK(ConnectError(AF_INET6, "::1", ipv4->port()) != 0);
  const auto both = Server::Start({.listen = "[::]:0"}).value();
  CHECK(both->address() == "[::]:" + std::to_string(both->port()));
  CHECK(ConnectError(AF_INET, "127.0.0.1", both->port()) == 0);
  CHECK(SendAndReadBack(both->port()) == "OK");
  if (!HasIpv6()) return;
  CHECK(ConnectError(AF_INET6, "::1", both->port()) == 0);
  const auto ipv6 = Server::Start({.listen = "[::1]:0"}).value();
  CHECK(ipv6->address() == "[::1]:" + std::to_string(ipv6->port()));
  CHECK(ConnectError(AF_INET6, "::1", ipv6->port()) == 0);
  CHECK(ConnectError(AF_INET, "127.0.0.1", ipv6->port()) == ECONNREFUSED);
}

TEST_CASE("a port that is taken in part is taken") {
  for (const auto& [first, second] :
       {std::pair("0.0.0.0", "127.0.0.1"), std::pair("127.0.0.1", "0.0.0.0"),
        std::pair("[::]", "0.0.0.0"), std::pair("0.0.0.0", "[::]"),
        std::pair("127.0.0.1", "localhost"), std::pair("localhost", "[::]")}) {
    const auto server =
        Server::Start({.listen = std::string(first) + ":0"}).value();
    const std::string address =
        std::string(second) + ":" + std::to_string(server->port());
    const auto other = Server::Start({.listen = address});
    CHECK(absl::IsUnavailable(other.status()));
    CHECK(TextOf(other.status()).find(address) != std::string::npos);
    CHECK(TextOf(other.status()).find("in use") != std::string::npos);
  }
}

TEST_CASE("all addresses of a name are served on one port") {
  const auto listener = Listener::Open("localhost:0", kTimeouts);
  REQUIRE(listener.ok());
  REQUIRE_FALSE(listener->sockets().empty());
  MESSAGE("localhost has ", listener->sockets().size(), " addresses");
  for (const Descriptor& socket : listener->sockets()) {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    REQUIRE(getsockname(socket.get(), reinterpret_cast<sockaddr*>(&storage),
                        &size) == 0);
    const std::uint16_t port =
        storage.ss_family == AF_INET6
            ? reinterpret_cast<const sockaddr_in6&>(storage).sin6_port
            : reinterpret_cast<const sockaddr_in&>(storage).sin_port;
    CHECK(ntohs(port) == listener->port());
  }
}

}  // namespace
}  // namespace messenger::acceptor_test
