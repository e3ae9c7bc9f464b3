#include "reader.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "history/origin.h"
#include "support/recorder.h"

namespace messenger::test::chaos {

Recorder::Recorder(std::string reader, std::size_t channel,
                   const std::vector<std::string>& producers, Plant plant)
    : channel_(channel), producers_(producers), plant_(plant) {
  reading_.reader = std::move(reader);
  reading_.channel = channel;
}

ReadCallbacks Recorder::Callbacks() {
  ReadCallbacks callbacks;
  callbacks.on_message = [this](const Message& message) { OnMessage(message); };
  callbacks.on_gap = [this](const Gap& gap) { OnGap(gap); };
  callbacks.on_state = [this](const SubscriptionState& state) {
    OnState(state);
  };
  callbacks.on_end = [this](const absl::Status& status) { OnEnd(status); };
  return callbacks;
}

bool Recorder::OnFrame(const absl::StatusOr<ReadFrame>& frame) {
  if (!frame.ok() || frame->ended) {
    OnEnd(frame.status());
    return false;
  }
  if (frame->joined) {
    absl::MutexLock lock(&mu_);
    ++joins_;
  }
  if (frame->gap) OnGap(*frame->gap);
  for (const Message& message : frame->messages) OnMessage(message);
  return true;
}

void Recorder::OnGap(const Gap& gap) {
  absl::MutexLock lock(&mu_);
  if (taken_) return;
  reading_.events.push_back({.sequence = gap.first_missing,
                             .time = static_cast<std::int64_t>(gap.next),
                             .kind = Event::Kind::kGap,
                             .reason = gap.reason});
}

void Recorder::OnMessage(const Message& message) {
  Event event = {.sequence = message.sequence,
                 .time = message.send_time.time_since_epoch().count(),
                 .kind = Event::Kind::kChanged};
  if (const auto origin = OriginOf(message.text)) {
    const auto sender =
        std::find(producers_.begin(), producers_.end(), origin->sender);
    if (sender != producers_.end()) {
      event.producer = static_cast<std::uint16_t>(sender - producers_.begin());
      event.number = static_cast<std::uint32_t>(origin->number);
      const Data data = DataOf(origin->sender, origin->number);
      if (message.data == data.bytes &&
          message.content_type == data.content_type) {
        event.kind = Event::Kind::kMessage;
      }
    }
  }
  absl::MutexLock lock(&mu_);
  if (taken_) return;
  if (message.epoch != epoch_) {
    epoch_ = message.epoch;
    reading_.events.push_back(
        {.sequence = epoch_, .kind = Event::Kind::kEpoch});
  }
  reading_.events.push_back(event);
  last_ = message.sequence;
  changed_.SignalAll();
  ++messages_;
  if (plant_ != Plant::kNothing) PlantFault();
  if (restart_ && joined_since_) {
    resume_times_.push_back(Clock::now() - *restart_);
    restart_.reset();
  }
  const auto goes_on = [this] {
    mu_.AssertHeld();
    return taken_ || Clock::now() >= stalls_until_;
  };
  while (!goes_on()) {
    changed_.WaitWithTimeout(&mu_,
                             absl::FromChrono(stalls_until_ - Clock::now()));
  }
}

void Recorder::Stall(std::chrono::milliseconds time) {
  absl::MutexLock lock(&mu_);
  stalls_until_ = Clock::now() + time;
}

void Recorder::EndStall() {
  absl::MutexLock lock(&mu_);
  stalls_until_ = {};
  changed_.SignalAll();
}

void Recorder::ExpectEnd() {
  absl::MutexLock lock(&mu_);
  end_expected_ = true;
}

void Recorder::PlantFault() {
  constexpr std::uint64_t kWhere = 20;
  if (messages_ != kWhere) return;
  std::deque<Event>& events = reading_.events;
  const std::size_t last = events.size() - 1;
  switch (plant_) {
    case Plant::kNothing:
      break;
    case Plant::kLose:
      events.pop_back();
      break;
    case Plant::kRepeat:
      events.emplace_back(events.back());
      break;
    case Plant::kReorder:
      std::swap(events[last], events[last - 1]);
      break;
    case Plant::kChange:
      events.back().kind = Event::Kind::kChanged;
      break;
  }
}

void Recorder::OnState(const SubscriptionState& state) {
  if (state.kind != SubscriptionState::Kind::kJoined) return;
  absl::MutexLock lock(&mu_);
  ++joins_;
  joined_since_ = restart_.has_value();
}

void Recorder::OnEnd(const absl::Status& status) {
  absl::MutexLock lock(&mu_);
  if (std::exchange(end_expected_, false) && absl::IsCancelled(status)) return;
  ended_ = true;
  changed_.SignalAll();
  if (!taken_) reading_.end = status;
}

bool Recorder::AwaitSequence(std::uint64_t sequence,
                             std::chrono::milliseconds patience) {
  absl::MutexLock lock(&mu_);
  const auto there = [this, sequence] {
    mu_.AssertHeld();
    return ended_ || last_ >= sequence;
  };
  static_cast<void>(Await(mu_, changed_, there, absl::FromChrono(patience)));
  return last_ >= sequence;
}

Reading Recorder::Take() {
  absl::MutexLock lock(&mu_);
  taken_ = true;
  changed_.SignalAll();
  return std::move(reading_);
}

void Recorder::NoteRestart(Clock::time_point time) {
  absl::MutexLock lock(&mu_);
  restart_ = time;
  joined_since_ = false;
}

std::vector<Clock::duration> Recorder::resume_times() const {
  absl::MutexLock lock(&mu_);
  return resume_times_;
}

std::uint64_t Recorder::joins() const {
  absl::MutexLock lock(&mu_);
  return joins_;
}

Reader::Reader(Client client, std::string channel, Way way, Recorder* recorder)
    : client_(std::move(client)),
      channel_(std::move(channel)),
      way_(way),
      recorder_(recorder) {
  Begin();
}

void Reader::Begin() {
  const ReadOptions options = {.channel = channel_,
                               .start = start_,
                               // The least that a server allows by default.
                               .heartbeat_interval = std::chrono::seconds(1)};
  if (way_ == Way::kPulled) {
    subscription_ = client_.Pull(options);
    puller_ = std::thread([this] {
      while (recorder_->OnFrame(subscription_.Next())) {
      }
    });
    return;
  }
  ReadCallbacks callbacks = recorder_->Callbacks();
  if (way_ == Way::kTogether) {
    callbacks.on_messages = [each = std::move(callbacks.on_message)](
                                std::span<const Message> messages) mutable {
      for (const Message& message : messages) each(message);
    };
    callbacks.on_message = nullptr;
  }
  subscription_ = client_.Read(options, std::move(callbacks));
}

void Reader::BeginAnew() {
  recorder_->ExpectEnd();
  End();
  // It may not have joined since it last began.
  if (const std::optional<Bookmark> bookmark = subscription_.bookmark()) {
    start_ = Start::After(bookmark->position);
  }
  Begin();
}

void Reader::End() {
  recorder_->EndStall();
  subscription_.Cancel();
  if (puller_.joinable()) puller_.join();
}

}  // namespace messenger::test::chaos
