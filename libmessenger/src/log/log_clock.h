// The clocks that a log reads.
#pragma once

#include <chrono>
#include <functional>

#include "messenger/message.h"

namespace messenger {

// Those of the system; tests have their own.
struct LogClock {
  std::function<Timestamp()> now = [] {
    return std::chrono::system_clock::now();
  };
  std::function<std::chrono::steady_clock::time_point()> steady_now = [] {
    return std::chrono::steady_clock::now();
  };
};

}  // namespace messenger
