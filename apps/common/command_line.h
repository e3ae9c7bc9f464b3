// Parsing a command line the same way in every program.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <optional>
#include <string>

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
int UsageError(const CLI::App& app, const std::string& error);

// An option with a duration in the form that ParseDuration knows.
CLI::Option* AddDuration(CLI::App& app, const std::string& name,
                         std::chrono::nanoseconds* value,
                         const std::string& description);

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
