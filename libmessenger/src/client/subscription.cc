#include "client/subscription.h"

#include <fmt/format.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <utility>

#include "base/forked.h"
#include "base/status.h"
#include "client/frame_checks.h"
#include "rpc/bytes.h"
#include "wire/channel_name.h"
#include "wire/entry.h"

namespace messenger {
namespace {

// Frames that wait while a callback runs: one to go on with at once, and one to
// cover the way to the server and back.
constexpr int kMaxWaitingFrames = 2;

// Of a frame that is announced, since it is large, so many bytes may take a
// second: a fifth of what is guaranteed, for readers that share a line. Whether
// any byte comes at all, the connection's keepalive sees to meanwhile.
constexpr std::uint64_t kPatientBytesPerSecond = 10'000;

// A server that is alive is heard of after one heartbeat interval and the way,
// and what it has announced besides. 0: for ever.
std::chrono::nanoseconds PatienceFor(std::chrono::milliseconds heartbeat,
                                     std::uint64_t next_frame_bytes) {
  if (heartbeat.count() == 0) return std::chrono::nanoseconds(0);
  const std::uint64_t bytes =
      std::min<std::uint64_t>(next_frame_bytes, Connection::kMaxReceiveBytes);
  return heartbeat * 9 / 4 +
         std::chrono::seconds(bytes / kPatientBytesPerSecond);
}

std::string ChannelOf(const ReadOptions& options) {
  const auto name = wire::ResolveChannelName(options.channel);
  return name.ok() ? std::string(*name) : options.channel;
}

absl::Status Check(const ReadOptions& options) {
  if (absl::Status s = wire::ResolveChannelName(options.channel).status();
      !s.ok()) {
    return s;
  }
  constexpr std::chrono::milliseconds kLongest = std::chrono::hours(24 * 30);
  if (options.heartbeat_interval.count() < 0 ||
      options.heartbeat_interval > kLongest) {
    return absl::InvalidArgumentError(
        fmt::format("heartbeat_interval: {} ms; must be 0 to 30 days",
                    options.heartbeat_interval.count()));
  }
  return absl::OkStatus();
}

}  // namespace

// One call. Owns itself from Start until OnDone, and is destroyed in the
// strand: see Connection for why not on gRPC's thread.
//
// Its operations are started with the subscription's mu_ held.
class Subscription::Impl::Call final : public ByteStream {
 public:
  Call(std::shared_ptr<Impl> owner, std::shared_ptr<Connection> connection)
      : owner_(std::move(owner)), connection_(std::move(connection)) {}

  void Start(const std::shared_ptr<Call>& self,
             const wire::ReadRequest& request) {
    self_ = self;
    request_ = rpc::MakeBuffer(wire::EncodeReadMessagesRequest(request));
    connection_->PrepareStream(&context_, "ReadMessages", this);
    AddHold();  // since StartRead is called outside of reactions
    StartWriteLast(&request_, grpc::WriteOptions());
    StartCall();
  }
  void ReadNext() { StartRead(&frame_); }
  grpc::ByteBuffer* frame() { return &frame_; }

  // Without mu_.
  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override { owner_->OnReadDone(ok); }
  void OnDone(const grpc::Status& status) override {
    // The task may be over, and *this gone, before Post returns.
    const std::shared_ptr<Strand> strand = owner_->strand_;
    strand->Post([self = std::move(self_), status = StatusOfOurCall(status)] {
      self->owner_->OnCallEnd(status, self->connection_);
    });
  }

