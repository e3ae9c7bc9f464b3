// How the programs that serve end after a signal.
#pragma once

#include <chrono>
#include <string_view>

namespace messenger::app {

// Says that `program` drains. Should this not be over, the guard be gone, 10 s
// after `timeout`, it ends the process with kFailed: gRPC waits for the end of
// each call, and one for which it could start no thread has none. What was
// acknowledged is on disk already. At most one at a time.
class DrainGuard {
 public:
  DrainGuard(std::string_view program, int signal,
             std::chrono::nanoseconds timeout);
  ~DrainGuard();
  DrainGuard(const DrainGuard&) = delete;
  DrainGuard& operator=(const DrainGuard&) = delete;
};

}  // namespace messenger::app
