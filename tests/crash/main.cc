// messenger_crash_test: see options.cc.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>

#include "crash_test.h"
#include "options.h"
#include "support/temporary_directory.h"

namespace messenger::test {
namespace {

int Main(int argc, char** argv) {
  int exit_code = EXIT_SUCCESS;
  const std::optional<CrashOptions> options =
      ParseCrashOptions(argc, argv, &exit_code);
  if (!options) return exit_code;
  fmt::print("--seed {}\n", options->seed);
  static_cast<void>(std::fflush(stdout));
  TemporaryDirectory directory;
  bool passed = false;
  try {
    CrashTest test(*options, directory.path());
    passed = test.Run();
    test.PrintTotals();
    const bool hit_all = test.PrintHits();
    passed = passed && (hit_all || !options->require_all);
  } catch (const std::exception& e) {
    fmt::print("{}\n", e.what());
    passed = false;
  }
  if (!passed) {
    directory.Keep();
    fmt::print("FAILED; its files are in {}\n", directory.path());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace messenger::test

int main(int argc, char** argv) {
  return messenger::test::Main(argc, argv);
}
