// The seam between the service and its logs.
//
// A log keeps messages in channels as wire entries (wire/entry.h) and gives
// each the next sequence of its channel. The service sees only this interface;
// tests/conformance runs over every implementation of it.
//
// Threads. The callers are gRPC's threads, which are few, so no call waits for
// storage or a network, unless it says so: it answers from memory, or has a
// `done`. That is called exactly once: by the calling thread before the call
// returns, or by a completion thread of the log. A completion thread is never
// one that commits or reads storage, since a `done` may write to sockets
// (gRPC's Finish and StartWrite do, on the thread that calls them). A `done`
// must not block. It may come when its caller is long gone, so it must own what
// it touches, but never after the log's destructor has returned. A name is the
// caller's: the log copies it, if it needs it after the call.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/log.h"
#include "messenger/message.h"
#include "messenger/stats.h"
#include "wire/canonical_message.h"
#include "wire/receipt.h"

namespace messenger {

// Messages to append to one channel: all or none, next to each other, with one
// send time. They come without sequence and time, which the log assigns.
struct AppendBatch {
  std::string channel;  // a valid name
  std::optional<ProducerId> producer_id;
  std::uint64_t first_producer_sequence = 0;     // at least 1 with a producer
  std::vector<wire::CanonicalMessage> messages;  // at least one
  // To be stored only if this is the channel's last sequence, and this the
  // log's epoch (0: any).
  std::optional<std::uint64_t> expected_last_sequence;
  std::uint64_t expected_epoch = 0;
  // Of a named producer; 0: it is none.
  std::uint64_t producer_generation = 0;
  // Of its only message, which has no producer; empty: none.
  std::string idempotency_key;
  // The identity that sends it (see log/owner.h); empty: none is known. Its
  // producer must not be another identity's, and becomes its own with the first
  // message; an idempotency key is one of its own.
  std::string owner;
  // Keeps what `messages` points to alive for as long as the log needs it.
  std::shared_ptr<const void> backing;
  // Who sends it, by any number: where appends wait for storage, the batches of
  // different sources take turns. All batches of one appender have the same.
  std::uint64_t source = 0;
};

// At least as many bytes as the batch takes when it is stored.
std::size_t StoredSize(const AppendBatch& batch);

// Receipts in the order of the messages: as a rule one run; more where a
// producer repeats messages.
using AppendResult = absl::StatusOr<absl::InlinedVector<wire::ReceiptRun, 1>>;
using AppendDone = absl::AnyInvocable<void(AppendResult)>;

// One sender's way into the log: nothing of it is stored after what has failed.
//
// May be destroyed before or after its log, but not used after it. What it has
// been given goes on all the same, by the same rules, unless it is cancelled.
//
// Thread safety: one call at a time, except for Cancel.
class LogAppender {
 public:
  virtual ~LogAppender() = default;
  LogAppender(const LogAppender&) = delete;
  LogAppender& operator=(const LogAppender&) = delete;

  // Appends `batch`. `done` is called when its messages can be read and are
  // stored as durably as the log promises, or when it has failed.
  //
  // The batches of one appender are stored or refused in the order of the
  // calls, across channels, and each `done` returns before the next one is
  // called. Once one has failed, whatever the reason, all that follow it fail
  // with ABORTED, without being looked at, even if they were handed over
  // before the failure was known. To go on, open another appender.
  //
  // Producers and conditions: see proto/messenger/v1/messenger.proto. Errors:
  // FAILED_PRECONDITION a producer conflict or an idempotency key that has
  // another message, PERMISSION_DENIED with the reason PRODUCER_OWNED a
  // producer of another owner, ABORTED with the reason WRONG_LAST_SEQUENCE a
  // condition, RESOURCE_EXHAUSTED a limit or a full disk, UNAVAILABLE the
  // storage refuses writes or cannot be reached, DATA_LOSS what a producer
  // repeats is damaged where it is stored, CANCELLED, ABORTED. Nothing of the
  // batch is stored then, except that after UNAVAILABLE all of it may turn out
  // to be stored later, while the log is open or when it is opened again:
  // whether a write that has failed has reached the storage, or still will,
  // nobody can know. A producer's retry settles it.
  virtual void Append(AppendBatch batch, AppendDone done) = 0;

