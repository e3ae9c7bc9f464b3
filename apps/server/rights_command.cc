// messenger-server rights: who may do what.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "apps/common/command_line.h"
#include "apps/common/exit_code.h"
#include "apps/server/security_commands.h"
#include "messenger/printable.h"
#include "messenger/security_tools.h"

namespace messenger::app {
namespace {

constexpr const char* kRightsVariable = "MESSENGER_SERVER_RIGHTS";

constexpr const char* kRightsFooter =
    R"(A line of the file is an identity, rights with commas between them, a channel:

  # who      may do what   where
  ann        send,read     general
  "Ann Lee"  read          news.*       channels whose names begin with news.
  archive    read,admin    *            every channel
  *          read          general      everyone, without an identity too
  anonymous  read          status       those alone

  send     send messages
  read     read messages, and see the channel among the others
  admin    delete the channel, and see and delete named producers
  send-as  send, with any author: for programs that pass on what others send

What one line allows is allowed: there is no line that forbids, and the order
means nothing. The server reads the file again when it changes, and ends the
calls whose right has gone.)";

constexpr const char* kRightsCheckFooter =
    R"(Examples:
  messenger-server rights check --rights rights --identity ann --channel general
  messenger-server rights check --rights rights --channel status --right read

Output:
  send     yes  rights:2: ann send,read general
  read     yes  rights:2: ann send,read general
  admin    no
  send-as  no
  --json   {"right":"send","allowed":true,"line":2,
            "text":"ann send,read general"}
           one line each; "line" and "text" are null if no line allows it

Exit codes:
  0   the file is valid; with --right, the right is there
  1   with --right, the right is not there
  2   wrong usage; or the file is malformed, and stderr says in which line
  3   the file cannot be read)";

struct CheckRightsOptions {
  std::string rights;
  std::string identity;
  std::string channel;
  std::string right;  // empty: all
  bool json = false;
};

// CLI11 takes an empty answer for valid.
std::string CheckRight(const std::string& right) {
  if (right == "send" || right == "read" || right == "admin" ||
      right == "send-as") {
    return {};
  }
  return fmt::format("'{}' is not known; it takes send, read, admin or send-as",
                     right);
}

void Print(const RightExplanation& right, const std::string& file,
           ToolOutput* output) {
  if (output->json()) {
    output->PrintJson(
        Json{{"right", right.right},
             {"allowed", right.allowed},
             {"line", right.allowed ? Json(right.line) : Json()},
             {"text", right.allowed ? Json(right.text) : Json()}});
    return;
  }
  std::string line =
      fmt::format("{:<7}  {}", right.right, right.allowed ? "yes" : "no");
  if (right.allowed) {
    line += fmt::format("  {}:{}: {}", file, right.line, right.text);
  }
  output->PrintLine(line);
}

int RunCheck(const CheckRightsOptions& options) {
  ToolOutput output("rights check", options.json);
  const auto rights =
      ExplainRights(options.rights, options.identity, options.channel);
  if (!rights.ok()) {
    return output.Fail(OfOption(rights.status(), {{"identity", "--identity"},
                                                  {"channel", "--channel"}}));
  }
  bool is_there = true;
  for (const RightExplanation& right : *rights) {
    if (!options.right.empty() && right.right != options.right) continue;
    Print(right, options.rights, &output);
    if (!options.right.empty()) is_there = right.allowed;
  }
  return output.Finish(is_there ? kOk : kFailed);
}

}  // namespace

void AddRightsCommand(CLI::App& app, RunTool* run) {
  CLI::App* const rights =
      app.add_subcommand("rights", "Find out what a file of rights allows");
  AddVersion(*rights);
  rights->footer(kRightsFooter);
  rights->require_subcommand(1);
  CLI::App* const command = rights->add_subcommand(
      "check", "Check the file, and say what an identity may do");
  command->footer(kRightsCheckFooter);
  const auto options = std::make_shared<CheckRightsOptions>();
  AddFileOrVariable(*command, "--rights", kRightsVariable,
                    "The server's file of rights", &options->rights);
  command
      ->add_option("--identity", options->identity,
                   "Who (default anonymous: callers without an\n"
                   "identity)")
      ->option_text("NAME");
  command->add_option("--channel", options->channel, "Where")
      ->option_text("NAME")
      ->required();
  command
      ->add_option("--right", options->right,
                   "Only this one; the exit code says whether it\n"
                   "is there")
      ->option_text("RIGHT")
      ->check(CheckRight);
  command->add_flag("--json", options->json, "Print JSON, one object a line");
  command->callback(
      [options, run] { *run = [options] { return RunCheck(*options); }; });
}

}  // namespace messenger::app
