#include "forward/lane.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "forward/copy.h"
#include "messenger/error.h"
#include "wire/new_message.h"

namespace messenger {
namespace {

// How soon Stop, or a send that has failed, is noticed while nothing comes.
constexpr std::chrono::milliseconds kLook(200);

constexpr std::chrono::milliseconds kFirstWait(100);
constexpr std::chrono::milliseconds kLongestWait(5000);

bool IsAway(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

// Whether it may be over later, without anybody's doing. A server that is away
// was waited for already, by the client or by Insist: so that is final.
bool MayPass(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kResourceExhausted:
      return ReasonOf(status) != reason::kLimitReached;
    default:
      return false;
  }
}

// What was refused, for people.
absl::Status Named(const absl::Status& status, const ForwardProgress& done) {
  if (MayPass(status) || IsAway(status)) return status;
  return WithMessage(
      status,
      fmt::format("message {} of the epoch {}: {}", done.position.sequence,
                  done.position.epoch, MessageOf(status)));
}

// The source is not where it was.
bool IsOtherPlace(const Gap& gap) {
  return gap.reason == Gap::Reason::kNewEpoch ||
         gap.reason == Gap::Reason::kRolledBack;
}

std::optional<std::chrono::milliseconds> Patience(
    const ForwarderOptions& options) {
  const auto& source = options.source.retry.give_up_after;
  const auto& destination = options.destination.retry.give_up_after;
  if (source && destination) return std::max(*source, *destination);
  return source ? source : destination;
}

}  // namespace

Lane::Lane(Client source, Client destination, const ForwarderOptions& options,
           ForwardedChannel channel)
    : source_(std::move(source)),
      destination_(std::move(destination)),
      options_(options),
      channel_(std::move(channel)) {
  progress_.channel = channel_;
}

absl::Status Lane::Run() {
  while (true) {
    const absl::StatusOr<End> end = RunSession();
    {
      absl::MutexLock lock(&mu_);
      if (stopped_) return absl::OkStatus();
    }
    if (absl::IsInvalidArgument(end.status()) &&
        !std::exchange(one_by_one_, true)) {
      continue;
    }
    if (end.ok() && *end != End::kChanged) return absl::OkStatus();
    if (!end.ok() && !MayPass(end.status()) &&
        !IsOfLostDestination(end.status())) {
      return end.status();
    }
    if (Wait(end.status())) continue;
    absl::MutexLock lock(&mu_);
    return stopped_ ? absl::OkStatus() : end.status();
  }
}

void Lane::Stop() {
  absl::MutexLock lock(&mu_);
  stopped_ = true;
  changed_.SignalAll();
}

ForwardProgress Lane::Progress() const {
  absl::MutexLock lock(&mu_);
  ForwardProgress progress = progress_;
  progress.caught_up = progress.caught_up && messages_ == 0;
  return progress;
}

template <typename Call>
auto Lane::Insist(Call call) -> decltype(call()) {
  while (true) {
    auto result = call();
    if (!IsAway(result.status()) || !Wait(result.status())) return result;
  }
}

bool Lane::Wait(const absl::Status& trouble) {
  const Clock::time_point now = Clock::now();
  std::string notice;
  {
    absl::MutexLock lock(&mu_);
    if (!trouble.ok()) {
      if (!trouble_since_) trouble_since_ = now;
      const auto patience = Patience(options_);
      if (patience && now - *trouble_since_ >= *patience) return false;
    }
    progress_.trouble = trouble;
    const auto wait = std::min(kLongestWait, kFirstWait * (1 << tries_));
    tries_ = std::min(tries_ + 1, 10);
    // What is away, the clients tell.
    if (!trouble.ok() && !IsAway(trouble)) {
      const std::string_view reason = MessageOf(trouble);
      if (const auto untold = pace_.Holds(reason, now)) {
        notice = fmt::format("{}: {}; trying again{}", channel_.from, reason,
                             TimesMore(*untold));
      }
    }
    const Clock::time_point until = now + wait;
    while (!stopped_ && changed_.WaitUntil(&mu_, until)) {
    }
    if (stopped_) return false;
  }
  if (!notice.empty() && options_.on_notice) options_.on_notice(notice);
  return true;
}

// ---------------------------------------------------------------------------
// A session

void Lane::BeginSession() {
  absl::MutexLock lock(&mu_);
  ++session_;
  failure_ = absl::OkStatus();
  messages_ = 0;
  bytes_ = 0;
  last_stored_ = {};
  progress_.caught_up = false;
}

absl::StatusOr<Lane::End> Lane::RunSession() {
  BeginSession();
  const absl::StatusOr<std::uint64_t> epoch = EpochOf(source_, channel_.from);
  if (!epoch.ok()) return epoch.status();
  // This is also how the destination is waited for: the client tells of a
  // server that is away to those who read.
  const absl::StatusOr<std::uint64_t> destination_epoch =
      EpochOf(destination_, channel_.to);
  if (!destination_epoch.ok()) return destination_epoch.status();
  if (*destination_epoch == *epoch && channel_.from == channel_.to) {
    return absl::InvalidArgumentError(fmt::format(
        "channels: \"{}\" would be copied to itself: source and destination "
        "are the same log",
        channel_.from));
  }
  const auto producers =
      Insist([this] { return destination_.ListProducers(channel_.to); });
  if (!producers.ok()) return producers.status();

  Session session = {
      .plan = PlanForwarding(options_.name, channel_.from, *epoch, *producers)};
  absl::StatusOr<ReadFrame> frame = OpenSource(&session);
  if (!frame.ok()) return frame.status();
  const absl::StatusOr<bool> opened = OpenProducer(&session);
  if (!opened.ok()) return opened.status();
  if (!*opened) return End::kChanged;
  SetPosition(session, *frame);
  while (true) {
    const absl::StatusOr<bool> holds = Take(*frame, &session);
    if (!holds.ok()) return holds.status();
    if (!*holds) return End::kChanged;
    if (frame->caught_up && options_.until_caught_up) {
      absl::Status s = AwaitReceipts();
      if (!s.ok()) return s;
      return End::kCaughtUp;
    }
    frame = Next(session.source);
    if (!frame.ok()) return frame.status();
    if (frame->ended) return absl::AbortedError("the read has ended");
  }
}

absl::StatusOr<std::uint64_t> Lane::EpochOf(Client& client,
                                            const std::string& channel) {
  const Subscription subscription =
      client.Pull({.channel = channel, .until_caught_up = true});
  while (true) {
    const absl::StatusOr<ReadFrame> frame = Next(subscription);
    if (!frame.ok()) return frame.status();
    if (frame->joined) return frame->joined->epoch;
    if (frame->ended) return absl::AbortedError("the read has ended");
  }
}

bool Lane::IsOfLostDestination(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  if (reason != reason::kProducerFenced && reason != reason::kProducerUnknown) {
    return false;
  }
  BeginSession();
  const absl::StatusOr<std::uint64_t> epoch =
      EpochOf(destination_, channel_.to);
  return epoch.ok() && destination_epoch_ != 0 && *epoch != destination_epoch_;
}

absl::StatusOr<ReadFrame> Lane::OpenSource(Session* session) {
  std::vector<Position>& positions = session->plan.positions;
  const auto pull = [&](const Start& start) {
    return source_.Pull(
        {.channel = channel_.from, .start = start, .skip_damaged = true});
  };
  if (positions.empty()) {
    session->source = pull(Start::Earliest());
    return FirstFrame(session->source);
  }
  // A position that the source does not know, and one of an epoch that has lost
  // its end, both begin with NEW_EPOCH: the one with the oldest message, the
  // other behind what is left.
  std::optional<ReadFrame> best;
  std::pair<std::uint64_t, bool> best_place;
  std::size_t chosen = 0;
  for (std::size_t i = 0; i < positions.size(); ++i) {
    Subscription source = pull(Start::After(positions[i]));
    absl::StatusOr<ReadFrame> frame = FirstFrame(source);
    if (!frame.ok()) return frame;
    const std::optional<Gap>& gap = frame->gap;
    const std::pair<std::uint64_t, bool> place = {
        gap ? gap->next : positions[i].sequence + 1,
        !gap || gap->reason != Gap::Reason::kNewEpoch};
    if (best && place <= best_place) continue;
    best = *std::move(frame);
    best_place = place;
    session->source = std::move(source);
    chosen = i;
  }
  positions = {positions[chosen]};
  return *std::move(best);
}

absl::StatusOr<bool> Lane::OpenProducer(Session* session) {
  ClientOptions options = options_.destination;
  options.producer_name = session->plan.producer.ToString();
  options.send_timeout = std::chrono::milliseconds(0);
  session->sender = Client::Connect(std::move(options));
  const auto producer = Insist(
      [this, session] { return session->sender->OpenProducer(channel_.to); });
  if (!producer.ok()) return producer.status();
  destination_epoch_ = producer->epoch;
  return producer->last_producer_sequence == session->plan.last_number;
}

void Lane::SetPosition(const Session& session, const ReadFrame& first) {
  const std::vector<Position>& positions = session.plan.positions;
  absl::MutexLock lock(&mu_);
  progress_.position = {.epoch = session.plan.producer.epoch};
  // Of a source that does not know the position, nothing is certain.
  if (!positions.empty() && !(first.gap && IsOtherPlace(*first.gap))) {
    progress_.position.sequence = positions.front().sequence;
  }
}

absl::StatusOr<ReadFrame> Lane::FirstFrame(const Subscription& source) {
  while (true) {
    absl::StatusOr<ReadFrame> frame = Next(source);
    if (!frame.ok()) return frame;
    if (frame->ended) return absl::AbortedError("the read has ended");
    if (frame->gap || !frame->messages.empty() || frame->caught_up) {
      return frame;
    }
  }
}

void Lane::TellIfBack() {
  std::chrono::duration<double> trouble;
  {
    absl::MutexLock lock(&mu_);
    const auto since = pace_.since();
    if (!since || trouble_since_) return;
    const Clock::time_point now = Clock::now();
    trouble = now - *since;
    if (!pace_.Ends(now) || !options_.on_notice) return;
  }
  options_.on_notice(fmt::format("{}: goes on after {:.1f} s", channel_.from,
                                 trouble.count()));
}

absl::StatusOr<ReadFrame> Lane::Next(const Subscription& source) {
  while (true) {
    TellIfBack();
    {
      absl::MutexLock lock(&mu_);
      if (absl::Status s = Failure(); !s.ok()) return s;
    }
    absl::StatusOr<ReadFrame> frame = source.Next(Clock::now() + kLook);
    if (frame.ok() || !absl::IsDeadlineExceeded(frame.status())) return frame;
    const SubscriptionState state = source.state();
    if (state.kind != SubscriptionState::Kind::kWaiting) continue;
    absl::MutexLock lock(&mu_);
    progress_.trouble = state.reason;
    progress_.caught_up = false;
  }
}

// ---------------------------------------------------------------------------
// What comes from the source

absl::StatusOr<bool> Lane::Take(const ReadFrame& frame, Session* session) {
  const std::uint64_t epoch = session->plan.producer.epoch;
  const std::optional<Joined> joined = session->source.state().joined;
  if (!joined || joined->epoch != epoch) return false;
  if (frame.gap) {
    absl::StatusOr<bool> taken = TakeGap(*frame.gap, session);
    if (!taken.ok() || !*taken) return taken;
  }
  for (const Message& message : frame.messages) {
    if (message.epoch != epoch) return false;
    absl::Status s = Send(session, CopyOf(message, channel_),
                          ForwardedNumber(message.sequence),
                          {.forwarded = 1,
                           .position = message.position(),
                           .send_time = message.send_time});
    if (!s.ok()) return s;
  }
  const bool caught_up =
      session->source.state().kind == SubscriptionState::Kind::kCaughtUp;
  absl::MutexLock lock(&mu_);
  if (!std::exchange(session->begun, true)) {
    progress_.head = joined->head;
  }
  if (frame.caught_up) progress_.head = *frame.caught_up;
  if (frame.heartbeat) progress_.head = *frame.heartbeat;
  if (!frame.messages.empty()) {
    progress_.head = std::max(progress_.head, frame.messages.back().sequence);
  }
  progress_.caught_up = caught_up;
  // With nothing to send, this is all the progress there can be; and what was
  // refused, if there was something, is past.
  if (caught_up && messages_ == 0) {
    NoteProgress();
    one_by_one_ = false;
  }
  return true;
}

absl::StatusOr<bool> Lane::TakeGap(const Gap& gap, Session* session) {
  ForwardingPlan& plan = session->plan;
  const bool other_place = IsOtherPlace(gap);
  if (other_place && (session->begun || plan.last_number > 0)) {
    // What is known of the source is to be found out anew.
    if (gap.reason == Gap::Reason::kNewEpoch) return false;
    // The source was set back. Its next messages have sequences that were used
    // for others, so they need another producer. Nobody will say so again.
    if (absl::Status s = AwaitReceipts(); !s.ok()) return s;
    ++plan.producer.run;
    plan.last_number = 0;
    absl::StatusOr<bool> opened = OpenProducer(session);
    if (!opened.ok() || !*opened) return opened;
  }
  const std::uint64_t epoch = plan.producer.epoch;
  absl::Status s =
      Send(session, CopyOf(gap, epoch, channel_), ForwardedNumber(gap.next - 1),
           {.forwarded = 1,
            .gaps = 1,
            .position = {.epoch = epoch, .sequence = gap.next - 1}});
  if (!s.ok()) return s;
  return true;
}

// ---------------------------------------------------------------------------
// What goes to the destination

absl::Status Lane::Send(Session* session, const NewMessage& copy,
                        std::uint64_t number, const ForwardProgress& done) {
  const std::size_t size = wire::NewMessageSize(copy);
  std::uint64_t id = 0;
  {
    absl::MutexLock lock(&mu_);
    // Well within the window of the client, which would not hear of Stop.
    const ClientOptions& window = options_.destination;
    while (Failure().ok() && messages_ > 0 &&
           (one_by_one_ || messages_ >= window.max_in_flight_messages / 2 ||
            bytes_ + size > window.max_in_flight_bytes / 2)) {
      changed_.Wait(&mu_);
    }
    if (absl::Status s = Failure(); !s.ok()) return s;
    ++messages_;
    bytes_ += size;
    id = session_;
  }
  session->sender->SendAsync(
      copy,
      [this, id, size, done](absl::StatusOr<Receipt> receipt) {
        absl::MutexLock lock(&mu_);
        if (id != session_) return;
        --messages_;
        bytes_ -= size;
        const absl::Status status =
            receipt.ok() ? CheckStored(*receipt) : receipt.status();
        if (!status.ok()) {
          if (failure_.ok()) failure_ = Named(status, done);
        } else {
          progress_.forwarded += done.forwarded;
          progress_.gaps += done.gaps;
          if (receipt->duplicate) ++progress_.duplicates;
          progress_.position = done.position;
          if (done.gaps == 0) progress_.send_time = done.send_time;
          NoteProgress();
        }
        changed_.SignalAll();
      },
      {.producer_sequence = number});
  return absl::OkStatus();
}

absl::Status Lane::CheckStored(const Receipt& receipt) {
  if (receipt.duplicate) return absl::OkStatus();
  const Position last = std::exchange(last_stored_, receipt.position);
  if (last.epoch != receipt.position.epoch ||
      last.sequence < receipt.position.sequence) {
    return absl::OkStatus();
  }
  return absl::DataLossError(fmt::format(
      "the destination stores it as {} after it has stored another one as {}: "
      "it was set back, and copies are missing there",
      receipt.position.sequence, last.sequence));
}

absl::Status Lane::AwaitReceipts() {
  absl::MutexLock lock(&mu_);
  while (Failure().ok() && messages_ > 0) changed_.Wait(&mu_);
  return Failure();
}

void Lane::NoteProgress() {
  progress_.trouble = absl::OkStatus();
  trouble_since_.reset();
  tries_ = 0;
}

absl::Status Lane::Failure() const {
  if (stopped_) return absl::CancelledError("it was stopped");
  return failure_;
}

}  // namespace messenger
