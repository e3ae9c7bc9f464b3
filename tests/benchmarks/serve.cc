#include "serve.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "bare_server.h"
#include "messenger/log.h"
#include "messenger/server.h"
#include "support.h"

namespace messenger::bench {

int Serve(const ServeOptions& options) {
  const auto log = Value(
      OpenLog(options.log,
              {.retention = {.max_bytes = options.retention_bytes},
               .directory = {.durability = options.durability == "os"
                                               ? Durability::kOs
                                               : Durability::kFsync,
                             .max_journal_bytes = options.journal_bytes}}),
      "log");
  const auto server =
      Value(Server::Start({.listen = "127.0.0.1:0", .log = log}), "server");
  const BareServer bare("127.0.0.1:0");
  fmt::print("{} {}\n", server->address(), bare.address());
  std::fflush(stdout);
  char c = 0;
  while (read(STDIN_FILENO, &c, 1) > 0) {
  }
  return 0;
}

}  // namespace messenger::bench
