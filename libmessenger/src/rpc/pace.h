// How much to send at a time over a line whose speed nobody knows.
#pragma once

#include <chrono>
#include <cstddef>

namespace messenger::rpc {

// A message of gRPC's arrives as a whole or not at all, and who waits for it
// cannot tell a long one from a peer that is gone. So the first ones are small,
// and later ones are as large as the line takes quickly.
//
// How quickly is measured from the start of a write to its end. What fits into
// buffers on the way seems to be taken at once, so the size grows only after
// more has been taken than these hold, and shrinks at the first write that is
// slow.
//
// Thread safety: none.
class Pace {
 public:
  // What a line of 3 KB/s still takes within twenty seconds.
  static constexpr std::size_t kFirstBytes = std::size_t{64} << 10;
  static constexpr std::size_t kLeastBytes = std::size_t{4} << 10;
  // Twice what a client of ours lets a server send before it takes it.
  static constexpr std::size_t kGrowAfterBytes = std::size_t{512} << 10;
  // A write is slow if it takes so many times as long as a quick one may.
  static constexpr int kSlow = 4;

  // At most `most_bytes` at a time. A write is quick if it takes no longer than
  // `quick`.
  Pace(std::size_t most_bytes, std::chrono::nanoseconds quick);

  // How much may be sent next, if it can be divided.
  std::size_t bytes() const { return bytes_; }

  // So many were taken in this time.
  void OnTaken(std::size_t bytes, std::chrono::nanoseconds time);

 private:
  const std::size_t most_bytes_;
  const std::chrono::nanoseconds quick_;
  std::size_t bytes_;
  std::size_t quick_bytes_ = 0;  // in a row, at this size
};

}  // namespace messenger::rpc
