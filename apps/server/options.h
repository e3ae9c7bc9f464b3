// The command line of messenger-server.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "messenger/log.h"
#include "messenger/server.h"

namespace messenger::app {

struct ServerCommand {
  std::string log_uri = "file:messenger-data";
  LogOptions log;
  // Without `log`, which main opens.
  ServerOptions server;
  std::chrono::nanoseconds drain_timeout = std::chrono::seconds(5);
};

// Reads the command line and the environment. Nothing if the program should end
// with `*exit_code`: help was printed, or an error.
std::optional<ServerCommand> ParseServerCommand(int argc,
                                                const char* const* argv,
                                                int* exit_code);

}  // namespace messenger::app
