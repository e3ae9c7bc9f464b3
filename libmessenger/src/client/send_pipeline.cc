#include "client/send_pipeline.h"

#include <fmt/format.h>
#include <grpcpp/client_context.h>

#include <ctime>
#include <utility>

#include "base/bounds.h"
#include "base/status.h"
#include "rpc/bytes.h"
#include "rpc/self_owned.h"
#include "wire/channel_name.h"
#include "wire/coding.h"
#include "wire/new_message.h"
#include "wire/send.h"
#include "wire/sequence.h"

namespace messenger {
namespace {

// Requests without a receipt: enough to keep a long connection busy.
constexpr std::size_t kMaxRequests = 64;

// How many keepalive timeouts a probe may take. It waits behind what is being
// sent: a line that is full is not dead.
constexpr int kProbePatience = 3;

// Larger ones gain nothing.
constexpr std::size_t kMaxBatchBytes = std::size_t{256} << 10;

// What a request may take, so that its receipts come soon.
constexpr std::chrono::seconds kQuickRequest(1);

// How many times a quick flight fits into the keepalive timeout. A line can
// then become a few times slower and still bring a ping's answer in time.
constexpr int kQuickFlights = 16;

// A few milliseconds late, and cheap: this is done for each message.
Timers::TimePoint CoarseNow() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return Timers::TimePoint(std::chrono::seconds(now.tv_sec) +
                           std::chrono::nanoseconds(now.tv_nsec));
}

Timers::TimePoint DeadlineAfter(std::chrono::milliseconds timeout) {
  constexpr std::chrono::seconds kShort(1);
  if (timeout.count() == 0) return Timers::TimePoint::max();
  return (timeout < kShort ? Timers::Clock::now() : CoarseNow()) + timeout;
}

absl::Status CheckOptions(const SendOptions& options) {
  if (options.producer_sequence) {
    if (absl::Status s =
            CheckBounds("producer_sequence", *options.producer_sequence,
                        Bounds<std::uint64_t>{1, wire::kMaxSequence});
        !s.ok()) {
      return s;
    }
  }
  const std::string_view key = options.idempotency_key;
  if (key.empty()) return absl::OkStatus();
  if (options.producer_sequence) {
    return absl::InvalidArgumentError(
        "idempotency_key: together with a producer_sequence; a message has one "
        "of them");
  }
  return wire::CheckIdempotencyKey(key);
}

}  // namespace

// One call. Is destroyed in the strand: see Connection for why not on gRPC's
// thread.
//
// Its operations are started with the pipeline's mu_ held.
class SendPipeline::Stream final : public ByteStream,
                                   public rpc::SelfOwned<SendPipeline::Stream> {
 public:
  Stream(std::shared_ptr<SendPipeline> pipeline,
         std::shared_ptr<Connection> connection)
      : pipeline_(std::move(pipeline)), connection_(std::move(connection)) {}

  void Start() {
    token_ = connection_->PrepareStream(&context_, "SendMessages", this);
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
  const std::shared_ptr<Connection>& connection() const { return connection_; }

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
    pipeline_->OnEnd(connection_->StatusOf(status, token_));
    const std::shared_ptr<Strand> strand = pipeline_->strand_;
    strand->Post([self = Release()]() mutable {
      const std::shared_ptr<SendPipeline> pipeline = self->pipeline_;
      self.reset();
      pipeline->OnDestroyed();
    });
  }

 private:
  const std::shared_ptr<SendPipeline> pipeline_;
  const std::shared_ptr<Connection> connection_;
  grpc::ClientContext context_;
  CallToken::Version token_ = 0;
  grpc::ByteBuffer request_;   // while a write is under way
  grpc::ByteBuffer response_;  // always being read, but in OnReadDone
};

SendPipeline::SendPipeline(std::shared_ptr<Connector> connector,
                           std::shared_ptr<Timers> timers,
                           std::shared_ptr<RunQueue> queue,
                           ClientOptions options)
    : connector_(std::move(connector)),
      timers_(std::move(timers)),
      strand_(std::make_shared<Strand>(std::move(queue))),
      options_(std::move(options)),
      pace_(kMaxBatchBytes, kQuickRequest),
      flight_(std::chrono::nanoseconds(options_.keepalive_timeout) /
              kQuickFlights),
      backoff_(options_.retry) {}

