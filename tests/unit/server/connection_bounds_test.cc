// What is refused to whom, and what is said of it.
#include "server/connection_bounds.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>

#include <string>

namespace messenger::connection_bounds_test {
namespace {

using std::chrono::seconds;

ConnectionBounds::Network From(const std::string& address) {
  sockaddr_storage storage{};
  if (address.find(':') == std::string::npos) {
    auto& ipv4 = reinterpret_cast<sockaddr_in&>(storage);
    ipv4.sin_family = AF_INET;
    REQUIRE(inet_pton(AF_INET, address.c_str(), &ipv4.sin_addr) == 1);
  } else {
    auto& ipv6 = reinterpret_cast<sockaddr_in6&>(storage);
    ipv6.sin6_family = AF_INET6;
    REQUIRE(inet_pton(AF_INET6, address.c_str(), &ipv6.sin6_addr) == 1);
  }
  return NetworkOf(storage);
}

TEST_CASE("connection bounds: no more than so many in total") {
  ConnectionBounds bounds(3, 100);
  CHECK(bounds.Add(From("192.0.2.1")) == std::nullopt);
  CHECK(bounds.Add(From("2001:db8::1")) == std::nullopt);
  CHECK(bounds.Add(From("127.0.0.1")) == std::nullopt);
  CHECK(bounds.Add(From("192.0.2.2")) == Refusal::kTooMany);
  CHECK(bounds.Add(From("127.0.0.1")) == Refusal::kTooMany);
  bounds.Remove(From("127.0.0.1"));
  CHECK(bounds.Add(From("192.0.2.2")) == std::nullopt);
  CHECK(bounds.total() == 3);
}

TEST_CASE("connection bounds: no more than so many from one address") {
  ConnectionBounds bounds(100, 2);
  for (int i = 0; i < 2; ++i) {
    CHECK(bounds.Add(From("192.0.2.1")) == std::nullopt);
    CHECK(bounds.Add(From("192.0.2.2")) == std::nullopt);
  }
  CHECK(bounds.Add(From("192.0.2.1")) == Refusal::kTooManyFromNetwork);
  CHECK(bounds.Add(From("192.0.2.2")) == Refusal::kTooManyFromNetwork);
  CHECK(bounds.total() == 4);
  bounds.Remove(From("192.0.2.1"));
  CHECK(bounds.Add(From("192.0.2.2")) == Refusal::kTooManyFromNetwork);
  CHECK(bounds.Add(From("192.0.2.1")) == std::nullopt);
  CHECK(bounds.Add(From("192.0.2.1")) == Refusal::kTooManyFromNetwork);
}

TEST_CASE("connection bounds: an IPv4 peer is the same on an IPv6 socket") {
  ConnectionBounds bounds(100, 1);
  CHECK(bounds.Add(From("192.0.2.1")) == std::nullopt);
  CHECK(bounds.Add(From("::ffff:192.0.2.1")) == Refusal::kTooManyFromNetwork);
  CHECK(bounds.Add(From("::ffff:192.0.2.2")) == std::nullopt);
}

TEST_CASE("connection bounds: IPv6 peers of one /64 network are one") {
  ConnectionBounds bounds(100, 1);
  CHECK(bounds.Add(From("2001:db8::1")) == std::nullopt);
  CHECK(bounds.Add(From("2001:db8::2:0:0:1")) == Refusal::kTooManyFromNetwork);
  CHECK(bounds.Add(From("2001:db8:0:1::1")) == std::nullopt);
  // Not to be taken for an IPv4 address.
  CHECK(bounds.Add(From("::2")) == std::nullopt);
  CHECK(bounds.Add(From("0.0.0.2")) == std::nullopt);
}

TEST_CASE("connection bounds: this machine is not counted by address") {
  ConnectionBounds bounds(100, 1);
  for (const char* address :
       {"127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"}) {
    CHECK(From(address) == std::nullopt);
    CHECK(bounds.Add(From(address)) == std::nullopt);
  }
  sockaddr_storage local{};
  local.ss_family = AF_UNIX;
  CHECK(NetworkOf(local) == std::nullopt);
  CHECK(From("128.0.0.1") != std::nullopt);
  CHECK(From("126.0.0.1") != std::nullopt);
  CHECK(From("::ffff:128.0.0.1") != std::nullopt);
}

TEST_CASE("connection bounds: the default leaves descriptors to the rest") {
  CHECK(DefaultMaxConnections(0) == 1);
  CHECK(DefaultMaxConnections(64) == 16);
  CHECK(DefaultMaxConnections(512) == 128);
  CHECK(DefaultMaxConnections(1024) == 384);
  CHECK(DefaultMaxConnections(1 << 20) == (1 << 19) - 128);
}

TEST_CASE("refusal notices: once a while, with numbers and reasons") {
  const ConnectionBounds bounds(7, 5);
  RefusalNotices notices;
  const RefusalNotices::TimePoint start{};
  CHECK(notices.due() == RefusalNotices::TimePoint::max());
  notices.Add(Refusal::kTooMany, std::nullopt, start);
  CHECK(notices.due() == start + seconds(1));
  CHECK(notices.Take(bounds, start).empty());
  for (int i = 0; i < 9; ++i) {
    notices.Add(Refusal::kTooManyFromNetwork, From("::ffff:192.0.2.1"), start);
  }
  notices.Add(Refusal::kTooManyFromNetwork, From("2001:db8::1"), start);
  notices.Add(Refusal::kNoDescriptor, From("192.0.2.3"), start);
  CHECK(notices.due() == start + seconds(1));
  CHECK(notices.Take(bounds, start + seconds(1)) ==
        "refused 12 connections: 1 beyond max_connections (7); 10 beyond "
        "max_connections_per_address (5), the last one from 2001:db8::/64; 1 "
        "since there are no file descriptors left");
  CHECK(notices.due() == RefusalNotices::TimePoint::max());

  // The next one is no sooner than a minute later.
  notices.Add(Refusal::kTooManyFromNetwork, From("192.0.2.1"),
              start + seconds(2));
  CHECK(notices.due() == start + seconds(61));
  CHECK(notices.Take(bounds, start + seconds(60)).empty());
  CHECK(notices.Take(bounds, start + seconds(61)) ==
        "refused 1 connection: 1 beyond max_connections_per_address (5), the "
        "last one from 192.0.2.1");
  notices.Add(Refusal::kTooMany, std::nullopt, start + seconds(1000));
  CHECK(notices.due() == start + seconds(1001));
}

}  // namespace
}  // namespace messenger::connection_bounds_test
