#include "common/command_line.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "common/duration.h"
#include "common/exit_code.h"
#include "common/standard_streams.h"
#include "messenger/version.h"

namespace messenger::app {
namespace {

int PrintOnStdout(const CLI::App& app, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (std::fflush(stdout) == 0) return kOk;
  WriteStderr(fmt::format("{}: cannot write the output: {}\n", app.get_name(),
                          std::generic_category().message(errno)));
  return kFailed;
}

// The command that was given, with those around it: "messenger-cli bench read".
std::string ChosenCommand(const CLI::App& app) {
  std::string name = app.get_name();
  const CLI::App* command = &app;
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
    name += " " + command->get_name();
  }
  return name;
}

// A size becomes its number of bytes; the answer is empty, or what is wrong.
std::string ReplaceByBytes(std::string& text) {
  try {
    std::string bytes = text;
    const CLI::AsSizeValue as_size(/*kb_is_1000=*/false);
    if (!text.starts_with('-') && as_size(bytes).empty()) {
      text = bytes;
      return {};
    }
  } catch (const CLI::ValidationError&) {
    // Its message lists every unit there is.
  }
  return fmt::format(
      "'{}' is no size; use, for example, 500000, 64K, 256Mi or 1G", text);
}

}  // namespace

void SetUp(CLI::App& app) {
  AddVersion(app);
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.get_formatter()->column_width(28);
}

void AddVersion(CLI::App& app) {
  const CLI::App* const parent = app.get_parent();
  const CLI::App& program = parent == nullptr ? app : *parent;
  app.set_version_flag("--version",
                       fmt::format("{} {}", program.get_name(), kVersion),
                       "Print the version and exit");
}

std::optional<int> Parse(CLI::App& app, int argc, const char* const* argv) {
  try {
    app.parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::CallForHelp&) {
    return PrintOnStdout(app, app.help());
  } catch (const CLI::CallForVersion& call) {
    return PrintOnStdout(app, std::string(call.what()) + "\n");
  } catch (const CLI::ParseError& error) {
    return UsageError(app, error.what());
  }
}

int UsageError(const CLI::App& app, const std::string& error) {
  WriteStderr(fmt::format("{}: {}\n({} --help explains the options)\n",
                          app.get_name(), error, ChosenCommand(app)));
  return kUsage;
}

CLI::Validator AsBytes() {
  return {ReplaceByBytes, /*validator_desc=*/"", /*validator_name=*/""};
}

CLI::Option* AddDuration(CLI::App& app, const std::string& name,
                         std::chrono::nanoseconds* value,
                         const std::string& description) {
  return app
      .add_option_function<std::string>(
          name,
          [name, value](const std::string& text) {
            const auto duration = ParseDuration(text);
            if (!duration) {
              throw CLI::ValidationError(
                  name, fmt::format("'{}' is no duration; use, for example, "
                                    "90s, 1h30m, 36h or 7d",
                                    text));
            }
            *value = *duration;
          },
          description)
      ->option_text("DURATION");
}

}  // namespace messenger::app
