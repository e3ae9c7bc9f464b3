// What each system is asked to do, whatever its client library calls it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "peers/endpoint.h"
#include "peers/run.h"

namespace messenger::bench {

// Reader, text, and whether more of what arrived together with it follows (only
// libmessenger can tell). May be called from several threads, for one reader
// from one at a time.
using OnText =
    std::function<void(std::size_t reader, std::string_view text, bool last)>;

// One sender, and readers that get what is sent from now on. All members throw
// std::runtime_error.
class LivePeer {
 public:
  LivePeer() = default;
  virtual ~LivePeer() = default;
  LivePeer(const LivePeer&) = delete;
  LivePeer& operator=(const LivePeer&) = delete;

  // Once, before anything is sent. Returns when all of them have joined.
  virtual void Subscribe(std::size_t readers, std::size_t connections,
                         OnText on_text) = 0;
  // As many at a time as the client library likes.
  virtual void Publish(std::string_view text) = 0;
  // Until the server has all of it.
  virtual void Flush() = 0;
};

// A sender and a reader of stored messages. All members throw
// std::runtime_error.
class StorePeer {
 public:
  StorePeer() = default;
  virtual ~StorePeer() = default;
  StorePeer(const StorePeer&) = delete;
  StorePeer& operator=(const StorePeer&) = delete;

  // Sends flat out for so long, or so many, and returns how many when all are
  // acknowledged.
  virtual std::uint64_t SendFor(double seconds, std::string_view text) = 0;
  virtual void SendCount(std::uint64_t count, std::string_view text) = 0;
  // Returns when it is acknowledged.
  virtual void SendOne(std::string_view text) = 0;
  // Reads from the oldest message until `on_text` has had so many.
  virtual void Replay(std::uint64_t count, OnText on_text) = 0;
};

// By the system that is to run: messenger, nats, nats-asap, nats-threads;
// messenger, jetstream, jetstream-memory, redis.
std::unique_ptr<LivePeer> MakeLive(const RunOptions& run);
std::unique_ptr<StorePeer> MakeStore(const RunOptions& run);

std::unique_ptr<LivePeer> MakeMessengerLive(const RunOptions& run);
std::unique_ptr<StorePeer> MakeMessengerStore(const RunOptions& run);
struct NatsLiveOptions {
  // Callbacks on a pool of threads that all subscriptions share; else, as
  // libnats has it by default, on a thread for each.
  bool pool = true;
  // Each message at once, for latency; else, as libnats has it by default, when
  // its flusher comes around, for throughput.
  bool send_asap = false;
};
std::unique_ptr<LivePeer> MakeNatsLive(const Endpoint& server,
                                       const NatsLiveOptions& options);
// JetStream.
std::unique_ptr<StorePeer> MakeNatsStore(const Endpoint& server,
                                         bool in_memory);
// Streams.
std::unique_ptr<StorePeer> MakeRedisStore(const std::string& address);

}  // namespace messenger::bench
