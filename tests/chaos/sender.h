// Those who send, and record what came of it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "history.h"
#include "support/seed.h"

namespace messenger::test::chaos {

struct SenderOptions {
  std::string name;
  std::uint64_t messages = 0;
  double rate = 0;  // messages a second; 0: as fast as it can
  std::uint64_t seed = 0;
};

// Sends to channels at random, most of it with SendAsync, on a thread of its
// own, from when it is made.
//
// Thread safety: none, but for what it does itself.
class Sender {
 public:
  // Fails what is not acknowledged.
  virtual ~Sender() = default;
  Sender() = default;
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  // Waits until all is sent, though not acknowledged; false after `patience`.
  virtual bool AwaitSent(std::chrono::milliseconds patience) = 0;
  // Waits until all results have come; false after `patience`.
  virtual bool AwaitResults(std::chrono::milliseconds patience) = 0;

  // Once AwaitSent was true: no result is recorded any more.
  virtual Producer Take() = 0;
};

// One of so many messages is sent with Send, which waits for its result.
inline constexpr std::uint64_t kWaitOneIn = 400;

// When each message is due.
class Pace {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Pace(double rate) : rate_(rate), start_(Clock::now()) {}
  // Blocks until the message of this number, from 1 on, is due.
  void Await(std::uint64_t number) const;

 private:
  const double rate_;
  const Clock::time_point start_;
};

// A channel for what is sent on no condition: rarely the last of several, which
// is left to conditional appends, mostly, so that the conditions of more of
// them hold.
std::size_t PickChannel(std::size_t channels, Random* random);

}  // namespace messenger::test::chaos
