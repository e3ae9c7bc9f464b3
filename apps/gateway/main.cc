// messenger-gateway: the log over HTTP.
#include <fmt/format.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "apps/common/addresses.h"
#include "apps/common/drain.h"
#include "apps/common/exit_code.h"
#include "apps/common/interrupt.h"
#include "apps/common/notice_printer.h"
#include "apps/common/option_names.h"
#include "apps/common/process.h"
#include "apps/common/standard_streams.h"
#include "apps/common/status_text.h"
#include "apps/gateway/certificate.h"
#include "apps/gateway/gateway.h"
#include "apps/gateway/http_server.h"
#include "apps/gateway/options.h"
#include "apps/gateway/origin_guard.h"
#include "apps/gateway/peer_guard.h"
#include "apps/gateway/router.h"
#include "messenger/printable.h"
#include "messenger/version.h"

namespace messenger::app {
namespace {

constexpr std::string_view kGatewayName = "messenger-gateway";

// They only move bytes, and never block.
constexpr int kIoThreads = 2;

// The threads of a context; they end with it.
class IoThreads {
 public:
  explicit IoThreads(boost::asio::io_context& io)
      : io_(io), work_(boost::asio::make_work_guard(io)) {
    for (int i = 0; i < kIoThreads; ++i) {
      threads_.emplace_back([&io] { io.run(); });
    }
  }

  ~IoThreads() {
    work_.reset();
    io_.stop();
    for (std::thread& thread : threads_) thread.join();
  }

  IoThreads(const IoThreads&) = delete;
  IoThreads& operator=(const IoThreads&) = delete;

 private:
  boost::asio::io_context& io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type>
      work_;
  std::vector<std::thread> threads_;
};

void Drain(HttpServer& server, Gateway& gateway,
           std::chrono::nanoseconds timeout) {
  server.Drain();
  gateway.Drain();
  if (!server.WaitUntilEmpty(timeout)) {
    PrintError(kGatewayName, "some requests were cut off");
  }
}

// A value that is wrong is wrong usage.
int Fail(const absl::Status& status) {
  PrintError(kGatewayName, WithOptionNames(MessageOf(status)));
  return absl::IsInvalidArgument(status) ? kUsage : kFailed;
}

// What an operator should be told of who may use the gateway; nothing if that
// is as it should be.
std::string_view ProtectionOf(const GatewayCommand& command) {
  if (!command.https.empty() || IsLoopback(command.listen)) return {};
  return command.insecure
             ? "insecure: what callers send, their tokens included, is not "
               "encrypted"
             : "without TLS, only this machine is served; see --help, Who may "
               "use it";
}

// Until a signal. `drain` stays until all of it has ended.
int Serve(const GatewayCommand& command, Interrupt& interrupt,
          std::optional<DrainGuard>* drain) {
  // In this order: what waits in the context may still be of the gateway.
  boost::asio::io_context io;
  std::unique_ptr<Certificate> certificate;
  if (!command.https.empty()) {
    auto loaded = Certificate::Load(command.https, command.gateway.on_notice);
    if (!loaded.ok()) return Fail(loaded.status());
    certificate = *std::move(loaded);
  }
  if (const absl::Status status = CheckOptions(command.gateway); !status.ok()) {
    return Fail(status);
  }
  const OriginGuard guard(command.allowed_hosts, command.cors_origins);
  PeerGuard peers(command.insecure, command.gateway.on_notice);
  Gateway gateway(command.gateway, io.get_executor());
  const Router router(&gateway, &peers, &guard);
  const auto server = HttpServer::Start(io, command.listen, command.limits,
                                        router, certificate.get());
  if (!server.ok()) return Fail(server.status());
  interrupt.Defer();
  if (const std::string_view protection = ProtectionOf(command);
      !protection.empty()) {
    command.gateway.on_notice(protection);
  }
  if (certificate) certificate->Watch(io.get_executor());
  const IoThreads threads(io);
  // What is sent through it as soon as it listens should be in its postbox. It
  // begins without its server, too.
  gateway.postbox_reader().WaitUntilSettled(std::chrono::seconds(1));
  std::fputs(
      fmt::format("{} {} listening on {} (server {})\n", kGatewayName, kVersion,
                  (*server)->address(), Printable(command.gateway.server))
          .c_str(),
      stdout);
  std::fflush(stdout);

  const int signal = interrupt.Wait();
  drain->emplace(kGatewayName, signal, command.drain_timeout);
  Drain(**server, gateway, command.drain_timeout);
  return kOk;
}

int GatewayMain(int argc, char** argv) {
  SetUpProcess();
  int exit_code = kOk;
  const auto command = ParseGatewayCommand(argc, argv, &exit_code);
  if (!command) return exit_code;

  RaiseDescriptorLimit();
  Interrupt interrupt;
  NoticePrinter notices(kGatewayName);
  command->gateway.on_notice = [&notices](std::string_view notice) {
    notices.Print(notice);
  };
  std::optional<DrainGuard> drain;
  exit_code = Serve(*command, interrupt, &drain);
  if (exit_code == kOk) PrintError(kGatewayName, "stopped");
  return exit_code;
}

}  // namespace
}  // namespace messenger::app

// NOLINTNEXTLINE(bugprone-exception-escape): a bug; it should end the program
int main(int argc, char** argv) {
  return messenger::app::GatewayMain(argc, argv);
}