// ---------------------------------------------------------------------------
// Messages come in

absl::StatusOr<Receipt> SendPipeline::Send(
    const NewMessage& message, const SendOptions& options,
    const std::optional<SendTerms::Number>& number) {
  const auto waiter = std::make_shared<SendWaiter>();
  Completion completion;
  completion.waiter = waiter;
  if (absl::Status s = Submit(message, completion, options, number); !s.ok()) {
    return s;
  }
  waiter->done.WaitForNotification();
  return waiter->result;
}

void SendPipeline::SendAsync(const NewMessage& message, SendCallback done,
                             const SendOptions& options) {
  Completion completion;
  completion.done = std::move(done);
  absl::Status status = Submit(message, completion, options);
  if (!status.ok()) Report(std::move(status), std::move(completion.done));
}

void SendPipeline::Report(absl::Status status, SendCallback done) {
  absl::MutexLock lock(&mu_);
  Fates fates;
  fates.push_back(
      {.completion = {.done = std::move(done)}, .result = std::move(status)});
  Deliver(std::move(fates));
}

absl::Status SendPipeline::Submit(
    const NewMessage& message, Completion& completion,
    const SendOptions& options,
    const std::optional<SendTerms::Number>& number) {
  absl::Status status = Enqueue(message, completion, options, number);
  if (!status.ok() && IsNamed(options, number)) {
    const auto channel = wire::ResolveChannelName(message.channel);
    absl::MutexLock lock(&mu_);
    if (channel.ok()) window_.RefuseNamed(*channel, status);
  }
  return status;
}

bool SendPipeline::IsNamed(
    const SendOptions& options,
    const std::optional<SendTerms::Number>& number) const {
  return !options_.producer_name.empty() && !number &&
         options.idempotency_key.empty();
}

absl::Status SendPipeline::Enqueue(
    const NewMessage& message, Completion& completion,
    const SendOptions& options,
    const std::optional<SendTerms::Number>& number) {
  const absl::StatusOr<wire::CheckedMessage> checked =
      wire::CheckNewMessage(message, options_.max_message_bytes);
  if (!checked.ok()) return checked.status();
  const std::chrono::milliseconds timeout =
      options.timeout.value_or(options_.send_timeout);
  if (absl::Status s =
          CheckBounds("timeout", timeout, ClientOptions::kSendTimeout);
      !s.ok()) {
    return s;
  }
  // Most messages are not.
  const bool is_special =
      number || options.expected_last || options.producer_sequence ||
      !options.idempotency_key.empty() || !options_.producer_name.empty();
  if (is_special) {
    if (absl::Status s = CheckOptions(options); !s.ok()) return s;
  }
  const TimePoint deadline = DeadlineAfter(timeout);
  absl::MutexLock lock(&mu_);
  if (absl::Status s = AwaitRoom(wire::BytesFieldSize(checked->size), deadline);
      !s.ok()) {
    return s;
  }
  SendTerms terms;
  if (is_special) {
    terms = {.expected_last = options.expected_last,
             .idempotency_key = options.idempotency_key,
             .number = number};
    if (absl::Status s = SetNumber(checked->channel, options, &terms);
        !s.ok()) {
      return s;
    }
  }
  completion.deadline = deadline;
  window_.Add(*checked, message, std::move(completion), terms);
  ++counters_.messages;
  ArmExpiry(deadline);
  Advance();
  return absl::OkStatus();
}

