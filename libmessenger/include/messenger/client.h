// The client: send messages, and read a channel with a callback for each.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/bounds.h"
#include "messenger/executor.h"
#include "messenger/message.h"
#include "messenger/security.h"
#include "messenger/stats.h"

namespace grpc {
class Channel;
class ChannelCredentials;
}  // namespace grpc

namespace messenger {

// How a client goes on when its server is away, or answers UNAVAILABLE: it
// tries again after a while, which doubles with every try that fails. Only
// progress ends that: a message that is delivered, or none to deliver for a
// while, a receipt. An answer that leads nowhere does not.
//
// No other error is tried again, but for a message that arrives damaged, once.
// RESOURCE_EXHAUSTED in particular, as of a full disk or too many channels, is
// an answer, to sends and reads alike: nothing is stored, and it is for the
// program to wait or to do something else.
struct RetryOptions {
  // The first while, and the longest one. The client waits for a random part of
  // it ("full jitter"), so that many clients do not come back all at once. The
  // first must not be above the longest. Defaults 100 ms and 2 s.
  std::chrono::milliseconds initial_backoff{100};
  std::chrono::milliseconds max_backoff{2000};
  static constexpr Bounds<std::chrono::milliseconds> kBackoff{
      std::chrono::milliseconds(1), std::chrono::hours(1)};
  // Give up, with UNAVAILABLE, when there has been no progress for so long,
  // from the first try or from the loss of the connection on; zero: when a try
  // fails. A try is cut short for it, but has a second. Default: never.
  std::optional<std::chrono::milliseconds> give_up_after = std::nullopt;
  static constexpr Bounds<std::chrono::milliseconds> kGiveUpAfter{
      std::chrono::milliseconds(0), std::chrono::hours(24) * 24};
};

// What to do with a message that finds the window full.
enum class WhenFull : std::uint8_t {
  kBlock,   // wait for room until the message's timeout
  kRefuse,  // fail it at once with RESOURCE_EXHAUSTED
};

struct ClientOptions {
  // HOST:PORT of the server, port 51075 if there is none; ParseTarget, in
  // messenger/address.h, has the other forms. Errors name it, unless
  // `name_in_errors` says otherwise.
  std::string target = "localhost:51075";
  // When and for how long to try again. It holds for each subscription, and for
  // sending.
  RetryOptions retry = {};
  // Runs the callbacks, if it is set; else a pool of up to `callback_threads`
  // threads (default 2: raise it if callbacks block).
  // Callbacks of different subscriptions run side by side. What this client
  // promises of being "inside a callback" then holds for the callbacks of all
  // clients of this executor. Blocking members of the client must not be called
  // in other tasks of it, unless it has threads left.
  std::shared_ptr<Executor> executor = nullptr;
  int callback_threads = 2;
  static constexpr Bounds<int> kCallbackThreads{1, 256};
  // Told what an operator should know, a line without its end: that the server
  // is away and why, that it is back. What comes and goes is told at growing
  // intervals, with how often it did. Called by threads of the client; must not
  // block, nor call the client. Default: nobody is told.
  std::function<void(std::string_view)> on_notice = nullptr;
  // The window: most messages, and most bytes of messages, that are sent and
  // not yet acknowledged. Larger ones allow more throughput over long
  // distances, and bridge longer absences of the server. A message larger than
  // the window goes alone. Defaults 65,536 and 16 MiB.
  std::size_t max_in_flight_messages = 65'536;
  static constexpr Bounds<std::size_t> kMaxInFlightMessages{
      1, std::size_t{1} << 20};
  std::size_t max_in_flight_bytes = std::size_t{16} << 20;
  static constexpr Bounds<std::size_t> kMaxInFlightBytes{std::size_t{1} << 20,
                                                         std::size_t{1} << 30};
  WhenFull when_full = WhenFull::kBlock;
  // Largest NewMessage, encoded, that is offered to the server. Should agree
  // with the server's ServiceOptions::max_message_bytes. Default 1 MiB.
  std::size_t max_message_bytes = kDefaultMaxMessageBytes;
  static constexpr Bounds<std::size_t> kMaxMessageBytes{1,
                                                        std::size_t{16} << 20};
  // How long a message may wait, for room in the window and then for its
  // receipt, before its send fails with DEADLINE_EXCEEDED; zero: for ever. See
  // SendOptions. Default 30 s.
  std::chrono::milliseconds send_timeout = std::chrono::seconds(30);
  static constexpr Bounds<std::chrono::milliseconds> kSendTimeout{
      std::chrono::milliseconds(0), std::chrono::hours(24) * 24};
  // How long each call that says that it blocks may take (a list with all of
  // its pages), SendAs by default, and a server to let a reader or a sender in,
  // before that counts as failed. Default 10 s.
  std::chrono::milliseconds call_timeout = std::chrono::seconds(10);
  static constexpr Bounds<std::chrono::milliseconds> kCallTimeout{
      std::chrono::milliseconds(1), std::chrono::hours(24) * 24};
  // A connection that has been silent for so long, with calls on it, is asked
  // for a sign of life (an HTTP/2 ping), and given up if there is none within
  // the timeout. This is how senders notice that the server is gone without a
  // word; readers have heartbeats. On a slow line the ping waits behind what is
  // being sent, and the system gives a connection up on which nothing gets on
  // for as long as the timeout: so it must be longer than the largest message
  // takes, as it is for 1 MiB at 50 KB/s, and than one that is sent and one
  // that is read, if both happen at once. A sender has no more on its way than
  // gets receipts within a quarter of the timeout, but 256 KiB in any case:
  // with less than 16 round trips, a long line is not filled. Defaults 10 s and
  // 30 s.
  std::chrono::milliseconds keepalive_time = std::chrono::seconds(10);
  std::chrono::milliseconds keepalive_timeout = std::chrono::seconds(30);
  static constexpr Bounds<std::chrono::milliseconds> kKeepalive{
      std::chrono::milliseconds(100), std::chrono::hours(24) * 24};
  // Whether subscriptions may share a stream: see Client. A program that wants
  // a stream of the server's for each has to say so.
  bool share_tails = true;
  // The name of a producer that outlives this process: 1 to 256 bytes of UTF-8.
  // What it sends is stored once, also if it is killed and started again: see
  // OpenProducer. Default: none, a new producer for each client.
  std::string producer_name = {};
  // HOST:PORT of an HTTP proxy through which to reach the server: it must let
  // CONNECT through, and ask for no password. The target must be HOST:PORT; the
  // proxy looks up its name. Errors name the proxy. Default: none, whatever
  // http_proxy, https_proxy, grpc_proxy and no_proxy say in the environment.
  std::string http_proxy = {};
  // Encrypts the connections, by TLS. The files are read when the client is
  // made: what is wrong with them is INVALID_ARGUMENT from every call. Later,
  // while what is in them cannot be used, what was read before is. Default: not
  // encrypted.
  std::optional<ClientTls> tls = std::nullopt;
  // A bearer token (see messenger/security.h) that goes with every call, or the
  // file that holds it, which is read for each call, so that it can be
  // replaced: a call that the server ends since the token is not valid any more
  // is made again if the file has another one. At most one of them. Never goes
  // to another machine without encryption, unless `insecure_token` is set.
  // Default: none.
  std::string token = {};
  std::string token_file = {};
  bool insecure_token = false;
  // How errors name the server, for a program that passes them on to others who
  // need not know where it is. Notices name the target all the same. Default:
  // the target.
  std::string name_in_errors = {};
};

struct SendOptions {
  // Instead of ClientOptions::send_timeout, with its bounds. A message that was
  // not on its way yet is then dropped. One that was may have been stored, or
  // may still be: the client goes on sending it, so that those after it are
  // stored in order.
  std::optional<std::chrono::milliseconds> timeout = std::nullopt;
  // A conditional append: store the message only if this is the position of the
  // channel's last one, sequence 0 for none yet (a deleted channel keeps its
  // count). So a program that has decided by what it has read, up to there, is
  // the only one that has, if several do: optimistic concurrency. Epoch 0: in
  // whichever log the client reaches first.
  //
  // Otherwise the send fails with ABORTED, whose reason is WRONG_LAST_SEQUENCE
  // and whose details say what the last one is (see messenger/error.h and
  // LastPosition). That is final, after a reconnect as well: the message is not
  // stored, and MayBeStored is false; after a reconnect it is true of a message
  // that expects one that is yet to come, which nobody can have read. An
  // attempt that was stored is known again, whose retry succeeds. What was sent
  // after it is stored all the same, in order, a round trip later, but not that
  // of a named producer (see OpenProducer). UNIMPLEMENTED from an old server.
  std::optional<Position> expected_last = std::nullopt;
  // Of a client with a producer_name: the producer's own number of this
  // message, at least 1. Numbers ascend; there may be holes. A number that is
  // not above the last one that the log has of this producer in this channel is
  // a duplicate, whatever the message says: nothing is stored, and the receipt
  // says so. Default: the next one.
  std::optional<std::uint64_t> producer_sequence = std::nullopt;
  // For callers that cannot number: 1 to 255 bytes of UTF-8. The log stores the
  // first message with this key in the channel. For the same message once more
  // it gives the original receipt, as a duplicate, whoever sends it; another
  // one is FAILED_PRECONDITION with the reason IDEMPOTENCY_KEY_REUSED. It
  // remembers keys for a day, and 100,000 of them (LogOptions), over restarts.
  // Each such message goes in a request of its own. UNIMPLEMENTED if the server
  // is too old. Not together with producer_sequence.
  std::string idempotency_key = {};
};

// What the position of the channel's last message was, of a send that has
// failed for its condition; nothing if `status` is another error.
std::optional<Position> LastPosition(const absl::Status& status);

// Whether a message whose send failed with `status` may have been stored: the
// client does not know. False: it is not, and will not be. The text of the
// status says so, too: keep its end if you pass it on in another one.
bool MayBeStored(const absl::Status& status);

struct ReadOptions {
  // 1 to 128 of `A-Z a-z 0-9 . _ -`; empty means "general". It need not exist.
  std::string channel = {};
  Start start = Start::NewOnly();
  // End with OK after this many messages (at least 1).
  std::optional<std::uint64_t> limit = std::nullopt;
  // End with OK once everything was delivered that was stored when the reader
  // joined.
  bool until_caught_up = false;
  // End with OUT_OF_RANGE instead of a gap, at the start and later.
  bool strict = false;
  // Ask the server for a sign of life when there was nothing else for this
  // long; zero: none. The server keeps it within its limits (by default, from 1
  // second on). If nothing comes for 2.25 of these intervals while the client
  // is ready to take it, the connection counts as lost: so a network that
  // swallows everything, or a server that hangs, is noticed. The server sends
  // little at a time to a reader on a slow line, and announces what is larger,
  // such as a message of 1 MiB: then the client waits for longer. 50 KB/s are
  // enough with the default, also for several readers that share them, unless
  // their messages are large. Default 10 s.
  std::chrono::milliseconds heartbeat_interval = std::chrono::seconds(10);
  static constexpr Bounds<std::chrono::milliseconds> kHeartbeatInterval{
      std::chrono::milliseconds(0), std::chrono::hours(24) * 30};
  // Go on past damaged records, with a gap, instead of ending with DATA_LOSS.
  bool skip_damaged = false;
};

// Where a reader stands when it has joined.
struct Joined {
  std::uint64_t epoch = 0;
  // The sequence of the next message.
  std::uint64_t next_sequence = 0;
  // The channel's newest sequence, 0 for none.
  std::uint64_t head = 0;

