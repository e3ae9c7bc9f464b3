#include "server/fan_out.h"

#include <algorithm>
#include <vector>

#include "absl/container/inlined_vector.h"

namespace messenger {
namespace {

// What absl's tables of strings can be searched with, without a copy.
absl::string_view Key(std::string_view name) {
  return {name.data(), name.size()};
}

}  // namespace

// Parked readers, those that came first at the front. Taking one out of the
// middle moves the last one there.
class FanOut::ParkedList {
 public:
  bool empty() const { return front_ == readers_.size(); }

  void Add(Reader* reader) {
    reader->list_ = this;
    reader->place_ = readers_.size();
    readers_.push_back(reader->shared_from_this());
  }

  void Remove(Reader* reader) {
    readers_.back()->place_ = reader->place_;
    std::swap(readers_[reader->place_], readers_.back());
    readers_.pop_back();
    reader->list_ = nullptr;
    TidyUp();
  }

  ReaderPtr TakeFront() {
    ReaderPtr reader = std::move(readers_[front_++]);
    reader->list_ = nullptr;
    TidyUp();
    return reader;
  }

 private:
  void TidyUp() {
    if (!empty()) return;
    readers_.clear();
    front_ = 0;
  }

  std::vector<ReaderPtr> readers_;
  std::size_t front_ = 0;  // those before it were taken
};

// A channel that has readers.
struct FanOut::Channel {
  std::string name;
  std::uint64_t readers = 0;
  // Those of the present round, and those of the next one. They change roles.
  ParkedList one;
  ParkedList other;
  ParkedList* waking = &one;
  ParkedList* parked = &other;
  // Whether there is to be a next round.
  bool again = false;
  bool marked = false;  // it is in marked_
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
  ++readers_;
  reader->channel_ = entry.get();
}

void FanOut::Leave(Reader* reader) {
  absl::MutexLock lock(&mu_);
  PlaceTimer(reader, kNever);
  --readers_;
  Channel* const channel = std::exchange(reader->channel_, nullptr);
  if (--channel->readers > 0) return;
  if (channel->marked) std::erase(marked_, channel);
  channels_.erase(channel->name);
}

bool FanOut::Park(Reader* reader) {
  if (reader->MustNotPark()) return false;  // without the lock, as a rule
  absl::MutexLock lock(&mu_);
  if (draining_ || reader->MustNotPark()) return false;
  reader->channel_->parked->Add(reader);
  ++parked_;
  return true;
}

bool FanOut::Unpark(Reader* reader) {
  absl::MutexLock lock(&mu_);
  if (reader->list_ == nullptr) return false;
  reader->list_->Remove(reader);
  --parked_;
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

void FanOut::AddTo(ReadStats* stats) {
  absl::MutexLock lock(&mu_);
  stats->readers += readers_;
  stats->parked += parked_;
  stats->wakes += wakes_;
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
  if (channel->parked->empty()) return;
  channel->again = true;
  if (channel->marked) return;
  channel->marked = true;
  marked_.push_back(channel);
  work_.Signal();
}

void FanOut::Run() {
  absl::MutexLock lock(&mu_);
  while (!stopping_) {
    if (!marked_.empty()) WakeSome();
    if (timers_.empty()) {
      if (marked_.empty() && !stopping_) work_.Wait(&mu_);
      continue;
    }
    const TimePoint now = Clock::now();
    const TimePoint due = timers_.begin()->first;
    if (due <= now) {
      RunTimers(now);
    } else if (marked_.empty() && !stopping_) {
      work_.WaitUntil(&mu_, due);
    }
  }
}

void FanOut::WakeSome() {
  Channel* const channel = marked_.front();
  marked_.pop_front();
  if (channel->waking->empty() && std::exchange(channel->again, false)) {
    std::swap(channel->waking, channel->parked);
  }
  absl::InlinedVector<ReaderPtr, kAtOnce> woken;
  while (!channel->waking->empty() && woken.size() < kAtOnce) {
    woken.push_back(channel->waking->TakeFront());
  }
  parked_ -= woken.size();
  wakes_ += woken.size();
  channel->marked = !channel->waking->empty() || channel->again;
  if (channel->marked) marked_.push_back(channel);
  mu_.Unlock();
  for (const ReaderPtr& reader : woken) reader->OnWake();
  woken.clear();
  mu_.Lock();
}

void FanOut::RunTimers(TimePoint now) {
  absl::InlinedVector<ReaderPtr, kAtOnce> due;
  while (!timers_.empty() && timers_.begin()->first <= now &&
         due.size() < kAtOnce) {
    Reader* const reader = timers_.begin()->second;
    due.push_back(reader->shared_from_this());
    PlaceTimer(reader, kNever);
  }
  mu_.Unlock();
  absl::InlinedVector<TimePoint, kAtOnce> next;
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
