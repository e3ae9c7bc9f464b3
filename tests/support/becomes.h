// Waits for what nobody tells of.
#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace messenger::test {

// Whether what becomes so after the call that brings it about has returned does
// so: asks again and again, within a deadline.
inline bool Becomes(const std::function<bool()>& condition) {
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace messenger::test