  friend bool operator==(const Joined&, const Joined&) = default;
};

struct SubscriptionState {
  enum class Kind : std::uint8_t {
    kConnecting,  // the server has been asked, and has not answered yet
    kJoined,      // the reader stands in the stream
    kCaughtUp,    // and all that was there when it joined has been delivered
    kWaiting,     // it is not connected; tries again at `next_try`
    kEnded,
  };

  Kind kind = Kind::kConnecting;
  // kWaiting: why; kEnded: as for on_end.
  absl::Status reason = {};
  // kWaiting.
  std::chrono::steady_clock::time_point next_try = {};
  // Since there was progress: see RetryOptions.
  int failed_tries = 0;
  // kJoined, kCaughtUp.
  std::optional<Joined> joined = std::nullopt;
};

// "connecting", "joined", …: the state as a word.
std::string_view ToString(SubscriptionState::Kind kind);

// The callbacks of one subscription. Each may be left empty.
//
// The contract:
//  - They run one at a time, in the order of the stream, on the client's own
//    callback threads or executor, never on gRPC's. They may block: the stream
//    is then held back, and at most two frames and 2 MiB are buffered (where
//    subscriptions share a stream, another 64 KiB or frame for all of them).
//    They must not throw.
//  - A subscription does not end when the connection or the server goes: it
//    comes back, and goes on after the last message it has delivered.
//  - on_end is called exactly once, as the last one, whatever happens:
//    OK after limit or until_caught_up, CANCELLED after Cancel or the end of
//    the Subscription or Client, UNAVAILABLE when RetryOptions says to give up,
//    DATA_LOSS if a message arrived damaged, and so again when it was asked for
//    once more, else the server's error.
//  - Once Cancel, or the destructor of the Subscription or of the Client, has
//    returned, no callback runs or will run, unless it was called from inside a
//    callback of this client. In that case it does not wait: callbacks that are
//    running finish, no further message is delivered, and on_end follows.
//  - From inside a callback, all members of Client and Subscription may be
//    called, and both may be destroyed.
struct ReadCallbacks {
  // The reader stands in the stream for the first time: every message appended
  // from now on reaches it.
  absl::AnyInvocable<void(const Joined&)> on_joined = nullptr;
  // For each message, in strictly increasing sequence. The message is a view,
  // valid during the call.
  absl::AnyInvocable<void(const Message&)> on_message = nullptr;
  // Instead of on_message, which is not called then: all messages that have
  // arrived together, at least one. Views, valid during the call, as is the
  // span. Subscription::position is still that before the first one.
  absl::AnyInvocable<void(std::span<const Message>)> on_messages = nullptr;
  // Messages that this reader does not get, or may not get, at their place in
  // the stream; Gap::reason says why. During the call, Subscription::position
  // is still the one before the gap, and state().joined has the present epoch.
  absl::AnyInvocable<void(const Gap&)> on_gap = nullptr;
  // Everything up to `head` has been delivered. Called the first time that is
  // so, and again each time after the reader had fallen behind or had to come
  // back.
  absl::AnyInvocable<void(std::uint64_t head)> on_caught_up = nullptr;
  // A frame without news, as asked for with heartbeat_interval: the reader has
  // everything.
  absl::AnyInvocable<void(std::uint64_t head)> on_heartbeat = nullptr;
  // Each change of Subscription::state, the first and the last one included.
  absl::AnyInvocable<void(const SubscriptionState&)> on_state = nullptr;
  absl::AnyInvocable<void(const absl::Status&)> on_end = nullptr;
};

// What a subscription that is pulled hands out at once: what has arrived
// together, in the order of the members, and at least one of them. See
// ReadCallbacks for what they mean.
struct ReadFrame {
  std::optional<Joined> joined = std::nullopt;
  std::optional<Gap> gap = std::nullopt;
  std::span<const Message> messages = {};
  std::optional<std::uint64_t> caught_up = std::nullopt;  // up to this head
  std::optional<std::uint64_t> heartbeat = std::nullopt;  // the head
  // Nothing else: the subscription has ended with OK.
  bool ended = false;
  // Keeps the memory that the messages view.
  std::shared_ptr<const void> owner = nullptr;
};

using NextCallback = absl::AnyInvocable<void(absl::StatusOr<ReadFrame>)>;

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

