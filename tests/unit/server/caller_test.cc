// Where a peer is, by the names that gRPC has for peers.
#include "server/caller.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>

#include <string>
#include <vector>

#include "support/printing.h"

namespace messenger::caller_test {
namespace {

using Place = Caller::Place;

TEST_CASE("caller: who is of this machine, and who is not") {
  struct Row {
    std::string peer;
    Place place;
    std::string address;
  };
  const std::vector<Row> rows = {
      {"fd:7", Place::kProcess, "fd:7"},
      {"unix:", Place::kMachine, "unix:"},
      {"unix:/run/x.sock", Place::kMachine, "unix:/run/x.sock"},
      {"unix-abstract:x", Place::kMachine, "unix-abstract:x"},
      {"ipv4:127.0.0.1:1", Place::kMachine, "127.0.0.1"},
      {"ipv4:127.9.9.9:65535", Place::kMachine, "127.9.9.9"},
      {"ipv4:192.0.2.1:1", Place::kNetwork, "192.0.2.1"},
      {"ipv4:1.127.0.0:1", Place::kNetwork, "1.127.0.0"},
      {"ipv6:%5B::1%5D:1", Place::kMachine, "::1"},
      {"ipv6:[::1]:1", Place::kMachine, "::1"},
      {"ipv6:%5B::ffff:127.0.0.1%5D:1", Place::kMachine, "::ffff:127.0.0.1"},
      {"ipv6:%5B::ffff:192.0.2.1%5D:1", Place::kNetwork, "::ffff:192.0.2.1"},
      {"ipv6:%5B2001:db8::1%5D:1", Place::kNetwork, "2001:db8::1"},
      {"ipv6:%5B::11%5D:1", Place::kNetwork, "::11"},
      {"", Place::kNetwork, ""},
      {"unknown", Place::kNetwork, "unknown"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.peer);
    CHECK((WhereIs(row.peer) == row.place));
    CHECK(AddressOf(row.peer) == row.address);
  }
}

TEST_CASE("caller: a socket's peer is named as gRPC does") {
  sockaddr_storage peer{};
  auto& ipv4 = reinterpret_cast<sockaddr_in&>(peer);
  ipv4.sin_family = AF_INET;
  ipv4.sin_port = htons(4711);
  ipv4.sin_addr.s_addr = htonl(0xC0000201);
  CHECK(PeerAt(peer) == "ipv4:192.0.2.1:4711");
  auto& ipv6 = reinterpret_cast<sockaddr_in6&>(peer);
  ipv6.sin6_family = AF_INET6;
  REQUIRE(inet_pton(AF_INET6, "2001:db8::1", &ipv6.sin6_addr) == 1);
  CHECK(PeerAt(peer) == "ipv6:%5B2001:db8::1%5D:4711");
  REQUIRE(inet_pton(AF_INET6, "::ffff:127.0.0.1", &ipv6.sin6_addr) == 1);
  CHECK(PeerAt(peer) == "ipv4:127.0.0.1:4711");
}

}  // namespace
}  // namespace messenger::caller_test
