// Sockets that listen.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/descriptor.h"

namespace messenger {

// When the kernel ends a connection whose peer's machine cannot be reached any
// more: by clocks of its own.
struct PeerTimeouts {
  // What was sent is not confirmed within this time (TCP_USER_TIMEOUT).
  std::chrono::milliseconds unconfirmed;
  // Nothing was heard for this time, and then not within the other one, though
  // it was asked (SO_KEEPALIVE). In whole seconds, rounded up.
  std::chrono::milliseconds silent;
};

// All the sockets of one address, on one port. The address is taken when they
// are open; connections come only from Listen on.
//
// Thread safety: as compatible as int.
class Listener {
 public:
  // Takes `address`, HOST:PORT. Connections are still refused.
  //
  // HOST is an IPv4 address, an IPv6 address in brackets, or a name, all of
  // whose addresses are taken. 0.0.0.0 is IPv4 only; [::] is both, or IPv4
  // where there is no IPv6. PORT is a number; 0 takes a port that is free at
  // all of the addresses.
  //
  // Blocks if HOST is a name.
  //
  // INVALID_ARGUMENT if it is no HOST:PORT. UNAVAILABLE, with the reason, if
  // one of the addresses cannot be listened on; only an address of a kind that
  // this machine does not have is left out, if another one is left.
  static absl::StatusOr<Listener> Open(std::string_view address,
                                       PeerTimeouts timeouts);

  // Listens: from now on the kernel takes connections, which wait for an
  // accept. UNAVAILABLE, with the reason, if one of the sockets cannot: another
  // process may have taken the address since.
  absl::Status Listen() const;

  // Not blocking, at least one.
  const std::vector<Descriptor>& sockets() const { return sockets_; }
  int port() const { return port_; }
  // HOST:PORT with the host as it was given, and the real port.
  const std::string& address() const { return address_; }

 private:
  Listener(std::vector<Descriptor> sockets, int port, std::string address)
      : sockets_(std::move(sockets)),
        port_(port),
        address_(std::move(address)) {}

  std::vector<Descriptor> sockets_;
  int port_;
  std::string address_;
};

}  // namespace messenger