absl::Status SendPipeline::SetNumber(std::string_view channel,
                                     const SendOptions& options,
                                     SendTerms* terms) const {
  if (options_.producer_name.empty()) {
    if (!options.producer_sequence) return absl::OkStatus();
    return absl::InvalidArgumentError(fmt::format(
        "producer_sequence: {}, but the client has no producer_name",
        *options.producer_sequence));
  }
  if (!IsNamed(options, terms->number)) return absl::OkStatus();
  const absl::StatusOr<std::uint64_t> next = window_.NextNamedNumber(channel);
  if (!next.ok()) return next.status();
  terms->named_number = options.producer_sequence.value_or(*next);
  return absl::OkStatus();
}

absl::Status SendPipeline::CheckIdle(std::string_view channel) {
  absl::MutexLock lock(&mu_);
  return window_.CheckIdle(channel);
}

void SendPipeline::SetNamedProducer(const ProducerInfo& producer) {
  absl::MutexLock lock(&mu_);
  window_.SetNamedProducer(producer);
}

bool SendPipeline::HasRoom(std::size_t size) const {
  if (window_.messages() == 0) return true;
  return window_.messages() < options_.max_in_flight_messages &&
         window_.bytes() + size <= options_.max_in_flight_bytes;
}

absl::Status SendPipeline::AwaitRoom(std::size_t size, TimePoint deadline) {
  const auto refusal = [&](std::string_view what) {
    mu_.AssertHeld();
    return fmt::format("{} the window of {} messages and {} bytes{}{}", what,
                       options_.max_in_flight_messages,
                       options_.max_in_flight_bytes, away_.ok() ? "" : ": ",
                       MessageOf(away_));
  };
  // Inside a callback, results cannot be waited for.
  const bool inside = strand_->RunningInside();
  while (!closed_ &&
         (!HasRoom(size) || (!inside && posted_ - returned_ >=
                                            options_.max_in_flight_messages))) {
    if (options_.when_full == WhenFull::kRefuse) {
      return absl::ResourceExhaustedError(refusal("there is no room in"));
    }
    if (!changed_.WaitUntil(&mu_, deadline)) {
      return absl::DeadlineExceededError(
          refusal("the message was not sent: there was no room in time in"));
    }
  }
  if (closed_) return absl::CancelledError("the client was destroyed");
  return absl::OkStatus();
}

// ---------------------------------------------------------------------------
// Requests go out

bool SendPipeline::MayWrite() const {
  if (window_.requests_in_flight() == 0) return true;
  return window_.requests_in_flight() < kMaxRequests &&
         window_.bytes_in_flight() + window_.next_bytes() <= flight_.bytes();
}

void SendPipeline::Advance() {
  if (closed_ || retry_timer_ || !window_.queued()) return;
  if (!call_) {
    call_ = Call{.stream = Stream::Make(shared_from_this(), connector_->Get())};
    ++streams_;
    ++counters_.streams;
    call_->stream->Start();
    const TimePoint now = Timers::Clock::now();
    call_->since = now;
    ArmSilence(now + std::chrono::duration_cast<Timers::Clock::duration>(
                         backoff_.Begin(now, options_.call_timeout)));
  }
  if (!call_->open || !call_->answered || call_->writing) return;
  Fates unsupported;
  window_.FailUnsupported(call_->capabilities, &unsupported);
  if (!unsupported.empty()) {
    Deliver(std::move(unsupported));
    changed_.SignalAll();
    if (!window_.queued()) return;
  }
  if (MayWrite()) {
    if (window_.requests_in_flight() == 0) call_->heard = CoarseNow();
    grpc::ByteBuffer request = window_.Write();
    call_->writing = true;
    call_->written = Timers::Clock::now();
    call_->bytes = request.Length();
    ++counters_.requests;
    counters_.bytes += call_->bytes;
    flight_.OnWritten(window_.requests_in_flight(), window_.bytes_in_flight(),
                      call_->written);
    call_->stream->Write(&request);
    if (!call_->silence_timer) {
      ArmSilence(call_->heard + options_.keepalive_time);
    }
  }
}

void SendPipeline::OnWritten(bool ok) {
  absl::MutexLock lock(&mu_);
  call_->writing = false;
  // The read fails as well, and then the stream ends.
  if (!ok) return;
  const TimePoint now = Timers::Clock::now();
  call_->heard = now;
  pace_.OnTaken(call_->bytes, now - call_->written);
  window_.SetBatchBytes(pace_.bytes());
  Advance();
}

