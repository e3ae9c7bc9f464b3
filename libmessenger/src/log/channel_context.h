// What the channels of a log share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "log/log_clock.h"
#include "messenger/log.h"

namespace messenger {

// Set up before the log serves anything.
struct ChannelContext {
  LogOptions options;
  LogClock clock;                     // goes on over restarts, if the log does
  std::vector<std::uint64_t> epochs;  // the present one last

  std::uint64_t epoch() const { return epochs.back(); }
  // Only so many are remembered.
  static constexpr std::size_t kMaxEpochs = 64;
  void BeginEpoch(std::uint64_t epoch) {
    epochs.push_back(epoch);
    if (epochs.size() > kMaxEpochs) epochs.erase(epochs.begin());
  }
};

}  // namespace messenger
