#include "client/send_pipeline.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "absl/time/clock.h"
#include "base/random.h"
#include "base/status.h"
#include "rpc/bytes.h"
#include "wire/channel_name.h"
#include "wire/coding.h"
#include "wire/new_message.h"

namespace messenger {
namespace {

// A batch is closed when it has this much; larger ones gain nothing.
constexpr std::size_t kMaxBatchBytes = std::size_t{256} << 10;
constexpr std::size_t kMaxBatchMessages = 16'384;
// Requests without a receipt: enough to keep a long connection busy.
constexpr std::size_t kMaxRequests = 64;

}  // namespace

// One call. Owns itself from Start until OnDone.
//
// Its operations are started with the pipeline's mu_ held.
class SendPipeline::Stream final : public ByteStream {
 public:
  explicit Stream(std::shared_ptr<SendPipeline> pipeline)
      : pipeline_(std::move(pipeline)) {}

  void Start(const std::shared_ptr<Stream>& self) {
    self_ = self;
    connection_ = pipeline_->connector_->Get();
    connection_->PrepareStream(&context_, "SendMessages", this);
    AddHold();  // since StartWrite is called outside of reactions
    StartRead(&response_);
    StartCall();
  }
  void Write(grpc::ByteBuffer* request) {
    request_.Swap(request);
    StartWrite(&request_);
  }
  void ReadNext() {
    response_.Clear();
    StartRead(&response_);
  }

  // Without mu_.
  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (ok) {
      pipeline_->OnResponse(response_);
    } else {
      pipeline_->OnBroken();
    }
  }
  void OnWriteDone(bool ok) override { pipeline_->OnWritten(ok); }
  void OnDone(const grpc::Status& status) override {
    pipeline_->OnEnd(StatusOfCall(status));
    // See Connection for why the stream must not be destroyed on this thread.
    const std::shared_ptr<Strand> strand = pipeline_->strand_;
    strand->Post([self = std::move(self_)]() mutable {
      const std::shared_ptr<SendPipeline> pipeline = self->pipeline_;
      self.reset();
      pipeline->OnDestroyed();
    });
  }

 private:
  const std::shared_ptr<SendPipeline> pipeline_;
  std::shared_ptr<Stream> self_;
  std::shared_ptr<Connection> connection_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;   // while a write is under way
  grpc::ByteBuffer response_;  // always being read, but in OnReadDone
};

SendPipeline::SendPipeline(std::shared_ptr<Connector> connector,
                           std::shared_ptr<Timers> /*timers*/,
                           std::shared_ptr<Executor> executor,
                           ClientOptions options)
    : connector_(std::move(connector)),
      strand_(std::make_shared<Strand>(std::move(executor))),
      options_(std::move(options)) {}

absl::StatusOr<Receipt> SendPipeline::Send(const NewMessage& message,
                                           SendOptions /*options*/) {
  const absl::Time deadline =
      absl::Now() + absl::FromChrono(options_.send_timeout);
  Completion completion;
  completion.waiter = std::make_shared<Waiter>();
  const std::shared_ptr<Waiter> waiter = completion.waiter;
  if (absl::Status s = Enqueue(message, completion, deadline); !s.ok()) {
    return s;
  }
  if (!waiter->done.WaitForNotificationWithDeadline(deadline)) {
    return absl::DeadlineExceededError(
        fmt::format("no receipt within {} ms; the message may still be stored",
                    options_.send_timeout.count()));
  }
  return waiter->result;
}

void SendPipeline::SendAsync(const NewMessage& message, SendCallback done,
                             SendOptions /*options*/) {
  Completion completion;
  completion.done = std::move(done);
  absl::Status status = Enqueue(message, completion, absl::InfiniteFuture());
  if (!status.ok()) Report(std::move(status), std::move(completion.done));
}

void SendPipeline::Report(absl::Status status, SendCallback done) {
  absl::MutexLock lock(&mu_);
  Results results;
  Completion completion;
  completion.done = std::move(done);
  Complete(completion, std::move(status), &results);
  Deliver(std::move(results));
}

absl::Status SendPipeline::Enqueue(const NewMessage& message,
                                   Completion& completion,
                                   absl::Time deadline) {
  if (absl::Status s = CheckMessage(message, options_.max_message_bytes);
      !s.ok()) {
    return s;
  }
  const std::string_view channel = *wire::ResolveChannelName(message.channel);
  const std::size_t size = wire::NewMessageSize(message);
  const std::size_t field_size = wire::BytesFieldSize(size);
  absl::MutexLock lock(&mu_);
  if (absl::Status s = AwaitRoom(field_size, deadline); !s.ok()) return s;
  Batch* const batch = OpenBatch(channel, field_size);
  wire::AppendNewMessageField(batch->messages, message, size);
  batch->completions.push_back(std::move(completion));
  ++messages_;
  bytes_ += field_size;
  Advance();
  return absl::OkStatus();
}

