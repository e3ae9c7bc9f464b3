// What the scenarios share.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/client.h"
#include "options.h"
#include "process_probe.h"

namespace messenger::bench {

using Clock = std::chrono::steady_clock;

// What a scenario runs against.
struct Setting {
  const Options& options;
  std::string target;        // of the message log
  std::string bare_target;   // of bare gRPC
  ProcessProbe server;       // the process of `target`
  ProcessProbe bare_server;  // the process of `bare_target`
  ProcessProbe clients;      // this process
};

// Throws std::runtime_error, with `what` before the status, unless it is OK.
void Check(const absl::Status& status, std::string_view what);

template <typename T>
T Value(absl::StatusOr<T> result, std::string_view what) {
  Check(result.status(), what);
  return *std::move(result);
}

// Throws std::runtime_error unless `condition`.
void Check(bool condition, const std::string& what);

// All that is in a file. Throws std::runtime_error if it cannot be read.
std::string ReadFile(const std::string& path);

double SecondsSince(Clock::time_point start);
Clock::duration ToDuration(double seconds);

// Calls `send` with 1, 2, ... at `rate` for `seconds`. Above 1000 a second,
// those of one millisecond go together, since a thread cannot sleep for less
// with any precision. Returns how many.
template <typename Send>
std::uint64_t SendPaced(int rate, double seconds, Send send) {
  const int ticks_per_second = std::min(rate, 1000);
  const auto tick = ToDuration(1.0 / ticks_per_second);
  const int per_tick = rate / ticks_per_second;
  const auto ticks = static_cast<int>(seconds * ticks_per_second);
  std::uint64_t sent = 0;
  Clock::time_point next = Clock::now();
  for (int i = 0; i < ticks; ++i) {
    std::this_thread::sleep_until(next);
    for (int k = 0; k < per_tick; ++k) send(++sent);
    next += tick;
  }
  return sent;
}

// The text of all messages that need no particular one: ASCII.
std::string MakeText(std::size_t bytes);

// A channel that no other run uses, deleted at the end.
class ScratchChannel {
 public:
  ScratchChannel(const Setting& setting, std::string_view scenario);
  ~ScratchChannel();
  ScratchChannel(const ScratchChannel&) = delete;
  ScratchChannel& operator=(const ScratchChannel&) = delete;

  const std::string& name() const { return name_; }
  ChannelInfo Info();

 private:
  Client client_;
  std::string name_;
};

}  // namespace messenger::bench
