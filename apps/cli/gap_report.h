// Gaps as messenger-cli tells of them, on stderr.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "messenger/message.h"

namespace messenger::app {

// The first gaps are told one by one, all others at most once a second: a
// server may send as many as it likes.
//
// Thread safety: none.
class GapReport {
 public:
  using Clock = std::chrono::steady_clock;

  // A line to print; empty if the gap was only counted.
  std::string Add(const Gap& gap, Clock::time_point now);

  // A line for what was counted and not told; empty if there is nothing.
  std::string Rest();

 private:
  int told_ = 0;
  Clock::time_point last_told_;
  std::uint64_t untold_ = 0;
  std::optional<Gap> last_;
};

}  // namespace messenger::app
