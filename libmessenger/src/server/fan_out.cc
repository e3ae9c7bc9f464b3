#include "server/fan_out.h"

#include <algorithm>

#include "absl/time/time.h"

namespace messenger {
namespace {

// What absl's tables of strings can be searched with, without a copy.
absl::string_view Key(std::string_view name) {
  return {name.data(), name.size()};
}

}  // namespace

// A channel that has readers.
struct FanOut::Channel {
  std::string name;
  std::vector<std::shared_ptr<Reader>> parked;
  std::uint64_t readers = 0;
  bool marked = false;
};

FanOut::FanOut() : thread_([this] { Run(); }) {}

FanOut::~FanOut() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    work_.Signal();
  }
  thread_.join();
}

void FanOut::Join(Reader* reader, std::string_view channel) {
  absl::MutexLock lock(&mu_);
  std::unique_ptr<Channel>& entry = channels_[std::string(channel)];
  if (!entry) {
    entry = std::make_unique<Channel>();
    entry->name = channel;
  }
  ++entry->readers;
  reader->channel_ = entry.get();
}

void FanOut::Leave(Reader* reader) {
  absl::MutexLock lock(&mu_);
  PlaceTimer(reader, kNever);
  Channel* const channel = std::exchange(reader->channel_, nullptr);
  if (--channel->readers > 0) return;
  std::erase(marked_, channel);
  channels_.erase(channel->name);
}

bool FanOut::Park(Reader* reader) {
  if (reader->MustNotPark()) return false;  // without the lock, as a rule
  absl::MutexLock lock(&mu_);
  if (draining_ || reader->MustNotPark()) return false;
  reader->place_ = reader->channel_->parked.size();
  reader->channel_->parked.push_back(reader->shared_from_this());
  return true;
}

bool FanOut::Unpark(Reader* reader) {
  absl::MutexLock lock(&mu_);
  if (reader->place_ == Reader::kNotParked) return false;
  std::vector<ReaderPtr>& parked = reader->channel_->parked;
  parked.back()->place_ = reader->place_;
  std::swap(parked[reader->place_], parked.back());
  parked.pop_back();
  reader->place_ = Reader::kNotParked;
  return true;
}

void FanOut::SetTimer(Reader* reader, TimePoint time) {
  absl::MutexLock lock(&mu_);
  PlaceTimer(reader, std::min(reader->timer_, time));
  if (!timers_.empty() && timers_.begin()->second == reader) work_.Signal();
}

void FanOut::PlaceTimer(Reader* reader, TimePoint time) {
  if (reader->timer_ != kNever) timers_.erase({reader->timer_, reader});
  reader->timer_ = time;
  if (time != kNever) timers_.emplace(time, reader);
}

std::uint64_t FanOut::CountReaders(std::string_view channel) {
  absl::MutexLock lock(&mu_);
  const auto it = channels_.find(Key(channel));
  return it == channels_.end() ? 0 : it->second->readers;
}

void FanOut::Drain() {
  absl::MutexLock lock(&mu_);
  draining_ = true;
  for (const auto& [name, channel] : channels_) Mark(channel.get());
}

void FanOut::OnAppend(std::string_view channel) {
  absl::MutexLock lock(&mu_);
  if (channels_.empty()) return;
  const auto it = channels_.find(Key(channel));
  if (it != channels_.end()) Mark(it->second.get());
}

void FanOut::Mark(Channel* channel) {
  if (channel->marked || channel->parked.empty()) return;
  channel->marked = true;
  marked_.push_back(channel);
  work_.Signal();
}

void FanOut::Run() {
  absl::MutexLock lock(&mu_);
  while (!stopping_) {
    if (!marked_.empty()) {
      WakeMarked();
    } else if (!timers_.empty() && timers_.begin()->first <= Clock::now()) {
      RunTimers();
    } else if (timers_.empty()) {
      work_.Wait(&mu_);
    } else {
      work_.WaitWithTimeout(
          &mu_, absl::FromChrono(timers_.begin()->first - Clock::now()));
    }
  }
}

void FanOut::WakeMarked() {
  std::vector<ReaderPtr> woken;
  for (Channel* channel : marked_) {
    channel->marked = false;
    for (ReaderPtr& reader : channel->parked) {
      reader->place_ = Reader::kNotParked;
      woken.push_back(std::move(reader));
    }
    channel->parked.clear();
  }
  marked_.clear();
  mu_.Unlock();
  for (const ReaderPtr& reader : woken) reader->OnWake();
  woken.clear();
  mu_.Lock();
}

void FanOut::RunTimers() {
  const TimePoint now = Clock::now();
  std::vector<ReaderPtr> due;
  while (!timers_.empty() && timers_.begin()->first <= now) {
    Reader* const reader = timers_.begin()->second;
    due.push_back(reader->shared_from_this());
    PlaceTimer(reader, kNever);
  }
  mu_.Unlock();
  std::vector<TimePoint> next;
  next.reserve(due.size());
  for (const ReaderPtr& reader : due) next.push_back(reader->OnTimer(now));
  mu_.Lock();
  for (std::size_t i = 0; i < due.size(); ++i) {
    // It may have left, or set its timer to an earlier time, meanwhile.
    Reader* const reader = due[i].get();
    if (reader->channel_ == nullptr) continue;
    PlaceTimer(reader, std::min(reader->timer_, next[i]));
  }
  mu_.Unlock();
  due.clear();
  mu_.Lock();
}

}  // namespace messenger
