// Targets as gRPC knows them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "messenger/address.h"

namespace messenger {

// `target` is what ParseTarget has returned; the result is gRPC's URI for it.
// gRPC is given no HOST:PORT as it is: it would take some hosts for schemes.
std::string TargetUri(std::string_view target);

// Whether `target`, of ParseTarget, is HOST:PORT without a scheme.
bool IsHostAndPort(std::string_view target);

// What `target`, of ParseTarget, names; nothing if it is a Unix socket.
std::vector<Address> AddressesOf(std::string_view target);
std::vector<std::string> HostsOf(std::string_view target);

// Whether this machine alone is meant: a Unix socket, the loopback. Not, if a
// name server of the target's own says where that is.
bool IsOfThisMachine(std::string_view target);

}  // namespace messenger
