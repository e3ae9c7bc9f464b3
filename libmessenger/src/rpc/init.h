// gRPC's own start and end.
#pragma once

namespace messenger::rpc {

// Keeps gRPC initialised until the process ends. Otherwise the end of its last
// object shuts it down, which in gRPC 1.51 may block for ten seconds, until a
// thread that polls comes back.
void KeepInitialized();

}  // namespace messenger::rpc
