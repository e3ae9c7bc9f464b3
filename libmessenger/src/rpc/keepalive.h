// How both ends notice that the other is gone: a ping after a silence, and an
// end of the connection if it is not answered.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/narrow.h"

namespace messenger::rpc {

// Bounds of the silence, and of the wait for an answer. gRPC has an int for
// milliseconds.
inline constexpr std::chrono::milliseconds kMinKeepalive{100};
inline constexpr std::chrono::milliseconds kMaxKeepalive{INT32_MAX};

// A server ends connections whose clients ping more often than this. Less than
// what a client may be set to, since pings may catch up with one another on
// their way.
inline constexpr std::chrono::milliseconds kMinPingInterval = kMinKeepalive / 4;

constexpr int ToArgument(std::chrono::milliseconds time) {
  return Narrow<int>(time.count());
}

}  // namespace messenger::rpc
