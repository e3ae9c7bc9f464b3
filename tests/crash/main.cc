// messenger_crash_test: see options.cc.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>

#include "crash_test.h"
#include "options.h"

namespace messenger::test {
namespace {

std::string MakeDirectory() {
  std::string path =
      std::filesystem::temp_directory_path() / "messenger-crash.XXXXXX";
  if (mkdtemp(path.data()) == nullptr) throw std::runtime_error(path);
  return path;
}

int Main(int argc, char** argv) {
  int exit_code = EXIT_SUCCESS;
  const std::optional<CrashOptions> options =
      ParseCrashOptions(argc, argv, &exit_code);
  if (!options) return exit_code;
  fmt::print("--seed {}\n", options->seed);
  static_cast<void>(std::fflush(stdout));
  const std::string directory = MakeDirectory();
  bool passed = false;
  try {
    CrashTest test(*options, directory);
    passed = test.Run();
    test.PrintTotals();
    const bool hit_all = test.PrintHits();
    passed = passed && (hit_all || !options->require_all);
  } catch (const std::exception& e) {
    fmt::print("{}\n", e.what());
    passed = false;
  }
  if (!passed) {
    fmt::print("FAILED; its files are in {}\n", directory);
    return EXIT_FAILURE;
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace messenger::test

int main(int argc, char** argv) {
  return messenger::test::Main(argc, argv);
}
