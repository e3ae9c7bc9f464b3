// What the scenarios share.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
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

double SecondsSince(Clock::time_point start);
Clock::duration ToDuration(double seconds);

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