// ---------------------------------------------------------------------------
// Answers come back

void SendPipeline::OnResponse(const grpc::ByteBuffer& response) {
  const grpc::Slice bytes = rpc::Flatten(response);
  const absl::StatusOr<wire::SendResponse> parsed =
      wire::ParseSendMessagesResponse(rpc::View(bytes));
  std::shared_ptr<Stream> misled;
  bool back = false;
  {
    absl::MutexLock lock(&mu_);
    Fates fates;
    call_->failure = parsed.status();
    if (parsed.ok()) {
      call_->failure = CheckOrder(*parsed);
    }
    if (call_->failure.ok()) {
      call_->heard = CoarseNow();
      if (!std::exchange(call_->answered, true)) {
        if (call_->silence_timer) timers_->Cancel(*call_->silence_timer);
        call_->silence_timer.reset();
        call_->capabilities = parsed->capabilities;
        window_.SetEpoch(parsed->epoch);
      }
      const std::size_t before = window_.messages();
      const std::size_t requests = window_.requests_in_flight();
      call_->failure = window_.Acknowledge(parsed->receipts, &fates);
      flight_.OnReceipts(requests - window_.requests_in_flight(),
                         Timers::Clock::now());
      if (window_.messages() < before) {
        NoteProgress();
        back = !std::exchange(call_->progressed, true);
      }
    }
    changed_.SignalAll();
    // Before the next read is started: it may come back on another thread.
    Deliver(std::move(fates));
    if (call_->failure.ok()) {
      call_->stream->ReadNext();
      Advance();
    } else {
      Release();
      misled = call_->stream;
    }
  }
  if (back) connector_->ReportBack();
  if (misled) misled->Cancel();
}

absl::Status SendPipeline::CheckOrder(
    const wire::SendResponse& response) const {
  if (!call_->answered) {
    if (response.epoch != 0) return absl::OkStatus();
    return absl::DataLossError(
        "the server's first SendMessagesResponse has no epoch");
  }
  if (!response.receipts.empty()) return absl::OkStatus();
  return absl::DataLossError(
      "the server sent a SendMessagesResponse without receipts");
}

void SendPipeline::OnBroken() {
  absl::MutexLock lock(&mu_);
  Release();
}

void SendPipeline::OnSilence() {
  const TimePoint now = Timers::Clock::now();
  std::shared_ptr<Stream> given_up;
  {
    absl::MutexLock lock(&mu_);
    // It may have run for a call that has ended, or has answered, meanwhile.
    if (!call_ || !call_->silence_timer || call_->silence_timer->time > now) {
      return;
    }
    call_->silence_timer.reset();
    if (!call_->answered) {
      given_up = call_->stream;
      call_->silent = NotAnswered(now - call_->since);
    } else if (window_.requests_in_flight() > 0) {
      const TimePoint due =
          call_->heard + options_.keepalive_time +
          (call_->probe ? kProbePatience * options_.keepalive_timeout
                        : std::chrono::milliseconds(0));
      if (due > now) {
        ArmSilence(due);
      } else if (call_->probe) {
        given_up = call_->stream;
        call_->silent = NotAnswered(now - call_->heard);
      } else {
        StartProbe();
        ArmSilence(now + kProbePatience * options_.keepalive_timeout);
      }
    }
  }
  if (given_up) given_up->Cancel();
}

void SendPipeline::ArmSilence(TimePoint time) {
  call_->silence_timer = Schedule(time, &SendPipeline::OnSilence);
}

void SendPipeline::StartProbe() {
  auto probe = std::make_shared<Probe>(call_->stream->connection());
  call_->probe = probe;
  ++streams_;
  Probe* const raw = probe.get();
  raw->Ask([self = shared_from_this(), probe = std::move(probe)]() mutable {
    self->OnProbeEnd(probe);
    // As for a stream.
    const std::shared_ptr<Strand> strand = self->strand_;
    strand->Post([self = std::move(self), probe = std::move(probe)]() mutable {
      probe.reset();
      self->OnDestroyed();
    });
  });
}