 private:
  const std::shared_ptr<Impl> owner_;
  const std::shared_ptr<Connection> connection_;
  std::shared_ptr<Call> self_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer frame_;  // while it is being read
};

Subscription::Impl::Impl(ReadContext context, ReadOptions options,
                         ReadCallbacks callbacks)
    : context_(std::move(context)),
      strand_(std::make_shared<Strand>(context_.executor)),
      options_(std::move(options)),
      channel_(ChannelOf(options_)),
      callbacks_(std::move(callbacks)),
      backoff_(context_.retry) {}

void Subscription::Impl::Start(const absl::Status& status) {
  const absl::Status valid = status.ok() ? Check(options_) : status;
  strand_->Post([self = shared_from_this(), valid] {
    if (valid.ok()) {
      self->Connect();
    } else {
      self->End(valid);
    }
  });
}

void Subscription::Impl::StartCancel() {
  std::shared_ptr<Call> call;
  {
    absl::MutexLock lock(&mu_);
    if (cancelled_.exchange(true)) return;
    call = call_;
    // Otherwise the read that is under way comes back.
    if (!reading_) ReleaseCall();
    if (retry_timer_ && context_.timers->Cancel(*retry_timer_)) {
      strand_->Post([self = shared_from_this()] { self->Connect(); });
    }
  }
  if (call) call->Cancel();
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

std::optional<Bookmark> Subscription::Impl::bookmark() const {
  const std::optional<Position> at = position();
  if (!at) return std::nullopt;
  return Bookmark{.channel = channel_, .position = *at};
}

SubscriptionState Subscription::Impl::state() const {
  absl::MutexLock lock(&mu_);
  return state_;
}

bool Subscription::Impl::ended() const {
  absl::MutexLock lock(&mu_);
  return end_.has_value();
}

// ---------------------------------------------------------------------------
// The call

void Subscription::Impl::Connect() {
  SetState({.kind = SubscriptionState::Kind::kConnecting,
            .failed_tries = backoff_.failed_tries()});
  joining_ = true;
  failure_ = absl::OkStatus();
  caught_up_ = false;
  caught_up_since_.reset();
  progressed_ = false;
  {
    absl::MutexLock lock(&mu_);
    retry_timer_.reset();
    if (!cancelled()) {
      call_ =
          std::make_shared<Call>(shared_from_this(), context_.connector->Get());
      call_->Start(call_, Request());
      in_call_ = true;
      bitten_ = false;
      patience_ = backoff_.Begin(Timers::Clock::now(), context_.join_timeout);
      MaybeStartRead();
      return;
    }
  }
  End(absl::OkStatus());
}

wire::ReadRequest Subscription::Impl::Request() const {
  wire::ReadRequest request = {
      .channel = channel_,
      .start = options_.start,
      .limit = options_.limit,
      .until_caught_up = options_.until_caught_up,
      .strict = options_.strict,
      .skip_damaged = options_.skip_damaged,
      .heartbeat_interval = options_.heartbeat_interval};
  if (next_sequence_ != 0) {
    request.start = Start::After({epoch_, next_sequence_ - 1});
    if (request.limit) *request.limit -= delivered_;
  }
  return request;
}

void Subscription::Impl::MaybeStartRead() {
  if (!in_call_ || reading_ || waiting_frames_ >= kMaxWaitingFrames) return;
  reading_ = true;
  reading_since_ = Timers::Clock::now();
  call_->ReadNext();
  ArmWatchdog();
}

void Subscription::Impl::ReleaseCall() {
  if (!std::exchange(in_call_, false)) return;
  call_->RemoveHold();
}

void Subscription::Impl::OnReadDone(bool ok) {
  absl::MutexLock lock(&mu_);
  reading_ = false;
  if (!ok || cancelled()) return ReleaseCall();
  auto frame = std::make_unique<grpc::ByteBuffer>();  // cannot be moved
  frame->Swap(call_->frame());
  ++waiting_frames_;
  // Before the next read is started: it may come back on another thread.
  strand_->Post([self = shared_from_this(), frame = std::move(frame)] {
    self->HandleFrame(*frame);
  });
  MaybeStartRead();
}

void Subscription::Impl::SetPatience(std::chrono::nanoseconds patience) {
  absl::MutexLock lock(&mu_);
  if (patience_ == patience) return;
  patience_ = patience;
  if (watchdog_ && context_.timers->Cancel(*watchdog_)) watchdog_.reset();
  ArmWatchdog();
}

void Subscription::Impl::ArmWatchdog() {
  if (watchdog_ || !reading_ || patience_.count() == 0) return;
  watchdog_ = context_.timers->Schedule(
      reading_since_ +
          std::chrono::duration_cast<Timers::Clock::duration>(patience_),
      [weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->OnWatchdog();
      });
}

void Subscription::Impl::OnWatchdog() {
  std::shared_ptr<Call> call;
  {
    absl::MutexLock lock(&mu_);
    watchdog_.reset();
    // A frame that waits may announce the one that is being read.
    if (waiting_frames_ > 0) return;
    const bool over = reading_ && patience_.count() > 0 &&
                      Timers::Clock::now() - reading_since_ >= patience_;
    if (!over) return ArmWatchdog();
    bitten_ = true;
    call = call_;
  }
  call->Cancel();
}

// ---------------------------------------------------------------------------
// Frames

void Subscription::Impl::HandleFrame(const grpc::ByteBuffer& bytes) {
  if (!cancelled() && failure_.ok() && !Finished()) {
    const std::vector<grpc::Slice> slices = rpc::SlicesOf(bytes);
    std::vector<std::string_view> pieces(slices.size());
    std::transform(slices.begin(), slices.end(), pieces.begin(), rpc::View);
    absl::StatusOr<wire::Frame> frame = wire::ParseFrame(pieces);
    failure_ = frame.ok() ? Deliver(*frame) : frame.status();
  }
  std::shared_ptr<Call> unwanted;
  {
    absl::MutexLock lock(&mu_);
    --waiting_frames_;
    MaybeStartRead();
    ArmWatchdog();
    // Of what has been read again, there may be more than is wanted.
    if (!failure_.ok() || (Finished() && next_sequence_ <= call_head_)) {
      unwanted = call_;
    }
  }
  if (unwanted) unwanted->Cancel();
}

absl::Status Subscription::Impl::Deliver(const wire::Frame& frame) {
  const FramePlace place = {.channel = channel_,
                            .joining = joining_,
                            .next_sequence = next_sequence_,
                            .head = head_};
  if (absl::Status s = CheckNumbers(frame, place); !s.ok()) return s;
  head_ = *frame.header.head;
  if (absl::Status s = DeliverHeader(frame.header); !s.ok()) return s;
  const std::uint64_t before = delivered_;
  absl::Status s = DeliverMessages(frame);
  NoteProgress(delivered_ > before, frame.header.caught_up);
  if (!s.ok()) return s;
  if (!cancelled()) DeliverNews(frame);
  return absl::OkStatus();
}

void Subscription::Impl::NoteProgress(bool messages, bool caught_up) {
  if (messages) backoff_.Progressed();
  if (caught_up && !caught_up_since_) caught_up_since_ = Timers::Clock::now();
  if ((messages || caught_up) && !std::exchange(progressed_, true)) {
    context_.connector->ReportBack();
  }
}

absl::Status Subscription::Impl::DeliverHeader(
    const wire::FrameHeader& header) {
  if (absl::Status s = CheckHeader(header); !s.ok()) return s;
  if (joining_) Join(header);
  SetPatience(PatienceFor(heartbeat_interval_, header.next_frame_bytes));
  if (!header.gap || cancelled()) return absl::OkStatus();
  return DeliverGap(*header.gap);
}

absl::Status Subscription::Impl::CheckHeader(
    const wire::FrameHeader& header) const {
  if (!joining_ && header.epoch != 0 && header.epoch != epoch_) {
    return absl::DataLossError(fmt::format(
        "channel \"{}\": the epoch changed in midstream", channel_));
  }
  // Where it has to go on; 0: anywhere.
  const std::uint64_t expected =
      next_sequence_ != 0 ? next_sequence_ : FirstSequence(options_.start);
  const std::uint64_t next =
      joining_ ? header.next_sequence
               : (header.gap ? header.gap->next : next_sequence_);
  if (!header.gap) {
    if (!joining_ || expected == 0 || next == expected) return absl::OkStatus();
    return absl::DataLossError(
        fmt::format("channel \"{}\": expected message {}, but the reader was "
                    "joined at {}",
                    channel_, expected, next));
  }
  const Gap& gap = *header.gap;
  const bool fits = gap.next == next &&
                    (expected == 0 || (gap.first_missing == expected &&
                                       (joining_ || gap.next > expected)));
  if (fits) return absl::OkStatus();
  return absl::DataLossError(fmt::format(
      "channel \"{}\": expected message {}, but a gap from {} to before {} "
      "arrived",
      channel_, expected == 0 ? next : expected, gap.first_missing, gap.next));
}

void Subscription::Impl::Join(const wire::FrameHeader& header) {
  joining_ = false;
  // A server that does not say how often it is to be heard of has to keep to
  // what it was asked for.
  heartbeat_interval_ = header.heartbeat_interval.count() > 0
                            ? header.heartbeat_interval
                            : options_.heartbeat_interval;
  const Joined joined = {.epoch = header.epoch,
                         .next_sequence = header.next_sequence,
                         .head = head_};
  call_head_ = joined.head;
  const bool first = next_sequence_ == 0;
  // Another log, which has another head.
  if (first || header.epoch != epoch_) first_head_ = joined.head;
  epoch_ = header.epoch;
  if (!header.gap) {
    next_sequence_ = header.next_sequence;
    // A gap must be delivered before it is stepped over.
    SetPosition();
  } else if (first) {
    next_sequence_ = header.gap->first_missing;
  }
  SetState({.kind = SubscriptionState::Kind::kJoined, .joined = joined});
  if (first && callbacks_.on_joined && !cancelled()) {
    callbacks_.on_joined(joined);
  }
}

absl::Status Subscription::Impl::DeliverGap(const Gap& gap) {
  if (options_.strict) {
    return absl::OutOfRangeError(fmt::format(
        "strict: messages from {} on are not there any more ({}); the oldest "
        "one of channel \"{}\" after them is {}",
        gap.first_missing, ToString(gap.reason), channel_, gap.next));
  }
  next_sequence_ = gap.next;
  if (callbacks_.on_gap) callbacks_.on_gap(gap);
  SetPosition();
  return absl::OkStatus();
}

absl::Status Subscription::Impl::DeliverMessages(const wire::Frame& frame) {
  Message message;
  message.channel = channel_;
  message.epoch = epoch_;
  std::uint64_t left = frame.message_count;
  wire::MessageDecoder decoder;
  wire::FrameEntryReader entries(frame);
  while (entries.Next()) {
    if (absl::Status s = decoder.Decode(entries.message(), &message); !s.ok()) {
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
    if (cancelled() || Finished()) break;
    if (callbacks_.on_message) callbacks_.on_message(message);
    ++delivered_;
    position_sequence_.store(next_sequence_++, std::memory_order_relaxed);
  }
  return absl::OkStatus();
}

void Subscription::Impl::DeliverNews(const wire::Frame& frame) {
  const bool was_caught_up = std::exchange(
      caught_up_, frame.header.caught_up && next_sequence_ > head_);
  if (caught_up_ && !was_caught_up) {
    SubscriptionState caught_up = state();
    if (caught_up.kind == SubscriptionState::Kind::kJoined) {
      caught_up.kind = SubscriptionState::Kind::kCaughtUp;
      SetState(caught_up);
    }
    if (callbacks_.on_caught_up && !cancelled()) callbacks_.on_caught_up(head_);
  } else if (caught_up_ && frame.message_count == 0 && !frame.header.gap) {
    if (callbacks_.on_heartbeat) callbacks_.on_heartbeat(head_);
  }
}

bool Subscription::Impl::Finished() const {
  if (options_.limit && delivered_ >= *options_.limit) return true;
  return options_.until_caught_up && next_sequence_ > first_head_;
}

void Subscription::Impl::SetPosition() {
  absl::MutexLock lock(&mu_);
  position_epoch_ = epoch_;
  position_sequence_ = next_sequence_ - 1;
}

// ---------------------------------------------------------------------------
// The end of a call, and of the subscription

void Subscription::Impl::OnCallEnd(
    const absl::Status& status, const std::shared_ptr<Connection>& connection) {
  const absl::Status reason = ReasonOf(status);
  {
    absl::MutexLock lock(&mu_);
    call_.reset();
    if (watchdog_ && context_.timers->Cancel(*watchdog_)) watchdog_.reset();
  }
  if (absl::IsUnavailable(reason)) context_.connector->Discard(connection);
  if (cancelled() || !MayRetry(reason)) return Fail(reason);
  Retry(reason);
}

absl::Status Subscription::Impl::ReasonOf(const absl::Status& status) {
  if (!failure_.ok()) return failure_;
  // The server's OK may be lost on its way.
  if (next_sequence_ != 0 && Finished()) return absl::OkStatus();
  absl::MutexLock lock(&mu_);
  if (bitten_) {
    if (joining_) return NotAnswered(patience_);
    return absl::UnavailableError(fmt::format(
        "no sign of life from the server within {} ms",
        std::chrono::duration_cast<std::chrono::milliseconds>(patience_)
            .count()));
  }
  if (status.ok()) {
    return absl::UnavailableError("the server ended the stream");
  }
  return status;
}

bool Subscription::Impl::MayRetry(const absl::Status& reason) {
  if (!context_.connector->can_reconnect()) return false;
  if (absl::IsUnavailable(reason)) return true;
  // What arrived damaged is asked for once more: it may be sound where it
  // comes from.
  return failure_.code() == absl::StatusCode::kDataLoss &&
         std::exchange(damaged_at_, next_sequence_) != next_sequence_;
}

void Subscription::Impl::Retry(const absl::Status& reason) {
  const Timers::TimePoint now = Timers::Clock::now();
  // Where there was nothing to read, it has stood long enough to have worked.
  if (caught_up_since_ &&
      now - *caught_up_since_ > context_.retry.max_backoff) {
    backoff_.Progressed();
  }
  const std::optional<std::chrono::nanoseconds> wait = backoff_.Failed(now);
  if (!wait) return Fail(reason);
  context_.connector->ReportAway(reason);
  const Timers::TimePoint next_try =
      now + std::chrono::duration_cast<Timers::Clock::duration>(*wait);
  SetState({.kind = SubscriptionState::Kind::kWaiting,
            .reason = context_.connector->WithAddress(reason),
            .next_try = next_try,
            .failed_tries = backoff_.failed_tries()});
  {
    absl::MutexLock lock(&mu_);
    if (!cancelled()) {
      retry_timer_ =
          context_.timers->Schedule(next_try, [self = shared_from_this()] {
            self->strand_->Post([self] { self->Connect(); });
          });
      return;
    }
  }
  Fail(reason);
}

void Subscription::Impl::Fail(const absl::Status& reason) {
  End(context_.connector->WithAddress(reason));
}

void Subscription::Impl::SetState(const SubscriptionState& state) {
  if (cancelled() && state.kind != SubscriptionState::Kind::kEnded) return;
  {
    absl::MutexLock lock(&mu_);
    state_ = state;
  }
  if (callbacks_.on_state) callbacks_.on_state(state);
}

void Subscription::Impl::End(const absl::Status& status) {
  const absl::Status final_status =
      cancelled() ? absl::CancelledError("the subscription was cancelled")
                  : status;
  SetState({.kind = SubscriptionState::Kind::kEnded, .reason = final_status});
  if (callbacks_.on_end) callbacks_.on_end(final_status);
  // What the callbacks own may be the last reference to many things.
  { const ReadCallbacks ended = std::exchange(callbacks_, {}); }
  absl::MutexLock lock(&mu_);
  end_ = final_status;
  changed_.SignalAll();
}

std::string_view ToString(SubscriptionState::Kind kind) {
  switch (kind) {
    case SubscriptionState::Kind::kConnecting:
      return "connecting";
    case SubscriptionState::Kind::kJoined:
      return "joined";
    case SubscriptionState::Kind::kCaughtUp:
      return "caught_up";
    case SubscriptionState::Kind::kWaiting:
      return "waiting";
    case SubscriptionState::Kind::kEnded:
      return "ended";
  }
  return "";
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
  if (!impl_ || InForkedChild()) return;
  impl_->StartCancel();
  impl_->AwaitEnd();
}

absl::Status Subscription::Wait() const {
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  if (!impl_) return absl::FailedPreconditionError("no subscription");
  return impl_->Wait();
}

std::optional<Position> Subscription::position() const {
  return impl_ && !InForkedChild() ? impl_->position() : std::nullopt;
}

std::optional<Bookmark> Subscription::bookmark() const {
  return impl_ && !InForkedChild() ? impl_->bookmark() : std::nullopt;
}

SubscriptionState Subscription::state() const {
  if (absl::Status s = CheckNotForked(); !s.ok()) {
    return {.kind = SubscriptionState::Kind::kEnded, .reason = s};
  }
  if (impl_) return impl_->state();
  return {.kind = SubscriptionState::Kind::kEnded,
          .reason = absl::FailedPreconditionError("no subscription")};
}

}  // namespace messenger
