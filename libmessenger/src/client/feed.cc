#include "client/feed.h"

#include <fmt/format.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <utility>

#include "base/counters.h"
#include "base/status.h"
#include "client/feeds.h"
#include "client/frame_checks.h"
#include "rpc/bytes.h"
#include "rpc/self_owned.h"
#include "wire/channel_name.h"
#include "wire/entry.h"

namespace messenger {
namespace {

// Frames that wait while a callback runs: one to go on with at once, and one to
// cover the way to the server and back.
constexpr int kMaxWaitingFrames = 2;

// No more is read when so much is gathered.
constexpr std::size_t kMostGatheredBytes = 64 << 10;

// Of a frame that is announced, since it is large, so many bytes may take a
// second: a fifth of what is guaranteed, for readers that share a line. Whether
// any byte comes at all, the connection's keepalive sees to meanwhile.
constexpr std::uint64_t kPatientBytesPerSecond = 10'000;

// While the stream is held back, it is looked so often by whom: who stops it is
// expelled after some 100 ms, see Blame.
constexpr std::chrono::milliseconds kLookInterval{25};

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

}  // namespace

// One call. Is destroyed in the strand: see Connection for why not on gRPC's
// thread.
//
// Its operations are started with the feed's mu_ held.
class Feed::Call final : public ByteStream, public rpc::SelfOwned<Feed::Call> {
 public:
  Call(std::shared_ptr<Feed> owner, std::shared_ptr<Connection> connection)
      : owner_(std::move(owner)), connection_(std::move(connection)) {}

  void Start(const wire::ReadRequest& request) {
    request_ = rpc::MakeBuffer(wire::EncodeReadMessagesRequest(request));
    token_ = connection_->PrepareStream(&context_, "ReadMessages", this);
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
    strand->Post(
        [self = Release(), status = connection_->StatusOf(status, token_)] {
          self->owner_->OnCallEnd(status, self->connection_);
        });
  }

