// The command line of messenger_chaos_test.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "reader.h"

namespace messenger::test::chaos {

struct ChaosOptions {
  std::string server;
  std::uint64_t messages = 20'000;
  std::uint64_t rate = 2'500;  // messages a second, of all producers; 0: any
  std::uint64_t producers = 8;
  std::uint64_t readers = 16;
  std::uint64_t channels = 4;
  std::uint64_t subscriptions = 1;  // of each reader, to each channel
  // Readers stall now and then, and begin anew.
  bool restless = false;
  std::uint64_t seed = 0;
  Plant plant = Plant::kNothing;
  // That something never happened is a failure.
  bool require_all = false;
};

// Nothing if the program should end with `*exit_code`: help was printed, or an
// error.
std::optional<ChaosOptions> ParseChaosOptions(int argc, char** argv,
                                              int* exit_code);

}  // namespace messenger::test::chaos
