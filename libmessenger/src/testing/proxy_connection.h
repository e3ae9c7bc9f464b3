// A connection that goes through the fault proxy.
#pragma once

#include <poll.h>

#include <array>
#include <cstdint>
#include <optional>

#include "messenger/testing.h"
#include "testing/proxy_flow.h"
#include "testing/socket.h"

namespace messenger::testing {

// Thread safety: none.
class ProxyConnection {
 public:
  // `server` is on its way (see Connect).
  ProxyConnection(Fd client, Fd server);

  struct Passed {
    std::uint64_t to_server = 0;
    std::uint64_t to_client = 0;
    bool refused = false;  // by the server
  };

  // What to wait for: the client's socket and the server's. Those that nothing
  // is awaited of have no descriptor, since an error would be reported again
  // and again.
  std::array<pollfd, 2> Polled(Clock::time_point now,
                               const NetworkFaults& faults) const;
  // When something has to be done though no socket is ready.
  std::optional<Clock::time_point> NextTurn(const NetworkFaults& faults) const;

  // Does what can be done. False when it is over.
  bool Turn(Clock::time_point now, const NetworkFaults& faults, Passed* passed);

  // Breaks both ends.
  void ResetBoth();
  // Ends both in an orderly way. Whatever comes is dropped, until both have
  // ended as well.
  void Close();

 private:
  // The socket of a peer that has failed is of no more use; what it means
  // reaches the other peer as bytes do, and so may be stalled.
  struct Peer {
    Fd fd;
    bool failed = false;
  };

  void Move(Clock::time_point now, const NetworkFaults& faults, Passed* passed);
  bool TurnClosing();

  Peer client_;
  Peer server_;
  Flow to_server_;
  Flow to_client_;
  bool connected_ = false;  // to the server
  bool closing_ = false;
};

}  // namespace messenger::testing
