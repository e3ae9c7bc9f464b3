// What the channels of a log share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "log/idempotency_keys.h"
#include "log/log_clock.h"
#include "log/named_producers.h"
#include "messenger/log.h"

namespace messenger {

// Set up before the log serves anything; what is behind a pointer may be used
// from any thread.
struct ChannelContext {
  LogOptions options;
  LogClock clock;                     // goes on over restarts, if the log does
  std::vector<std::uint64_t> epochs;  // the present one last
  const std::unique_ptr<NamedProducers> named_producers =
      std::make_unique<NamedProducers>(options.max_named_producers);
  const std::unique_ptr<IdempotencyKeys> idempotency_keys =
      std::make_unique<IdempotencyKeys>(
          IdempotencyKeys::Limits{.max_keys = options.max_idempotency_keys,
                                  .timeout = options.idempotency_key_timeout});

  std::uint64_t epoch() const { return epochs.back(); }
  // Only so many are remembered.
  static constexpr std::size_t kMaxEpochs = 64;
  void BeginEpoch(std::uint64_t epoch) {
    epochs.push_back(epoch);
    if (epochs.size() > kMaxEpochs) epochs.erase(epochs.begin());
  }
};

}  // namespace messenger
