// Addresses (messenger/address.h).
#include "messenger/address.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/status.h"
#include "base/target.h"

namespace messenger::address_test {
namespace {

std::string ErrorOf(const absl::Status& status) {
  CHECK(absl::IsInvalidArgument(status));
  return std::string(MessageOf(status));
}

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("address: HOST:PORT is taken apart, and put together again") {
  for (const auto& [given, host, port] : {
           std::tuple("localhost:51075", "localhost", 51075),
           std::tuple("127.0.0.1:0", "127.0.0.1", 0),
           std::tuple("a-b_c.example.:65535", "a-b_c.example.", 65535),
           std::tuple("[::]:1", "::", 1),
           std::tuple("[fe80::1%eth0]:1", "fe80::1%eth0", 1),
           std::tuple("4me.example:80", "4me.example", 80),
       }) {
    const std::string_view text = given;
    CAPTURE(text);
    const auto address = ParseAddress(text);
    REQUIRE(address.ok());
    CHECK(address->host == host);
    CHECK(address->port == port);
    CHECK(address->ToString() == text);
  }
}

TEST_CASE("address: what is none is refused, with the reason") {
  for (const auto& [given, reason] : {
           std::pair("", "it is not HOST:PORT"),
           std::pair(":1", "it is not HOST:PORT"),
           std::pair("localhost", "the port is missing"),
           std::pair("[::1]", "the port is missing"),
           std::pair("[::1", "it is not HOST:PORT"),
           std::pair("[::1]x", "it is not HOST:PORT"),
           std::pair("http://localhost:1", "it is not HOST:PORT"),
           std::pair("::1:0", "in brackets"),
           std::pair("a:b:1", "in brackets"),
           std::pair("[localhost]:1", "no IPv6 address"),
           std::pair("[127.0.0.1]:1", "no IPv6 address"),
           std::pair("[::1%]:1", "no IPv6 address"),
           std::pair("a b:1", "the host has ' ' at byte 1"),
           std::pair(" localhost:1", "the host has ' ' at byte 0"),
           std::pair("a\n:1", "the host has '\\n' at byte 1"),
           std::pair("300.1.1.1:1", "no IPv4 address"),
           std::pair("127.1:1", "no IPv4 address"),
           std::pair("51075:1", "no IPv4 address"),
           std::pair("localhost:", "the port \"\" is no number"),
           std::pair("localhost:99999", "the port \"99999\" is no number"),
           std::pair("localhost:65536", "from 0 to 65535"),
           std::pair("localhost:-1", "the port \"-1\" is no number"),
           std::pair("localhost: 1", "the port \" 1\" is no number"),
           std::pair("localhost:1 ", "the port \"1 \" is no number"),
           std::pair("localhost:http", "the port \"http\" is no number"),
       }) {
    const std::string_view text = given;
    CAPTURE(text);
    CHECK(Has(ErrorOf(ParseAddress(text).status()), reason));
  }
  CHECK(Has(ErrorOf(ParseAddress(std::string(254, 'a') + ":1").status()),
            "254 bytes; a name has at most 253"));
}

TEST_CASE("address: a client's target has the default port, and no port 0") {
  for (const auto& [given, target] : {
           std::pair("localhost", "localhost:51075"),
           std::pair("localhost:1", "localhost:1"),
           std::pair("::1", "[::1]:51075"),
           std::pair("[::1]", "[::1]:51075"),
           std::pair("[::1]:2", "[::1]:2"),
           std::pair("dns:///localhost", "dns:///localhost:51075"),
           std::pair("dns:localhost:3", "dns:localhost:3"),
           std::pair("dns://8.8.8.8/a.example:3", "dns://8.8.8.8/a.example:3"),
           std::pair("ipv4:127.0.0.1", "ipv4:127.0.0.1:51075"),
           std::pair("ipv4:127.0.0.1:1,127.0.0.2:2",
                     "ipv4:127.0.0.1:1,127.0.0.2:2"),
           std::pair("ipv6:[::1]:1", "ipv6:[::1]:1"),
           std::pair("unix:/tmp/socket", "unix:/tmp/socket"),
           std::pair("unix-abstract:name", "unix-abstract:name"),
       }) {
    const std::string_view text = given;
    CAPTURE(text);
    const auto parsed = ParseTarget(text);
    REQUIRE(parsed.ok());
    CHECK(*parsed == target);
    CHECK(*ParseTarget(*parsed) == *parsed);
  }
  for (const auto& [given, reason] : {
           std::pair("", "it is not HOST:PORT"),
           std::pair("127.0.0.1:99999", "is no number from 1 to 65535"),
           std::pair("127.0.0.1:0", "the port \"0\" is no number from 1"),
           std::pair("51075", "the host 51075 is no IPv4 address"),
           std::pair("::1:51075", "in brackets"),
           std::pair("http://localhost", "it is not HOST:PORT"),
           std::pair("xds:///name", "it is not HOST:PORT"),
           std::pair("dns:///localhost:99999", "from 1 to 65535"),
           std::pair("dns://localhost", "it is not dns:///HOST:PORT"),
           std::pair("dns:///", "it is not HOST:PORT"),
           std::pair("ipv4:127.0.0.1:1,", "it is not HOST:PORT"),
           std::pair("ipv4:127.0.0.1:99999", "from 1 to 65535"),
           std::pair("unix:", "the path is empty"),
       }) {
    const std::string_view text = given;
    CAPTURE(text);
    const std::string error = ErrorOf(ParseTarget(text).status());
    CHECK(Has(error, reason));
    CHECK(error.starts_with("\"" + std::string(text) + "\": "));
  }
  CHECK(Has(ErrorOf(ParseTarget("unix:" + std::string(108, 'x')).status()),
            "108 bytes; a Unix socket's has at most 107"));
}

TEST_CASE("address: gRPC gets a URI, and takes no host for a scheme") {
  CHECK(TargetUri("xds:51075") == "dns:///xds:51075");
  CHECK(TargetUri("[::1]:1") == "dns:///%5B::1%5D:1");
  CHECK(TargetUri("[fe80::1%eth0]:1") == "dns:///%5Bfe80::1%25eth0%5D:1");
  CHECK(TargetUri("ipv6:[::1]:1") == "ipv6:%5B::1%5D:1");
  CHECK(TargetUri("unix:/tmp/a b?") == "unix:/tmp/a%20b%3F");
  CHECK(IsHostAndPort("localhost:1"));
  CHECK_FALSE(IsHostAndPort("unix:/tmp/socket"));
}

TEST_CASE("address: the hosts that a target names, and where they are") {
  using Hosts = std::vector<std::string>;
  const auto hosts = [](const char* target) {
    return HostsOf(ParseTarget(target).value());
  };
  CHECK(hosts("log.example") == Hosts{"log.example"});
  CHECK(hosts("[::1]:7") == Hosts{"::1"});
  CHECK(hosts("dns:log.example:1") == Hosts{"log.example"});
  CHECK(hosts("dns://192.0.2.53/log.example:1") == Hosts{"log.example"});
  CHECK(hosts("dns:///log.example") == Hosts{"log.example"});
  CHECK(hosts("ipv4:192.0.2.1:1,192.0.2.2:2") ==
        Hosts{"192.0.2.1", "192.0.2.2"});
  CHECK(hosts("ipv6:[2001:db8::1]:1") == Hosts{"2001:db8::1"});
  CHECK(hosts("unix:/tmp/x").empty());
  CHECK(hosts("unix-abstract:x").empty());
  CHECK(hosts("unix.example:1") == Hosts{"unix.example"});
  for (const char* const here :
       {"localhost", "dns:///localhost:1", "dns:localhost", "127.0.0.1",
        "127.1.2.3", "[::1]", "unix:/x", "unix-abstract:x",
        "ipv4:127.0.0.1:1,127.0.0.2:1"}) {
    CAPTURE(here);
    CHECK(IsOfThisMachine(ParseTarget(here).value()));
  }
  for (const char* const elsewhere :
       {"log.example", "128.0.0.1", "127.example", "localhost.example",
        "ipv4:127.0.0.1:1,192.0.2.1:1", "[::2]", "unix.example:1",
        "dns://192.0.2.1/localhost:1"}) {
    CAPTURE(elsewhere);
    CHECK_FALSE(IsOfThisMachine(ParseTarget(elsewhere).value()));
  }
}

}  // namespace
}  // namespace messenger::address_test
