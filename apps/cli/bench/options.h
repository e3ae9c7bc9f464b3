// The command lines of `messenger-cli bench`.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace CLI {
class App;
}  // namespace CLI

namespace messenger::app {

enum class BenchKind : std::uint8_t { kSend, kRead, kLatency };

struct BenchOptions {
  BenchKind kind = BenchKind::kSend;
  std::string channel;  // empty: a new one
  bool keep = false;
  std::size_t producers = 1;
  std::size_t readers = 0;
  std::size_t connections = 4;         // that the readers share, at most
  std::size_t size = 128;              // of a text
  double rate = 0;                     // messages a second, of all; 0: flat out
  std::optional<std::uint64_t> count;  // messages of all producers
  std::chrono::nanoseconds duration = std::chrono::seconds(5);
  std::size_t in_flight = 0;  // of each producer; 0: as many as go
  bool replay = false;        // readers come when all is stored
};

void AddBenchOptions(CLI::App& command, BenchKind kind, BenchOptions* options);

}  // namespace messenger::app
