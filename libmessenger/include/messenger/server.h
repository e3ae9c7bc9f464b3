// A server that a program starts and stops.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "messenger/bounds.h"
#include "messenger/client.h"
#include "messenger/log.h"
#include "messenger/message.h"
#include "messenger/security.h"
#include "messenger/stats.h"

namespace grpc {
class ServerCredentials;
}  // namespace grpc

namespace messenger {

// How the service treats its clients. Sizes are of encoded messages and
// requests, without the transport's framing.
struct ServiceOptions {
  // Most bytes of one NewMessage. Default 1 MiB.
  std::size_t max_message_bytes = kDefaultMaxMessageBytes;
  static constexpr Bounds<std::size_t> kMaxMessageBytes =
      ClientOptions::kMaxMessageBytes;
  // Most bytes of one request: a batch, as clients send them, and at least
  // kRequestOverhead more than max_message_bytes. Default 4 MiB.
  std::size_t max_request_bytes = std::size_t{4} << 20;
  static constexpr Bounds<std::size_t> kMaxRequestBytes{std::size_t{512} << 10,
                                                        std::size_t{64} << 20};
  static constexpr std::size_t kRequestOverhead = 1024;
  // Most bytes of messages in one frame, unless a single message is larger. A
  // reader's frames begin with 64 KiB, and grow up to this while it takes them
  // quickly. Clients of other languages accept 4 MiB by default. Smaller frames
  // cost more per message; larger ones hold more log memory per reader. Default
  // 1 MiB.
  std::size_t max_frame_bytes = std::size_t{1} << 20;
  static constexpr Bounds<std::size_t> kMaxFrameBytes{std::size_t{1} << 10,
                                                      std::size_t{3} << 20};
  // Most bytes of appends under way over all calls, as they are stored. When
  // that much waits for the disk, calls wait before they are taken up, and the
  // connections that they come by take turns; four times as much may wait. A
  // call that would be one more, by the connection that has most waiting, is
  // refused with UNAVAILABLE, and `Client` tries again. A larger append is
  // taken up alone. Default 64 MiB.
  std::size_t max_append_bytes = std::size_t{64} << 20;
  static constexpr Bounds<std::size_t> kMaxAppendBytes{std::size_t{1} << 20,
                                                       std::size_t{64} << 30};
  // Most log memory that frames on their way to readers may hold, over all
  // readers: what a frame refers to stays until the reader has taken it, though
  // the log may have dropped it. What several readers are sent counts once, and
  // chunks of memory count as a whole. Beyond it, the readers whose frames have
  // been on their way for longest are cut off, as after stall_timeout; the
  // newest frame always stays. When half of it is used, frames become smaller
  // (64 KiB, and less the less is left), so that many slow readers find room.
  // At least twice the larger of max_message_bytes and max_frame_bytes. Default
  // 256 MiB.
  std::size_t max_frames_in_flight_bytes = std::size_t{256} << 20;
  static constexpr Bounds<std::size_t> kMaxFramesInFlightBytes{
      2 * kMaxFrameBytes.least, std::size_t{1} << 40};
  // Limits within which a client's heartbeat interval is kept, in order.
  std::chrono::milliseconds min_heartbeat_interval = std::chrono::seconds(1);
  std::chrono::milliseconds max_heartbeat_interval = std::chrono::hours(1);
  static constexpr Bounds<std::chrono::milliseconds> kHeartbeatInterval{
      std::chrono::milliseconds(1), ReadOptions::kHeartbeatInterval.most};
  // A reader that has not taken a frame for this long is cut off (its stream
  // ends with CANCELLED); zero waits for ever. It can resume where it was, and
  // `Client` does. It should be longer than the largest message takes on the
  // slowest line. Default 15 minutes.
  std::chrono::milliseconds stall_timeout = std::chrono::minutes(15);
  static constexpr Bounds<std::chrono::milliseconds> kStallTimeout{
      std::chrono::milliseconds(0), std::chrono::hours(24) * 30};
  // A connection that has been silent for so long is asked for a sign of life
  // (an HTTP/2 ping), and closed if there is none within the timeout: so peers
  // that are gone without a word are noticed. On a slow line the timeout must
  // be longer than the largest message takes, see ClientOptions, as it is for 1
  // MiB at 50 KB/s. Defaults 10 s and 30 s.
  std::chrono::milliseconds keepalive_time = std::chrono::seconds(10);
  std::chrono::milliseconds keepalive_timeout = std::chrono::seconds(30);
  static constexpr Bounds<std::chrono::milliseconds> kKeepalive =
      ClientOptions::kKeepalive;
  // Who may use it, and for what. Default: this machine, for everything.
  AccessOptions access = {};
};

struct ServerOptions {
  // HOST:PORT to listen on (see ParseAddress). HOST is an IPv4 address, an IPv6
  // address in brackets, or a name, of which all addresses are taken; 0.0.0.0
  // is every IPv4 address,
  // [::] every IPv6 and IPv4 address. Port 0 takes a free one (see
  // `Server::port`). Empty: no TCP port, only `LocalClient`.
  std::string listen = "0.0.0.0:51075";
  // Encrypts the connections to it, and says which clients are let in. Default:
  // it is not encrypted, and serves this machine only (AccessOptions), though
  // it listens on every address.
  std::optional<ServerTls> tls = std::nullopt;
  // The log to serve. Default: what `open_log` returns, or else a new memory
  // log.
  std::shared_ptr<MessageLog> log = nullptr;
  ServiceOptions service = {};
  // Most connections over TCP at a time; one more is reset at once. Default, as
  // 0: what the process's limit of descriptors allows when the server starts. A
  // connection takes two of them, and 256 are left to everything else, or half
  // of a limit below 512: a limit of 1,024 makes 384 connections. The library
  // does not raise the limit; a program can (RLIMIT_NOFILE), and
  // messenger-server does.
  std::size_t max_connections = 0;
  // Most of them from one IPv4 address, or from one /64 network of IPv6.
  // Connections from this machine's loopback are not counted by address.
  // Default, as 0: 1,024, or half of max_connections if that is less. Behind a
  // proxy, or a bridge that hides addresses, it has to be larger.
  std::size_t max_connections_per_address = 0;
  // Told what an operator should know, a line without its end: that connections
  // were refused, how many and why, once a minute at most; who was refused,
  // once for each peer; and what is to be known of the files of `tls` and of
  // `service.access`. Called by Start and by threads of the server, perhaps by
  // several at a time; must not block, nor call the server. Default: nobody is
  // told.
  std::function<void(std::string_view)> on_notice = nullptr;
  // Opens the log, if `log` is not set. Start calls it when the options are
  // found to be valid and the address is this server's: so a start that fails,
  // since another server is there, leaves no log behind, and a log that takes
  // long to open keeps nobody waiting, since connections are refused until
  // then. Its error is that of Start.
  std::function<absl::StatusOr<std::shared_ptr<MessageLog>>()> open_log =
      nullptr;
};

// It answers gRPC's health checks (grpc.health.v1), for "" and for
// "messenger.v1.MessengerServer" alike: SERVING while it takes messages, that
// is until Shutdown and while its log does not refuse them, since its disk is
// full (SERVING again when there is room) or has failed. Reading goes on
// meanwhile: this is for those who choose a server to send to, not a reason to
// end it.
//
// It stays reachable: when connections or descriptors run out, it refuses, and
// serves again as soon as there are some. A peer that connects and does not
// begin to speak HTTP/2 is cut off within 20 seconds.
//
// In a forked child (see `Client`), Start and clients fail with
// FAILED_PRECONDITION, and Shutdown, Wait and the destructor do nothing: the
// server is the parent's.
//
// Thread safety: all members may be called from any thread. Shutdown, Wait and
// the destructor must not be called from a callback of one of this server's
// local clients, whose end they wait for.
//
// To add the service to a gRPC server that a program already has, use
// messenger/grpc.h instead.
class Server {
 public:
  // Starts to listen. Blocks while it looks for the addresses of a name.
  // INVALID_ARGUMENT names an option that is out of bounds, or an address that
  // is no HOST:PORT; UNAVAILABLE means that the address cannot be listened on.
  static absl::StatusOr<std::unique_ptr<Server>> Start(ServerOptions options);

