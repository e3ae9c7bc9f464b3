// Addresses: what a server listens on, and what a client connects to.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace messenger {

// The port of a server, unless another one is named.
inline constexpr std::uint16_t kDefaultPort = 51075;

// A host and a port.
struct Address {
  // A name, an IPv4 address, or an IPv6 address without its brackets.
  std::string host = {};
  std::uint16_t port = 0;

  // HOST:PORT, with an IPv6 address in brackets.
  std::string ToString() const;

  friend bool operator==(const Address&, const Address&) = default;
};

// Parses HOST:PORT. HOST is an IPv4 address, an IPv6 address in brackets, or a
// name, whose characters are A-Z a-z 0-9 . _ and -, and which is not looked up.
// PORT is a number from 0 to 65535: no name, no sign, no blanks.
//
// INVALID_ARGUMENT says what is wrong, after the address in quotation marks.
absl::StatusOr<Address> ParseAddress(std::string_view text);

// Parses a port, as in an address.
absl::StatusOr<std::uint16_t> ParsePort(std::string_view text);

// What a client connects to, in full: `target` with the port 51075 if it names
// none. It is one of
//
//   HOST:PORT, HOST            as in ParseAddress, but for port 0, which nobody
//                              listens on; an IPv6 address without a port needs
//                              no brackets
//   dns:HOST:PORT              the same; also dns:///HOST:PORT, or with a name
//                              server, dns://SERVER/HOST:PORT
//   ipv4:HOST:PORT, ipv6:…     the same for addresses, of which there may be
//                              several, separated by commas: gRPC takes one
//                              that answers
//   unix:PATH                  a Unix socket
//   unix-abstract:NAME         the same in Linux's abstract name space
//
// INVALID_ARGUMENT as with ParseAddress.
absl::StatusOr<std::string> ParseTarget(std::string_view target);

}  // namespace messenger
