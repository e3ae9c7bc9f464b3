// The networks between clients and the server, and what goes wrong in them.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "messenger/testing.h"
#include "support/seed.h"

namespace messenger::test::chaos {

using Clock = std::chrono::steady_clock;

// Several proxies, each with faults of its own.
//
// Thread safety: none.
class Network {
 public:
  enum class Fault : std::uint8_t {
    kReset,
    kClose,
    kRefuse,
    kHalfOpen,
    kStallToServer,
    kStallToClient,
    kDelay,
    kFragments,
    kSlow,
    kCount
  };
  static constexpr std::size_t kFaults =
      static_cast<std::size_t>(Fault::kCount);
  static std::string_view NameOf(Fault fault);

  // Throws if the machine has no port left.
  Network(std::size_t proxies, std::uint64_t seed);

  // The server is on this port of this machine; it is gone.
  void SetTarget(int port);
  void RemoveTarget();

  // What clients connect to; each number has one of the proxies.
  const std::string& address(std::size_t client) const;

  // Something goes wrong, somewhere, for a while.
  void Disturb();
  // Ends what has lasted for long enough.
  void Calm();
  // Ends all of it.
  void Heal();

  std::uint64_t count(Fault fault) const {
    return counts_[static_cast<std::size_t>(fault)];
  }
  std::uint64_t connections() const;
  std::uint64_t bytes() const;

 private:
  struct Proxy {
    std::unique_ptr<testing::FaultProxy> proxy;
    Clock::time_point until = Clock::time_point::max();  // of its faults
  };

  // Sets the faults for a while, at random between these.
  void SetFor(Proxy* proxy, const testing::NetworkFaults& faults,
              std::chrono::milliseconds least, std::chrono::milliseconds most);

  Random random_;
  std::vector<Proxy> proxies_;
  std::array<std::uint64_t, kFaults> counts_{};
};

}  // namespace messenger::test::chaos
