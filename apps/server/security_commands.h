// The commands by which an operator makes a server safe: what they have in
// common.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "apps/server/tool_command.h"

namespace CLI {
class App;
}  // namespace CLI

namespace messenger::app {

// Each sets `run` if the command was given.
void AddTokenCommand(CLI::App& app, RunTool* run);
void AddRightsCommand(CLI::App& app, RunTool* run);
void AddInitTlsCommand(CLI::App& app, RunTool* run);

// An option with a file that a variable of the environment may name as well.
// One of them must.
void AddFileOrVariable(CLI::App& command, const std::string& option,
                       const char* variable, const std::string& description,
                       std::string* file);

// The same error, with the option in place of the field that it begins with.
absl::Status OfOption(
    const absl::Status& status,
    std::initializer_list<std::pair<std::string_view, std::string_view>>
        options);

// As it has to be typed into a shell.
std::string ShellWord(std::string_view text);

}  // namespace messenger::app