absl::Status SendPipeline::AwaitRoom(std::size_t size, absl::Time deadline) {
  const bool inside = strand_->RunningInside();
  while (!closed_ &&
         (messages_ >= options_.max_in_flight_messages ||
          // A message larger than the window goes alone.
          (messages_ > 0 && bytes_ + size > options_.max_in_flight_bytes) ||
          // Inside a callback, results cannot be waited for.
          (!inside && undelivered_ >= options_.max_in_flight_messages))) {
    if (changed_.WaitWithDeadline(&mu_, deadline)) {
      return absl::DeadlineExceededError(fmt::format(
          "no room in the window of {} messages and {} bytes within {} ms; the "
          "message was not sent",
          options_.max_in_flight_messages, options_.max_in_flight_bytes,
          options_.send_timeout.count()));
    }
  }
  if (closed_) return absl::CancelledError("the client was destroyed");
  return absl::OkStatus();
}

SendPipeline::Batch* SendPipeline::OpenBatch(std::string_view name,
                                             std::size_t size) {
  const absl::string_view key(name.data(), name.size());
  const auto it = channels_.find(key);
  Channel& channel =
      it != channels_.end()
          ? it->second
          : channels_.try_emplace(std::string(name)).first->second;
  if (channel.open == nullptr ||
      channel.open->messages.size() + size > kMaxBatchBytes ||
      channel.open->completions.size() >= kMaxBatchMessages) {
    auto batch = std::make_unique<Batch>();
    batch->channel = name;
    batch->id = ++last_batch_;
    channel.open = batch.get();
    queue_.push_back(std::move(batch));
  }
  return channel.open;
}

void SendPipeline::Advance() {
  if (closed_ || queue_.empty()) return;
  if (!call_) {
    // Producer sequences of a broken stream leave a hole, so start anew.
    producer_id_ = RandomProducerId();
    for (auto& [name, channel] : channels_) channel.next_producer_sequence = 1;
    call_ = Call{.stream = std::make_shared<Stream>(shared_from_this())};
    ++streams_;
    call_->stream->Start(call_->stream);
  }
  if (call_->open && !call_->writing && in_flight_.size() < kMaxRequests) {
    WriteBatch();
  }
}

void SendPipeline::WriteBatch() {
  std::unique_ptr<Batch> batch = std::move(queue_.front());
  queue_.pop_front();
  Channel& channel = channels_[batch->channel];
  if (channel.open == batch.get()) channel.open = nullptr;
  if (!batch->retried) {
    batch->encoded = rpc::MakeSlice(std::exchange(batch->messages, {}));
  }
  const std::array<grpc::Slice, 2> slices = {
      rpc::MakeSlice(wire::EncodeSendMessagesHeader(
          batch->channel, producer_id_, channel.next_producer_sequence)),
      batch->encoded};
  channel.next_producer_sequence += batch->completions.size();
  in_flight_.push_back(std::move(batch));
  grpc::ByteBuffer request(slices.data(), slices.size());
  call_->writing = true;
  call_->stream->Write(&request);
}

void SendPipeline::OnWritten(bool ok) {
  absl::MutexLock lock(&mu_);
  call_->writing = false;
  // If not, the read fails as well, and then the stream ends.
  if (ok) Advance();
}

void SendPipeline::OnBroken() {
  absl::MutexLock lock(&mu_);
  Release();
}

void SendPipeline::Release() {
  if (std::exchange(call_->open, false)) call_->stream->RemoveHold();
}

void SendPipeline::OnResponse(const grpc::ByteBuffer& response) {
  const grpc::Slice bytes = rpc::Flatten(response);
  const absl::StatusOr<std::vector<wire::ReceiptRun>> runs =
      wire::ParseSendMessagesResponse(rpc::View(bytes));
  std::shared_ptr<Stream> misled;
  {
    absl::MutexLock lock(&mu_);
    Results results;
    call_->failure = runs.ok() ? Acknowledge(*runs, &results) : runs.status();
    changed_.SignalAll();
    // Before the next read is started: it may come back on another thread.
    Deliver(std::move(results));
    if (call_->failure.ok()) {
      call_->stream->ReadNext();
      Advance();
    } else {
      Release();
      misled = call_->stream;
    }
  }
  if (misled) misled->Cancel();
}

