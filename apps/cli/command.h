// What the commands of messenger-cli have in common.
#pragma once

#include <functional>
#include <string>

#include "apps/cli/output.h"
#include "apps/common/interrupt.h"

namespace CLI {
class App;
}  // namespace CLI

namespace messenger::app {

// What a command runs with.
struct Context {
  Interrupt& interrupt;
  Output& output;
  // What was done, to be said if the output cannot be written. Whoever sees the
  // exit code alone might do it again.
  std::string done = {};
};

// A command that was parsed, ready to run; returns the exit code.
using Run = std::function<int(Context&)>;

// Options of every command.
struct CommonOptions {
  std::string server;      // as ParseTarget returns it, once it is parsed
  std::string http_proxy;  // empty for none
  bool json = false;
};

// Each adds a command to `app`. If the command line asks for it, parsing sets
// `*run`. `common` must outlive the run.
void AddSend(CLI::App& app, CommonOptions* common, Run* run);
void AddRead(CLI::App& app, CommonOptions* common, Run* run);
void AddChannels(CLI::App& app, CommonOptions* common, Run* run);
void AddPing(CLI::App& app, CommonOptions* common, Run* run);
void AddBench(CLI::App& app, CommonOptions* common, Run* run);

}  // namespace messenger::app
