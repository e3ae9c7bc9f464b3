// The command line of messenger-server.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "apps/server/tool_command.h"
#include "messenger/log.h"
#include "messenger/server.h"

namespace messenger::app {

struct ServerCommand {
  std::string log_uri = "file:messenger-data";
  LogOptions log;
  // Without `log`, which main opens.
  ServerOptions server;
  // What becomes its `tls`, if any of it is given.
  ServerTls tls;
  std::chrono::nanoseconds drain_timeout = std::chrono::seconds(5);
  // Instead of serving the log.
  RunTool tool;
};

// Reads the command line and the environment. Null if the program should end
// with `*exit_code`: help was printed, or an error.
std::unique_ptr<ServerCommand> ParseServerCommand(int argc,
                                                  const char* const* argv,
                                                  int* exit_code);

}  // namespace messenger::app
