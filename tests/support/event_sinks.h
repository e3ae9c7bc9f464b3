// Readers of server-sent events that do as little as a reader can, so that it
// is the gateway that is measured or tested, and not they.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace messenger::test {

struct EventSinkOptions {
  int port = 0;  // of a gateway on this machine
  // Nothing may have been sent to it, and no one else may send.
  std::string channel;
  std::size_t streams = 1;
  // More of them that read nothing once they have caught up, into small
  // buffers.
  std::size_t stalled = 0;
  // Most messages that will be sent.
  std::size_t messages = 0;
};

// One thread reads all streams. Each must get the messages 1, 2, 3, … , once
// and in order, and all of them the same bytes.
//
// Thread safety: all members may be called from any thread.
class EventSinks {
 public:
  using Clock = std::chrono::steady_clock;

  // Returns when all of them have caught up. Throws std::runtime_error.
  explicit EventSinks(const EventSinkOptions& options);
  ~EventSinks();
  EventSinks(const EventSinks&) = delete;
  EventSinks& operator=(const EventSinks&) = delete;

  // Until all but the stalled ones have this message. Throws
  // std::runtime_error if one of them has something else, or has ended, and
  // after a minute without any progress.
  void Await(std::uint64_t message) const;
  // When the last of them had it; call Await before.
  Clock::time_point ArrivedAt(std::uint64_t message) const;
  // How many pieces of the body have arrived: the gateway sends one for each
  // frame that it has got.
  std::uint64_t pieces() const { return pieces_; }

 private:
  class Stream;
  // Of one message.
  struct Arrival {
    std::size_t bytes_hash = 0;
    std::size_t streams = 0;
    Clock::time_point last;
  };

  struct Progress {
    std::uint64_t value = 0;
    Clock::time_point since = Clock::now();
  };

  void Open(std::size_t index);
  void Run();
  void ReadAll();
  void OnMessage(std::uint64_t message, std::size_t bytes_hash);
  // Throws if there was no progress for too long.
  void WaitABit(std::uint64_t now, Progress* progress) const;

  const EventSinkOptions options_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::vector<Arrival> arrivals_;
  std::atomic<std::size_t> caught_up_{0};
  std::atomic<std::uint64_t> received_{0};  // by all together
  std::atomic<std::uint64_t> complete_{0};  // the newest that all have
  std::atomic<std::uint64_t> pieces_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};
  std::string failure_;  // valid once failed_ is set
  int epoll_ = -1;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace messenger::test
