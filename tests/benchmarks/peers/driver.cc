#include "peers/driver.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

namespace messenger::bench {
namespace {

std::vector<std::string> CommandOf(const RunOptions& run) {
  std::vector<std::string> command = {
      "messenger_peers",
      "run",
      "--workload=" + run.workload,
      "--system=" + run.system,
      "--address=" + run.server.address,
      fmt::format("--server-pid={}", run.server_pid),
      "--directory=" + run.directory,
      fmt::format("--readers={}", run.readers),
      fmt::format("--connections={}", run.connections),
      fmt::format("--stalled={}", run.stalled),
      fmt::format("--seconds={}", run.seconds),
      fmt::format("--text-bytes={}", run.text_bytes),
      fmt::format("--count={}", run.count),
      fmt::format("--rate={}", run.rate),
      fmt::format("--in-flight={}", run.in_flight),
      fmt::format("--heartbeat-ms={}", run.heartbeat_ms)};
  if (!run.author.empty()) command.push_back("--author=" + run.author);
  if (!run.server.ca_file.empty()) {
    command.push_back("--ca-file=" + run.server.ca_file);
  }
  if (!run.server.token.empty()) {
    command.push_back("--token=" + run.server.token);
  }
  if (!run.gateway.empty()) {
    command.push_back("--gateway=" + run.gateway);
    command.push_back(fmt::format("--gateway-pid={}", run.gateway_pid));
  }
  return command;
}

// What this program prints when it is called like that.
std::string OutputOf(std::vector<std::string> command) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw std::system_error(errno, std::generic_category(), "pipe");
  }
  std::vector<char*> argv;
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(ends[1], STDOUT_FILENO);
    execv("/proc/self/exe", argv.data());
    _exit(127);
  }
  close(ends[1]);
  std::string output;
  std::array<char, 4096> buffer{};
  for (ssize_t got = 0;
       (got = read(ends[0], buffer.data(), buffer.size())) > 0;) {
    output.append(buffer.data(), static_cast<std::size_t>(got));
  }
  close(ends[0]);
  int status = 0;
  waitpid(pid, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    throw std::runtime_error("it failed; see above");
  }
  return output;
}

class Progress {
 public:
  explicit Progress(const Table& table) : table_(table) {}
  ~Progress() { Show("\r\033[K"); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Show(int round, int rounds, const std::string& row) const {
    Show(fmt::format("\r\033[K{}: round {} of {}: {}", table_.name, round,
                     rounds, row));
  }

 private:
  static void Show(const std::string& line) {
    if (isatty(STDERR_FILENO) == 0) return;
    std::fputs(line.c_str(), stderr);
    std::fflush(stderr);
  }

  const Table& table_;
};

void Add(const nlohmann::ordered_json& figures,
         std::vector<std::pair<std::string, Series>>* row) {
  for (const auto& figure : figures) {
    const std::string name = figure.at("name");
    auto it = std::find_if(row->begin(), row->end(),
                           [&](const auto& f) { return f.first == name; });
    if (it == row->end()) {
      it = row->insert(it, {name, {.unit = figure.at("unit"), .values = {}}});
    }
    it->second.values.push_back(figure.at("value"));
  }
}

}  // namespace

const Series* TableResults::Find(const std::string& row,
                                 const std::string& figure) const {
  const auto it = rows.find(row);
  if (it == rows.end()) return nullptr;
  for (const auto& [name, series] : it->second) {
    if (name == figure) return &series;
  }
  return nullptr;
}

TableResults Measure(const Table& table, const PeerOptions& options) {
  TableResults results = {.table = &table, .rows = {}};
  const Progress progress(table);
  std::vector<const Row*> order;
  for (const Row& row : table.rows) order.push_back(&row);
  for (int round = 1; round <= options.rounds; ++round) {
    for (const Row* row : order) {
      progress.Show(round, options.rounds, row->name);
      const PeerServer server(row->server, row->protection, options.directory);
      const PeerServer gateway(
          row->through_gateway ? ServerKind::kGateway : ServerKind::kNone, {},
          options.directory, server.endpoint().address);
      RunOptions run = row->run;
      run.server = server.endpoint();
      run.server_pid = server.pid();
      run.gateway = gateway.endpoint().address;
      run.gateway_pid = gateway.pid();
      run.directory = server.directory();
      try {
        Add(nlohmann::ordered_json::parse(OutputOf(CommandOf(run))),
            &results.rows[row->name]);
      } catch (const std::exception& error) {
        throw std::runtime_error(
            fmt::format("{}: {}: {}", table.name, row->name, error.what()));
      }
    }
    std::reverse(order.begin(), order.end());
  }
  return results;
}

}  // namespace messenger::bench
