// messenger-server: a message log on a port.
#include <fmt/format.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "common/duration.h"
#include "common/exit_code.h"
#include "common/interrupt.h"
#include "common/notice_printer.h"
#include "common/process.h"
#include "common/standard_streams.h"
#include "messenger/log.h"
#include "messenger/printable.h"
#include "messenger/server.h"
#include "messenger/version.h"
#include "server/options.h"

namespace messenger::app {
namespace {

constexpr std::string_view kProgram = "messenger-server";

// A value that is out of bounds is wrong usage.
int Fail(const absl::Status& status) {
  PrintError(kProgram, std::string_view(status.message().data(),
                                        status.message().size()));
  return status.code() == absl::StatusCode::kInvalidArgument ? kUsage : kFailed;
}

// Process-wide, so it belongs to the program rather than to the library.
void EnableReflection() {
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
}

// gRPC waits for the end of each call, and one for which it could start no
// thread has none. The kernel's timer needs no thread. What was acknowledged is
// on disk already.
void ExitIfNotDrainedWithin(std::chrono::nanoseconds timeout) {
  constexpr std::chrono::nanoseconds kLongest = std::chrono::hours(24);
  constexpr auto kForTheEndOfCalls = std::chrono::seconds(10);
  const auto on_alarm = [](int /*signal*/) {
    constexpr std::string_view kText =
        "messenger-server: a call has not ended, though it was cancelled: "
        "exiting without\n";
    const auto written = write(STDERR_FILENO, kText.data(), kText.size());
    static_cast<void>(written);
    _exit(kFailed);
  };
  static_cast<void>(std::signal(SIGALRM, on_alarm));
  const auto longest = std::min(timeout, kLongest) + kForTheEndOfCalls;
  using AlarmSeconds = std::chrono::duration<unsigned>;
  alarm(std::chrono::ceil<AlarmSeconds>(longest).count());
}

void Drain(Server& server, std::chrono::nanoseconds timeout, int signal) {
  ExitIfNotDrainedWithin(timeout);
  PrintError(kProgram,
             fmt::format("{}: draining for at most {}; a second signal exits "
                         "at once",
                         NameOfSignal(signal), FormatDuration(timeout)));
  server.Shutdown(std::chrono::ceil<std::chrono::milliseconds>(timeout));
  alarm(0);
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
    notices.Print(notice);
  };
  command->log.on_notice = print;
  command->server.on_notice = print;
  // Not before the address is ours: a second server must not leave a directory
  // behind.
  command->server.open_log = [&command] {
    return OpenLog(command->log_uri, command->log);
  };

  EnableReflection();
  auto server = Server::Start(std::move(command->server));
  if (!server.ok()) return Fail(server.status());
  interrupt.Defer();
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
