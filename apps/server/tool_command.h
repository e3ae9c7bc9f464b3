// The commands that do something else than serve the log: what they have in
// common.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "apps/common/json.h"
#include "apps/common/standard_streams.h"
#include "apps/common/table.h"
#include "messenger/log_tools.h"

namespace CLI {
class App;
}  // namespace CLI

namespace messenger::app {

// Does what a command is for, and returns the exit code.
using RunTool = std::function<int()>;

// These look after a log while no server has it open. Each sets `run` if the
// command was given. `log` is the URI of the log.
void AddVerify(CLI::App& app, std::string* log, RunTool* run);
void AddRepair(CLI::App& app, std::string* log, RunTool* run);
void AddDump(CLI::App& app, std::string* log, RunTool* run);

// A command with --log and --json.
CLI::App* AddTool(CLI::App& app, const std::string& name,
                  const std::string& description, const std::string& footer,
                  std::string* log, bool* json);

// What a command prints: lines on stdout, and how far it has come on stderr, if
// that is a terminal.
class ToolOutput {
 public:
  ToolOutput(std::string command, bool json);

  bool json() const { return json_; }

  // For people, fit for a terminal.
  void PrintLine(std::string_view line);
  // As AppendTable.
  void PrintTable(std::span<const Align> columns,
                  std::span<const std::vector<std::string>> rows);
  // For machines.
  void PrintJson(const Json& object);
  void Print(const LogFinding& finding);
  void Print(const LogVerification& found);

  // For the options of the library.
  LogToolOptions Options();

  // Says why it failed, and returns the exit code.
  int Fail(const absl::Status& status);
  // Returns `exit_code`, unless what was printed cannot be written: then says
  // what was `done` all the same, if anything.
  int Finish(int exit_code, std::string_view done = {});

 private:
  void ShowProgress(std::uint64_t bytes);
  void Write(std::string_view bytes);

  const std::string command_;
  const bool json_;
  ProgressLine progress_;
  std::chrono::steady_clock::time_point next_shown_;
  int error_ = 0;
};

// "1 message", "2 messages".
std::string Count(std::uint64_t count, std::string_view what);

}  // namespace messenger::app