  // The next frame of a subscription that Client::Pull has made. Blocks until
  // there is one or the deadline has come (DEADLINE_EXCEEDED: nothing is lost,
  // the next call goes on waiting); for as long as it takes, without one. One
  // in the past only looks. After the end: its error, or ReadFrame::ended.
  //
  // Asking for a frame says that the one before is done with, as the return of
  // a callback does; its memory stays until its `owner` is gone. Until then at
  // most one more frame and 2 MiB are buffered, and the stream is held back.
  // The first error of a server is the last one: see ReadCallbacks::on_end.
  //
  // FAILED_PRECONDITION if the subscription has callbacks, from inside a
  // callback of this client, or if another Next waits.
  absl::StatusOr<ReadFrame> Next(
      std::optional<std::chrono::steady_clock::time_point> deadline =
          std::nullopt) const;

  // The same without blocking: `done` is called once, on a callback thread, and
  // may call NextAsync again. After Cancel it is called with CANCELLED. What is
  // FAILED_PRECONDITION, and what comes after the end, may be told before this
  // returns.
  void NextAsync(NextCallback done) const;

  // The last position delivered; before the first message, the one that was
  // joined at; before joining, nothing. `Start::After` resumes there. In
  // on_message it is still that before the message.
  std::optional<Position> position() const;

