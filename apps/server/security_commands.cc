#include "apps/server/security_commands.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "apps/common/addresses.h"
#include "apps/common/status_text.h"

namespace messenger::app {

void AddFileOrVariable(CLI::App& command, const std::string& option,
                       const char* variable, const std::string& description,
                       std::string* file) {
  const char* const value = Variable(variable);
  if (value != nullptr) *file = value;
  command
      .add_option(option, *file,
                  fmt::format("{}\n(default ${})", description, variable))
      ->option_text("FILE")
      ->required(value == nullptr);
}

absl::Status OfOption(
    const absl::Status& status,
    std::initializer_list<std::pair<std::string_view, std::string_view>>
        options) {
  for (const auto& [field, option] : options) {
    const std::string_view rest = MessageOf(status, field);
    if (rest.size() == MessageOf(status).size()) continue;
    return {status.code(), fmt::format("{}: {}", option, rest)};
  }
  return status;
}

std::string ShellWord(std::string_view text) {
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
      "_-./:,=@%+";
  if (!text.empty() &&
      text.find_first_not_of(kPlain) == std::string_view::npos) {
    return std::string(text);
  }
  std::string word = "'";
  for (const char c : text) {
    if (c == '\'') {
      word += "'\\''";
    } else {
      word.push_back(c);
    }
  }
  word.push_back('\'');
  return word;
}

}  // namespace messenger::app