void SendPipeline::OnProbeEnd(const std::shared_ptr<Probe>& probe) {
  absl::MutexLock lock(&mu_);
  // If it has broken, so has the stream.
  if (!call_ || call_->probe != probe) return;
  call_->probe.reset();
  call_->heard = CoarseNow();
}

void SendPipeline::Release() {
  if (std::exchange(call_->open, false)) call_->stream->RemoveHold();
}

void SendPipeline::OnEnd(const absl::Status& status) {
  bool away = false;
  bool back = false;
  absl::Status reason =
      status.ok() ? absl::UnavailableError("the server ended the stream")
                  : status;
  std::shared_ptr<Probe> probe;
  {
    absl::MutexLock lock(&mu_);
    Fates fates;
    const Call call = *std::exchange(call_, std::nullopt);
    flight_.OnEnd();
    if (call.silence_timer) timers_->Cancel(*call.silence_timer);
    probe = call.probe;
    if (!call.silent.ok()) reason = call.silent;
    const absl::Status named = connector_->WithAddress(reason);
    if (closed_) {
      // Close has failed everything.
    } else if (!call.failure.ok()) {
      window_.FailInFlight(connector_->WithAddress(call.failure), &fates);
    } else if (!absl::IsUnavailable(reason)) {
      const std::size_t before = window_.messages();
      window_.Refuse(named, &fates);
      // An answer, too: it is not asked for again.
      back = window_.messages() < before;
      if (back) NoteProgress();
    } else {
      connector_->Discard(call.stream->connection());
      window_.Break();
      away = Retry(named, &fates);
    }
    Deliver(std::move(fates));
    Advance();
    changed_.SignalAll();
  }
  if (probe) probe->Cancel();
  if (back) connector_->ReportBack();
  if (away) connector_->ReportAway(reason);
}

void SendPipeline::NoteProgress() {
  backoff_.Progressed();
  away_ = absl::OkStatus();
}

bool SendPipeline::Retry(const absl::Status& reason, Fates* fates) {
  if (window_.empty()) {
    backoff_.Rest();
    return false;
  }
  const TimePoint now = Timers::Clock::now();
  const std::optional<std::chrono::nanoseconds> wait = backoff_.Failed(now);
  if (!wait || !connector_->can_reconnect()) {
    window_.FailAll(reason, fates);
    backoff_.Rest();
    return false;
  }
  away_ = WithoutMayBeStored(reason);
  retry_timer_ =
      Schedule(now + std::chrono::duration_cast<Timers::Clock::duration>(*wait),
               &SendPipeline::OnRetry);
  return true;
}

void SendPipeline::OnRetry() {
  absl::MutexLock lock(&mu_);
  retry_timer_.reset();
  Advance();
}

void SendPipeline::OnDestroyed() {
  absl::MutexLock lock(&mu_);
  --streams_;
  changed_.SignalAll();
}

// ---------------------------------------------------------------------------
// Time

Timers::Id SendPipeline::Schedule(TimePoint time,
                                  void (SendPipeline::*task)()) {
  return timers_->Schedule(time, [weak = weak_from_this(), task] {
    if (const auto self = weak.lock()) (*self.*task)();
  });
}

void SendPipeline::ArmExpiry(TimePoint deadline) {
  if (deadline == TimePoint::max() ||
      (expiry_timer_ && expiry_timer_->time <= deadline)) {
    return;
  }
  if (expiry_timer_) timers_->Cancel(*expiry_timer_);
  expiry_timer_ = Schedule(deadline, &SendPipeline::OnExpiry);
}

void SendPipeline::OnExpiry() {
  absl::MutexLock lock(&mu_);
  expiry_timer_.reset();
  if (closed_) return;
  Fates fates;
  const TimePoint now = Timers::Clock::now();
  absl::Status why = away_;
  if (why.ok() && call_ && !call_->answered) {
    why = connector_->WithAddress(NotAnswered(now - call_->since));
  }
  const TimePoint next = window_.Expire(now, why, &fates);
  if (window_.empty()) backoff_.Rest();
  Deliver(std::move(fates));
  ArmExpiry(next);
  changed_.SignalAll();
}

