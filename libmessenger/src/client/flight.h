// How much a sender puts on the line before it has receipts for it.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>

namespace messenger {

// What is in flight lies on the line ahead of everything else that the client
// sends, pings included, and a ping must be answered within keepalive_timeout.
// gRPC does not keep it small: a server lets 4 MiB come before its program has
// taken anything (the HTTP/2 window), 84 s at 50 KB/s. A fixed window would be
// too small for a long line: gRPC 1.51 then leaves a connection at 64 KiB and
// what is left of the message being read, whatever the window of a stream is.
// That is 1 MB/s, or 9 for messages of 1 MB, where the round trip is 100 ms.
//
// So the receipts tell. If at least half of what may be in flight was, and got
// its receipts quickly, twice as much may be: all of that then takes at most
// four times as long as a quick flight, if the line stays as it is.
//
// Thread safety: none.
class Flight {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // This much may always be in flight. A line of 50 KB/s passes it in 5 s.
  // Where the round trip is 100 ms, it allows 2.6 MB/s, which doubles with each
  // round trip.
  static constexpr std::size_t kLeastBytes = std::size_t{256} << 10;
  // A flight is slow if it takes so many times as long as a quick one may.
  static constexpr int kSlow = 4;

  explicit Flight(std::chrono::nanoseconds quick) : quick_(quick) {}

  // How much may be in flight.
  std::size_t bytes() const { return bytes_; }

  // So many requests and bytes are in flight, with the one just written.
  void OnWritten(std::size_t requests, std::size_t bytes, TimePoint now);

  // So many requests have got their receipts.
  void OnReceipts(std::size_t requests, TimePoint now);

  // What was in flight gets none: the stream has ended.
  void OnEnd() { timed_.reset(); }

 private:
  struct Timed {
    std::size_t requests = 0;  // that have no receipts yet
    TimePoint since;
  };

  const std::chrono::nanoseconds quick_;
  std::size_t bytes_ = kLeastBytes;
  std::optional<Timed> timed_;
};

}  // namespace messenger
