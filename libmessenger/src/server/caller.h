// Who calls, as gRPC knows it.
#pragma once

#include <grpcpp/server_context.h>
#include <sys/socket.h>

#include <string>
#include <string_view>

#include "security/access.h"

namespace messenger {

// Where the peer is that gRPC names so: "ipv4:127.0.0.1:4711".
Caller::Place WhereIs(std::string_view peer);

// Its address without the port, as people write it.
std::string AddressOf(std::string_view peer);

// How gRPC names a peer that connects from there, by TCP.
std::string PeerAt(const sockaddr_storage& address);

// What there is to be known of who makes a call; `peer` is that of the context.
Caller CallerOf(const grpc::ServerContextBase& context, std::string_view peer);

// Likewise of who speaks without encryption, before there is a call.
Caller UnencryptedCaller(std::string_view peer);

}  // namespace messenger
