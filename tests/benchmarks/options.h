// The command line of messenger_bench.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "serve.h"

namespace messenger::bench {

struct Options {
  std::vector<std::string> only;
  double seconds = 5;
  std::size_t text_bytes = 128;
  std::string server;
  bool lock_checks = false;
  bool json = false;

  std::uint64_t replay_messages = 2'000'000;
  int replay_runs = 5;

  std::vector<int> readers = {1, 10, 100, 1000};
  int connections = 4;
  std::uint64_t window = 8192;
  int paced_readers = 1000;
  int bursts_per_second = 100;
  int burst_messages = 16;

  int tails = 10'000;

  int idle_readers = 1000;

  int outstanding = 64;
  int threads = 8;

  std::vector<std::size_t> batched_text_bytes = {0, 128, 1024};
  std::size_t batched_data_bytes = 1024;

  std::vector<int> latency_rates = {1000, 100'000};

  std::string directory;
  int channels = 10'000;
  std::uint64_t reopen_bytes = 1'000'000'000;
};

// How the program was called.
struct Command {
  Options options;
  // The hidden mode in which it is its own server; `options` is not used then.
  std::optional<ServeOptions> serve;
};

// Nothing if the program should end with *exit_code, since it has printed help
// or an error.
std::optional<Command> ParseCommand(int argc, char** argv, int* exit_code);

bool IsSelected(const Options& options, const std::string& scenario);

}  // namespace messenger::bench