// ---------------------------------------------------------------------------
// Results

void SendPipeline::Deliver(Fates fates) {
  for (SendWindow::Fate& fate : fates) {
    if (fate.completion.waiter) {
      fate.completion.waiter->result = std::move(fate.result);
      fate.completion.waiter->done.Notify();
    } else if (!fate.result.ok() && first_error_.ok()) {
      first_error_ = fate.result.status();
    }
  }
  std::erase_if(fates, [](const SendWindow::Fate& fate) {
    return !fate.completion.done;
  });
  if (fates.empty()) return;
  posted_ += fates.size();
  strand_->Post(
      [self = shared_from_this(), fates = std::move(fates)]() mutable {
        for (SendWindow::Fate& fate : fates) {
          fate.completion.done(std::move(fate.result));
        }
        const std::size_t count = fates.size();
        fates.clear();
        absl::MutexLock lock(&self->mu_);
        self->returned_ += count;
        self->changed_.SignalAll();
      });
}

ClientSendStats SendPipeline::Stats() {
  absl::MutexLock lock(&mu_);
  ClientSendStats stats = counters_;
  stats.resent = window_.resent();
  stats.acknowledged = window_.acknowledged();
  stats.failed = window_.failed();
  stats.waiting = stats.messages - stats.acknowledged - stats.failed;
  return stats;
}

absl::Status SendPipeline::Flush(
    std::optional<std::chrono::milliseconds> timeout) {
  const TimePoint deadline =
      timeout ? CondVar::After(*timeout) : TimePoint::max();
  absl::MutexLock lock(&mu_);
  if (!AwaitResults(deadline)) {
    return absl::DeadlineExceededError(fmt::format(
        "not all messages were acknowledged within {} ms", timeout->count()));
  }
  return std::exchange(first_error_, absl::OkStatus());
}

absl::Status SendPipeline::FlushCallbacks(
    std::optional<std::chrono::milliseconds> timeout) {
  if (strand_->RunningInside()) {
    return absl::FailedPreconditionError(
        "FlushCallbacks inside a callback of this client would wait for "
        "itself; use Flush there");
  }
  const TimePoint deadline =
      timeout ? CondVar::After(*timeout) : TimePoint::max();
  absl::MutexLock lock(&mu_);
  bool done = AwaitResults(deadline);
  // Now, all of them are among these.
  for (const std::uint64_t last = posted_; done && returned_ < last;) {
    done = changed_.WaitUntil(&mu_, deadline) || returned_ >= last;
  }
  if (!done) {
    return absl::DeadlineExceededError(
        fmt::format("not all messages were acknowledged, and their results "
                    "taken, within {} ms",
                    timeout->count()));
  }
  return std::exchange(first_error_, absl::OkStatus());
}

bool SendPipeline::AwaitResults(TimePoint deadline) {
  const std::uint64_t last = window_.last_batch();
  while (window_.FirstUntold() <= last) {
    if (!changed_.WaitUntil(&mu_, deadline)) {
      return window_.FirstUntold() > last;
    }
  }
  return true;
}

void SendPipeline::Close() {
  std::shared_ptr<Stream> stream;
  {
    absl::MutexLock lock(&mu_);
    closed_ = true;
    if (call_) stream = call_->stream;
    for (const auto& timer : {retry_timer_, expiry_timer_}) {
      if (timer) timers_->Cancel(*timer);
    }
    Fates fates;
    window_.FailAll(absl::CancelledError("the client was destroyed"), &fates);
    Deliver(std::move(fates));
    changed_.SignalAll();
  }
  if (stream) stream->Cancel();
  if (strand_->RunningInside()) return;
  absl::MutexLock lock(&mu_);
  while (streams_ > 0 || posted_ > returned_) changed_.Wait(&mu_);
}

}  // namespace messenger
