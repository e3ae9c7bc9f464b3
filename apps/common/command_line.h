// Parsing a command line the same way in every program.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "apps/common/time.h"

namespace messenger::app {

// Sets --version and the look of --help, for `app` and for the commands that it
// is given afterwards.
void SetUp(CLI::App& app);

// Adds --version to the program or to one of its commands.
void AddVersion(CLI::App& app);

// Parses the command line. Returns nothing if the program should go on; else it
// should end with this exit code: --help or --version was printed on stdout, or
// an error on stderr.
std::optional<int> Parse(CLI::App& app, int argc, const char* const* argv);

// Lets the value of `option`, a name in `*value`, be given as an argument, too:
// "read general" for "read --channel general". Both may be given if they say
// the same.
CLI::Option* AddAsArgument(CLI::App& app, const CLI::Option* option,
                           const std::string& name, std::string* value);

// Prints a usage error and returns its exit code.
int UsageError(const CLI::App& app, std::string_view error);

// An option whose value `parse` makes of a text. If it returns nothing, the
// text is wrong, and `wrong` says how: "is no duration".
template <typename Value, typename Parse>
CLI::Option* AddParsed(CLI::App& app, const std::string& name, Value* value,
                       Parse parse, const std::string& wrong,
                       const std::string& description) {
  return app.add_option_function<std::string>(
      name,
      [=](const std::string& text) {
        const auto parsed = parse(text);
        if (!parsed) {
          throw CLI::ValidationError(name, fmt::format("'{}' {}", text, wrong));
        }
        *value = *parsed;
      },
      description);
}

// An option with a duration in the form that ParseDuration knows. What `value`
// has no units for is rounded up.
template <typename Duration>
CLI::Option* AddDuration(CLI::App& app, const std::string& name,
                         Duration* value, const std::string& description) {
  const auto parse = [](std::string_view text) -> std::optional<Duration> {
    const auto duration = ParseDuration(text);
    if (!duration) return std::nullopt;
    return std::chrono::ceil<Duration>(*duration);
  };
  return AddParsed(app, name, value, parse,
                   "is no duration; use, for example, 90s, 1h30m, 36h or 7d",
                   description)
      ->option_text("DURATION");
}

// An option with a number from 1 on.
template <typename Number>
CLI::Option* AddCount(CLI::App& app, const std::string& name, Number* value,
                      const std::string& description) {
  return app.add_option(name, *value, description)
      ->option_text("N")
      ->check(CLI::PositiveNumber);
}

// Turns a size with a unit into a number of bytes.
CLI::Validator AsBytes();

// An option with a size in bytes: 500K, 64MiB, 1G; powers of 1024.
template <typename Size>
CLI::Option* AddSize(CLI::App& app, const std::string& name, Size* value,
                     const std::string& description) {
  return app.add_option(name, *value, description)
      ->transform(AsBytes())
      ->option_text("SIZE");
}

}  // namespace messenger::app
