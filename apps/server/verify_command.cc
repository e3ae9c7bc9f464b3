// messenger-server verify: is the log damaged?
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "apps/common/exit_code.h"
#include "apps/server/tool_command.h"

namespace messenger::app {
namespace {

constexpr const char* kVerifyFooter =
    R"(Reads all of the log and checks every checksum, sequence and time. Changes
nothing. The server must be stopped: it holds the log's lock.

Examples:
  messenger-server verify
  messenger-server verify --log file:/var/lib/messenger
  messenger-server verify --json | jq 'select(.finding == "damage")'

Output, a line for each finding, and a summary:
  damage: FILE at OFFSET: what it means for which channel and messages
  notice: ...   nothing is lost and nothing need be done: what a crash has left
                behind, and what the server cuts off when it starts; files
                that are not the log's
  1 channel, 12 messages (1.2 KiB) in 1 segment and 1 journal
  clean
  --json   {"finding":"damage","file":"channels/general.channel/...segment",
            "offset":48,"bytes":66,"channel":"general","first_sequence":1,
            "last_sequence":1,"what":"message 1 of ..."}
           {"summary":{"channels":1,"segments":1,"journals":1,"messages":12,
            "bytes":1234,"damages":1,"notices":0}}
           on one line each; offset and bytes are of the file, sequences are 0
           if it concerns no messages, or nobody can tell which

Exit codes:
  0   clean
  1   damaged: messenger-server repair mends it
  2   wrong usage
  3   could not be read: a server is running on it, it is no log, the disk
      fails)";

int RunVerify(const std::string& log, bool json) {
  ToolOutput output("verify", json);
  const auto found = VerifyLog(log, output.Options());
  if (!found.ok()) return output.Fail(found.status());
  output.Print(*found);
  if (!json) {
    output.PrintLine(
        found->damages == 0
            ? "clean"
            : fmt::format("damaged: {}; messenger-server repair --log "
                          "{} keeps what can be read",
                          Count(found->damages, "finding"), log));
  }
  return output.Finish(found->damages == 0 ? kOk : kFailed);
}

}  // namespace

void AddVerify(CLI::App& app, std::string* log, RunTool* run) {
  const auto json = std::make_shared<bool>(false);
  CLI::App* const command =
      AddTool(app, "verify", "Check a log for damage; changes nothing",
              kVerifyFooter, log, json.get());
  command->callback(
      [=] { *run = [log, json] { return RunVerify(*log, *json); }; });
}

}  // namespace messenger::app
