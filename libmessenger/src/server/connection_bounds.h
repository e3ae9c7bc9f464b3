// How many connections a server has, and how many it may have.
#pragma once

#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace messenger {

// Whose connections are counted together: those of one IPv4 address, or of one
// IPv6 network of 64 bits, since whoever has one address of it has them all.
struct PeerNetwork {
  std::array<std::uint8_t, 16> bytes{};  // IPv4 as ::ffff:a.b.c.d

  friend bool operator==(const PeerNetwork& a, const PeerNetwork& b) {
    return a.bytes == b.bytes;
  }
  template <typename H>
  friend H AbslHashValue(H h, const PeerNetwork& network) {
    return H::combine(std::move(h), network.bytes);
  }

  // "192.0.2.7", "2001:db8::/64".
  std::string Text() const;
};

// Nothing for a peer on this machine (loopback, or no IP address): it is not
// counted by address.
std::optional<PeerNetwork> NetworkOf(const sockaddr_storage& address);

// As many as leave something of the process's `descriptors` to everything else.
// A connection takes two of them; the log and gRPC need up to 256, of which 128
// are segments that are being read. Of a low limit, half is left.
std::size_t DefaultMaxConnections(std::size_t descriptors);

enum class Refusal {
  kTooMany,             // in total
  kTooManyFromNetwork,  // from one address
  kNoDescriptor,        // the process or the system has none left
};

// Thread safety: none.
class ConnectionBounds {
 public:
  using Network = std::optional<PeerNetwork>;

  ConnectionBounds(std::size_t max_total, std::size_t max_for_each)
      : max_total_(max_total), max_for_each_(max_for_each) {}

  std::size_t max_total() const { return max_total_; }
  std::size_t max_for_each() const { return max_for_each_; }
  std::size_t total() const { return total_; }

  // Counts one more, unless it is to be refused.
  std::optional<Refusal> Add(const Network& network);
  // One that was added is gone.
  void Remove(const Network& network);

 private:
  const std::size_t max_total_;
  const std::size_t max_for_each_;
  std::size_t total_ = 0;
  absl::flat_hash_map<PeerNetwork, std::size_t> networks_;  // none with 0
};

// Says once a while how many connections were refused: soon after the first
// one, and then once a minute at most.
//
// Thread safety: none.
class RefusalNotices {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::seconds kFirstAfter{1};
  static constexpr std::chrono::seconds kInterval{60};

  void Add(Refusal refusal, const ConnectionBounds::Network& network,
           TimePoint now);
  // When there is something to say; TimePoint::max() if there is nothing.
  TimePoint due() const { return due_; }
  // What is to be said at this time; empty if it is not due.
  std::string Take(const ConnectionBounds& bounds, TimePoint now);

 private:
  std::array<std::uint64_t, 3> refused_{};  // by Refusal, since the last notice
  ConnectionBounds::Network last_;          // that had too many
  TimePoint due_ = TimePoint::max();
  std::optional<TimePoint> last_notice_;
};

}  // namespace messenger
