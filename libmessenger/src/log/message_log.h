// The seam between the service and its logs.
//
// A log keeps messages in channels as wire entries (wire/entry.h) and gives
// each the next sequence of its channel. The service sees only this interface;
// tests/support/message_log_conformance.h runs over every implementation of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/log.h"
#include "messenger/message.h"
#include "wire/send.h"

namespace messenger {

// Messages to append to one channel: all or none, next to each other, with one
// send time. They come without sequence and time, which the log assigns.
struct AppendBatch {
  std::string channel;  // a valid name
  std::optional<ProducerId> producer_id;
  std::uint64_t first_producer_sequence = 0;  // at least 1 with a producer
  std::vector<std::string_view> messages;     // canonical NewMessages, not none
  // Keeps what `messages` points to alive for as long as the log needs it.
  std::shared_ptr<const void> backing;
};

// Receipts in the order of the messages: as a rule one run; more where a
// producer repeats messages.
using AppendResult = absl::StatusOr<absl::InlinedVector<wire::ReceiptRun, 1>>;
using AppendDone = absl::AnyInvocable<void(AppendResult)>;

// A run of entries in log memory. The bytes never change and live as long as
// `owner`, whatever happens to the log meanwhile.
struct LogBytes {
  std::shared_ptr<const void> owner;
  std::string_view bytes;
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
  // Whole entries, in order, without holes. None at the tail.
  absl::InlinedVector<LogBytes, 5> entries;
  std::uint64_t count = 0;
};

using ReadDone = absl::AnyInvocable<void(absl::StatusOr<ReadResult>)>;

// A cursor in a channel. May be destroyed before or after its log, but not used
// after it.
//
// Thread safety: one call at a time, except for Cancel.
class LogReader {
 public:
  virtual ~LogReader() = default;
  LogReader(const LogReader&) = delete;
  LogReader& operator=(const LogReader&) = delete;

  // Takes what comes next within `bounds` and moves behind it. The first read
  // finds the start as well. At the tail it returns a result without entries;
  // `Behind` and TailListener tell when there is more.
  //
  // Returns the result at once, without blocking, if it is in memory; `done` is
  // then dropped. Otherwise returns nothing and runs `done` exactly once, on a
  // thread of the log where it must not block, possibly before Read has
  // returned. Until then no other Read may start. `done` may run after the
  // LogReader has been destroyed, so it must own what it touches.
  //
  // OUT_OF_RANGE (first read): the start is beyond the head, or `strict` and
  // messages are missing. DATA_LOSS: a damaged record. CANCELLED.
  virtual std::optional<absl::StatusOr<ReadResult>> Read(
      const ReadBounds& bounds, ReadDone done) = 0;

  // Lets a pending `done` run soon, with CANCELLED if the read has not been
  // made. Does not wait. From any thread.
  virtual void Cancel() = 0;

  // After the first Read: whether a Read now would return entries or a gap.
  // Once an append has been announced to the TailListeners, it is true for
  // every reader before it.
  virtual bool Behind() const = 0;

 protected:
  LogReader() = default;
};

// Hears of appends.
class TailListener {
 public:
  virtual ~TailListener() = default;

  // `channel` has new messages, readable now. Runs on the thread that appends,
  // which holds no lock that readers need. Must not block, and must not add or
  // remove listeners.
  virtual void OnAppend(std::string_view channel) = 0;
};

// Thread safety: all members may be called from any thread.
class MessageLog {
 public:
  virtual ~MessageLog() = default;
  MessageLog(const MessageLog&) = delete;
  MessageLog& operator=(const MessageLog&) = delete;

  // Random, never 0. Changes only when the log has lost what it had promised to
  // keep, or was never promised to keep anything (a memory log).
  virtual std::uint64_t epoch() const = 0;

  // Appends `batch`; `done` is called exactly once, when its messages are
  // stored as durably as the log promises. It runs on the calling thread before
  // Append returns, or later on a thread of the log, where it may start writes
  // to sockets but must not block. Batches that are appended one after the
  // other are stored and completed in that order. What is refused for another
  // reason than the storage is refused before Append returns; if the storage
  // fails, all batches appended after it fail as well until its `done` has
  // returned. (So nothing is stored after what was refused.)
  //
  // Producers: see proto/messenger/v1/messenger.proto. Errors:
  // FAILED_PRECONDITION a producer conflict, RESOURCE_EXHAUSTED a limit,
  // UNAVAILABLE the storage refuses writes. Nothing of the batch is stored
  // then.
  virtual void Append(AppendBatch batch, AppendDone done) = 0;

  struct ReaderOptions {
    bool strict = false;
    bool skip_damaged = false;
  };
  // A reader of `channel`, a valid name that need not exist.
  virtual std::unique_ptr<LogReader> OpenReader(std::string_view channel,
                                                const Start& start,
                                                ReaderOptions options) = 0;

  // NOT_FOUND if the channel does not exist. `readers` is not filled in.
  virtual absl::StatusOr<ChannelInfo> GetChannel(std::string_view channel) = 0;

  // At most `max` existing channels whose names come after `after`, by name.
  virtual std::vector<ChannelInfo> ListChannels(std::string_view after,
                                                std::size_t max) = 0;

  // Drops the channel's messages. Its next message continues its sequence.
  // `done` runs as for Append. NOT_FOUND if it does not exist.
  virtual void DeleteChannel(std::string_view channel,
                             absl::AnyInvocable<void(absl::Status)> done) = 0;

  // RemoveTailListener returns when no call to the listener is running.
  virtual void AddTailListener(TailListener* listener) = 0;
  virtual void RemoveTailListener(TailListener* listener) = 0;

 protected:
  MessageLog() = default;
};

}  // namespace messenger
