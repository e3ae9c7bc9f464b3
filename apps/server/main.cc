// messenger-server: a message log on a port.
#include <fmt/format.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "apps/common/addresses.h"
#include "apps/common/drain.h"
#include "apps/common/exit_code.h"
#include "apps/common/interrupt.h"
#include "apps/common/notice_printer.h"
#include "apps/common/option_names.h"
#include "apps/common/process.h"
#include "apps/common/standard_streams.h"
#include "apps/common/status_text.h"
#include "apps/server/handshake_notices.h"
#include "apps/server/options.h"
#include "messenger/log.h"
#include "messenger/printable.h"
#include "messenger/server.h"
#include "messenger/version.h"

namespace messenger::app {
namespace {

constexpr std::string_view kProgram = "messenger-server";

// A value that is out of bounds is wrong usage.
int Fail(const absl::Status& status) {
  PrintError(kProgram, WithOptionNames(MessageOf(status)));
  return status.code() == absl::StatusCode::kInvalidArgument ? kUsage : kFailed;
}

// What an operator should be told of who may use the server; nothing if that is
// as it should be.
std::string_view ProtectionOf(const ServerOptions& options) {
  const AccessOptions& access = options.service.access;
  const bool identifies = !access.tokens_file.empty() ||
                          !access.rights_file.empty() ||
                          (options.tls && !options.tls->client_ca_file.empty());
  if (!options.tls && access.transport != Transport::kAny) {
    if (IsLoopback(options.listen)) return {};
    return "without TLS, only this machine is served; see --help, Who may use "
           "it";
  }
  if (!identifies) {
    return "whoever reaches the port may read, send and delete: there are "
           "neither tokens nor client certificates nor rights";
  }
  if (access.transport == Transport::kAny) {
    return "insecure: what callers send without TLS, their tokens included, "
           "can be read on the way";
  }
  return {};
}

// Process-wide, so it belongs to the program rather than to the library.
void EnableReflection() {
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
}

void Drain(Server& server, std::chrono::nanoseconds timeout, int signal) {
  const DrainGuard guard(kProgram, signal, timeout);
  server.Shutdown(std::chrono::ceil<std::chrono::milliseconds>(timeout));
}

int Main(int argc, char** argv) {
  SetUpProcess();
  int exit_code = kOk;
  auto command = ParseServerCommand(argc, argv, &exit_code);
  if (!command) return exit_code;
  if (command->tool) return command->tool();

  RaiseDescriptorLimit();
  Interrupt interrupt;
  NoticePrinter notices(kProgram);
  const auto print = [&notices](std::string_view notice) {
    notices.Print(WithOptionNames(notice));
  };
  command->log.on_notice = print;
  command->server.on_notice = print;
  // Not before the address is ours: a second server must not leave a directory
  // behind.
  command->server.open_log = [&command] {
    return OpenLog(command->log_uri, command->log);
  };

  EnableReflection();
  const std::string_view protection = ProtectionOf(command->server);
  HandshakeNotices handshakes(print);
  auto server = Server::Start(std::move(command->server));
  if (!server.ok()) return Fail(server.status());
  interrupt.Defer();
  if (!protection.empty()) print(protection);
  // A caller that has closed stdout does not want to know.
  std::fputs(
      fmt::format("messenger-server {} listening on {} (log {})\n", kVersion,
                  (*server)->address(), Printable(command->log_uri))
          .c_str(),
      stdout);
  std::fflush(stdout);

  const int signal = interrupt.Wait();
  Drain(**server, command->drain_timeout, signal);
  server->reset();  // closes the log
  PrintError(kProgram, "stopped");
  return kOk;
}

}  // namespace
}  // namespace messenger::app

// NOLINTNEXTLINE(bugprone-exception-escape): a bug; it should end the program
int main(int argc, char** argv) {
  return messenger::app::Main(argc, argv);
}
