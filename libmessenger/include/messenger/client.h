// The client: send messages, and read a channel with a callback for each.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/message.h"

namespace messenger {

struct ClientOptions {
  // host:port of the server, or any gRPC target name.
  std::string target = "localhost:51075";
  // Threads that run callbacks. Callbacks of different subscriptions run side
  // by side on them. Bounds: 1 to 256. Default 2: raise it if callbacks block.
  int callback_threads = 2;
  // Most messages, and most bytes of messages, that are sent and not yet
  // acknowledged; `Send` and `SendAsync` wait while they are reached. Larger
  // windows allow more throughput over long distances. Bounds: 1 to 2^20
  // messages, 1 MiB to 1 GiB. Defaults 65,536 and 16 MiB.
  std::size_t max_in_flight_messages = 65'536;
  std::size_t max_in_flight_bytes = std::size_t{16} << 20;
  // Largest NewMessage, encoded, that is offered to the server. Should agree
  // with the server's ServiceOptions::max_message_bytes. Bounds: 1 B to 16 MiB.
  // Default 1 MiB.
  std::size_t max_message_bytes = kDefaultMaxMessageBytes;
  // How long `Send` waits, for room in the window and then for its receipt,
  // before it gives up with DEADLINE_EXCEEDED; the message may still be stored.
  // Bounds: 1 ms to 24 days. Default 30 s.
  std::chrono::milliseconds send_timeout = std::chrono::seconds(30);
  // How long Ping, CheckHealth, ListChannels, GetChannel and DeleteChannel may
  // take.
  // Bounds: 1 ms to 24 days. Default 10 s.
  std::chrono::milliseconds call_timeout = std::chrono::seconds(10);
};

struct ReadOptions {
  // 1 to 128 of `A-Z a-z 0-9 . _ -`; empty means "general". It need not exist.
  std::string channel = {};
  Start start = Start::NewOnly();
  // End with OK after this many messages (at least 1).
  std::optional<std::uint64_t> limit = std::nullopt;
  // End with OK once everything was delivered that was stored when the reader
  // joined.
  bool until_caught_up = false;
  // End with OUT_OF_RANGE, instead of beginning with a gap, if messages from
  // the start on are no longer there, or if the position to resume after is of
  // another epoch.
  bool strict = false;
  // Ask the server for a sign of life when there was nothing else for this
  // long; zero: none. The server keeps it within its limits.
  std::chrono::milliseconds heartbeat_interval{0};
  // Go on past damaged records, with a gap, instead of ending with DATA_LOSS.
  bool skip_damaged = false;
};

// What `ReadCallbacks::on_joined` tells.
struct Joined {
  std::uint64_t epoch = 0;
  // The sequence of the next message.
  std::uint64_t next_sequence = 0;
  // The channel's newest sequence, 0 for none.
  std::uint64_t head = 0;
};

// The callbacks of one subscription. Each may be left empty.
//
// The contract:
//  - They run one at a time, in the order of the stream, on the client's own
//    callback threads, never on gRPC's. They may block: the stream is then held
//    back, and at most a few frames are buffered. They must not throw.
//  - on_end is called exactly once, as the last one, whatever happens:
//    OK after limit or until_caught_up, CANCELLED after Cancel or the end of
//    the Subscription or Client, UNAVAILABLE when the connection or the server
//    went away, DATA_LOSS if what arrived was damaged, else the server's error.
//  - Once Cancel, or the destructor of the Subscription or of the Client, has
//    returned, no callback runs or will run, unless it was called from inside a
//    callback of this client. In that case it does not wait: callbacks that are
//    running finish, no further message is delivered, and on_end follows.
//  - From inside a callback, all members of Client and Subscription may be
//    called, and both may be destroyed.
struct ReadCallbacks {
  // The reader stands in the stream: every message appended from now on
  // reaches it. First of all callbacks, unless the read fails before.
  absl::AnyInvocable<void(const Joined&)> on_joined = nullptr;
  // For each message, in strictly increasing sequence. The message is a view,
  // valid during the call.
  absl::AnyInvocable<void(const Message&)> on_message = nullptr;
  // Messages that this reader does not get, at their place in the stream.
  absl::AnyInvocable<void(const Gap&)> on_gap = nullptr;
  // Everything up to `head` has been delivered. Called the first time that is
  // so, and again each time after the reader had fallen behind.
  absl::AnyInvocable<void(std::uint64_t head)> on_caught_up = nullptr;
  // A frame without news, as asked for with heartbeat_interval.
  absl::AnyInvocable<void(std::uint64_t head)> on_heartbeat = nullptr;
  absl::AnyInvocable<void(const absl::Status&)> on_end = nullptr;
};

// A read in progress. Destroying it cancels the read. May outlive its Client,
// whose end ends it. Movable; a moved-from or default-constructed one is empty.
//
// Thread safety: const members may be called from any thread.
class Subscription {
 public:
  Subscription() = default;
  ~Subscription();
  Subscription(Subscription&& other) noexcept;
  Subscription& operator=(Subscription&& other) noexcept;
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;

