// messenger-server repair: makes a damaged log one that opens.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "apps/common/bytes.h"
#include "apps/common/exit_code.h"
#include "apps/server/tool_command.h"

namespace messenger::app {
namespace {

constexpr const char* kRepairFooter =
    R"(Makes of a damaged log one that the server opens and of which all that is
there can be read. Only what is damaged is lost; readers get a gap instead. The
files as they were are kept in DIR/damaged-YYYYmmddTHHMMSS. A log without
damage is not touched. If it is cut off, run it again. The server must be
stopped.

Examples:
  messenger-server repair
  messenger-server repair --log file:/var/lib/messenger

Output, after the findings of messenger-server verify:
  kept: DIR/damaged-20261123T010203: copies of the damaged files
  lost: message 7 of channel "general" (66 bytes), now in damaged-.../...segment
  perhaps lost: messages 13 to 16 of channel "general": ...
  repaired: 2 channels, 11 messages (1.1 KiB) in 2 segments and 1 journal
  --json   the findings as verify prints them, then
           {"lost":{"channel":"general","first_sequence":7,"last_sequence":7,
            "maybe":false,"bytes":66,"kept_in":"damaged-.../...segment"}}
           {"remark":"..."}
           {"repaired":true,"kept_in":"damaged-...","new_epoch":false}
           {"summary":...}

Exit codes:
  0   repaired, or there was nothing to repair
  1   repaired, but for what the last lines say; or what it prints could not be
      written, and stderr says what was done
  2   wrong usage
  3   could not be repaired: a server is running on it, it is no log, the disk
      fails or is full; nothing that could be read is lost)";

std::string Describe(const LogLoss& loss) {
  std::string text = loss.first_sequence == loss.last_sequence
                         ? fmt::format("message {}", loss.first_sequence)
                         : fmt::format("messages {} to {}", loss.first_sequence,
                                       loss.last_sequence);
  text += fmt::format(" of channel \"{}\"", loss.channel);
  if (loss.bytes > 0) text += fmt::format(" ({})", FormatBytes(loss.bytes));
  if (!loss.kept_in.empty()) text += fmt::format(", now in {}", loss.kept_in);
  return text;
}

void Print(const LogLoss& loss, ToolOutput* output) {
  if (output->json()) {
    output->PrintJson(Json{{"lost",
                            {{"channel", loss.channel},
                             {"first_sequence", loss.first_sequence},
                             {"last_sequence", loss.last_sequence},
                             {"maybe", loss.maybe},
                             {"bytes", loss.bytes},
                             {"kept_in", loss.kept_in}}}});
    return;
  }
  output->PrintLine(
      loss.maybe ? fmt::format("perhaps lost: {}: nobody can tell whether "
                               "there were so many, so that none of these "
                               "sequences is given out again",
                               Describe(loss))
                 : fmt::format("lost: {}", Describe(loss)));
}

void PrintRepair(const std::string& log, const LogRepair& repair,
                 ToolOutput* output) {
  for (const LogLoss& loss : repair.losses) Print(loss, output);
  for (const std::string& remark : repair.remarks) {
    if (output->json()) {
      output->PrintJson(Json{{"remark", remark}});
    } else {
      output->PrintLine(fmt::format("remark: {}", remark));
    }
  }
  if (output->json()) {
    output->PrintJson(Json{{"repaired", repair.repaired},
                           {"kept_in", repair.kept_in},
                           {"new_epoch", repair.new_epoch}});
    output->Print(repair.repaired ? repair.after : repair.found);
    return;
  }
  if (repair.new_epoch) {
    output->PrintLine(
        "new epoch: readers that resume are told what they may have missed");
  }
  if (!repair.repaired) {
    output->Print(repair.found);
    output->PrintLine(
        "clean: there is nothing to repair, and nothing was changed");
    return;
  }
  if (repair.losses.empty()) output->PrintLine("lost: no message");
  output->PrintLine(fmt::format("kept: {}/{}: the files as they were",
                                log.substr(log.find(':') + 1), repair.kept_in));
  output->Print(repair.after);
  output->PrintLine(
      repair.after.damages == 0
          ? "repaired"
          : fmt::format("repaired, but for {} that messenger-server "
                        "verify shows",
                        Count(repair.after.damages, "finding")));
}

int RunRepair(const std::string& log, bool json) {
  ToolOutput output("repair", json);
  const auto repair = RepairLog(log, output.Options());
  if (!repair.ok()) return output.Fail(repair.status());
  PrintRepair(log, *repair, &output);
  return output.Finish(repair->after.damages == 0 ? kOk : kFailed,
                       repair->repaired
                           ? "the log is repaired; messenger-server verify "
                             "shows how it is now"
                           : "there was nothing to repair");
}

}  // namespace

void AddRepair(CLI::App& app, std::string* log, RunTool* run) {
  const auto json = std::make_shared<bool>(false);
  CLI::App* const command =
      AddTool(app, "repair", "Mend a damaged log; loses only what is damaged",
              kRepairFooter, log, json.get());
  command->callback(
      [=] { *run = [log, json] { return RunRepair(*log, *json); }; });
}

}  // namespace messenger::app
