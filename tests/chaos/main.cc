// messenger_chaos_test: see options.cc.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>

#include "chaos_test.h"
#include "options.h"
#include "support/temporary_directory.h"

namespace messenger::test::chaos {
namespace {

int Main(int argc, char** argv) {
  int exit_code = EXIT_SUCCESS;
  const std::optional<ChaosOptions> options =
      ParseChaosOptions(argc, argv, &exit_code);
  if (!options) return exit_code;
  fmt::print("--seed {}\n", options->seed);
  static_cast<void>(std::fflush(stdout));
  TemporaryDirectory directory;
  auto test = std::make_unique<ChaosTest>(*options, directory.path());
  try {
    const bool kept = test->Run();
    const bool happened = test->PrintTotals();
    if (kept && happened) return EXIT_SUCCESS;
  } catch (const std::exception& e) {
    fmt::print("{}\n", e.what());
    test->Abandon();
    static_cast<void>(test.release());
  }
  directory.Keep();
  fmt::print("FAILED; its files are in {}\n", directory.path());
  static_cast<void>(std::fflush(stdout));
  // Past the threads that may still be there.
  std::_Exit(EXIT_FAILURE);
}

}  // namespace
}  // namespace messenger::test::chaos

int main(int argc, char** argv) {
  return messenger::test::chaos::Main(argc, argv);
}
