#include "apps/server/tool_command.h"

#include <fmt/format.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <system_error>
#include <utility>

#include "apps/common/bytes.h"
#include "apps/common/command_line.h"
#include "apps/common/exit_code.h"
#include "apps/common/status_text.h"
#include "messenger/printable.h"

namespace messenger::app {
namespace {

constexpr std::chrono::milliseconds kProgressInterval{100};

}  // namespace

CLI::App* AddTool(CLI::App& app, const std::string& name,
                  const std::string& description, const std::string& footer,
                  std::string* log, bool* json) {
  CLI::App* const command = app.add_subcommand(name, description);
  AddVersion(*command);
  command->footer(footer);
  command
      ->add_option("--log", *log,
                   "The log, file:DIR (default $MESSENGER_SERVER_LOG,\n"
                   "else file:messenger-data)")
      ->option_text("URI");
  command->add_flag("--json", *json, "Print JSON, one object a line");
  return command;
}

ToolOutput::ToolOutput(std::string command, bool json)
    : command_(std::move(command)), json_(json) {
  // That nobody reads what it prints must not end a repair.
  static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
}

void ToolOutput::Write(std::string_view bytes) {
  progress_.Erase();
  if (error_ == 0 &&
      std::fwrite(bytes.data(), 1, bytes.size(), stdout) != bytes.size()) {
    error_ = errno;
  }
}

void ToolOutput::PrintLine(std::string_view line) {
  std::string text = Printable(line);
  text.push_back('\n');
  Write(text);
}

void ToolOutput::PrintTable(std::span<const Align> columns,
                            std::span<const std::vector<std::string>> rows) {
  std::string text;
  AppendTable(columns, rows, &text);
  Write(text);
}

void ToolOutput::PrintJson(const Json& object) {
  std::string text;
  AppendLine(object, &text);
  Write(text);
}

void ToolOutput::Print(const LogFinding& finding) {
  const bool damage = finding.kind == LogFinding::Kind::kDamage;
  if (json_) {
    PrintJson(Json{{"finding", damage ? "damage" : "notice"},
                   {"file", finding.file},
                   {"offset", finding.offset},
                   {"bytes", finding.bytes},
                   {"channel", finding.channel},
                   {"first_sequence", finding.first_sequence},
                   {"last_sequence", finding.last_sequence},
                   {"what", finding.what}});
    return;
  }
  const std::string place = finding.offset == 0 && finding.bytes == 0
                                ? ""
                                : fmt::format(" at {}", finding.offset);
  PrintLine(fmt::format("{}: {}{}: {}", damage ? "damage" : "notice",
                        PrintableField(finding.file), place, finding.what));
}

void ToolOutput::Print(const LogVerification& found) {
  const LogSummary& sum = found.summary;
  if (json_) {
    PrintJson(Json{{"summary",
                    {{"channels", sum.channels},
                     {"segments", sum.segments},
                     {"journals", sum.journals},
                     {"messages", sum.messages},
                     {"bytes", sum.bytes},
                     {"damages", found.damages},
                     {"notices", found.notices}}}});
    return;
  }
  PrintLine(fmt::format(
      "{}, {} ({}) in {} and {}", Count(sum.channels, "channel"),
      Count(sum.messages, "message"), FormatBytes(sum.bytes),
      Count(sum.segments, "segment"), Count(sum.journals, "journal")));
}

LogToolOptions ToolOutput::Options() {
  return {.on_finding = [this](const LogFinding& f) { Print(f); },
          .on_progress = [this](std::uint64_t bytes) { ShowProgress(bytes); }};
}

void ToolOutput::ShowProgress(std::uint64_t bytes) {
  if (!progress_.watched()) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_shown_) return;
  // What is done at once needs none.
  const bool first = next_shown_ == std::chrono::steady_clock::time_point();
  next_shown_ = now + kProgressInterval;
  if (first) return;
  std::fflush(stdout);
  progress_.Show(fmt::format("read {}", FormatBytes(bytes)));
}

int ToolOutput::Fail(const absl::Status& status) {
  std::fflush(stdout);
  progress_.Erase();
  PrintError("messenger-server " + command_, MessageOf(status));
  return absl::IsInvalidArgument(status) ? kUsage : kUnavailable;
}

int ToolOutput::Finish(int exit_code, std::string_view done) {
  if (error_ == 0 && std::fflush(stdout) != 0) error_ = errno;
  progress_.Erase();
  // A pipe whose reader has gone is no failure: it has seen enough.
  if (error_ == 0 || error_ == EPIPE) return exit_code;
  PrintError("messenger-server " + command_,
             fmt::format("cannot write the output: {}{}{}",
                         std::generic_category().message(error_),
                         done.empty() ? "" : "; ", done));
  if (exit_code != kOk) return exit_code;
  return done.empty() ? kUnavailable : kFailed;
}

std::string Count(std::uint64_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

}  // namespace messenger::app
