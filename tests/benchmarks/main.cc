// messenger_bench: figures of libmessenger, beside those of bare gRPC.
#include <fmt/format.h>
#include <grpc/grpc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/synchronization/mutex.h"
#include "conditions.h"
#include "options.h"
#include "report.h"
#include "scenarios.h"
#include "serve.h"
#include "server_child.h"

namespace messenger::bench {
namespace {

struct Entry {
  const char* name;
  Scenario (*run)(const Setting& setting);
};

constexpr auto kScenarios = std::to_array<Entry>({
    {"replay", RunReplay},
    {"fan-out", RunFanOut},
    {"tails", RunTails},
    {"unary", RunUnarySend},
    {"batched", RunBatchedSend},
    {"conditional", RunConditional},
    {"latency", RunLatency},
    {"idle", RunIdle},
    {"durable", RunDurable},
    {"commit", RunCommit},
    {"channels", RunChannels},
    {"reopen", RunReopen},
});

// Of the whole process, gRPC included.
void SetLockChecks(bool on) {
  absl::SetMutexDeadlockDetectionMode(on ? absl::OnDeadlockCycle::kReport
                                         : absl::OnDeadlockCycle::kIgnore);
}

// gRPC 1.51 ends its threads with the last client of a process, and may wait 10
// seconds for one that polls.
void KeepGrpcRunning() {
  grpc_init();
}

// Many connections need many descriptors. Inherited by the server process.
void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Retention must not overtake a replay.
std::uint64_t RetentionBytes(const Options& options) {
  constexpr std::uint64_t kMost = 128;  // of a message, beside its text
  return std::max(std::uint64_t{1} << 30,
                  options.replay_messages * (options.text_bytes + kMost));
}

// A server of its own for each scenario: memory that one has freed does not
// hide what the next one takes.
Scenario RunScenario(const Entry& entry, const Options& options) {
  const ServerChild child({.retention_bytes = RetentionBytes(options),
                           .lock_checks = options.lock_checks});
  const bool external = !options.server.empty();
  const ProcessProbe probe(child.pid());
  return entry.run({.options = options,
                    .target = external ? options.server : child.target(),
                    .bare_target = child.bare_target(),
                    .server = external ? ProcessProbe(std::nullopt) : probe,
                    .bare_server = probe,
                    .clients = ProcessProbe(getpid())});
}

void Run(const Options& options) {
  const Conditions conditions = GatherConditions(options);
  if (!IsOptimised()) {
    fmt::print(stderr,
               "messenger_bench: not a Release build: these figures say "
               "nothing about the library\n");
  }
  nlohmann::ordered_json document = {{"conditions", ToJson(conditions)},
                                     {"scenarios", nlohmann::json::array()}};
  if (!options.json) Print(conditions);
  for (const Entry& entry : kScenarios) {
    if (!IsSelected(options, entry.name)) continue;
    const Scenario scenario = RunScenario(entry, options);
    if (options.json) {
      document["scenarios"].push_back(ToJson(scenario));
    } else {
      Print(scenario);
    }
  }
  if (options.json) fmt::print("{}\n", document.dump(2));
}

int Main(int argc, char** argv) {
  int exit_code = 0;
  const std::optional<Command> command = ParseCommand(argc, argv, &exit_code);
  if (!command) return exit_code;
  try {
    SetLockChecks(command->serve ? command->serve->lock_checks
                                 : command->options.lock_checks);
    if (command->serve) return Serve(*command->serve);
    RaiseFileLimit();
    KeepGrpcRunning();
    Run(command->options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "messenger_bench: {}\n", error.what());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace messenger::bench

int main(int argc, char** argv) {
  return messenger::bench::Main(argc, argv);
}
