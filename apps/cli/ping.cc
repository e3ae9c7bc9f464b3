// messenger-cli ping: how far away the server is.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <thread>

#include "apps/cli/command.h"
#include "apps/common/command_line.h"
#include "apps/common/exit_code.h"
#include "apps/common/json.h"
#include "messenger/client.h"
#include "messenger/printable.h"

namespace messenger::app {
namespace {

constexpr const char* kPingFooter =
    R"(The time to connect is not counted. Fails if the server takes no messages:
it is draining, or its disk is full or has failed.

Examples:
  messenger-cli ping
  messenger-cli ping --count 5 --interval 200ms
  until messenger-cli ping >/dev/null 2>&1; do sleep 0.1; done

Output:
  localhost:51075: 0.41 ms
  --json   {"server":"localhost:51075","round_trip_ms":0.41})";

struct PingCommand {
  std::uint64_t count = 1;
  std::chrono::nanoseconds interval = std::chrono::seconds(1);
  bool health = false;
};

using Milliseconds = std::chrono::duration<double, std::milli>;

// Shortest, mean and longest round trip.
class Statistics {
 public:
  void Add(Milliseconds time) {
    shortest_ = std::min(shortest_, time);
    longest_ = std::max(longest_, time);
    sum_ += time;
    ++count_;
  }
  void Print(const std::string& server, std::string* out) const {
    fmt::format_to(std::back_inserter(*out),
                   "{}: {} round trips, shortest {:.2f} ms, mean {:.2f} ms, "
                   "longest {:.2f} ms\n",
                   Printable(server), count_, shortest_.count(),
                   sum_.count() / static_cast<double>(count_),
                   longest_.count());
  }

 private:
  Milliseconds shortest_ = Milliseconds::max();
  Milliseconds longest_ = Milliseconds::zero();
  Milliseconds sum_ = Milliseconds::zero();
  std::uint64_t count_ = 0;
};

void PrintTime(Milliseconds time, const CommonOptions& common,
               std::string* out) {
  if (common.json) {
    AppendLine({{"server", common.server}, {"round_trip_ms", time.count()}},
               out);
  } else {
    fmt::format_to(std::back_inserter(*out), "{}: {:.2f} ms\n",
                   Printable(common.server), time.count());
  }
}

int RunPing(const PingCommand& command, Context& context) {
  const CommonOptions& common = context.common;
  Client client = Client::Connect(ConnectTo(common));
  Output& output = context.output;
  Statistics statistics;
  for (std::uint64_t i = 0; i < command.count && output.ok(); ++i) {
    if (i > 0) std::this_thread::sleep_for(command.interval);
    const auto start = std::chrono::steady_clock::now();
    // Connects, the first time.
    const absl::Status health =
        command.health ? client.CheckHealth() : CheckHealth(client);
    if (!health.ok()) return Fail(health, common);
    const auto time = command.health
                          ? absl::StatusOr<std::chrono::nanoseconds>(
                                std::chrono::steady_clock::now() - start)
                          : client.Ping();
    if (!time.ok()) return Fail(time.status(), common);
    statistics.Add(*time);
    PrintTime(*time, common, &output.buffer());
    output.Flush();
  }
  if (command.count > 1 && !common.json) {
    statistics.Print(common.server, &output.buffer());
  }
  return kOk;
}

}  // namespace

void AddPing(CLI::App& app, CommonOptions* common, Run* run) {
  CLI::App* const command =
      app.add_subcommand("ping", "Measure the round trip to the server");
  command->footer(kPingFooter);
  const auto options = std::make_shared<PingCommand>();
  AddServer(*command, common);
  command
      ->add_option("--count", options->count,
                   "Number of round trips (default 1)")
      ->option_text("N")
      ->check(CLI::Range(std::uint64_t{1}, UINT64_MAX));
  command->add_flag("--health", options->health,
                    "Ask for the server's health alone, which it tells to\n"
                    "everybody, without TLS as well; the first time counts\n"
                    "the time to connect");
  AddDuration(*command, "--interval", &options->interval,
              "Time between round trips (default 1s)");
  AddJson(*command, common, "Print JSON, one object a line");
  command->callback([options, run] {
    *run = [options](Context& context) { return RunPing(*options, context); };
  });
}

}  // namespace messenger::app
