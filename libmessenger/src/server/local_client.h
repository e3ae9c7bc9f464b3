// A client in the process of its server.
#pragma once

#include <grpcpp/server.h>

#include "messenger/client.h"

namespace messenger {

// Connected to `server` by a pair of sockets. Null: its calls fail.
Client ConnectLocally(grpc::Server* server, ClientOptions options);

}  // namespace messenger
