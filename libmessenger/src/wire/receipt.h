// What a sender is told of messages that are stored.
#pragma once

#include <cstdint>

#include "messenger/message.h"

namespace messenger::wire {

// A run of messages that were stored next to each other.
struct ReceiptRun {
  std::uint64_t epoch = 0;
  std::uint64_t first_sequence = 0;  // 0: not known any more
  std::uint32_t count = 0;
  Timestamp send_time;
  bool duplicate = false;

  // Only duplicates of a named producer may have none, and then no time.
  bool has_position() const { return first_sequence != 0; }
};

}  // namespace messenger::wire