  // The same, with the channel: as a string, what a program stores that wants
  // to go on here when it is started again.
  std::optional<Bookmark> bookmark() const;

  SubscriptionState state() const;

  class Impl;

 private:
  friend class Client;
  explicit Subscription(std::shared_ptr<Impl> impl);

  std::shared_ptr<Impl> impl_;
};

using SendCallback = absl::AnyInvocable<void(absl::StatusOr<Receipt>)>;

// A client of one server. Messages sent to one channel by one client are stored
// in the order in which they were sent.
//
// Exactly once: a client is a producer (see messenger.proto). Messages without
// a receipt are sent again, in order, when the connection or the server has
// gone, and the log knows them again, after a crash too. So each is stored once
// when its send has succeeded. When it has failed, MayBeStored tells whether it
// may have been stored all the same; sending such a message again may store it
// twice. That a server, back after a long time, has forgotten the producer
// (LogOptions::producer_idle_timeout) is FAILED_PRECONDITION, if MayBeStored.
//
// Tails: subscriptions of a client, and of its copies, that read one channel
// with the same heartbeat_interval and skip_damaged, and have caught up, share
// one stream: what arrives is decoded once, however many they are, and the
// server sees one reader. Nothing of what ReadCallbacks promises changes. Each
// subscription begins with a stream of its own, and goes over to the shared one
// at its place (those that begin with new messages do so together). Who keeps
// the others waiting, by a callback that takes its time, reads on with a stream
// of its own after some 100 ms, and comes back later; if all are slow, the
// stream is as slow as they are. ClientOptions::share_tails turns it off.
//
// Copies share the connection. Destroying the last copy fails the sends that
// have not been acknowledged with CANCELLED (use Flush before), ends all
// subscriptions, and waits until their last callbacks have returned; inside a
// callback it does not wait (it cannot wait for itself): callbacks that are due
// still run, then its threads end by themselves. Do not destroy the last copy,
// nor the last Subscription after it, on a thread of gRPC's, as in a reaction
// of a service of your own, and call none of the members that block there:
// these threads are few, and a receipt may need the one that waits.
//
// fork(): a process that was forked after the first client, server, service or
// log was made has none of the library's threads. All calls there, of Client,
// Subscription, Server, Service and OpenLog, return FAILED_PRECONDITION at once
// (`done`, `on_state` and `on_end` are called before the call returns), or do
// nothing, and destructors leave alone what is the parent's. Fork before, or
// call exec in the child: until then it also keeps the parent's connections
// open, and a log in a directory locked.
//
// Connecting is left to the first use. Sending and reading go on trying
// (ClientOptions::retry); the other calls fail with UNAVAILABLE if the server
// cannot be reached, and can be tried again. What answers, but not as a
// messenger server, may be one that took the port while the server was
// restarted: it is UNAVAILABLE, too.
//
// A client believes a server nothing that it can check. An answer that breaks
// the contract is DATA_LOSS; compressed ones, and ones that are larger than any
// of a messenger server, are refused. What is received in one piece has at most
// 17 MiB. Errors of reaching the server, and of what it says, name its address.
//
// Thread safety: all members may be called from any thread.
class Client {
 public:
  // Never fails: an option that is out of bounds is INVALID_ARGUMENT from every
  // call, and from `status`.
  static Client Connect(ClientOptions options = {});

