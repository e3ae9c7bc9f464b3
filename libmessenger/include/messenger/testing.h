// For tests of programs that use the library: a network that fails on demand,
// and a server behind it that can be stopped and started again.
//
//   using messenger::testing::TestServer;
//
//   const auto server = TestServer::Start().value();
//   messenger::Client client = server->Connect();
//   MyHandler handler(client);               // what is to be tested
//
//   server->proxy().Set({.stall_to_client = true});  // answers do not arrive
//   …                                                // and the handler waits
//   server->proxy().Set({});                         // now they do
//
//   server->Kill();                          // the connection breaks
//   CHECK(server->Restart().ok());           // same log, same address
//   …                                        // and the handler goes on
//
// Nothing here is fast or meant for production; it is as reliable as the rest.
// In a forked child (see `Client`), nothing but the destructors may be called.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/client.h"
#include "messenger/server.h"

namespace messenger::testing {

// What is wrong with the network. All of it can be combined; the default is a
// network without faults.
struct NetworkFaults {
  // New connections are reset as soon as they are made: as if nobody listened.
  // Those that are there stay.
  bool refuse_connections = false;
  // What the client sends does not arrive, the end of the connection included,
  // but the connection stays. The client sees that its bytes are taken, until
  // buffers are full (some hundred KiB to MiB), and silence if it waits for an
  // answer; the server sees silence. Nothing is lost: the bytes arrive when the
  // fault is over, as TCP does it after a loss of packets. Even if the client
  // has given the connection up by then: that is what makes a sent message
  // arrive late.
  bool stall_to_server = false;
  // The same for what the server sends. Both: a connection that is half-open,
  // to a peer that is gone without a word.
  bool stall_to_client = false;
  // Each byte arrives this much later, in both directions; the order is kept,
  // and bytes that are under way when it changes arrive when they were to.
  // Bounds: 0 to 1 hour; what is outside is taken for the nearest.
  std::chrono::microseconds delay{0};
  // Bytes arrive in pieces of at most this many, each sent on its own (with
  // TCP_NODELAY), so that a message comes in many reads; 0: as they come.
  // A piece costs the proxy some 10 µs: 1 makes a very slow network.
  std::size_t max_fragment_bytes = 0;
  // Each connection passes this many bytes a second in each direction; who
  // sends more finds its buffers full. 0: as many as there are.
  std::uint64_t bytes_per_second = 0;
};

// A TCP proxy on a port of this machine, whose network has the faults that it
// is told to have. Servers and clients of any kind may be on its ends: it does
// not look into the bytes. A connection that the server does not take is reset.
//
// It has one thread, and keeps at most 256 KiB for each direction of a
// connection: who does not read holds the other side back.
//
// Thread safety: all members may be called from any thread. What changes the
// network is in effect when the call returns.
class FaultProxy {
 public:
  // Listens on a free port of 127.0.0.1, for a server at `target`, host:port.
  // INVALID_ARGUMENT if that cannot be resolved, UNAVAILABLE if the machine has
  // no port or thread left.
  static absl::StatusOr<std::unique_ptr<FaultProxy>> Start(
      std::string_view target);

  // Resets all connections.
  ~FaultProxy();

  FaultProxy(const FaultProxy&) = delete;
  FaultProxy& operator=(const FaultProxy&) = delete;

  int port() const;
  // 127.0.0.1:PORT: what clients connect to.
  const std::string& address() const;

  // The faults from now on, of all connections that there are and will be. They
  // replace those that were set before: Set({}) heals the network.
  void Set(const NetworkFaults& faults);

  // Breaks all connections: both ends see ECONNRESET. What is under way, or
  // stalled, is lost. New connections are not affected.
  void ResetConnections();

  // Ends all connections in an orderly way: both ends read an end of file. What
  // is under way, or stalled, is lost.
  void CloseConnections();

  // Where new connections go from now on: to a server that has been started
  // again on another port. Those that are there stay. INVALID_ARGUMENT if it
  // cannot be resolved; nothing has changed then.
  absl::Status SetTarget(std::string_view target);

  // New connections go nowhere: they are reset, until SetTarget.
  void RemoveTarget();

  struct Counters {
    // That were made so far, those that were refused included.
    std::uint64_t connections = 0;
    // Of them: reset at once, since it was told to refuse them, there was no
    // target, or the target refused them.
    std::uint64_t refused = 0;
    // That are there now.
    std::uint64_t open = 0;
    // That were passed on.
    std::uint64_t bytes_to_server = 0;
    std::uint64_t bytes_to_client = 0;
  };
  Counters counters() const;

  // Blocks until `condition` holds, and returns true; false after `timeout`.
  // The condition is called on this thread, with a lock held: it must not call
  // members of the proxy.
  bool Await(const std::function<bool(const Counters&)>& condition,
             std::chrono::milliseconds timeout) const;

 private:
  class Impl;
  explicit FaultProxy(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

// A server in this process, behind a FaultProxy. Its clients stay at one
// address while it is stopped and started again.
//
// Thread safety: all members may be called from any thread. Kill, Stop, the
// Restarts and the destructor must not be called from a callback of a client
// that LocalClient has returned.
class TestServer {
 public:
  // Starts a server with these options, of which `listen` is not used. Default:
  // with a new memory log. Fails as Server::Start does.
  static absl::StatusOr<std::unique_ptr<TestServer>> Start(
      ServerOptions options = {});

  // As Kill.
  ~TestServer();

  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  // The address of the server, through the proxy, as host:port.
  const std::string& target() const;

  // A client of this server, through the proxy. The options' target is not
  // used.
  Client Connect(ClientOptions options = {}) const;

  // A client past the proxy, whose network has no faults: to send what the
  // tested program shall receive, or to see what it has sent. It ends with this
  // life of the server. While the server is stopped, its calls fail.
  Client LocalClient(ClientOptions options = {});

  // The network between the server and its clients.
  FaultProxy& proxy();

  // The server ends as if it were killed: connections break, and answers that
  // were under way are lost, though what they tell has happened. Connections
  // are refused from now on. No effect if it is stopped.
  void Kill();

  // The server ends as it does on SIGTERM: it answers the sends that it has
  // accepted, and ends its readers with UNAVAILABLE. Sends that do not come to
  // an end within a second, since the network stalls, are cut off. Connections
  // are refused from now on. No effect if it is stopped.
  void Stop();

  // Starts the server again, on the same log, after Kill if it still runs.
  // Fails as Server::Start does.
  absl::Status Restart();

  // The same with a new memory log, as if the server's disk had been lost: the
  // epoch is another one, and readers that resume are told of it by a gap.
  absl::Status RestartWithNewLog();

 private:
  class Impl;
  explicit TestServer(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace messenger::testing
