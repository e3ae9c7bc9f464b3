#include "client/send_window.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "base/random.h"
#include "base/reason.h"
#include "base/status.h"
#include "messenger/error.h"
#include "rpc/bytes.h"
#include "wire/canonical_message.h"
#include "wire/coding.h"
#include "wire/new_message.h"

namespace messenger {
namespace {

constexpr std::size_t kMaxBatchMessages = 16'384;

// Channels that are remembered though nothing is sent to them at present.
constexpr std::size_t kIdleChannels = 1024;

// How a status says so, to people and to MayBeStored alike. A payload would be
// printed with the status, and is lost where an error is passed on as text.
constexpr std::string_view kMayBeStored =
    "; the message may be stored all the same";

// Receipts are the sign that a new number has helped.
constexpr int kMaxRenewals = 8;

absl::string_view Key(std::string_view channel) {
  return {channel.data(), channel.size()};
}

// What follows a failure of a named producer.
absl::Status FailedBefore(const absl::Status& why) {
  const absl::Status plain = WithoutMayBeStored(why);
  return WithMessage(
      plain, fmt::format("a message of the producer that was sent before has "
                         "failed; open it again: {}",
                         MessageOf(plain)));
}

bool HasData(std::string_view encoded) {
  return !wire::CanonicalMessage(encoded).after_producer().empty();
}

// Of a server that gives no reason, it is the only thing that it can be.
bool IsAboutProducer(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  return absl::IsFailedPrecondition(status) &&
         (reason.empty() || reason.starts_with("PRODUCER_"));
}

}  // namespace

std::optional<Position> LastPosition(const absl::Status& status) {
  if (ReasonOf(status) != reason::kWrongLastSequence) return std::nullopt;
  const auto number = [&](std::string_view name) {
    std::uint64_t value = 0;
    const std::string text = ReasonDetail(status, name).value_or("");
    return absl::SimpleAtoi(text, &value) ? value : 0;
  };
  return Position{.epoch = number("epoch"),
                  .sequence = number("last_sequence")};
}

bool MayBeStored(const absl::Status& status) {
  return !status.ok() && MessageOf(status).ends_with(kMayBeStored);
}

absl::Status WithMayBeStored(const absl::Status& status) {
  if (status.ok() || MayBeStored(status)) return status;
  return WithMessage(status,
                     fmt::format("{}{}", MessageOf(status), kMayBeStored));
}

absl::Status WithoutMayBeStored(const absl::Status& status) {
  if (!MayBeStored(status)) return status;
  std::string_view message = MessageOf(status);
  message.remove_suffix(kMayBeStored.size());
  return WithoutMayBeStored(WithMessage(status, message));
}

SendWindow::SendWindow()
    : forget_at_(kIdleChannels), producer_id_(RandomProducerId()) {}

// ---------------------------------------------------------------------------
// On the way out

void SendWindow::Add(const wire::CheckedMessage& checked,
                     const NewMessage& message, Completion completion,
                     const SendTerms& terms) {
  const std::size_t field_size = wire::BytesFieldSize(checked.size);
  Batch& batch = OpenBatch(checked.channel, field_size, terms);
  if (checked.has_data) batch.needs.Add(wire::Capability::kData);
  wire::AppendNewMessageField(batch.messages, message, checked.size);
  batch.deadline = std::min(batch.deadline, completion.deadline);
  batch.completions.push_back(std::move(completion));
  if (batch.numbering == Numbering::kNamed) {
    named_.find(Key(checked.channel))->second.next_producer_sequence =
        batch.next_producer_sequence();
  }
  ++batch.untold;
  ++messages_;
  bytes_ += field_size;
}

SendWindow::Batch& SendWindow::OpenBatch(std::string_view name,
                                         std::size_t size,
                                         const SendTerms& terms) {
  Channel& channel = FindChannel(name);
  const Batch* const open = channel.open;
  const bool joins = open != nullptr && !terms.alone() &&
                     open->messages.size() + size <= batch_bytes_ &&
                     open->completions.size() < kMaxBatchMessages &&
                     (!terms.named_number ||
                      *terms.named_number == open->next_producer_sequence());
  if (!joins) {
    // What comes later must not overtake it.
    channel.open = nullptr;
    Batch& batch = NewBatch(channel, name, terms);
    if (terms.alone()) return batch;
    channel.open = &batch;
  }
  return *channel.open;
}

SendWindow::Batch& SendWindow::NewBatch(Channel& channel, std::string_view name,
                                        const SendTerms& terms) {
  auto batch = std::make_unique<Batch>();
  batch->channel = name;
  batch->id = ++last_batch_;
  if (terms.expected_last) {
    batch->expected_last = terms.expected_last;
    batch->expected_epoch = terms.expected_last->epoch;
    batch->needs.Add(wire::Capability::kConditionalAppend);
  }
  if (terms.number) {
    batch->numbering = Numbering::kCaller;
    batch->producer_id = terms.number->producer_id;
    batch->first_producer_sequence = terms.number->producer_sequence;
  } else if (!terms.idempotency_key.empty()) {
    batch->numbering = Numbering::kNone;
    batch->idempotency_key = terms.idempotency_key;
    batch->needs.Add(wire::Capability::kIdempotencyKeys);
  } else if (terms.named_number) {
    const Named& named = named_.find(Key(name))->second;
    batch->numbering = Numbering::kNamed;
    batch->producer_id = named.producer_id;
    batch->generation = named.generation;
    batch->first_producer_sequence = *terms.named_number;
    batch->needs.Add(wire::Capability::kNamedProducers);
  }
  ++channel.batches;
  return *queue_.emplace_back(std::move(batch));
}

absl::Status SendWindow::CheckIdle(std::string_view channel) const {
  const auto it = channels_.find(Key(channel));
  if (it == channels_.end() || it->second.batches == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("channel: messages to \"{}\" are on their way: wait for "
                  "their receipts first (Flush)",
                  channel));
}

void SendWindow::SetNamedProducer(const ProducerInfo& producer) {
  Named& named = named_[producer.channel];
  // Of two that were opened at once.
  if (named.producer_id == producer.producer_id &&
      named.generation > producer.generation) {
    return;
  }
  named = {.producer_id = producer.producer_id,
           .generation = producer.generation,
           .next_producer_sequence = producer.last_producer_sequence + 1};
}

absl::StatusOr<std::uint64_t> SendWindow::NextNamedNumber(
    std::string_view channel) const {
  const auto it = named_.find(Key(channel));
  if (it == named_.end()) {
    return absl::FailedPreconditionError(fmt::format(
        "channel: the producer was not opened in \"{}\" (OpenProducer)",
        channel));
  }
  if (!it->second.failure.ok()) return it->second.failure;
  return it->second.next_producer_sequence;
}

void SendWindow::RefuseNamed(std::string_view channel,
                             const absl::Status& why) {
  const auto it = named_.find(Key(channel));
  if (it != named_.end() && it->second.failure.ok()) {
    it->second.failure = FailedBefore(why);
  }
}

void SendWindow::FailUnsupported(wire::Capabilities capabilities,
                                 Fates* fates) {
  while (!queue_.empty() && !capabilities.HasAll(queue_.front()->needs)) {
    Batch& batch = *queue_.front();
    const absl::Status status = absl::UnimplementedError(
        fmt::format("the server is older than this client, and does not know "
                    "what the message needs: {}",
                    capabilities.Missing(batch.needs)));
    // Or another server, which did know it, was sent all of it.
    const bool rest_can_go = !batch.written() && !batch.expected_last &&
                             batch.numbering == Numbering::kChannel;
    if (!rest_can_go) {
      FailFirst(status, fates);
      continue;
    }
    batch.needs = {};
    const auto has_data = [](const Completion& /*completion*/,
                             std::string_view message) {
      return HasData(message);
    };
    if (!FailUnwritten(batch, has_data, status, fates)) RemoveFirst();
  }
}

SendWindow::Channel& SendWindow::FindChannel(std::string_view name) {
  if (const auto it = channels_.find(Key(name)); it != channels_.end()) {
    return it->second;
  }
  if (channels_.size() >= forget_at_) ForgetIdleChannels();
  Channel& channel = channels_[std::string(name)];
  channel.producer_id = producer_id_;
  return channel;
}

void SendWindow::ForgetIdleChannels() {
  for (auto it = channels_.begin(); it != channels_.end();) {
    if (it->second.batches == 0) {
      channels_.erase(it++);
    } else {
      ++it;
    }
  }
  forget_at_ = 2 * channels_.size() + kIdleChannels;
  // Those that come back begin at 1 again.
  producer_id_ = RandomProducerId();
}

grpc::ByteBuffer SendWindow::Write() {
  in_flight_.push_back(std::move(queue_.front()));
  queue_.pop_front();
  Batch& batch = *in_flight_.back();
  if (batch.written()) {
    resent_ += batch.completions.size() - batch.settled;
  } else {
    Channel& channel = FindChannel(batch.channel);
    if (channel.open == &batch) channel.open = nullptr;
    batch.encoded = rpc::MakeSlice(std::exchange(batch.messages, {}));
  }
  bytes_in_flight_ += batch.encoded.size();
  wire::SendHeader header = {.channel = batch.channel,
                             .producer_generation = batch.generation,
                             .idempotency_key = batch.idempotency_key};
  if (batch.numbering != Numbering::kNone) {
    if (batch.first_producer_sequence == 0) Number(batch);
    header.producer_id = batch.producer_id;
    header.first_producer_sequence = batch.first_producer_sequence;
  }
  if (batch.expected_last) {
    header.expected_last_sequence = batch.expected_last->sequence;
    if (batch.expected_epoch == 0) batch.expected_epoch = epoch_;
    header.expected_epoch = batch.expected_epoch;
  }
  const std::array<grpc::Slice, 2> slices = {
      rpc::MakeSlice(wire::EncodeSendMessagesHeader(header)), batch.encoded};
  return {slices.data(), slices.size()};
}

void SendWindow::Number(Batch& batch) {
  Channel& channel = FindChannel(batch.channel);
  batch.producer_id = channel.producer_id;
  batch.first_producer_sequence = channel.next_producer_sequence;
  channel.next_producer_sequence += batch.completions.size();
}

// ---------------------------------------------------------------------------
// Answers

absl::Status SendWindow::CheckRun(const wire::ReceiptRun& run) {
  if (epoch_ != 0 && run.epoch != epoch_) {
    return absl::DataLossError(fmt::format(
        "the server sent a receipt of the epoch {} on a stream of the epoch {}",
        run.epoch, epoch_));
  }
  std::uint64_t left = run.count;
  for (const std::unique_ptr<Batch>& batch : in_flight_) {
    if (batch->channel != in_flight_.front()->channel) {
      return absl::DataLossError(
          "the server sent one receipt for messages of two channels");
    }
    left -= std::min<std::uint64_t>(
        left, batch->completions.size() - batch->acknowledged);
    if (left == 0) break;
  }
  if (left > 0) {
    return absl::DataLossError(
        "the server sent receipts for more messages than it was sent");
  }
  const Numbering numbering = in_flight_.front()->numbering;
  if (!run.has_position() && numbering != Numbering::kNamed) {
    return absl::DataLossError(
        "the server sent a receipt that does not say where a message is");
  }
  // What a caller repeats may have been stored long ago.
  if (run.duplicate && numbering != Numbering::kChannel) {
    return absl::OkStatus();
  }
  Channel& channel = FindChannel(in_flight_.front()->channel);
  if (channel.stream == stream_ &&
      run.first_sequence <= channel.last_sequence) {
    return absl::DataLossError(fmt::format(
        "the server sent a receipt for message {} of channel \"{}\" after the "
        "one for {}",
        run.first_sequence, in_flight_.front()->channel,
        channel.last_sequence));
  }
  channel.stream = stream_;
  channel.last_sequence = run.first_sequence + run.count - 1;
  return absl::OkStatus();
}

absl::Status SendWindow::Acknowledge(const std::vector<wire::ReceiptRun>& runs,
                                     Fates* fates) {
  for (const wire::ReceiptRun& run : runs) {
    if (absl::Status s = CheckRun(run); !s.ok()) return s;
    for (std::uint32_t i = 0; i < run.count; ++i) {
      Batch& batch = *in_flight_.front();
      const std::size_t index = batch.acknowledged++;
      if (index == batch.settled) {
        ++batch.settled;
        --messages_;
        Tell(batch, batch.completions[index],
             Receipt{
                 .position = {run.epoch,
                              run.has_position() ? run.first_sequence + i : 0},
                 .send_time = run.send_time,
                 .duplicate = run.duplicate},
             fates);
      }
      if (batch.acknowledged == batch.completions.size()) {
        if (batch.numbering == Numbering::kChannel) {
          FindChannel(batch.channel).epoch = run.epoch;
        }
        std::unique_ptr<Batch> done = std::move(in_flight_.front());
        in_flight_.pop_front();
        bytes_in_flight_ -= done->encoded.size();
        Remove(std::move(done));
      }
    }
  }
  return absl::OkStatus();
}

void SendWindow::Break() {
  for (const std::unique_ptr<Batch>& batch : in_flight_) {
    batch->uncertain = true;
  }
  Requeue();
}

void SendWindow::Requeue() {
  epoch_ = 0;
  ++stream_;
  bytes_in_flight_ = 0;
  for (; !in_flight_.empty(); in_flight_.pop_back()) {
    in_flight_.back()->acknowledged = 0;
    queue_.push_front(std::move(in_flight_.back()));
  }
}

void SendWindow::Refuse(const absl::Status& status, Fates* fates) {
  const bool before_any = in_flight_.empty();
  const std::uint64_t epoch = epoch_;
  Requeue();
  if (queue_.empty()) return;
  Batch& batch = *queue_.front();
  Channel& channel = FindChannel(batch.channel);
  if (IsAboutProducer(status) && !before_any &&
      batch.numbering == Numbering::kChannel) {
    // The log does not know this producer. Either it is another log, or what is
    // left of one, which has lost what this producer had sent; or it has
    // forgotten it, which loses nothing.
    const bool another_log =
        epoch != 0 && channel.epoch != 0 && epoch != channel.epoch;
    if ((another_log || (!batch.uncertain && !batch.renumbered)) &&
        batch.renewals < kMaxRenewals) {
      ++batch.renewals;
      batch.renumbered = !another_log;
      Renew(batch.channel);
      channel.epoch = another_log ? epoch : channel.epoch;
      return;
    }
  }
  FailFirst(status, fates);
}

void SendWindow::FailFirst(const absl::Status& refusal, Fates* fates) {
  Batch& batch = *queue_.front();
  // Removing it would take this with it.
  const std::string name = batch.channel;
  const std::optional<Position> last = LastPosition(refusal);
  // What was written to a stream that broke may arrive late. The channel must
  // be past what it expects: a message that is yet to come would let it in.
  const bool past = batch.expected_last && last &&
                    last->epoch == batch.expected_epoch &&
                    last->sequence > batch.expected_last->sequence;
  // A key that another message has cannot have been that of this one.
  const bool final = !batch.uncertain || past ||
                     ReasonOf(refusal) == reason::kIdempotencyKeyReused;
  if (batch.numbering == Numbering::kChannel) {
    if (!final) {
      return FailAmbiguous(
          name, refusal,
          absl::UnavailableError(fmt::format(
              "a message sent before was refused: {}", MessageOf(refusal))),
          fates);
    }
    if (batch.first_producer_sequence != 0) {
      FindChannel(name).next_producer_sequence = batch.first_producer_sequence;
      // Nor is what was sent after it.
      for (const std::unique_ptr<Batch>& other : queue_) {
        if (other->channel == name) other->uncertain = false;
      }
      TakeNumbers(name);
    }
  }
  const std::uint64_t generation = batch.generation;
  Fail(batch, final ? WithoutMayBeStored(refusal) : WithMayBeStored(refusal),
       fates);
  RemoveFirst();
  if (generation != 0) FailNamed(name, generation, refusal, fates);
}

void SendWindow::FailNamed(const std::string& channel, std::uint64_t generation,
                           const absl::Status& why, Fates* fates) {
  Named& named = named_.find(Key(channel))->second;
  const absl::Status status = FailedBefore(why);
  if (named.generation == generation && named.failure.ok()) {
    named.failure = status;
  }
  Batches left;
  for (std::unique_ptr<Batch>& batch : queue_) {
    if (batch->channel != channel || batch->generation != generation) {
      left.push_back(std::move(batch));
      continue;
    }
    Fail(*batch, batch->uncertain ? WithMayBeStored(status) : status, fates);
    Remove(std::move(batch));
  }
  queue_ = std::move(left);
}

void SendWindow::FailAmbiguous(const std::string& channel,
                               const absl::Status& first,
                               const absl::Status& rest, Fates* fates) {
  Batches left;
  bool is_first = true;
  for (std::unique_ptr<Batch>& batch : queue_) {
    if (batch->channel != channel || !batch->uncertain) {
      left.push_back(std::move(batch));
      continue;
    }
    Fail(*batch, WithMayBeStored(is_first ? first : rest), fates);
    is_first = false;
    Remove(std::move(batch));
  }
  queue_ = std::move(left);
  Renew(channel);
}

void SendWindow::Renew(const std::string& name) {
  Channel& channel = FindChannel(name);
  channel.producer_id = RandomProducerId();
  channel.next_producer_sequence = 1;
  TakeNumbers(name);
}

void SendWindow::TakeNumbers(const std::string& channel) {
  for (const std::unique_ptr<Batch>& batch : queue_) {
    if (batch->channel != channel || batch->numbering != Numbering::kChannel) {
      continue;
    }
    batch->first_producer_sequence = 0;
    // Of what may be stored in a log that was replaced, the epoch stays.
    if (batch->expected_last && !batch->uncertain) {
      batch->expected_epoch = batch->expected_last->epoch;
    }
    batch->uncertain = false;
  }
}

void SendWindow::FailInFlight(const absl::Status& status, Fates* fates) {
  // Or this would go on for ever.
  if (in_flight_.empty()) return Refuse(status, fates);
  // With the generations of named producers, if something of them is there.
  std::map<std::string, std::uint64_t> channels;
  for (const std::unique_ptr<Batch>& batch : in_flight_) {
    std::uint64_t& generation = channels[batch->channel];
    generation = std::max(generation, batch->generation);
  }
  Break();
  for (const auto& [channel, generation] : channels) {
    FailAmbiguous(channel, status, status, fates);
    if (generation != 0) FailNamed(channel, generation, status, fates);
  }
}

void SendWindow::FailAll(const absl::Status& status, Fates* fates) {
  Requeue();
  const absl::Status stored = WithMayBeStored(status);
  const absl::Status not_stored = WithoutMayBeStored(status);
  for (const std::unique_ptr<Batch>& batch : queue_) {
    Fail(*batch, batch->written() ? stored : not_stored, fates);
    if (batch->numbering == Numbering::kNamed) {
      named_.find(Key(batch->channel))->second.failure = not_stored;
    }
  }
  queue_.clear();
  channels_.clear();
  producer_id_ = RandomProducerId();
  messages_ = 0;
  bytes_ = 0;
}

void SendWindow::Fail(Batch& batch, const absl::Status& status, Fates* fates) {
  for (Completion& completion : batch.completions) {
    Tell(batch, completion, status, fates);
  }
}

void SendWindow::RemoveFirst() {
  std::unique_ptr<Batch> first = std::move(queue_.front());
  queue_.pop_front();
  Remove(std::move(first));
}

void SendWindow::Remove(std::unique_ptr<Batch> batch) {
  Channel& channel = FindChannel(batch->channel);
  if (channel.open == batch.get()) channel.open = nullptr;
  --channel.batches;
  messages_ -= batch->completions.size() - batch->settled;
  bytes_ -= batch->messages.size() + batch->encoded.size();
}

void SendWindow::Tell(Batch& batch, Completion& completion,
                      absl::StatusOr<Receipt> result, Fates* fates) {
  if (std::exchange(completion.told, true)) return;
  --batch.untold;
  ++(result.ok() ? acknowledged_ : failed_);
  fates->push_back({.completion = {.done = std::move(completion.done),
                                   .waiter = std::move(completion.waiter)},
                    .result = std::move(result)});
}

std::uint64_t SendWindow::FirstUntold() const {
  for (const Batches* batches : {&in_flight_, &queue_}) {
    for (const std::unique_ptr<Batch>& batch : *batches) {
      if (batch->untold > 0) return batch->id;
    }
  }
  return UINT64_MAX;
}

// ---------------------------------------------------------------------------
// Time

Timers::TimePoint SendWindow::Expire(Timers::TimePoint now,
                                     const absl::Status& why_away,
                                     Fates* fates) {
  Timers::TimePoint next = Timers::TimePoint::max();
  for (const std::unique_ptr<Batch>& batch : in_flight_) {
    if (batch->deadline <= now) ExpireWritten(*batch, now, fates);
    next = std::min(next, batch->deadline);
  }
  const absl::Status dropped = absl::DeadlineExceededError(
      why_away.ok() ? std::string("the message was not sent in time")
                    : fmt::format("the message was not sent in time: {}",
                                  MessageOf(why_away)));
  const auto is_due = [&](const Completion& completion,
                          std::string_view /*message*/) {
    return completion.deadline <= now;
  };
  Batches left;
  for (std::unique_ptr<Batch>& batch : queue_) {
    if (batch->deadline <= now) {
      // What is dropped leaves a hole, in which it could not be sent again.
      if (batch->written() || batch->numbering == Numbering::kNamed) {
        ExpireWritten(*batch, now, fates);
      } else if (!FailUnwritten(*batch, is_due, dropped, fates)) {
        Remove(std::move(batch));
        continue;
      }
    }
    next = std::min(next, batch->deadline);
    left.push_back(std::move(batch));
  }
  queue_ = std::move(left);
  return next;
}

void SendWindow::ExpireWritten(Batch& batch, Timers::TimePoint now,
                               Fates* fates) {
  batch.deadline = Timers::TimePoint::max();
  for (Completion& completion : batch.completions) {
    if (completion.told) continue;
    if (completion.deadline > now) {
      batch.deadline = std::min(batch.deadline, completion.deadline);
      continue;
    }
    Tell(batch, completion,
         WithMayBeStored(
             absl::DeadlineExceededError("there was no receipt in time")),
         fates);
  }
}

bool SendWindow::FailUnwritten(Batch& batch, IsMeant is_meant,
                               const absl::Status& status, Fates* fates) {
  batch.deadline = Timers::TimePoint::max();
  std::vector<Completion> left;
  std::string messages;
  wire::FieldReader fields(batch.messages);
  for (Completion& completion : batch.completions) {
    fields.Next();
    if (is_meant(completion, fields.bytes())) {
      Tell(batch, completion, status, fates);
      continue;
    }
    batch.deadline = std::min(batch.deadline, completion.deadline);
    messages.append(fields.begin(), fields.end());
    left.push_back(std::move(completion));
  }
  messages_ -= batch.completions.size() - left.size();
  bytes_ -= batch.messages.size() - messages.size();
  batch.completions = std::move(left);
  batch.messages = std::move(messages);
  return !batch.completions.empty();
}

}  // namespace messenger