  // A client over a connected stream socket, such as one end of a socketpair,
  // instead of a target. Takes ownership of `fd`. It cannot reconnect, so it
  // gives up at the first failure, whatever RetryOptions says.
  static Client FromFd(int fd, ClientOptions options = {});

  // Sends one message and waits for its receipt. Messages sent at the same time
  // from several threads, or with SendAsync, share batches. INVALID_ARGUMENT
  // names the field if the message breaks a rule; then nothing was sent.
  absl::StatusOr<Receipt> Send(const NewMessage& message,
                               const SendOptions& options = {});

  // Sends one message without waiting for the receipt. The message is copied
  // before the call returns. `done` is called exactly once, on a callback
  // thread, one at a time and in the order of the sends to a channel (but
  // earlier if the message breaks a rule, is refused, or its time is up); it
  // may be empty. Blocks while the window is full (unless ClientOptions say
  // otherwise), and, outside of callbacks, while as many results wait for their
  // `done`: do not hold a lock that a `done` takes.
  //
  // Performance: a message that finds a request on its way gathers with others
  // into the next one; there is no delay when idle.
  void SendAsync(const NewMessage& message, SendCallback done = nullptr,
                 const SendOptions& options = {});

  // Sends one message as a producer of the caller's own, whose id and numbers
  // it keeps itself: so its messages are stored once even if it crashes while
  // it sends, or sends through another client then. `producer_sequence` counts
  // its messages to the channel from 1, without holes; it waits for each
  // receipt before it sends the next one. Whoever keeps all three before the
  // call, in a database for example, sends the message again with the same
  // number until there is a receipt, which says whether it is a duplicate.
  //
  // Blocks, and tries again, as Send does; by default for at most
  // ClientOptions::call_timeout. INVALID_ARGUMENT, or RESOURCE_EXHAUSTED: it is
  // refused and not stored. FAILED_PRECONDITION: the number was used for
  // another message, or does not follow the last one that the server remembers
  // (see LogOptions::producer_idle_timeout). If MayBeStored says so of an
  // error, send it again. Each of these goes in a request of its own: not for
  // many messages a second, for which SendAsync is made.
  absl::StatusOr<Receipt> SendAs(const ProducerId& producer_id,
                                 std::uint64_t producer_sequence,
                                 const NewMessage& message,
                                 SendOptions options = {});

