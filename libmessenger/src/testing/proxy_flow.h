// One direction of a connection that goes through the fault proxy.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "messenger/testing.h"
#include "testing/socket.h"

namespace messenger::testing {

using Clock = std::chrono::steady_clock;

// The faults, as one direction sees them.
struct FlowFaults {
  bool stalled = false;
  std::chrono::microseconds delay{0};
  std::size_t max_fragment_bytes = 0;
  std::uint64_t bytes_per_second = 0;
};

// Moves bytes from one socket to another, and the end of the file after them.
//
// Thread safety: none.
class Flow {
 public:
  // Reads what there is, while there is room. False if the socket has failed.
  bool Read(const Fd& source, Clock::time_point now, const FlowFaults& faults);
  // Writes what may be written by now; `*passed` grows by as many bytes. False
  // if the socket has failed.
  bool Write(const Fd& sink, Clock::time_point now, const FlowFaults& faults,
             std::uint64_t* passed);

  // Whether reading, or writing, could do something if the socket was ready.
  bool WantsToRead(const FlowFaults& faults) const;
  bool WantsToWrite(Clock::time_point now, const FlowFaults& faults) const;
  // When there will be something to write; nothing if something else must
  // happen before.
  std::optional<Clock::time_point> NextWrite(const FlowFaults& faults) const;

  // The end has been passed on.
  bool finished() const { return finished_; }

 private:
  struct Chunk {
    Clock::time_point due;
    std::string bytes;
    std::size_t written = 0;
  };

  bool HasEndToWrite() const { return ended_ && !finished_ && chunks_.empty(); }

  std::deque<Chunk> chunks_;
  std::size_t bytes_ = 0;         // in them
  Clock::time_point end_due_;     // of the end, once it was read
  Clock::time_point next_write_;  // as bytes_per_second allows it
  bool ended_ = false;
  bool finished_ = false;
};

}  // namespace messenger::testing
