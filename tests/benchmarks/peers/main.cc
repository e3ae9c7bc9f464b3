// messenger_peers: libmessenger beside NATS and Redis, on the same machine, in
// the same minutes.
#include <fmt/format.h>
#include <grpc/grpc.h>
#include <grpcpp/security/server_credentials.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "absl/synchronization/mutex.h"
#include "bare_server.h"
#include "conditions.h"
#include "peers/plan.h"
#include "peers/results.h"
#include "peers/run.h"
#include "support.h"

namespace messenger::bench {
namespace {

constexpr const char* kAbout =
    R"(Measures libmessenger beside NATS, Redis and bare gRPC.

Starts each system on loopback with a fresh directory, runs the same work on all
of them in turn, round after round, and prints medians and ratios. A run fails
if a message is lost, repeated or out of order; none fails for being slow. The
machine should have nothing else to do.

Needs nats-server and redis-server, and gnuplot for the plots:
script/bootstrap bench)";

constexpr const char* kTables = R"(
Tables:
  fan-out      live, to 1, 10 and 100 readers with each system's client library,
               on one connection and on 4
  fan-out-raw  the same, to 100 and 1000 that only count bytes
  sizes        live, texts of 16 bytes to 1 MB
  replay       2,000,000 stored messages to one callback
  batched      many messages on the way, each acknowledged
  unary        one message a call
  http         one message, or a page of 100, a request to the gateway
  streams      5,000 event streams of one gateway, paced and all at once
  latency      from the send to the callback, paced
  paced        1000 messages a second to 100 and 1000 readers
  tls          what TLS and rights cost, live, stored and one a call
  idle         what waiting readers cost
  stalled      what readers cost that do not read
  machine      the loopback interface and the disk, bare)";

// For ctest: there is nothing to compare with.
constexpr int kSkipped = 77;

bool IsInstalled(const std::string& program) {
  const char* const path = std::getenv("PATH");
  std::istringstream directories(path == nullptr ? "" : path);
  for (std::string directory; std::getline(directories, directory, ':');) {
    directory += "/" + program;
    if (access(directory.c_str(), X_OK) == 0) return true;
  }
  return false;
}

void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void MeasureAll(const PeerOptions& options) {
  if (!IsOptimised()) {
    fmt::print(stderr,
               "messenger_peers: not a Release build: these figures say "
               "nothing about the library\n");
  }
  fmt::print("{}", ConditionsAsMarkdown(options));
  std::fflush(stdout);
  const std::vector<Table> plan = MakePlan(options);
  std::vector<TableResults> results;
  for (const Table& table : plan) {
    results.push_back(Measure(table, options));
    fmt::print("\n{}", ToMarkdown(results.back()));
    std::fflush(stdout);
    // What there is, in case that the rest fails.
    Write(results, options);
  }
  fmt::print("\nWritten to {}: results.md, results.json and plots\n",
             options.output);
}

void PrintRun(const RunOptions& run) {
  nlohmann::ordered_json figures = nlohmann::json::array();
  for (const Figure& figure : Run(run).figures) {
    figures.push_back({{"name", figure.name},
                       {"unit", figure.unit},
                       {"value", figure.value}});
  }
  fmt::print("{}\n", figures.dump());
}

struct BareOptions {
  std::string listen;
  std::string synced_file;
  std::string certificate_file;  // empty: no TLS
  std::string private_key_file;
};

[[noreturn]] void ServeBare(const BareOptions& options) {
  std::shared_ptr<grpc::ServerCredentials> credentials =
      grpc::InsecureServerCredentials();
  if (!options.certificate_file.empty()) {
    grpc::SslServerCredentialsOptions tls;
    tls.pem_key_cert_pairs.push_back({ReadFile(options.private_key_file),
                                      ReadFile(options.certificate_file)});
    credentials = grpc::SslServerCredentials(tls);
  }
  const BareServer server(options.listen, options.synced_file, credentials);
  while (true) pause();
}