  // Opens this client's named producer (ClientOptions::producer_name) in a
  // channel, which need not exist. To be called before the first message to the
  // channel. The answer says which number the log has last of it,
  // `last_producer_sequence`: the program goes on after that one, or sends from
  // any number before it, and what is stored already is known again.
  //
  // It also begins a *generation*: whatever another process of this name, or
  // another client of this one, still sends to the channel is refused from now
  // on with FAILED_PRECONDITION and the reason PRODUCER_FENCED. The client
  // never opens by itself. When a send to the channel has failed, whatever the
  // reason, those after it fail as well, since a number between two that are
  // stored could not be stored any more: open it again, and go on after what
  // the answer says. (A message whose time is up is sent all the same.)
  //
  // FAILED_PRECONDITION while messages of this client to the channel are on
  // their way; RESOURCE_EXHAUSTED if there are too many named producers;
  // UNIMPLEMENTED if the server is too old. Blocks.
  absl::StatusOr<ProducerInfo> OpenProducer(std::string_view channel);

  // The named producers of a channel, or of all channels, by channel and name.
  // Blocks.
  absl::StatusOr<std::vector<ProducerInfo>> ListProducers(
      std::optional<std::string_view> channel = std::nullopt);

  // Forgets a named producer: what it still sends is refused. NOT_FOUND if
  // there is none of this name. Blocks.
  absl::Status DeleteProducer(std::string_view channel, std::string_view name);

