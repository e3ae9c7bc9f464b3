// The servers that are measured.
#pragma once

#include <sys/types.h>

#include <string>

#include "disk.h"
#include "peers/endpoint.h"

namespace messenger::bench {

enum class ServerKind {
  kNone,
  kMessengerMemory,
  kMessengerOs,
  kMessengerFsync,
  kMessengerSmall,  // memory, with retention
  kNats,            // core and JetStream
  kRedisNoSync,     // appendonly, appendfsync no
  kRedisEverySec,   // appendonly, appendfsync everysec
  kRedisAlways,     // appendonly, appendfsync always
  kBare,            // gRPC without a log
  kBareSynced,      // which writes and syncs a file in each call
  kGateway,         // messenger-gateway, of another server
};

// What a server asks of its clients, and they of it.
struct Protection {
  bool tls = false;     // with a certificate of its own
  bool rights = false;  // a token, and a file that says what it is good for
};

inline constexpr Protection kPlain = {};
inline constexpr Protection kRights = {.rights = true};
inline constexpr Protection kTls = {.tls = true};
inline constexpr Protection kTlsAndRights = {.tls = true, .rights = true};

// In words: plain, rights, TLS, TLS and rights.
std::string ToWords(const Protection& protection);

// How it is set up, in words.
std::string Describe(ServerKind kind, const Protection& protection);

// A server process with a fresh directory, on a free port of the loopback
// interface, from construction to destruction.
class PeerServer {
 public:
  // Returns when it accepts connections. Throws std::runtime_error. A gateway
  // is one of the server at the address `behind`.
  PeerServer(ServerKind kind, const Protection& protection,
             const std::string& parent_directory,
             const std::string& behind = "");
  ~PeerServer();
  PeerServer(const PeerServer&) = delete;
  PeerServer& operator=(const PeerServer&) = delete;

  pid_t pid() const { return pid_; }
  const Endpoint& endpoint() const { return endpoint_; }
  std::string directory() const { return directory_.path(); }

 private:
  ScratchDirectory directory_;
  pid_t pid_ = -1;
  Endpoint endpoint_;
};

}  // namespace messenger::bench
