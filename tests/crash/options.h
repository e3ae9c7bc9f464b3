// The command line of messenger_crash_test.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "messenger/log.h"

namespace messenger::test {

struct CrashOptions {
  std::string server;
  std::uint64_t rounds = 10;
  std::uint64_t seed = 0;
  Durability durability = Durability::kFsync;
  // Where the log is, on a disk of its own; empty: in a temporary directory.
  std::string device;
  std::string mount_point;
  // Loaded into the server before anything else.
  std::string preload;
  // That something was never hit is a failure.
  bool require_all = false;
};

// Nothing if the program should end with `*exit_code`: help was printed, or an
// error.
std::optional<CrashOptions> ParseCrashOptions(int argc, char** argv,
                                              int* exit_code);

}  // namespace messenger::test
