// One run of one system: what happens in a client process of its own.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "peers/endpoint.h"
#include "report.h"

namespace messenger::bench {

struct RunOptions {
  std::string workload;
  std::string system;  // messenger, nats, jetstream, redis, bare, …
  Endpoint server;
  pid_t server_pid = 0;
  std::string gateway;  // address of the gateway before it, if there is one
  pid_t gateway_pid = 0;
  std::string directory;  // for what needs no server
  std::size_t readers = 1;
  std::size_t connections = 1;
  std::size_t stalled = 0;  // more readers, that read nothing
  double seconds = 5;
  std::size_t text_bytes = 128;
  std::uint64_t count = 0;
  int rate = 0;       // messages a second
  int in_flight = 1;  // calls
  int heartbeat_ms = 0;
  std::string author;  // of libmessenger's messages
};

// Throws std::runtime_error if the system does not do its work: for example, if
// a message is lost, repeated or out of order.
Case Run(const RunOptions& options);

}  // namespace messenger::bench
