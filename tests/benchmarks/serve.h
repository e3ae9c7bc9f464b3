// The serve mode: what runs in the server process.
#pragma once

#include <cstdint>

namespace messenger::bench {

struct ServeOptions {
  std::uint64_t retention_bytes = 0;
  bool lock_checks = false;  // see --lock-checks
};

// Serves a memory log, and bare gRPC beside it, each on a port of its own;
// prints both addresses on a line; ends when stdin does. Returns the exit code.
int Serve(const ServeOptions& options);

}  // namespace messenger::bench