absl::Status SendPipeline::Acknowledge(
    const std::vector<wire::ReceiptRun>& runs, Results* results) {
  for (const wire::ReceiptRun& run : runs) {
    for (std::uint32_t i = 0; i < run.count; ++i) {
      if (in_flight_.empty()) {
        return absl::DataLossError(
            "the server sent receipts for more messages than it was sent");
      }
      Batch& batch = *in_flight_.front();
      Complete(batch.completions[batch.acknowledged],
               Receipt{.position = {run.epoch, run.first_sequence + i},
                       .send_time = run.send_time,
                       .duplicate = run.duplicate},
               results);
      --messages_;
      if (++batch.acknowledged == batch.completions.size()) {
        bytes_ -= batch.encoded.size();
        in_flight_.pop_front();
      }
    }
  }
  return absl::OkStatus();
}

void SendPipeline::OnEnd(const absl::Status& status) {
  absl::MutexLock lock(&mu_);
  const bool misled = !call_->failure.ok();
  absl::Status failure =
      closed_       ? absl::CancelledError("the client was destroyed")
      : misled      ? call_->failure
      : status.ok() ? absl::UnavailableError("the server ended the stream")
                    : status;
  call_.reset();
  if (RetryAsNewProducer(failure)) return Advance();
  Results results;
  if (!closed_ && !misled && !absl::IsUnavailable(failure) &&
      !in_flight_.empty()) {
    // The server answers in order, so the error is that of the first request.
    std::deque<std::unique_ptr<Batch>> refused;
    refused.push_back(std::move(in_flight_.front()));
    in_flight_.pop_front();
    FailBatches(refused, failure, &results);
    failure = absl::UnavailableError(fmt::format(
        "a message sent before was refused: {}", MessageOf(failure)));
  }
  FailBatches(in_flight_, failure, &results);
  FailBatches(queue_, failure, &results);
  Deliver(std::move(results));
  channels_.clear();
  messages_ = 0;
  bytes_ = 0;
  changed_.SignalAll();
}

bool SendPipeline::RetryAsNewProducer(const absl::Status& status) {
  if (!absl::IsFailedPrecondition(status) || in_flight_.empty() ||
      in_flight_.front()->acknowledged > 0 || in_flight_.front()->retried) {
    return false;
  }
  for (; !in_flight_.empty(); in_flight_.pop_back()) {
    in_flight_.back()->retried = true;
    queue_.push_front(std::move(in_flight_.back()));
  }
  return true;
}

void SendPipeline::OnDestroyed() {
  absl::MutexLock lock(&mu_);
  --streams_;
  changed_.SignalAll();
}

void SendPipeline::FailBatches(std::deque<std::unique_ptr<Batch>>& batches,
                               const absl::Status& status, Results* results) {
  for (const auto& batch : batches) {
    for (std::size_t i = batch->acknowledged; i < batch->completions.size();
         ++i) {
      Complete(batch->completions[i], status, results);
    }
  }
  batches.clear();
}

void SendPipeline::Complete(Completion& completion,
                            absl::StatusOr<Receipt> result, Results* results) {
  if (completion.waiter) {
    completion.waiter->result = std::move(result);
    completion.waiter->done.Notify();
    return;
  }
  if (!result.ok() && first_error_.ok()) first_error_ = result.status();
  if (!completion.done) return;
  ++undelivered_;
  results->push_back({std::move(completion.done), std::move(result)});
}

void SendPipeline::Deliver(Results results) {
  if (results.empty()) return;
  strand_->Post(
      [self = shared_from_this(), results = std::move(results)]() mutable {
        for (Result& result : results) result.done(std::move(result.result));
        const std::size_t count = results.size();
        results.clear();
        absl::MutexLock lock(&self->mu_);
        self->undelivered_ -= count;
        self->changed_.SignalAll();
      });
}

std::uint64_t SendPipeline::OldestBatch() const {
  if (!in_flight_.empty()) return in_flight_.front()->id;
  if (!queue_.empty()) return queue_.front()->id;
  return UINT64_MAX;
}

absl::Status SendPipeline::Flush(
    std::optional<std::chrono::milliseconds> /*timeout*/) {
  absl::MutexLock lock(&mu_);
  const std::uint64_t last = last_batch_;
  while (OldestBatch() <= last) changed_.Wait(&mu_);
  return std::exchange(first_error_, absl::OkStatus());
}

void SendPipeline::Close() {
  std::shared_ptr<Stream> stream;
  {
    absl::MutexLock lock(&mu_);
    closed_ = true;
    if (call_) stream = call_->stream;
    changed_.SignalAll();
  }
  if (stream) stream->Cancel();
  if (strand_->RunningInside()) return;
  absl::MutexLock lock(&mu_);
  while (streams_ > 0 || undelivered_ > 0) changed_.Wait(&mu_);
}

}  // namespace messenger