  // Nobody waits for the appends any more. Those that the log has not begun to
  // store fail with CANCELLED, all of them from one point on, so that what is
  // stored is a prefix of what was appended; their memory is freed at once.
  // From any thread.
  virtual void Cancel() = 0;

  // What follows a failure.
  static absl::Status FailedBefore() {
    return absl::AbortedError("an append before this one has failed");
  }
  // What was cancelled.
  static absl::Status Cancelled() {
    return absl::CancelledError("the sender is gone");
  }

 protected:
  LogAppender() = default;
};

// A run of entries in log memory. The bytes never change and live as long as
// `owner`, whatever happens to the log meanwhile.
struct LogBytes {
  std::shared_ptr<const void> owner;
  std::string_view bytes;
  // All the memory that `owner` keeps, if that is more than `bytes`.
  std::size_t owner_bytes = 0;
};

struct ReadBounds {
  // A single message that is larger is returned all the same.
  std::size_t max_bytes = 0;
  // At least 1.
  std::uint64_t max_count = UINT64_MAX;
  // Messages after this one are left for later.
  std::uint64_t last_sequence = UINT64_MAX;
};

struct ReadResult {
  // The channel's newest sequence at the time of the read, 0 for none.
  std::uint64_t head = 0;
  // Messages that are not there; they come before `entries`.
  std::optional<Gap> gap;
  // The sequence of the first of `entries`, or of the message to come.
  std::uint64_t next_sequence = 0;
  // Whole entries, in order, without holes. None if the reader has caught up.
  absl::InlinedVector<LogBytes, 5> entries;
  std::uint64_t count = 0;
};

using ReadDone = absl::AnyInvocable<void(absl::StatusOr<ReadResult>)>;
using ChannelDone = absl::AnyInvocable<void(absl::StatusOr<ChannelInfo>)>;
using ChannelsDone =
    absl::AnyInvocable<void(absl::StatusOr<std::vector<ChannelInfo>>)>;

// Names a named producer. In the order in which they are listed.
struct ProducerKey {
  std::string channel;
  std::string name;

  // NOLINTNEXTLINE(modernize-use-nullptr): which clang-tidy 14 finds in it
  friend auto operator<=>(const ProducerKey&, const ProducerKey&) = default;
};

using ProducerDone = absl::AnyInvocable<void(absl::StatusOr<ProducerInfo>)>;
using ProducersDone =
    absl::AnyInvocable<void(absl::StatusOr<std::vector<ProducerInfo>>)>;

// A cursor in a channel. May be destroyed before or after its log, but not used
// after it.
//
// Thread safety: one call at a time, except for Cancel.
class LogReader {
 public:
  virtual ~LogReader() = default;
  LogReader(const LogReader&) = delete;
  LogReader& operator=(const LogReader&) = delete;

  // Takes what comes next within `bounds` and moves past it. The first read
  // finds the start as well. A reader that has caught up gets a result without
  // entries; `Behind` and LogListener tell when there is more.
  //
  // Returns the result at once if it is in memory; `done` is then dropped.
  // Otherwise returns nothing, and `done` is called on a completion thread,
  // possibly before Read has returned. Until then no other Read may start.
  //
  // OUT_OF_RANGE (first read): the start is beyond the head, or `strict` and
  // messages are missing. DATA_LOSS: a damaged record. CANCELLED.
  virtual std::optional<absl::StatusOr<ReadResult>> Read(
      const ReadBounds& bounds, ReadDone done) = 0;

  // Lets a pending `done` come soon, with CANCELLED if the read has not been
  // made. From any thread.
  virtual void Cancel() = 0;

  // After the first Read: whether a Read now would return entries or a gap.
  // Once an append has been announced to the listeners, it is true for
  // every reader before it.
  virtual bool Behind() const = 0;