 private:
  const std::shared_ptr<Feed> owner_;
  const std::shared_ptr<Connection> connection_;
  grpc::ClientContext context_;
  CallToken::Version token_ = 0;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer frame_;  // while it is being read
};

Feed::Feed(std::shared_ptr<Feeds> feeds, const ReadOptions& options, bool plain)
    : feeds_(std::move(feeds)),
      context_(feeds_->context()),
      strand_(std::make_shared<Strand>(context_.queue)),
      options_(options),
      channel_(std::make_shared<const std::string>(options.channel)),
      plain_(plain),
      round_(feeds_->NewRound()),
      backoff_(context_.retry) {
  feeds_->OnBegin();
}

Feed::~Feed() {
  feeds_->OnEnd(options_);
}

void Feed::Start() {
  strand_->Post([self = shared_from_this()] { self->Connect(); });
}

// ---------------------------------------------------------------------------
// Followers

void Feed::Add(const std::shared_ptr<Follower>& follower) {
  absl::MutexLock lock(&mu_);
  Attach(follower);
}

bool Feed::TakeOver(const std::shared_ptr<Follower>& follower, Feed* from,
                    std::uint64_t epoch, std::uint64_t next_sequence) {
  std::shared_ptr<Call> unwanted;
  {
    absl::MutexLock lock(&mu_);
    if (!TakesOver()) {
      if (std::exchange(follower->awaited_round_, round_) != round_) {
        awaiting_.push_back(follower);
      }
      return false;
    }
    // What it has not read yet, it gets from where it is.
    if (told_epoch_ != epoch || told_next_ > next_sequence) return false;
    unwanted = from->Detach(follower.get());
    Attach(follower);
  }
  if (unwanted) unwanted->Cancel();
  return true;
}

void Feed::Leave(Follower* follower) {
  const std::shared_ptr<Call> unwanted = Detach(follower);
  if (unwanted) unwanted->Cancel();
}

std::shared_ptr<Feed::Call> Feed::Detach(Follower* follower) {
  absl::MutexLock lock(&mu_);
  if (follower->expelled_) return nullptr;
  Drop(follower->index_);
  if (!followers_.empty()) return nullptr;
  CallThoseWhoWait();
  return Stop();
}

void Feed::Attach(const std::shared_ptr<Follower>& follower) {
  follower->index_ = followers_.size();
  follower->next_event_ = end_event();
  follower->busy_ = follower->expelled_ = false;
  follower->blame_ = {};
  followers_.push_back(follower);
}

void Feed::Drop(std::size_t index) {
  const Follower* const follower = At(index);
  for (std::uint64_t i = follower->next_event_; i < end_event(); ++i) {
    --log_[i - first_event_].left;
  }
  if (index + 1 < followers_.size()) {
    std::swap(followers_[index], followers_.back());
    At(index)->index_ = index;
  }
  followers_.pop_back();
  ForgetWhatIsDone();
}

std::shared_ptr<Feed::Call> Feed::Stop() {
  at_head_ = false;
  if (retry_timer_) context_.timers->Cancel(*retry_timer_);
  // Otherwise the read that is under way comes back.
  if (!reading_) ReleaseCall();
  return call_;
}

void Feed::ForgetWhatIsDone() {
  while (!log_.empty() && log_.front().left == 0) {
    if (log_.front().event->kind == FeedEvent::Kind::kFrame) --told_frames_;
    log_.pop_front();
    ++first_event_;
  }
  if (told_frames_ < kMaxWaitingFrames) TellGathered();
  MaybeStartRead();
}

bool Feed::MayReadAhead() const {
  return followers_.size() > 1 && undecoded_frames_ < kMaxWaitingFrames &&
         told_frames_ <= kMaxWaitingFrames &&
         gathered_bytes_ < kMostGatheredBytes;
}

void Feed::TellGathered() {
  std::shared_ptr<const FeedEvent> event = std::exchange(gathered_, nullptr);
  gathered_bytes_ = 0;
  if (!event || followers_.empty()) return;
  at_head_ = gathered_at_head_;
  told_next_ = event->frame.next;
  ++told_frames_;
  log_.push_back({.event = std::move(event), .left = followers_.size()});
  context_.queue->MakeReady(followers_);
  CallThoseWhoWait();
}

Feed::Taken Feed::Take(Follower* follower, bool frames) {
  absl::MutexLock lock(&mu_);
  if (follower->expelled_) return {.event = nullptr, .expelled = true};
  if (follower->next_event_ == end_event()) return {};
  const auto& event = log_[follower->next_event_ - first_event_].event;
  // Or it is waited for.
  follower->busy_ = true;
  if (event->kind == FeedEvent::Kind::kFrame && !frames) return {};
  return {.event = event};
}

bool Feed::Done(Follower* follower) {
  absl::MutexLock lock(&mu_);
  if (follower->expelled_) return true;
  follower->busy_ = false;
  --log_[follower->next_event_ - first_event_].left;
  ++follower->next_event_;
  ForgetWhatIsDone();
  return follower->next_event_ < end_event();
}

bool Feed::IsAtHead(const DecodedFrame& frame) const {
  // Who follows has a time of its own to try for, which must not be used up by
  // what has kept failing here.
  return frame.header.caught_up && next_sequence_ > head_ &&
         backoff_.failed_tries() == 0;
}

bool Feed::Gather(const std::shared_ptr<FeedEvent>& event, std::size_t bytes) {
  DecodedFrame& frame = event->frame;
  if (frame.joins || frame.header.gap || !failure_.ok()) return false;
  absl::MutexLock lock(&mu_);
  if (told_frames_ < kMaxWaitingFrames) return false;
  if (!gathered_ && followers_.size() < 2) return false;
  --undecoded_frames_;
  gathered_bytes_ += bytes;
  gathered_at_head_ = IsAtHead(frame);
  if (!gathered_) {
    gathered_ = event;
    return true;
  }
  DecodedFrame& all = gathered_->frame;
  all.header = frame.header;
  all.next = frame.next;
  if (frame.messages.empty()) return true;
  if (!all.messages.empty()) all.messages.back().last_of_frame = false;
  all.messages.insert(all.messages.end(), frame.messages.begin(),
                      frame.messages.end());
  frame.messages = {};
  all.parts.push_back(event);
  return true;
}

void Feed::Tell(std::shared_ptr<const FeedEvent> event) {
  std::shared_ptr<RunQueue::Entry> sole;
  {
    absl::MutexLock lock(&mu_);
    TellGathered();
    const bool is_frame = event->kind == FeedEvent::Kind::kFrame;
    if (is_frame) {
      --undecoded_frames_;
      at_head_ = IsAtHead(event->frame);
      told_epoch_ = epoch_;
      told_next_ = next_sequence_;
    } else {
      at_head_ = false;
    }
    if (followers_.empty()) return;
    if (is_frame) ++told_frames_;
    log_.push_back({.event = std::move(event), .left = followers_.size()});
    if (followers_.size() > 1) {
      context_.queue->MakeReady(followers_);
      return CallThoseWhoWait();
    }
    sole = followers_.front();
    inside_ = true;
  }
  context_.queue->RunNow(sole);
  absl::MutexLock lock(&mu_);
  inside_ = false;
  CallThoseWhoWait();
}

void Feed::CallThoseWhoWait() {
  if (awaiting_.empty() || (!TakesOver() && !followers_.empty())) return;
  round_ = feeds_->NewRound();
  context_.queue->MakeReady(awaiting_);
  awaiting_.clear();
}

void Feed::WatchWhoHolds() {
  if (looking_ || followers_.size() < 2) return;
  looking_ = true;
  context_.timers->Schedule(Timers::Clock::now() + kLookInterval,
                            [weak = weak_from_this()] {
                              if (const auto self = weak.lock()) {
                                self->LookAtWhoHolds();
                              }
                            });
}

void Feed::LookAtWhoHolds() {
  absl::MutexLock lock(&mu_);
  looking_ = false;
  if (undecoded_frames_ + told_frames_ < kMaxWaitingFrames) return;
  ExpelWhoHolds();
  MaybeStartRead();
}

void Feed::ExpelWhoHolds() {
  if (log_.empty()) return;
  const std::int64_t look =
      Timers::Clock::now().time_since_epoch() / kLookInterval;
  std::size_t waiting = 0;
  std::vector<Follower*> holding;
  for (std::size_t i = 0; i < followers_.size(); ++i) {
    Follower* const follower = At(i);
    if (follower->next_event_ == end_event()) {
      ++waiting;
    } else if (follower->next_event_ == first_event_ && follower->busy_) {
      // Who only waits for a thread is not to blame.
      holding.push_back(follower);
    }
  }
  // If it is not a few, all are slow, and the stream is as fast as they are.
  if (waiting < holding.size()) return;
  for (Follower* const follower : holding) {
    if (!follower->blame_.Add(look)) continue;
    const std::shared_ptr<RunQueue::Entry> entry = followers_[follower->index_];
    Drop(follower->index_);
    follower->expelled_ = true;
    context_.queue->MakeReady(entry);
  }
}

// ---------------------------------------------------------------------------
// The call

void Feed::Connect() {
  feeds_->OnAsking(this);
  Tell(std::make_shared<FeedEvent>(
      FeedEvent{.kind = FeedEvent::Kind::kConnecting,
                .failed_tries = backoff_.failed_tries()}));
  joining_ = true;
  failure_ = absl::OkStatus();
  caught_up_since_.reset();
  progressed_ = false;
  absl::MutexLock lock(&mu_);
  retry_timer_.reset();
  if (followers_.empty()) return;
  call_ = Call::Make(shared_from_this(), context_.connector->Get());
  call_->Start(Request());
  Count(feeds_->counters().streams);
  in_call_ = true;
  bitten_ = false;
  patience_ = backoff_.Begin(Timers::Clock::now(), context_.join_timeout);
  MaybeStartRead();
}

wire::ReadRequest Feed::Request() const {
  wire::ReadRequest request = {
      .channel = *channel_,
      .start = options_.start,
      .limit = options_.limit,
      .until_caught_up = options_.until_caught_up,
      .strict = options_.strict,
      .skip_damaged = options_.skip_damaged,
      .heartbeat_interval = options_.heartbeat_interval};
  if (next_sequence_ != 0) {
    request.start = Start::After({epoch_, next_sequence_ - 1});
    if (request.limit) *request.limit -= received_;
  }
  return request;
}

void Feed::MaybeStartRead() {
  if (!in_call_) return;
  if (undecoded_frames_ + told_frames_ >= kMaxWaitingFrames) {
    WatchWhoHolds();
    if (!MayReadAhead()) return;
  }
  if (reading_) return;
  reading_ = true;
  reading_since_ = Timers::Clock::now();
  call_->ReadNext();
  ArmWatchdog();
}

void Feed::ReleaseCall() {
  if (!std::exchange(in_call_, false)) return;
  call_->RemoveHold();
}

void Feed::OnReadDone(bool ok) {
  absl::MutexLock lock(&mu_);
  reading_ = false;
  if (!ok || followers_.empty()) return ReleaseCall();
  auto frame = std::make_unique<grpc::ByteBuffer>();  // cannot be moved
  frame->Swap(call_->frame());
  ++undecoded_frames_;
  // Before the next read is started: it may come back on another thread.
  strand_->Post([self = shared_from_this(), frame = std::move(frame)] {
    self->HandleFrame(*frame);
  });
  MaybeStartRead();
}

void Feed::SetPatience(std::chrono::nanoseconds patience) {
  absl::MutexLock lock(&mu_);
  if (patience_ == patience) return;
  patience_ = patience;
  if (watchdog_ && context_.timers->Cancel(*watchdog_)) watchdog_.reset();
  ArmWatchdog();
}

void Feed::ArmWatchdog() {
  if (watchdog_ || !reading_ || patience_.count() == 0) return;
  watchdog_ = context_.timers->Schedule(
      reading_since_ +
          std::chrono::duration_cast<Timers::Clock::duration>(patience_),
      [weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->OnWatchdog();
      });
}

void Feed::OnWatchdog() {
  std::shared_ptr<Call> call;
  {
    absl::MutexLock lock(&mu_);
    watchdog_.reset();
    // A frame that waits may announce the one that is being read.
    if (undecoded_frames_ > 0) return;
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

void Feed::HandleFrame(const grpc::ByteBuffer& bytes) {
  std::shared_ptr<FeedEvent> event;
  if (failure_.ok()) event = Decode(bytes);
  if (event) {
    if (!Gather(event, bytes.Length())) Tell(std::move(event));
  } else {
    absl::MutexLock lock(&mu_);
    --undecoded_frames_;
  }
  std::shared_ptr<Call> unwanted;
  {
    absl::MutexLock lock(&mu_);
    MaybeStartRead();
    ArmWatchdog();
    if (!failure_.ok()) unwanted = call_;
  }
  if (unwanted) unwanted->Cancel();
}

std::shared_ptr<FeedEvent> Feed::Decode(const grpc::ByteBuffer& bytes) {
  auto event = std::make_shared<FeedEvent>();
  event->kind = FeedEvent::Kind::kFrame;
  DecodedFrame& decoded = event->frame;
  decoded.channel = channel_;
  decoded.bytes = rpc::SlicesOf(bytes);
  std::vector<std::string_view> pieces(decoded.bytes.size());
  std::transform(decoded.bytes.begin(), decoded.bytes.end(), pieces.begin(),
                 rpc::View);
  absl::StatusOr<wire::Frame> frame = wire::ParseFrame(pieces);
  failure_ = frame.ok() ? DecodeHeader(*frame, &decoded) : frame.status();
  if (!failure_.ok()) return nullptr;
  failure_ = DecodeMessages(*frame, &decoded);
  ClientReadStats& counters = feeds_->counters();
  Count(counters.frames);
  Count(counters.messages, decoded.messages.size());
  Count(counters.bytes, bytes.Length());
  if (decoded.header.gap) {
    Count(CounterOf(decoded.header.gap->reason, counters.gaps));
  }
  decoded.next = next_sequence_;
  decoded.more_bytes = std::move(frame->joined);
  NoteProgress(!decoded.messages.empty(), decoded.header.caught_up);
  if (!failure_.ok()) decoded.header.caught_up = false;
  return event;
}

absl::Status Feed::DecodeHeader(const wire::Frame& frame,
                                DecodedFrame* decoded) {
  const wire::FrameHeader& header = frame.header;
  const FramePlace place = {.channel = *channel_,
                            .joining = joining_,
                            .next_sequence = next_sequence_,
                            .head = head_};
  if (absl::Status s = CheckNumbers(frame, place); !s.ok()) return s;
  if (absl::Status s = CheckHeader(header); !s.ok()) return s;
  head_ = *header.head;
  decoded->header = header;
  decoded->joins = joining_;
  decoded->expected = next_sequence_;
  if (std::exchange(joining_, false)) {
    feeds_->OnAnswer(this);
    // A server that does not say how often it is to be heard of has to keep to
    // what it was asked for.
    heartbeat_interval_ = header.heartbeat_interval.count() > 0
                              ? header.heartbeat_interval
                              : options_.heartbeat_interval;
    epoch_ = header.epoch;
    next_sequence_ = header.next_sequence;
  }
  if (header.gap) next_sequence_ = header.gap->next;
  SetPatience(PatienceFor(heartbeat_interval_, header.next_frame_bytes));
  return absl::OkStatus();
}

absl::Status Feed::CheckHeader(const wire::FrameHeader& header) const {
  if (!joining_ && header.epoch != 0 && header.epoch != epoch_) {
    return absl::DataLossError(fmt::format(
        "channel \"{}\": the epoch changed in midstream", *channel_));
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
                    *channel_, expected, next));
  }
  const Gap& gap = *header.gap;
  const bool fits = gap.next == next &&
                    (expected == 0 || (gap.first_missing == expected &&
                                       (joining_ || gap.next > expected)));
  if (fits) return absl::OkStatus();
  return absl::DataLossError(fmt::format(
      "channel \"{}\": expected message {}, but a gap from {} to before {} "
      "arrived",
      *channel_, expected == 0 ? next : expected, gap.first_missing, gap.next));
}

absl::Status Feed::DecodeMessages(const wire::Frame& frame,
                                  DecodedFrame* decoded) {
  std::vector<Message>& messages = decoded->messages;
  messages.reserve(frame.message_count);
  wire::MessageDecoder decoder;
  wire::FrameEntryReader entries(frame);
  // Decoded here, and then written to memory that is not in a cache, once.
  Message message = {.channel = *channel_, .epoch = epoch_};
  while (entries.Next()) {
    absl::Status s = decoder.Decode(entries.message(), &message);
    if (!s.ok()) {
      s = absl::DataLossError(fmt::format(
          "the message after {} of channel \"{}\" arrived damaged: {}",
          next_sequence_ - 1, *channel_, MessageOf(s)));
    } else if (message.sequence != next_sequence_) {
      s = absl::DataLossError(
          fmt::format("channel \"{}\": expected message {}, but {} arrived",
                      *channel_, next_sequence_, message.sequence));
    }
    if (!s.ok()) return s;
    messages.push_back(message);
    ++next_sequence_;
    ++received_;
  }
  if (!messages.empty()) messages.back().last_of_frame = true;
  return absl::OkStatus();
}

bool Feed::HasStood() const {
  return caught_up_since_ &&
         Timers::Clock::now() - *caught_up_since_ > context_.retry.max_backoff;
}

void Feed::NoteProgress(bool messages, bool caught_up) {
  if (caught_up && !caught_up_since_) caught_up_since_ = Timers::Clock::now();
  if (messages || HasStood()) backoff_.Progressed();
  if ((messages || caught_up) && !std::exchange(progressed_, true)) {
    context_.connector->ReportBack();
  }
}

// ---------------------------------------------------------------------------
// The end of a call, and of the feed

void Feed::OnCallEnd(const absl::Status& status,
                     const std::shared_ptr<Connection>& connection) {
  feeds_->OnAnswer(this);
  const absl::Status reason = ReasonOf(status);
  bool wanted = false;
  {
    absl::MutexLock lock(&mu_);
    call_.reset();
    at_head_ = gathered_at_head_ = false;
    wanted = !followers_.empty();
    if (watchdog_ && context_.timers->Cancel(*watchdog_)) watchdog_.reset();
  }
  if (!wanted) return;
  if (absl::IsUnavailable(reason)) context_.connector->Discard(connection);
  if (!MayRetry(reason)) return End(reason);
  Retry(reason);
}

absl::Status Feed::ReasonOf(const absl::Status& status) {
  if (!failure_.ok()) return failure_;
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

bool Feed::MayRetry(const absl::Status& reason) {
  if (!context_.connector->can_reconnect()) return false;
  if (absl::IsUnavailable(reason)) return true;
  // What arrived damaged is asked for once more: it may be sound where it
  // comes from.
  return failure_.code() == absl::StatusCode::kDataLoss &&
         std::exchange(damaged_at_, next_sequence_) != next_sequence_;
}

void Feed::Retry(const absl::Status& reason) {
  const Timers::TimePoint now = Timers::Clock::now();
  if (HasStood()) backoff_.Progressed();
  const std::optional<std::chrono::nanoseconds> wait = backoff_.Failed(now);
  if (!wait) return End(reason);
  context_.connector->ReportAway(reason);
  const Timers::TimePoint next_try =
      now + std::chrono::duration_cast<Timers::Clock::duration>(*wait);
  Tell(std::make_shared<FeedEvent>(
      FeedEvent{.kind = FeedEvent::Kind::kWaiting,
                .failed_tries = backoff_.failed_tries(),
                .status = context_.connector->WithAddress(reason),
                .next_try = next_try}));
  absl::MutexLock lock(&mu_);
  if (followers_.empty()) return;
  retry_timer_ = context_.timers->Schedule(next_try, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->Start();
  });
}

void Feed::End(const absl::Status& reason) {
  Tell(std::make_shared<FeedEvent>(
      FeedEvent{.kind = FeedEvent::Kind::kEnd,
                .status = context_.connector->WithAddress(reason)}));
}

}  // namespace messenger