  // Waits until all messages sent before by this client are acknowledged or
  // have failed. Their `done` may still be about to run: see FlushCallbacks.
  // OK, or the first error of a SendAsync since the last Flush.
  // DEADLINE_EXCEEDED after `timeout`: some are still on their way; another
  // Flush goes on waiting.
  absl::Status Flush(
      std::optional<std::chrono::milliseconds> timeout = std::nullopt);

  // As Flush, and waits until the `done` of all these messages have returned,
  // so that what they use may be destroyed, and what they have counted is
  // final. DEADLINE_EXCEEDED after `timeout`, as for Flush. Inside a callback
  // of this client it would wait for itself: it returns FAILED_PRECONDITION
  // instead. Do not hold a lock that a `done` takes.
  absl::Status FlushCallbacks(
      std::optional<std::chrono::milliseconds> timeout = std::nullopt);

  // Starts to read a channel. Never blocks; errors reach on_end.
  [[nodiscard]] Subscription Read(ReadOptions options, ReadCallbacks callbacks);

  // The same for a taker that cannot be called back, or must not block: it asks
  // for each frame with Subscription::Next. The contract is the same.
  [[nodiscard]] Subscription Pull(ReadOptions options);

  // All channels, by name. RESOURCE_EXHAUSTED if there are more than a million.
  // Blocks.
  absl::StatusOr<std::vector<ChannelInfo>> ListChannels();

  // One channel. NOT_FOUND if it has had no message yet. Blocks.
  absl::StatusOr<ChannelInfo> GetChannel(std::string_view channel);

  // Drops a channel's messages and takes it off the list; sequences continue if
  // it is sent to again. NOT_FOUND if it is not there. Blocks.
  absl::Status DeleteChannel(std::string_view channel);

  // What every call returns because of the options, as long as there is such an
  // error: the option that is wrong, or whose file cannot be used. Asks no
  // server.
  absl::Status status() const;

  // Asks the server for a small answer; returns the round-trip time. Blocks.
  absl::StatusOr<std::chrono::nanoseconds> Ping();

  // The same over the same connection, with this token in the place of the
  // client's own: UNAUTHENTICATED if the server does not take it.
  // INVALID_ARGUMENT if it cannot be a token, or would go to another machine
  // without encryption (see ClientOptions::token). Blocks.
  absl::StatusOr<std::chrono::nanoseconds> PingAs(const std::string& token);

  // Asks the server's health service whether it takes messages. UNAVAILABLE if
  // not, since it is draining or its disk is full or has failed, or if it
  // cannot be reached; UNIMPLEMENTED if it has no health service. Blocks.
  absl::Status CheckHealth();

  // What it has counted so far, its copies included; all 0 in a forked child.
  ClientStats Stats() const;

  class Impl;

 private:
  friend Client Connect(ClientOptions options,
                        std::shared_ptr<grpc::ChannelCredentials> credentials);
  friend Client ConnectOver(std::shared_ptr<grpc::Channel> channel,
                            ClientOptions options);

  explicit Client(std::shared_ptr<Impl> impl);

  std::shared_ptr<Impl> impl_;
};

}  // namespace messenger