 protected:
  LogReader() = default;
};

// Hears of what happens in a log. The members are called by whichever thread
// has made it happen, which may be the one that commits; it holds no lock that
// readers need. They must not block, and must not add or remove listeners.
class LogListener {
 public:
  virtual ~LogListener() = default;

  // `channel` has new messages, readable now. Must not write to a socket
  // either.
  virtual void OnAppend(std::string_view /*channel*/) {}

  // The log refuses appends because of `refusal`, or, if that is OK, takes them
  // again: a full disk passes, a failed one does not. What is in the log can be
  // read meanwhile.
  virtual void OnAvailability(const absl::Status& /*refusal*/) {}
};

// The destructor waits until what is under way is completed and each `done` has
// returned, so none of them may run it.
//
// Thread safety: all members may be called from any thread.
class MessageLog {
 public:
  virtual ~MessageLog() = default;
  MessageLog(const MessageLog&) = delete;
  MessageLog& operator=(const MessageLog&) = delete;

  // Random, never 0, and the same for as long as the log is open. It is another
  // one when the log is opened again only if the log has lost what it had
  // promised to keep, or was never promised to keep anything (a memory log).
  virtual std::uint64_t epoch() const = 0;

  // Where its files are, as its errors name them; empty if it has none. The
  // operator may know that, and no client.
  virtual std::string_view directory() const { return {}; }

  // What it has counted since it was opened.
  virtual LogStats Stats() const = 0;

  virtual std::unique_ptr<LogAppender> OpenAppender() = 0;

  // Appends a batch on an appender of its own, so in no order with others.
  void Append(AppendBatch batch, AppendDone done) {
    OpenAppender()->Append(std::move(batch), std::move(done));
  }

  struct ReaderOptions {
    bool strict = false;
    bool skip_damaged = false;
  };
  // A reader of `channel`, a valid name that need not exist: the first Read
  // finds out.
  virtual std::unique_ptr<LogReader> OpenReader(std::string_view channel,
                                                const Start& start,
                                                ReaderOptions options) = 0;

  // GetChannel and ListChannels tell what this log knows: at the least, what it
  // has completed itself. If the messages are kept elsewhere, it may not have
  // heard yet of what others did there.

  // NOT_FOUND if the channel does not exist. `readers` is not filled in.
  virtual void GetChannel(std::string_view channel, ChannelDone done) = 0;

  // At most `max` existing channels whose names come after `after`, by name.
  virtual void ListChannels(std::string_view after, std::size_t max,
                            ChannelsDone done) = 0;

  // Drops the channel's messages. Its next message continues its sequence.
  // NOT_FOUND if it does not exist; RESOURCE_EXHAUSTED if there would be too
  // many deleted channels.
  virtual void DeleteChannel(std::string_view channel,
                             absl::AnyInvocable<void(absl::Status)> done) = 0;

  // Opens a named producer of `channel`, a valid name that need not exist, and
  // begins its next generation; it is stored as durably as a message when
  // `done` is called. If it has no owner, `owner` becomes that, unless it is
  // empty. RESOURCE_EXHAUSTED if there would be too many; otherwise the errors
  // are those of an append.
  virtual void OpenProducer(std::string_view channel, std::string_view name,
                            std::string_view owner, ProducerDone done) = 0;

  // At most `max` named producers, of `channel` or, if that is empty, of all
  // channels, that come after `after`, in their order.
  virtual void ListProducers(std::string_view channel, const ProducerKey& after,
                             std::size_t max, ProducersDone done) = 0;

  // Forgets a named producer. NOT_FOUND if there is none.
  virtual void DeleteProducer(std::string_view channel, std::string_view name,
                              absl::AnyInvocable<void(absl::Status)> done) = 0;

  // May block: RemoveListener waits until no call to the listener is running.
  // A listener that is added while appends are refused hears of it at once.
  virtual void AddListener(LogListener* listener) = 0;
  virtual void RemoveListener(LogListener* listener) = 0;

 protected:
  MessageLog() = default;
};

}  // namespace messenger
