#include "apps/common/command_line.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <system_error>
#include <vector>

#include "apps/common/exit_code.h"
#include "apps/common/nearest.h"
#include "apps/common/standard_streams.h"
#include "messenger/version.h"

namespace messenger::app {
namespace {

int PrintOnStdout(const CLI::App& app, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (std::fflush(stdout) == 0) return kOk;
  PrintError(app.get_name(), "cannot write the output: " +
                                 std::generic_category().message(errno));
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

// What can stand for a word of the command line: options, or commands.
std::vector<std::string> KnownWords(const CLI::App& command, bool options) {
  std::vector<std::string> known;
  if (options) {
    for (const CLI::Option* const option : command.get_options()) {
      for (const std::string& name : option->get_lnames()) {
        known.push_back("--" + name);
      }
    }
    return known;
  }
  for (const CLI::App* const one : command.get_subcommands({})) {
    known.push_back(one->get_name());
  }
  return known;
}

// What is wrong with the first word that nobody has asked for on the command
// line; the error itself if there is none.
std::string ExplainUnknown(const CLI::App& app, const CLI::ParseError& thrown) {
  std::vector<std::string> words = app.remaining(/*recurse=*/true);
  std::erase(words, "--");
  if (words.empty()) return thrown.what();
  const CLI::App* command = &app;
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
  }
  const bool is_option = words.front().starts_with('-');
  const std::string word =
      is_option ? words.front().substr(0, words.front().find('='))
                : words.front();
  const std::vector<std::string> known = KnownWords(*command, is_option);
  if (known.empty()) {
    return fmt::format("'{}' is an argument too many", word);
  }
  std::string error = fmt::format("there is no {} '{}'",
                                  is_option ? "option" : "command", word);
  if (const std::string nearest = Nearest(word, known); !nearest.empty()) {
    error += fmt::format("; did you mean {}?", nearest);
  } else if (!is_option) {
    error += fmt::format("; there are {}", fmt::join(known, ", "));
  }
  return error;
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
  } catch (const CLI::ExtrasError& error) {
    return UsageError(app, ExplainUnknown(app, error));
  } catch (const CLI::RequiredError& error) {
    // Something may be missing because of a word that is wrong.
    return UsageError(app, ExplainUnknown(app, error));
  } catch (const CLI::ParseError& error) {
    return UsageError(app, error.what());
  }
}

CLI::Option* AddAsArgument(CLI::App& app, const CLI::Option* option,
                           const std::string& name, std::string* value) {
  return app
      .add_option_function<std::string>(
          name,
          [option, name, value](const std::string& given) {
            // Options are looked at in the order in which they were added.
            if (option->count() > 0 && given != *value) {
              throw CLI::ValidationError(
                  name, fmt::format("'{}' is not what {} says, '{}'", given,
                                    option->get_name(), *value));
            }
            *value = given;
          },
          "The same as " + option->get_name())
      ->option_text(" ");
}

int UsageError(const CLI::App& app, std::string_view error) {
  PrintError(app.get_name(), error);
  WriteStderr(
      fmt::format("({} --help explains the options)\n", ChosenCommand(app)));
  return kUsage;
}

CLI::Validator AsBytes() {
  return {ReplaceByBytes, /*validator_desc=*/"", /*validator_name=*/""};
}

}  // namespace messenger::app
