// The serve mode: what runs in the server process.
#pragma once

#include <cstdint>
#include <string>

namespace messenger::bench {

struct ServeOptions {
  std::string log = "memory:";
  std::string durability = "fsync";  // or "os"
  std::uint64_t journal_bytes = std::uint64_t{64} << 20;
  std::uint64_t retention_bytes = std::uint64_t{1} << 30;
  bool lock_checks = false;  // see --lock-checks
};

// Serves a log, and bare gRPC beside it, each on a port of its own;
// prints both addresses on a line; ends when stdin does. Returns the exit code.
int Serve(const ServeOptions& options);

}  // namespace messenger::bench