  // Shuts down with a deadline of one second, if that was not done yet.
  ~Server();

  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // The port it listens on; 0 without one.
  int port() const;

  // The address it listens on, as host:port with the real port; empty without.
  const std::string& address() const;

  // How many connections were refused so far, for want of descriptors or since
  // there were too many.
  std::uint64_t refused_connections() const;

  // What it has counted so far; all 0 in a forked child.
  ServerStats Stats() const;

  // A client that is connected to this server without a TCP port. It may
  // outlive the server; its calls then fail with UNAVAILABLE. The options'
  // target is not used.
  Client LocalClient(ClientOptions options = {});

  // Drains and stops: no new call is accepted, readers are ended with
  // UNAVAILABLE, sends that were accepted are completed and answered. Calls
  // that are still there at the deadline (at most 24 hours) are cancelled.
  // Blocks until all this has happened; later calls wait for the first. Not
  // from a signal handler.
  void Shutdown(std::chrono::milliseconds deadline = std::chrono::seconds(5));

  // Blocks until Shutdown has finished, in whichever thread.
  void Wait();

 private:
  friend absl::StatusOr<std::unique_ptr<Server>> StartServer(
      ServerOptions options,
      std::shared_ptr<grpc::ServerCredentials> credentials);

  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  // Null: those that the options ask for.
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      ServerOptions options,
      std::shared_ptr<grpc::ServerCredentials> credentials);

  std::unique_ptr<Impl> impl_;
};

}  // namespace messenger
