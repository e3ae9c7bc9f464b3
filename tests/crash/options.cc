#include "options.h"

#include <CLI/CLI.hpp>
#include <random>

namespace messenger::test {
namespace {

constexpr const char* kAbout =
    R"(Crashes a messenger-server again and again while clients send and read,
restarts it on the same log, and checks that it keeps its promises
(libmessenger/doc/guarantees.md).

In each round the server is killed at a random moment, and in some it is killed
again, several times, while it opens the log. With a disk of its own, the power
of the disk is cut as well.

Prints in how many rounds the server was in the middle of what. When a promise
was not kept, it prints what the clients have seen there, keeps the directory,
and exits with 1.)";

}  // namespace

std::optional<CrashOptions> ParseCrashOptions(int argc, char** argv,
                                              int* exit_code) {
  CrashOptions options;
  options.seed = std::random_device()();
  CLI::App app(kAbout, "messenger_crash_test");
  app.add_option("--server", options.server, "The messenger-server to crash")
      ->required()
      ->check(CLI::ExistingFile);
  app.add_option("--rounds", options.rounds, "How often it is crashed")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--seed", options.seed,
                 "Repeats the choices of a run, though not its timing; "
                 "default: another one each time");
  app.add_option_function<std::string>(
         "--durability",
         [&options](const std::string& level) {
           options.durability =
               level == "os" ? Durability::kOs : Durability::kFsync;
         },
         "As of messenger-server")
      ->check(CLI::IsMember({"fsync", "os"}));
  CLI::Option* const device =
      app.add_option(
             "--device", options.device,
             "A block device with an ext4 file system, which is mounted")
          ->check(CLI::ExistingFile);
  CLI::Option* const mount_point =
      app.add_option("--mount-point", options.mount_point, "Where")
          ->check(CLI::ExistingDirectory);
  device->needs(mount_point);
  mount_point->needs(device);
  app.add_option("--preload", options.preload,
                 "A library for the server's LD_PRELOAD")
      ->check(CLI::ExistingFile);
  app.add_flag("--require-all", options.require_all,
               "Fail if the server was never in the middle of something: for "
               "long runs");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    *exit_code = app.exit(error);
    return std::nullopt;
  }
  return options;
}

}  // namespace messenger::test
