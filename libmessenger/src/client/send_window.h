// What a client has been given to send and has no receipt for.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "client/timers.h"
#include "messenger/client.h"
#include "rpc/pace.h"
#include "wire/capabilities.h"
#include "wire/new_message.h"
#include "wire/send.h"

namespace messenger {

// A Send that waits.
struct SendWaiter {
  absl::Notification done;
  absl::StatusOr<Receipt> result;
};

// Who is told of a message's fate, once.
struct Completion {
  SendCallback done;                   // or
  std::shared_ptr<SendWaiter> waiter;  // or nobody
  Timers::TimePoint deadline = Timers::TimePoint::max();
  bool told = false;
};

// What a message is sent with, beside what it says.
struct SendTerms {
  // The number that its caller has given it as a producer of the caller's own.
  struct Number {
    ProducerId producer_id{};
    std::uint64_t producer_sequence = 0;
  };

  // Of SendOptions.
  std::optional<Position> expected_last = std::nullopt;
  std::string_view idempotency_key = {};
  // Not both. `named_number` is that of the channel's named producer.
  std::optional<Number> number = std::nullopt;
  std::optional<std::uint64_t> named_number = std::nullopt;

  // Then the message has a batch of its own.
  bool alone() const {
    return expected_last || number || !idempotency_key.empty();
  }
};

// Messages gather in batches, one per channel, and travel in this order: those
// in flight, which were written on the present stream and wait for receipts,
// then those in the queue. When a stream ends, what was in flight goes back to
// the head of the queue, to be written on the next one.
//
// Each channel has a producer, whose sequences a batch gets when it is written
// for the first time and keeps, so that the log knows it again. A batch that
// its caller has numbered, or that has an idempotency key instead, stands and
// falls alone. Where the log does not know the producer any more, and it is
// certain that nothing of a batch is stored, the channel gets another producer,
// and the batch another number.
//
// The server answers in order and stores nothing after a refusal. So a batch
// that was refused, and those of its channel after it, are certainly not
// stored, unless they are *uncertain*: they were written on a stream that
// broke. If a batch is uncertain, so are those of its channel before it. But if
// what was refused is its condition, in the epoch that it was written for, it
// is not stored and never will be: the log has looked first whether it was, and
// its last sequence only grows.
//
// A channel may have a *named* producer instead, whose numbers messages get
// when they are added. It is never replaced by another one. There may be holes
// between its numbers, but what is in one is taken for a duplicate later: so
// once something of it has failed, all that was sent after it fails as well,
// until it is opened again.
//
// Thread safety: none.
class SendWindow {
 public:
  // A message's fate, to be told.
  struct Fate {
    Completion completion;
    absl::StatusOr<Receipt> result;
  };
  using Fates = std::vector<Fate>;

  SendWindow();

  // A batch takes no more messages when it has so many bytes: 64 KiB at first.
  void SetBatchBytes(std::size_t bytes) { batch_bytes_ = bytes; }

  // Messages that were written once more.
  std::uint64_t resent() const { return resent_; }
  // Messages whose result was told.
  std::uint64_t acknowledged() const { return acknowledged_; }
  std::uint64_t failed() const { return failed_; }
  // Messages, and bytes of messages, that have no receipt.
  std::size_t messages() const { return messages_; }
  std::size_t bytes() const { return bytes_; }
  bool empty() const { return queue_.empty() && in_flight_.empty(); }
  bool queued() const { return !queue_.empty(); }
  std::size_t requests_in_flight() const { return in_flight_.size(); }
  // Of messages in them.
  std::size_t bytes_in_flight() const { return bytes_in_flight_; }
  // Of messages in the request to write next. There must be one in the queue.
  std::size_t next_bytes() const {
    return queue_.front()->messages.size() + queue_.front()->encoded.size();
  }

  // `checked` is of the message.
  void Add(const wire::CheckedMessage& checked, const NewMessage& message,
           Completion completion, const SendTerms& terms = {});

  // FAILED_PRECONDITION if something is under way to the channel.
  absl::Status CheckIdle(std::string_view channel) const;
  // Of its channel from now on.
  void SetNamedProducer(const ProducerInfo& producer);
  // The next number of the channel's named producer. FAILED_PRECONDITION if
  // there is none; if something of it has failed, that.
  absl::StatusOr<std::uint64_t> NextNamedNumber(std::string_view channel) const;
  // A message of the channel's named producer was not added, so that what comes
  // after it must not be either.
  void RefuseNamed(std::string_view channel, const absl::Status& why);

  // Fails what would be written next as long as that needs what a server does
  // not have that can do no more than this.
  void FailUnsupported(wire::Capabilities capabilities, Fates* fates);

  // The request to write next, which is in flight from now on. There must be
  // one in the queue.
  grpc::ByteBuffer Write();

  // The stream is one of the log with this epoch.
  void SetEpoch(std::uint64_t epoch) { epoch_ = epoch; }

  // Receipts have come. DATA_LOSS if one is not for what was written on the
  // present stream, of its epoch, and after those of its channel before it; it
  // then settles nothing.
  absl::Status Acknowledge(const std::vector<wire::ReceiptRun>& runs,
                           Fates* fates);

  // ---- When a stream has ended, one of these.

  // It broke: what was in flight goes again.
  void Break();
  // It was ended with an error, which is the answer to the first message
  // without a receipt: that fails, as far as it has to, and the others go
  // again.
  void Refuse(const absl::Status& status, Fates* fates);
  // What it said makes no sense: what was in flight fails, or else what would
  // have been next.
  void FailInFlight(const absl::Status& status, Fates* fates);

  // ----

