#include "client/subscription.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "rpc/bytes.h"
#include "wire/channel_name.h"
#include "wire/entry.h"

namespace messenger {
namespace {

// Frames that wait while a callback runs: one to go on with at once, and one to
// cover the way to the server and back.
constexpr int kMaxWaitingFrames = 2;

}  // namespace

Subscription::Impl::Impl(std::shared_ptr<Connection> connection,
                         std::shared_ptr<Executor> executor,
                         ReadOptions options, ReadCallbacks callbacks)
    : connection_(std::move(connection)),
      strand_(std::make_shared<Strand>(std::move(executor))),
      options_(std::move(options)),
      callbacks_(std::move(callbacks)) {}

void Subscription::Impl::Start(const absl::Status& status) {
  absl::Status valid = status;
  const absl::StatusOr<std::string_view> channel =
      wire::ResolveChannelName(options_.channel);
  if (valid.ok()) valid = channel.status();
  if (!valid.ok()) {
    strand_->Post([self = shared_from_this(), valid] { self->End(valid); });
    return;
  }
  channel_ = *channel;
  request_ = rpc::MakeBuffer(wire::EncodeReadMessagesRequest(
      {.channel = channel_,
       .start = options_.start,
       .limit = options_.limit,
       .until_caught_up = options_.until_caught_up,
       .strict = options_.strict,
       .skip_damaged = options_.skip_damaged,
       .heartbeat_interval = options_.heartbeat_interval}));
  self_ = shared_from_this();
  connection_->PrepareStream(&context_, "ReadMessages", this);
  absl::MutexLock lock(&mu_);
  in_call_ = true;
  AddHold();
  StartWriteLast(&request_, grpc::WriteOptions());
  MaybeStartRead();
  StartCall();
}

void Subscription::Impl::StartCancel() {
  {
    absl::MutexLock lock(&mu_);
    if (cancelled_.exchange(true)) return;
    // Otherwise the read that is under way comes back.
    if (!reading_) ReleaseCall();
  }
  context_.TryCancel();
}

void Subscription::Impl::AwaitEnd() {
  if (strand_->RunningInside()) return;
  absl::MutexLock lock(&mu_);
  while (!end_) changed_.Wait(&mu_);
}

absl::Status Subscription::Impl::Wait() {
  if (strand_->RunningInside()) {
    return absl::FailedPreconditionError(
        "Wait was called from inside a callback, for whose end it would wait");
  }
  absl::MutexLock lock(&mu_);
  while (!end_) changed_.Wait(&mu_);
  return *end_;
}

std::optional<Position> Subscription::Impl::position() const {
  absl::MutexLock lock(&mu_);
  if (!position_epoch_) return std::nullopt;
  return Position{*position_epoch_, position_sequence_};
}

bool Subscription::Impl::ended() const {
  absl::MutexLock lock(&mu_);
  return end_.has_value();
}

void Subscription::Impl::MaybeStartRead() {
  if (!in_call_ || reading_ || waiting_frames_ >= kMaxWaitingFrames) return;
  reading_ = true;
  StartRead(&incoming_);
}

void Subscription::Impl::ReleaseCall() {
  if (!std::exchange(in_call_, false)) return;
  RemoveHold();
}

void Subscription::Impl::OnReadDone(bool ok) {
  absl::MutexLock lock(&mu_);
  reading_ = false;
  if (!ok || cancelled()) return ReleaseCall();
  auto frame = std::make_unique<grpc::ByteBuffer>();  // cannot be moved
  frame->Swap(&incoming_);
  ++waiting_frames_;
  // Before the next read is started: it may come back on another thread.
  strand_->Post([self = shared_from_this(), frame = std::move(frame)] {
    self->HandleFrame(*frame);
  });
  MaybeStartRead();
}

void Subscription::Impl::OnDone(const grpc::Status& status) {
  // The task may be over, and *this gone, before Post returns.
  const std::shared_ptr<Strand> strand = strand_;
  strand->Post([self = std::move(self_), status = StatusOfCall(status)] {
    self->End(status);
  });
}

void Subscription::Impl::HandleFrame(const grpc::ByteBuffer& bytes) {
  if (!cancelled() && failure_.ok()) {
    absl::StatusOr<wire::Frame> frame = wire::ParseFrame(Flatten(bytes));
    failure_ = frame.ok() ? Deliver(*frame) : frame.status();
    if (!failure_.ok()) context_.TryCancel();
  }
  absl::MutexLock lock(&mu_);
  --waiting_frames_;
  MaybeStartRead();
}

std::string_view Subscription::Impl::Flatten(const grpc::ByteBuffer& frame) {
  std::vector<grpc::Slice> slices;
  if (!frame.Dump(&slices).ok()) return {};
  if (bytes_.size() < frame.Length()) bytes_.resize(frame.Length());
  char* out = bytes_.data();
  for (const grpc::Slice& slice : slices) {
    const std::string_view bytes = rpc::View(slice);
    out = std::copy(bytes.begin(), bytes.end(), out);
  }
  return {bytes_.data(), out};
}

absl::Status Subscription::Impl::Deliver(const wire::Frame& frame) {
  if (absl::Status s = DeliverHeader(frame.header); !s.ok()) return s;
  if (absl::Status s = DeliverMessages(frame); !s.ok()) return s;
  if (cancelled()) return absl::OkStatus();
  const bool was_caught_up = std::exchange(caught_up_, frame.header.caught_up);
  const std::uint64_t head = frame.header.head.value_or(next_sequence_ - 1);
  if (caught_up_ && !was_caught_up) {
    if (callbacks_.on_caught_up) callbacks_.on_caught_up(head);
  } else if (frame.message_count == 0 && !frame.header.gap) {
    if (callbacks_.on_heartbeat) callbacks_.on_heartbeat(head);
  }
  return absl::OkStatus();
}

absl::Status Subscription::Impl::DeliverHeader(
    const wire::FrameHeader& header) {
  const bool joining = next_sequence_ == 0;
  if (absl::Status s = CheckHeader(header, joining); !s.ok()) return s;
  if (joining) {
    epoch_ = header.epoch;
    next_sequence_ = header.next_sequence;
    // A gap must be delivered before it is stepped over.
    if (!header.gap) SetPosition();
    if (callbacks_.on_joined) {
      callbacks_.on_joined({.epoch = epoch_,
                            .next_sequence = next_sequence_,
                            .head = header.head.value_or(0)});
    }
  }
  if (header.gap && !cancelled()) {
    next_sequence_ = header.gap->next;
    if (callbacks_.on_gap) callbacks_.on_gap(*header.gap);
    SetPosition();
  }
  return absl::OkStatus();
}

absl::Status Subscription::Impl::CheckHeader(const wire::FrameHeader& header,
                                             bool joining) const {
  if (joining && (header.epoch == 0 || header.next_sequence == 0)) {
    return absl::DataLossError(
        "the first frame has no epoch or no next_sequence");
  }
  if (!joining && header.epoch != 0 && header.epoch != epoch_) {
    return absl::DataLossError(fmt::format(
        "channel \"{}\": the epoch changed in midstream", channel_));
  }
  if (!header.gap) return absl::OkStatus();
  const Gap& gap = *header.gap;
  const bool fits = joining ? gap.next == header.next_sequence
                            : gap.first_missing == next_sequence_ &&
                                  gap.next > next_sequence_;
  if (fits) return absl::OkStatus();
  return absl::DataLossError(fmt::format(
      "channel \"{}\": expected message {}, but a gap from {} to before {} "
      "arrived",
      channel_, joining ? header.next_sequence : next_sequence_,
      gap.first_missing, gap.next));
}

absl::Status Subscription::Impl::DeliverMessages(const wire::Frame& frame) {
  Message message;
  message.channel = channel_;
  message.epoch = epoch_;
  std::uint64_t left = frame.message_count;
  wire::EntryReader entries(frame.bytes);
  while (entries.Next()) {
    if (absl::Status s = wire::DecodeMessage(entries.message(), &message);
        !s.ok()) {
      return absl::DataLossError(fmt::format(
          "the message after {} of channel \"{}\" arrived damaged: {}",
          next_sequence_ - 1, channel_, MessageOf(s)));
    }
    if (message.sequence != next_sequence_) {
      return absl::DataLossError(
          fmt::format("channel \"{}\": expected message {}, but {} arrived",
                      channel_, next_sequence_, message.sequence));
    }
    message.last_of_frame = --left == 0;
    if (cancelled()) break;
    if (callbacks_.on_message) callbacks_.on_message(message);
    position_sequence_.store(next_sequence_++, std::memory_order_relaxed);
  }
  return absl::OkStatus();
}

void Subscription::Impl::SetPosition() {
  absl::MutexLock lock(&mu_);
  position_epoch_ = epoch_;
  position_sequence_ = next_sequence_ - 1;
}

void Subscription::Impl::End(const absl::Status& status) {
  const absl::Status final_status =
      cancelled()      ? absl::CancelledError("the subscription was cancelled")
      : !failure_.ok() ? failure_
                       : status;
  if (callbacks_.on_end) callbacks_.on_end(final_status);
  // What the callbacks own may be the last reference to many things.
  { const ReadCallbacks ended = std::exchange(callbacks_, {}); }
  absl::MutexLock lock(&mu_);
  end_ = final_status;
  changed_.SignalAll();
}

Subscription::Subscription(std::shared_ptr<Impl> impl)
    : impl_(std::move(impl)) {}

Subscription::~Subscription() {
  Cancel();
}

Subscription::Subscription(Subscription&& other) noexcept = default;

Subscription& Subscription::operator=(Subscription&& other) noexcept {
  if (this != &other) {
    Cancel();
    impl_ = std::move(other.impl_);
  }
  return *this;
}

void Subscription::Cancel() const {
  if (!impl_) return;
  impl_->StartCancel();
  impl_->AwaitEnd();
}

absl::Status Subscription::Wait() const {
  if (!impl_) return absl::FailedPreconditionError("no subscription");
  return impl_->Wait();
}

std::optional<Position> Subscription::position() const {
  return impl_ ? impl_->position() : std::nullopt;
}

}  // namespace messenger