  // Ends the read; see ReadCallbacks for what that means. A second call, or one
  // after the end, has no effect but waits like the first.
  void Cancel() const;

  // Blocks until on_end has returned, and returns what it was given. From
  // inside a callback of this client it would wait for itself: it returns
  // FAILED_PRECONDITION instead.
  absl::Status Wait() const;

  // The last position delivered; before the first message, the one that was
  // joined at; before joining, nothing. `Start::After` resumes there.
  std::optional<Position> position() const;

  class Impl;

 private:
  friend class Client;
  explicit Subscription(std::shared_ptr<Impl> impl);

  std::shared_ptr<Impl> impl_;
};

using SendCallback = absl::AnyInvocable<void(absl::StatusOr<Receipt>)>;

// A connection to a server. Messages sent to one channel by one client are
// stored in the order in which they were sent.
//
// Copies share the connection. Destroying the last copy fails the sends that
// have not been acknowledged with CANCELLED (use Flush before), ends all
// subscriptions, and waits until their last callbacks have returned; inside a
// callback it does not wait (it cannot join its own thread): callbacks that are
// due still run, then its threads end by themselves. Do not destroy the last
// copy, nor the last Subscription after it, on a thread of gRPC's, as in a
// reaction of a service of your own, and call none of the members that block
// there: these threads are few, and a receipt may need the one that waits.
//
// Connecting is left to the first use. If the server cannot be reached, calls
// fail with UNAVAILABLE; a later call tries again.
//
// Idempotency: a message whose send failed with UNAVAILABLE, CANCELLED,
// DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED or DATA_LOSS may or may not have been
// stored; sending it again may store it twice. All other errors mean that it
// was not stored.
//
// Thread safety: all members may be called from any thread.
class Client {
 public:
  // Never fails: an option that is out of bounds is INVALID_ARGUMENT from every
  // call.
  static Client Connect(ClientOptions options = {});

  // A client over a connected stream socket, such as one end of a socketpair,
  // instead of a target. Takes ownership of `fd`. It cannot reconnect.
  static Client FromFd(int fd, ClientOptions options = {});

  // Sends one message and waits for its receipt. Messages sent at the same time
  // from several threads, or with SendAsync, share batches. INVALID_ARGUMENT
  // names the field if the message breaks a rule; then nothing was sent.
  absl::StatusOr<Receipt> Send(const NewMessage& message);

  // Sends one message without waiting for the receipt. The message is copied
  // before the call returns. `done` is called exactly once, on a callback
  // thread, one at a time and in the order of the sends to a channel (but at
  // once if the message breaks a rule and is not sent); it may be empty. Blocks
  // while the window (ClientOptions::max_in_flight_*) is full, and, outside of
  // callbacks, while as many results wait for their `done`: do not hold a lock
  // that a `done` takes.
  //
  // Performance: a message that finds a request on its way gathers with others
  // into the next one; there is no delay when idle.
  void SendAsync(const NewMessage& message, SendCallback done = nullptr);

  // Waits until all messages sent before by this client are acknowledged or
  // have failed. (Their `done` may still be about to run.) OK, or the first
  // error of a SendAsync since the last Flush.
  absl::Status Flush();

  // Starts to read a channel. Never blocks; errors reach on_end.
  [[nodiscard]] Subscription Read(ReadOptions options, ReadCallbacks callbacks);

  // All channels, by name. Blocks.
  absl::StatusOr<std::vector<ChannelInfo>> ListChannels();

  // One channel. NOT_FOUND if it has had no message yet. Blocks.
  absl::StatusOr<ChannelInfo> GetChannel(std::string_view channel);

  // Drops a channel's messages and takes it off the list; sequences continue if
  // it is sent to again. NOT_FOUND if it is not there. Blocks.
  absl::Status DeleteChannel(std::string_view channel);

  // Asks the server for a small answer; returns the round-trip time. Blocks.
  absl::StatusOr<std::chrono::nanoseconds> Ping();

  // Asks the server's health service whether it takes messages. UNAVAILABLE if
  // not, since it is draining or its disk has failed, or if it cannot be
  // reached; UNIMPLEMENTED if it has no health service. Blocks.
  absl::Status CheckHealth();

  class Impl;

 private:
  explicit Client(std::shared_ptr<Impl> impl);

  std::shared_ptr<Impl> impl_;
};

}  // namespace messenger
