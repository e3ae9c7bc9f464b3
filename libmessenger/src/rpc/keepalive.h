// How both ends notice that the other is gone: a ping after a silence, and an
// end of the connection if it is not answered.
#pragma once

#include <chrono>

namespace messenger::rpc {

inline constexpr std::chrono::milliseconds kKeepaliveTime =
    std::chrono::seconds(30);
inline constexpr std::chrono::milliseconds kKeepaliveTimeout =
    std::chrono::seconds(15);
// What the server accepts from clients that ping more often.
inline constexpr std::chrono::milliseconds kMinPingInterval =
    std::chrono::seconds(5);

constexpr int ToArgument(std::chrono::milliseconds time) {
  return static_cast<int>(time.count());
}

}  // namespace messenger::rpc
