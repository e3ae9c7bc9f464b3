#include "peers/run.h"

#include <fmt/format.h>

#include <array>
#include <stdexcept>

#include "peers/runs.h"

namespace messenger::bench {
namespace {

struct Entry {
  const char* workload;
  Case (*run)(const RunOptions& options);
};

constexpr auto kRuns = std::to_array<Entry>({
    {"fan-out", RunFanOutToClients},
    {"fan-out-raw", RunFanOutToSinks},
    {"paced", RunPaced},
    {"replay", RunReplayOfMany},
    {"batched", RunBatched},
    {"unary", RunUnary},
    {"http", RunHttp},
    {"streams", RunEventStreams},
    {"idle", RunIdleReaders},
    {"stalled", RunStalledReaders},
    {"tcp", RunTcpCopy},
    {"bare-stream", RunBareStream},
    {"disk", RunDiskSync},
});

}  // namespace

Case Run(const RunOptions& options) {
  for (const Entry& entry : kRuns) {
    if (options.workload == entry.workload) return entry.run(options);
  }
  throw std::runtime_error(
      fmt::format("no such workload: {}", options.workload));
}

}  // namespace messenger::bench
