// What a sender is told of messages that are stored.
#pragma once

#include <cstdint>

#include "messenger/message.h"

namespace messenger::wire {

// A run of messages that were stored next to each other.
struct ReceiptRun {
  std::uint64_t epoch = 0;
  std::uint64_t first_sequence = 0;
  std::uint32_t count = 0;
  Timestamp send_time;
  bool duplicate = false;
};

}  // namespace messenger::wire