// Debian has nats-server where only root looks.
void LookInSystemDirectories() {
  const char* const path = std::getenv("PATH");
  const std::string extended =
      fmt::format("{}:/usr/sbin:/sbin", path == nullptr ? "/usr/bin" : path);
  // NOLINTNEXTLINE(concurrency-mt-unsafe): there is only one thread yet
  setenv("PATH", extended.c_str(), /*overwrite=*/1);
}

int Main(int argc, char** argv) {
  LookInSystemDirectories();
  // As the programs do: see apps/common/process.h.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  grpc_init();
  RaiseFileLimit();

  PeerOptions options;
  CLI::App app(kAbout, "messenger_peers");
  app.footer(kTables);
  app.get_formatter()->column_width(28);
  app.add_option("--only", options.only, "Tables; default: all")
      ->delimiter(',')
      ->option_text("NAME,...")
      ->check(CLI::IsMember({"fan-out", "fan-out-raw", "sizes", "replay",
                             "batched", "unary", "http", "streams", "latency",
                             "paced", "tls", "idle", "stalled", "machine"}));
  CLI::Option* const rounds =
      app.add_option("--rounds", options.rounds, "Rounds")
          ->check(CLI::Range(1, 1000))
          ->capture_default_str();
  CLI::Option* const seconds = app.add_option("--seconds", options.seconds,
                                              "How long each timed run takes")
                                   ->check(CLI::Range(0.1, 3600.0))
                                   ->capture_default_str();
  app.add_option("--text-bytes", options.text_bytes, "Size of a text")
      ->check(CLI::Range(12, 1'000'000))
      ->capture_default_str();
  app.add_flag("--quick", options.quick,
               "One short round, to see that everything works");
  app.add_option("--output", options.output, "Where the results go")
      ->option_text("DIR")
      ->capture_default_str();
  app.add_option("--directory", options.directory,
                 "Where the servers keep their data (default: where temporary "
                 "files go)")
      ->option_text("DIR");

  RunOptions run;
  CLI::App* const hidden = app.add_subcommand("run")->group("");
  hidden->add_option("--workload", run.workload);
  hidden->add_option("--system", run.system);
  hidden->add_option("--address", run.server.address);
  hidden->add_option("--ca-file", run.server.ca_file);
  hidden->add_option("--token", run.server.token);
  hidden->add_option("--server-pid", run.server_pid);
  hidden->add_option("--gateway", run.gateway);
  hidden->add_option("--gateway-pid", run.gateway_pid);
  hidden->add_option("--directory", run.directory);
  hidden->add_option("--readers", run.readers);
  hidden->add_option("--connections", run.connections);
  hidden->add_option("--stalled", run.stalled);
  hidden->add_option("--seconds", run.seconds);
  hidden->add_option("--text-bytes", run.text_bytes);
  hidden->add_option("--count", run.count);
  hidden->add_option("--rate", run.rate);
  hidden->add_option("--in-flight", run.in_flight);
  hidden->add_option("--heartbeat-ms", run.heartbeat_ms);
  hidden->add_option("--author", run.author);
  BareOptions bare_options;
  CLI::App* const bare = app.add_subcommand("bare")->group("");
  bare->add_option("--listen", bare_options.listen);
  bare->add_option("--sync", bare_options.synced_file);
  bare->add_option("--tls-cert", bare_options.certificate_file);
  bare->add_option("--tls-key", bare_options.private_key_file);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (options.quick) {
    if (rounds->count() == 0) options.rounds = 1;
    if (seconds->count() == 0) options.seconds = 0.3;
  }
  if (!hidden->parsed() && !bare->parsed()) {
    for (const char* const program : {"nats-server", "redis-server"}) {
      if (IsInstalled(program)) continue;
      fmt::print(stderr,
                 "messenger_peers: there is no {}: script/bootstrap bench "
                 "installs it\n",
                 program);
      return kSkipped;
    }
  }
  try {
    if (bare->parsed()) ServeBare(bare_options);
    if (hidden->parsed()) {
      PrintRun(run);
    } else {
      MeasureAll(options);
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "messenger_peers: {}\n", error.what());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace messenger::bench

int main(int argc, char** argv) {
  return messenger::bench::Main(argc, argv);
}
