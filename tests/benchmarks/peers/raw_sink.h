// Readers that do as little as a reader can: they count what arrives. So it is
// the server that is measured, and not a client library.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace messenger::bench {

enum class SinkProtocol { kMessenger, kNats };

struct SinkOptions {
  SinkProtocol protocol = SinkProtocol::kMessenger;
  std::string address;
  std::size_t readers = 1;
  std::size_t connections = 1;
  // What libmessenger's server may send before it is read (HTTP/2 window).
  std::uint32_t window_bytes = 0x7fffffff;
  std::chrono::milliseconds heartbeat_interval{0};
  // Whether to read on once all have joined.
  bool stalled = false;
};

// One thread reads all connections. Of libmessenger's it takes HTTP/2 apart
// (RFC 9113) as far as it must to keep the stream flowing; of NATS's, nothing.
class RawSinks {
 public:
  // Returns when all have joined. Throws std::runtime_error.
  explicit RawSinks(const SinkOptions& options);
  ~RawSinks();
  RawSinks(const RawSinks&) = delete;
  RawSinks& operator=(const RawSinks&) = delete;

  // Of messages, since they joined, framing included: of the connection that
  // has least, and of all.
  std::uint64_t SlowestBytes() const;
  std::uint64_t TotalBytes() const;
  // gRPC messages; 0 of NATS, which has none.
  std::uint64_t TotalFrames() const;

  // From now on, looks for these bytes at the end of what arrives. Call it
  // before they are sent, and then AwaitMarker.
  void ExpectMarker(std::string_view marker);
  // Until they have arrived on all connections. Throws after a minute without
  // any progress.
  void AwaitMarker() const;

 private:
  class Connection;

  void Run();
  void ReadAll();

  std::vector<std::unique_ptr<Connection>> connections_;
  std::string marker_;
  std::atomic<bool> marker_set_{false};
  std::atomic<std::size_t> marked_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};
  int epoll_ = -1;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace messenger::bench
