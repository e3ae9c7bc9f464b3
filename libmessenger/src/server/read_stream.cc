#include "server/read_stream.h"

#include <grpcpp/server_context.h>

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "base/counters.h"
#include "base/out_of_memory.h"
#include "rpc/bytes.h"

namespace messenger {
namespace {

using Reactor = grpc::ServerWriteReactor<grpc::ByteBuffer>;

// A call that fails before there is a stream.
class FailedRead final : public Reactor {
 public:
  explicit FailedRead(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

// Refers to log memory and keeps it alive.
grpc::Slice MakeSlice(const LogBytes& bytes) {
  using Owner = std::shared_ptr<const void>;
  return {const_cast<char*>(bytes.bytes.data()), bytes.bytes.size(),
          [](void* owner) { delete static_cast<Owner*>(owner); },
          new Owner(bytes.owner)};
}

std::chrono::nanoseconds ClampHeartbeat(std::chrono::milliseconds interval,
                                        const ServiceOptions& options) {
  if (interval.count() == 0) return interval;
  return std::clamp(interval, options.min_heartbeat_interval,
                    options.max_heartbeat_interval);
}

// How long a frame may take to be a quick one: little of the time after which
// the reader, or the service, takes the other for gone.
std::chrono::nanoseconds QuickFrame(std::chrono::nanoseconds heartbeat_interval,
                                    const ServiceOptions& options) {
  std::chrono::nanoseconds patience = std::chrono::seconds(10);
  for (const std::chrono::nanoseconds bound :
       {heartbeat_interval, std::chrono::nanoseconds(options.stall_timeout)}) {
    if (bound.count() > 0) patience = std::min(patience, bound);
  }
  return patience / 10;
}

std::size_t SizeOf(const ReadResult& result) {
  std::size_t size = 0;
  for (const LogBytes& run : result.entries) size += run.bytes.size();
  return size;
}

}  // namespace

Reactor* ReadStream::Start(const Call& call,
                           grpc::CallbackServerContext* context,
                           const grpc::ByteBuffer& request) {
  absl::StatusOr<std::shared_ptr<ReadStream>> opened =
      RefuseIfOutOfMemory([&]() -> absl::StatusOr<std::shared_ptr<ReadStream>> {
        if (absl::Status s = call.Admit(); !s.ok()) return s;
        const grpc::Slice bytes = rpc::Flatten(request);
        absl::StatusOr<wire::ReadRequest> parsed =
            wire::ParseReadMessagesRequest(rpc::View(bytes));
        if (!parsed.ok()) return parsed.status();
        return Make(call, context, *parsed);
      });
  if (!opened.ok()) return new FailedRead(call.Tell(opened.status()));
  const std::shared_ptr<ReadStream>& stream = *opened;
  if (call.depends_on_rules()) call.core().Add(stream);
  FanOut& fan_out = call.core().fan_out();
  fan_out.Join(stream.get(), stream->channel_);
  if (stream->heartbeat_interval_.count() > 0) {
    const TimePoint now = FanOut::Clock::now();
    stream->last_frame_ = now;
    fan_out.SetTimer(stream.get(), now + stream->heartbeat_interval_);
  }
  stream->Run();
  return stream.get();
}

ReadStream::ReadStream(const Call& call, grpc::CallbackServerContext* context,
                       const wire::ReadRequest& request)
    : call_(call),
      channel_(request.channel),
      heartbeat_interval_(
          ClampHeartbeat(request.heartbeat_interval, call.core().options())),
      until_caught_up_(request.until_caught_up),
      log_reader_(call.core().log().OpenReader(
          request.channel, request.start,
          {.strict = request.strict, .skip_damaged = request.skip_damaged})),
      remaining_(request.limit.value_or(UINT64_MAX)),
      pace_(call.core().options().max_frame_bytes,
            QuickFrame(heartbeat_interval_, call.core().options())),
      context_(context) {}

void ReadStream::Run() {
  while (!EndIfOver()) {
    if (held_) return SendFrame(*std::exchange(held_, nullptr));
    if (joined_ && call_.core().fan_out().Park(this)) return;
    std::optional<absl::StatusOr<ReadResult>> result = log_reader_->Read(
        {.max_bytes = call_.core().frames().FrameBytes(pace_.bytes()),
         .max_count = remaining_,
         .last_sequence = last_sequence_},
        [self = self()](absl::StatusOr<ReadResult> later) {
          if (!self->Consume(std::move(later))) self->Run();
        });
    if (!result) return;
    if (Consume(*std::move(result))) return;
  }
}

bool ReadStream::EndIfOver() {
  // What it was told of before is looked at now.
  refused_ = false;
  const absl::Status s =
      cancelled_ ? absl::CancelledError() : call_.Admit(channel_);
  if (!s.ok()) Finish(call_.Tell(s));
  return !s.ok();
}

bool ReadStream::Consume(absl::StatusOr<ReadResult> result) {
  if (!result.ok()) {
    Finish(call_.Tell(result.status()));
    return true;
  }
  if (result->gap) Count(CounterOf(result->gap->reason, counters().gaps));
  if (!joined_ && until_caught_up_) last_sequence_ = result->head;
  remaining_ -= result->count;
  next_sequence_ = result->next_sequence + result->count;
  head_ = result->head;
  if (!joined_ || result->count > 0 || result->gap || Over()) {
    Send(*std::move(result));
    return true;
  }
  return false;
}

void ReadStream::Send(ReadResult result) {
  call_.core().frames().Add(this, result.entries);
  // A message that is larger than that is read all the same.
  const bool large =
      SizeOf(result) > std::max(2 * pace_.bytes(), rpc::Pace::kFirstBytes);
  if (result.count > 0 && (!joined_ || large)) {
    SendAhead(std::move(result));
  } else {
    SendFrame(result);
  }
}

void ReadStream::SendAhead(ReadResult result) {
  held_ = std::make_unique<ReadResult>(std::move(result));
  const std::size_t bytes = SizeOf(*held_);
  wire::FrameHeader header = {.next_sequence = held_->next_sequence,
                              .head = held_->head,
                              .gap = std::exchange(held_->gap, std::nullopt)};
  if (bytes > rpc::Pace::kFirstBytes) header.next_frame_bytes = bytes;
  Introduce(&header);
  grpc::ByteBuffer frame = rpc::MakeBuffer(wire::EncodeFrameHeader(header));
  PrepareFrame(&frame, 0, 0);
  StartWrite(&frame_);
}

void ReadStream::Introduce(wire::FrameHeader* header) {
  if (std::exchange(joined_, true)) return;
  header->epoch = call_.core().log().epoch();
  header->heartbeat_interval =
      std::chrono::ceil<std::chrono::milliseconds>(heartbeat_interval_);
}

void ReadStream::SendFrame(const ReadResult& result) {
  wire::FrameHeader header = {.head = result.head,
                              .caught_up = next_sequence_ > result.head,
                              .gap = result.gap};
  if (result.count == 0) header.next_sequence = result.next_sequence;
  Introduce(&header);
  absl::InlinedVector<grpc::Slice, 8> slices;
  slices.emplace_back(wire::EncodeFrameHeader(header));
  for (const LogBytes& bytes : result.entries) {
    slices.push_back(MakeSlice(bytes));
  }
  grpc::ByteBuffer frame(slices.data(), slices.size());
  PrepareFrame(&frame, result.count, SizeOf(result));
  if (Over()) {
    StartWriteAndFinish(&frame_, grpc::WriteOptions(), grpc::Status::OK);
  } else {
    StartWrite(&frame_);
  }
}

void ReadStream::SendHeartbeat() {
  const wire::FrameHeader header = {
      .next_sequence = next_sequence_, .head = head_, .caught_up = true};
  grpc::ByteBuffer frame = rpc::MakeBuffer(wire::EncodeFrameHeader(header));
  PrepareFrame(&frame, 0, 0);
  StartWrite(&frame_);
}

void ReadStream::PrepareFrame(grpc::ByteBuffer* frame, std::uint64_t messages,
                              std::size_t bytes) {
  Count(counters().frames);
  if (messages > 0) {
    Count(counters().messages, messages);
    Count(counters().bytes, bytes);
  }
  frame_.Swap(frame);
  frame_bytes_ = bytes;
  const TimePoint now = FanOut::Clock::now();
  last_frame_ = now;
  writing_ = true;
  const std::chrono::nanoseconds stall = call_.core().options().stall_timeout;
  if (stall.count() > 0 && !stall_timer_set_.exchange(true)) {
    call_.core().fan_out().SetTimer(this, now + stall);
  }
}

void ReadStream::OnWriteDone(bool ok) {
  writing_ = false;
  pace_.OnTaken(frame_bytes_, FanOut::Clock::now() - last_frame_.load());
  // A reader that waits holds nothing.
  if (!held_) call_.core().frames().Remove(this);
  frame_.Clear();
  if (!ok) return Finish(grpc::Status::CANCELLED);
  Run();
}

void ReadStream::OnCancel() {
  cancelled_ = true;
  log_reader_->Cancel();
  if (call_.core().fan_out().Unpark(this)) Finish(grpc::Status::CANCELLED);
}

void ReadStream::OnDone() {
  {
    absl::MutexLock lock(&context_mu_);
    context_ = nullptr;
  }
  call_.core().fan_out().Leave(this);
  call_.core().frames().Remove(this);
  if (call_.depends_on_rules()) call_.core().Remove(this);
  Release();
}

void ReadStream::CutOff(std::uint64_t& counter) {
  absl::MutexLock lock(&context_mu_);
  if (context_ == nullptr) return;
  context_->TryCancel();
  Count(counter);
}

bool ReadStream::MustNotPark() const {
  return cancelled_ || refused_ || log_reader_->Behind();
}

void ReadStream::Reconsider() {
  if (call_.Admit(channel_).ok()) return;
  // Whoever has the turn now finds out before it parks.
  refused_ = true;
  if (call_.core().fan_out().Unpark(this)) Run();
}

void ReadStream::ReconsiderAtOnce() {
  if (!call_.MayUse(channel_)) CutOff(counters().expelled);
}

FanOut::TimePoint ReadStream::OnTimer(TimePoint now) {
  // Before writing_ is looked at: PrepareFrame sets it before it looks here.
  stall_timer_set_ = false;
  TimePoint next = FanOut::kNever;
  const std::chrono::nanoseconds stall = call_.core().options().stall_timeout;
  if (stall.count() > 0 && writing_) {
    const TimePoint due = last_frame_.load() + stall;
    if (due <= now) {
      CutOff(counters().stalled);
      return FanOut::kNever;
    }
    stall_timer_set_ = true;
    next = due;
  }
  if (heartbeat_interval_.count() > 0) {
    TimePoint due = last_frame_.load() + heartbeat_interval_;
    if (due <= now) {
      due = now + heartbeat_interval_;
      if (call_.core().fan_out().Unpark(this)) SendHeartbeat();
    }
    next = std::min(next, due);
  }
  return next;
}

}  // namespace messenger
