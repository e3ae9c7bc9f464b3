#include "peers/plots.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>

#include "percentiles.h"

namespace messenger::bench {
namespace {

// Lines of a plot: by name, points of x and y.
using Lines = std::map<std::string, std::map<double, double>>;

struct Plan {
  const char* file;
  const char* title;
  const char* x;
  const char* y;
  bool log_y;
  Lines lines;
};

std::string Script(const Plan& plan, const std::string& directory) {
  std::string script = fmt::format(
      "set terminal svg size 720,432 background 'white'\n"
      "set output '{}/{}.svg'\nset title '{}'\nset xlabel '{}'\n"
      "set ylabel '{}'\nset logscale x\nset key left top\nset grid\n{}"
      "set format y '%.1s%c'\n",
      directory, plan.file, plan.title, plan.x, plan.y,
      plan.log_y ? "set logscale y\n" : "set yrange [0:*]\n");
  std::string data;
  std::string plot;
  for (const auto& [name, points] : plan.lines) {
    plot += fmt::format("{}'-' with linespoints lw 2 title '{}'",
                        plot.empty() ? "plot " : ", ", name);
    for (const auto& [x, y] : points) data += fmt::format("{} {}\n", x, y);
    data += "e\n";
  }
  return script + plot + "\n" + data;
}

bool Draw(const Plan& plan, const std::string& directory) {
  if (plan.lines.empty()) return true;
  FILE* const gnuplot = popen("gnuplot 2>/dev/null", "w");
  if (gnuplot == nullptr) return false;
  std::fputs(Script(plan, directory).c_str(), gnuplot);
  return pclose(gnuplot) == 0;
}

std::string LineName(const std::string& system) {
  if (system == "messenger") return "libmessenger";
  if (system == "nats-asap") return "NATS core, SendAsap";
  if (system == "nats-threads") return "NATS core, a thread each";
  return "NATS core";
}

// One line for each system and suffix, of a figure against what `x` makes of a
// run.
void Collect(const std::vector<TableResults>& results, const char* table,
             const char* figure,
             const std::function<double(const RunOptions&)>& x,
             const std::function<std::string(const RunOptions&)>& suffix,
             Lines* lines) {
  for (const TableResults& result : results) {
    if (result.table->name != table) continue;
    for (const Row& row : result.table->rows) {
      const Series* const series = result.Find(row.name, figure);
      if (series == nullptr || row.run.system == "bare") continue;
      (*lines)[LineName(row.run.system) + suffix(row.run)][x(row.run)] =
          Median(series->values);
    }
  }
}

}  // namespace

void Plot(const std::vector<TableResults>& results,
          const std::string& directory) {
  const auto readers = [](const RunOptions& run) {
    return static_cast<double>(run.readers);
  };
  const auto rate = [](const RunOptions& run) {
    return static_cast<double>(run.rate);
  };
  const auto library = [](const RunOptions& run) {
    return fmt::format(", client library, {} connection{}", run.connections,
                       run.connections == 1 ? "" : "s");
  };
  const auto raw = [](const RunOptions&) { return std::string(", raw sinks"); };
  Plan throughput = {.file = "throughput",
                     .title = "Live fan-out at saturation",
                     .x = "readers",
                     .y = "deliveries/s",
                     .log_y = true,
                     .lines = {}};
  Collect(results, "fan-out", "deliveries", readers, library,
          &throughput.lines);
  Collect(results, "fan-out-raw", "deliveries", readers, raw,
          &throughput.lines);
  Plan memory = {.file = "memory",
                 .title = "Memory of the server in live fan-out",
                 .x = "readers",
                 .y = "MB",
                 .log_y = false,
                 .lines = {}};
  Collect(results, "fan-out", "server memory", readers, library, &memory.lines);
  Collect(results, "fan-out-raw", "server memory", readers, raw, &memory.lines);
  Plan latency = {.file = "latency",
                  .title = "From the send to the callback",
                  .x = "messages a second",
                  .y = "microseconds",
                  .log_y = true,
                  .lines = {}};
  for (const char* percentile : {"p50", "p99", "p99.9"}) {
    Collect(
        results, "latency", percentile, rate,
        [percentile](const RunOptions&) {
          return fmt::format(", {}", percentile);
        },
        &latency.lines);
  }
  for (const Plan* plan : {&throughput, &memory, &latency}) {
    if (Draw(*plan, directory)) continue;
    fmt::print(stderr, "no plots: they take a gnuplot\n");
    return;
  }
}

}  // namespace messenger::bench