  // Everything fails.
  void FailAll(const absl::Status& status, Fates* fates);

  // Fails messages whose time is up. What was never written is dropped.
  // Returns when to be called again.
  Timers::TimePoint Expire(Timers::TimePoint now, const absl::Status& why_away,
                           Fates* fates);

  // Batches are counted from 1. The last one; and the first one of whose
  // messages one has not been told its fate, UINT64_MAX for none.
  std::uint64_t last_batch() const { return last_batch_; }
  std::uint64_t FirstUntold() const;

 private:
  // Where a batch has its numbers from.
  enum class Numbering : std::uint8_t {
    kChannel,  // of the channel's producer
    kNamed,    // of its named producer
    kCaller,   // of a producer of the caller's
    kNone,     // it has an idempotency key
  };

  struct Batch {
    std::string channel;
    std::string messages;  // encoded fields, until it is written
    grpc::Slice encoded;   // the same, from then on
    ProducerId producer_id{};
    std::uint64_t first_producer_sequence = 0;  // 0: has no number
    Numbering numbering = Numbering::kChannel;
    std::uint64_t generation = 0;  // of a named producer
    std::string idempotency_key;
    // The condition. If the caller has named no epoch, it is sent with that of
    // the stream on which it is written first.
    std::optional<Position> expected_last;
    std::uint64_t expected_epoch = 0;  // 0: none yet
    wire::Capabilities needs;
    bool uncertain = false;
    bool renumbered = false;  // as a new producer of the same log
    int renewals = 0;         // of its producer, without a receipt
    std::vector<Completion> completions;
    std::size_t untold = 0;        // of completions
    std::size_t acknowledged = 0;  // on the present stream
    std::size_t settled = 0;       // acknowledged on any
    std::uint64_t id = 0;
    Timers::TimePoint deadline = Timers::TimePoint::max();  // the first one

    bool written() const { return encoded.size() > 0; }
    std::uint64_t next_producer_sequence() const {
      return first_producer_sequence + completions.size();
    }
  };
  using Batches = std::deque<std::unique_ptr<Batch>>;

  struct Channel {
    ProducerId producer_id{};
    std::uint64_t next_producer_sequence = 1;
    // Of the log that knows this producer; 0: none yet.
    std::uint64_t epoch = 0;
    // The last message that has a receipt on the stream of this number.
    std::uint64_t last_sequence = 0;
    std::uint64_t stream = 0;
    std::size_t batches = 0;  // under way
    Batch* open = nullptr;    // the one in the queue that takes more messages
  };

  struct Named {
    ProducerId producer_id{};
    std::uint64_t generation = 0;
    std::uint64_t next_producer_sequence = 1;
    absl::Status failure;  // since it was opened
  };

  // What is wrong with a receipt that is the next one.
  absl::Status CheckRun(const wire::ReceiptRun& run);

  Channel& FindChannel(std::string_view name);
  void ForgetIdleChannels();
  Batch& OpenBatch(std::string_view name, std::size_t size,
                   const SendTerms& terms);
  Batch& NewBatch(Channel& channel, std::string_view name,
                  const SendTerms& terms);
  void Number(Batch& batch);

  // What was in flight goes back to the queue.
  void Requeue();
  // The channel goes on as another producer. What is uncertain may be stored
  // under the old one: it fails, the first batch with `first`, the others with
  // `rest`. What is left gets new numbers.
  void FailAmbiguous(const std::string& channel, const absl::Status& first,
                     const absl::Status& rest, Fates* fates);
  // The channel goes on as another producer, and nothing of it is stored.
  void Renew(const std::string& name);
  void TakeNumbers(const std::string& channel);
  // The first one in the queue was refused, and what comes after it is not
  // stored unless it is uncertain.
  void FailFirst(const absl::Status& refusal, Fates* fates);
  // Something of the named producer of this generation has failed: so does what
  // is in the queue of it.
  void FailNamed(const std::string& channel, std::uint64_t generation,
                 const absl::Status& why, Fates* fates);

  void Fail(Batch& batch, const absl::Status& status, Fates* fates);
  void Remove(std::unique_ptr<Batch> batch);
  void RemoveFirst();  // of the queue
  void Tell(Batch& batch, Completion& completion,
            absl::StatusOr<Receipt> result, Fates* fates);
  void ExpireWritten(Batch& batch, Timers::TimePoint now, Fates* fates);
  // Fails those messages of a batch that was never written. False if nothing is
  // left of it.
  using IsMeant = absl::FunctionRef<bool(const Completion& completion,
                                         std::string_view message)>;
  bool FailUnwritten(Batch& batch, IsMeant is_meant, const absl::Status& status,
                     Fates* fates);

  absl::flat_hash_map<std::string, Channel> channels_;
  absl::flat_hash_map<std::string, Named> named_;  // by channel
  std::size_t forget_at_;
  // Of channels to come.
  ProducerId producer_id_;
  std::uint64_t epoch_ = 0;   // of the present stream; 0: not known
  std::uint64_t stream_ = 1;  // its number
  Batches queue_;
  Batches in_flight_;
  std::size_t batch_bytes_ = rpc::Pace::kFirstBytes;
  std::uint64_t last_batch_ = 0;
  std::uint64_t resent_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::uint64_t failed_ = 0;
  std::size_t messages_ = 0;
  std::size_t bytes_ = 0;
  std::size_t bytes_in_flight_ = 0;
};

// As MayBeStored tells it; and so that it does not, whatever a server has said.
absl::Status WithMayBeStored(const absl::Status& status);
absl::Status WithoutMayBeStored(const absl::Status& status);

}  // namespace messenger
