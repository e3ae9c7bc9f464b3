// Accepts connections for a gRPC server.
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/descriptor.h"
#include "server/connection_bounds.h"
#include "server/listener.h"

namespace messenger {

// Within which a peer that has connected must have said that it speaks HTTP/2.
inline constexpr std::chrono::milliseconds kHandshakeTimeout =
    std::chrono::seconds(20);

// Accepts what comes to a listener, within bounds, and hands it over. gRPC
// could do this itself, but never accepts again once the process has run out of
// descriptors, and has no bounds.
//
// A connection that is refused is accepted and reset, so that its peer knows at
// once. For when there are no descriptors left, one is held in reserve. What is
// refused is counted, and told once a while.
//
// What a peer sends first tells whether it speaks TLS; until then, gRPC need
// not know of it.
//
// To know when a connection ends, a duplicate of its descriptor is watched:
// whoever has taken a connection over shuts it down before closing it.
//
// gRPC ends connections that say nothing, too, but by a timer that stands still
// while the wall clock is behind what it was.
//
// Thread safety: `refused` from any thread; Stop and the destructor from one.
class Acceptor {
 public:
  struct Options {
    std::size_t max_connections;
    std::size_t max_connections_per_address;
    // A connection that has not said within this time that it speaks HTTP/2 is
    // ended.
    std::chrono::milliseconds handshake_timeout = kHandshakeTimeout;
    // Called on the acceptor's thread, must not block. May be empty.
    std::function<void(std::string_view notice)> on_notice;
  };
  // What a peer speaks, by the first byte that it has sent.
  enum class Protocol { kTls, kOther };
  struct Accepted {
    int listening_socket;
    Descriptor connection;
    sockaddr_storage peer;
    Protocol protocol;
  };
  // Takes a connection over, and the duty to close it. Called on the
  // acceptor's thread, never after Stop has returned.
  using HandOver = absl::AnyInvocable<void(Accepted accepted)>;

  // Listens, and accepts. UNAVAILABLE if it cannot, or if there are no
  // descriptors for it.
  static absl::StatusOr<std::unique_ptr<Acceptor>> Start(Listener listener,
                                                         Options options,
                                                         HandOver hand_over);
  ~Acceptor() { Stop(); }
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // Listens no longer. Connections that were handed over stay; others are
  // ended. Blocks until a hand-over that is under way has returned.
  void Stop();

  // Connections that were refused.
  std::uint64_t refused() const { return refused_; }

 private:
  using Network = ConnectionBounds::Network;
  using TimePoint = std::chrono::steady_clock::time_point;
  struct Connection {
    Descriptor duplicate;
    Network network;
    // Until the peer has sent something.
    Descriptor waiting;
    int listening_socket;
    sockaddr_storage peer;
  };
  struct Newcomer {
    TimePoint due;  // when it must have said that it speaks HTTP/2
    std::uint64_t id;
  };
  // What has come of the next connection of a listening socket.
  enum class Next { kTaken, kNone, kStuck };

  Acceptor(Listener listener, Options options, HandOver hand_over);
  absl::Status Prepare();

  void Run();
  // Waits until there is something to do.
  void Wait(bool for_connections);
  // When something is to be done even if nothing happens; TimePoint::max() if
  // there is nothing.
  TimePoint NextTime() const;
  // Hands over the connections whose peers have begun to speak, and forgets
  // those that have ended.
  void TakeEvents();
  void OnReadable(std::uint64_t id, Connection* connection);
  // Ends those that should have said something.
  void EndSilent();
  // Accepts from all sockets; false if it must wait with the next time.
  bool AcceptAll();
  Next AcceptNext(int listening_socket);
  // Accepts one and resets it, with the descriptor in reserve.
  Next Shed(int listening_socket);
  // Waits for what its peer says, or refuses it.
  void Take(int listening_socket, Descriptor connection,
            const sockaddr_storage& peer);
  // Counts it, if it is within the bounds.
  std::optional<Refusal> Admit(const Network& network);
  // False, and the connection stays, if there is no descriptor for it.
  bool Watch(int listening_socket, Descriptor* connection,
             const sockaddr_storage& peer);
  // Resets it, and counts that.
  void Refuse(Refusal refusal, const Network& network, Descriptor connection);
  void TellNotice();

  // On the acceptor's thread alone, once it runs.
  Listener listener_;
  const std::chrono::milliseconds handshake_timeout_;
  const std::function<void(std::string_view)> on_notice_;
  HandOver hand_over_;
  ConnectionBounds bounds_;
  RefusalNotices notices_;
  Descriptor reserve_;
  Descriptor watched_;  // an epoll of the duplicates
  std::uint64_t next_id_ = 0;
  absl::flat_hash_map<std::uint64_t, Connection> connections_;
  std::deque<Newcomer> newcomers_;  // in the order of their times

  Descriptor stop_;  // an eventfd: readable if it is to stop
  std::atomic<std::uint64_t> refused_{0};
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace messenger
