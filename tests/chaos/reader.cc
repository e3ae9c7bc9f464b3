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
  callbacks.on_gap = [this](const Gap& gap) {
    absl::MutexLock lock(&mu_);
    if (taken_) return;
    reading_.events.push_back({.sequence = gap.first_missing,
                               .time = static_cast<std::int64_t>(gap.next),
                               .kind = Event::Kind::kGap,
                               .reason = gap.reason});
  };
  callbacks.on_state = [this](const SubscriptionState& state) {
    OnState(state);
  };
  callbacks.on_end = [this](const absl::Status& status) { OnEnd(status); };
  return callbacks;
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
      event.kind = Event::Kind::kMessage;
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

}  // namespace messenger::test::chaos
