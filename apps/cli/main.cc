// messenger-cli: send and read messages from a terminal or a script.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <string>
#include <system_error>

#include "absl/status/status.h"
#include "apps/cli/command.h"
#include "apps/cli/output.h"
#include "apps/common/addresses.h"
#include "apps/common/command_line.h"
#include "apps/common/exit_code.h"
#include "apps/common/interrupt.h"
#include "apps/common/process.h"
#include "apps/common/standard_streams.h"
#include "apps/common/status_text.h"

namespace messenger::app {
namespace {

constexpr const char* kFooter =
    R"(Each command has its own --help.

Examples:
  messenger-cli read                          follow the channel 'general'
  messenger-cli send "hello, world"           send one message to it
  tail -f app.log | messenger-cli send - --channel app-log
  messenger-cli read --channel app-log --last 100 --text | less
  messenger-cli channels
  messenger-cli forward --from localhost --to log.example --channel events
  messenger-cli bench latency

Exit codes:
  0        ok
  1        refused or failed; or the output could not be written, and the error
           says what was done all the same
  2        wrong usage
  3        the server is not available
  130,143  ended by SIGINT (Ctrl-C), SIGTERM; 129 by SIGHUP, when the terminal
           closes (not under nohup). SIGUSR1 and SIGUSR2 are ignored

Whatever is printed for people is fit for a terminal: control characters and
others that would drive it, or forge a line, are escaped (\x1b, \u202e). What is
for machines is exact: --json, which escapes them as JSON does, and the texts of
read --text, unless they go to a terminal.

Environment:
  MESSENGER_SERVER_ADDR   the server's address without --server
                          (default localhost:51075)
  MESSENGER_AUTHOR        author of what is sent without --author
                          (default: the login name)
  NO_COLOR                if set, no colours

http_proxy and the like do not count: --http-proxy does. gRPC, below, has
variables of its own for those who look for faults: GRPC_TRACE and GRPC_VERBOSITY
make it write to stderr, GRPC_DNS_RESOLVER chooses how it looks up names.)";

// Writes what is left of the output and has the last word if that failed. A
// pipe whose reader has gone is no failure: it has seen enough.
int Finish(const Context& context, int exit_code) {
  Output& output = context.output;
  output.Flush();
  if (output.error() == 0 || output.error() == EPIPE) return exit_code;
  std::string message = "cannot write the output: " +
                        std::generic_category().message(output.error());
  if (!context.done.empty()) message += "; " + context.done;
  PrintError(message);
  return exit_code == kOk ? kFailed : exit_code;
}

int Main(int argc, char** argv) {
  SetUpProcess();
  CLI::App app("Send and read messages of a messenger-server.",
               "messenger-cli");
  SetUp(app);
  app.footer(kFooter);
  // None is an error, too, but CLI11 would also say so of an unknown one.
  app.require_subcommand(0, 1);
  CommonOptions common;
  Run run;
  AddServer(app, &common);
  AddSend(app, &common, &run);
  AddRead(app, &common, &run);
  AddChannels(app, &common, &run);
  AddProducers(app, &common, &run);
  AddForward(app, &common, &run);
  AddPing(app, &common, &run);
  AddBench(app, &common, &run);
  for (CLI::App* const command : app.get_subcommands({})) {
    AddVersion(*command);
  }
  if (const auto exit_code = Parse(app, argc, argv)) return *exit_code;
  if (!run) {
    return UsageError(app,
                      "a command is required: send, read, channels, "
                      "producers, forward, ping, bench");
  }
  if (const absl::Status s = ResolveServerAddress(&common.server); !s.ok()) {
    return UsageError(app, MessageOf(s));
  }
  if (!IsInherited(STDOUT_FILENO)) {
    PrintError("stdout is closed");
    return kFailed;
  }
  Interrupt interrupt;
  Output output(STDOUT_FILENO, interrupt.fd());
  Context context{.common = common, .interrupt = interrupt, .output = output};
  const int exit_code = run(context);
  return Finish(context, exit_code);
}

}  // namespace
}  // namespace messenger::app

// NOLINTNEXTLINE(bugprone-exception-escape): a bug; it should end the program
int main(int argc, char** argv) {
  return messenger::app::Main(argc, argv);
}
