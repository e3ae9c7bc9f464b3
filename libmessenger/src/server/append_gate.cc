#include "server/append_gate.h"

#include <algorithm>
#include <utility>

namespace messenger {

AppendGate::Entry AppendGate::Enter(const std::shared_ptr<Waiter>& waiter,
                                    std::uint64_t connection,
                                    std::size_t bytes) {
  std::vector<Waiting> turned_away;
  Entry entry = Entry::kWaits;
  {
    absl::MutexLock lock(&mu_);
    if (turns_.empty() && HasRoom(bytes)) {
      bytes_ += bytes;
      return Entry::kAdmitted;
    }
    while (waiting_bytes_ > 0 &&
           waiting_bytes_ + bytes > limits_.max_waiting_bytes) {
      const std::uint64_t largest = LargestLane();
      const auto own = lanes_.find(connection);
      const std::size_t own_bytes = own == lanes_.end() ? 0 : own->second.bytes;
      if (own_bytes + bytes > lanes_.at(largest).bytes) {
        entry = Entry::kTurnedAway;
        break;
      }
      turned_away.push_back(TakeBack(largest));
    }
    if (entry == Entry::kWaits) {
      Lane& lane = lanes_[connection];
      if (lane.appends.empty()) turns_.push_back(connection);
      lane.appends.push_back({.waiter = waiter, .bytes = bytes});
      lane.bytes += bytes;
      waiting_bytes_ += bytes;
      ++waits_;
    }
  }
  // Also if it was in vain: each must be told.
  for (const Waiting& waiting : turned_away) waiting.waiter->OnTurnedAway();
  return entry;
}

bool AppendGate::Withdraw(const Waiter* waiter, std::uint64_t connection) {
  std::shared_ptr<Waiter> withdrawn;  // freed without the lock
  absl::MutexLock lock(&mu_);
  const auto found = lanes_.find(connection);
  if (found == lanes_.end()) return false;
  Lane& lane = found->second;
  const auto place = std::find_if(
      lane.appends.begin(), lane.appends.end(),
      [waiter](const Waiting& w) { return w.waiter.get() == waiter; });
  if (place == lane.appends.end()) return false;
  withdrawn = std::move(place->waiter);
  lane.bytes -= place->bytes;
  waiting_bytes_ -= place->bytes;
  lane.appends.erase(place);
  if (lane.appends.empty()) Erase(connection);
  return true;
}

void AppendGate::Leave(std::size_t bytes) {
  mu_.Lock();
  bytes_ -= bytes;
  // Not within itself, when a log answers at once: whoever admits goes on.
  if (admitting_) return mu_.Unlock();
  admitting_ = true;
  while (!turns_.empty()) {
    const std::uint64_t connection = turns_.front();
    Lane& lane = lanes_.at(connection);
    Waiting& first = lane.appends.front();
    if (!HasRoom(first.bytes)) break;
    const Waiting next = std::move(first);
    bytes_ += next.bytes;
    waiting_bytes_ -= next.bytes;
    lane.bytes -= next.bytes;
    lane.appends.pop_front();
    turns_.pop_front();
    if (lane.appends.empty()) {
      lanes_.erase(connection);
    } else {
      turns_.push_back(connection);
    }
    mu_.Unlock();
    next.waiter->OnAdmitted();
    mu_.Lock();
  }
  admitting_ = false;
  mu_.Unlock();
}

void AppendGate::AddTo(SendStats* stats) {
  absl::MutexLock lock(&mu_);
  stats->waits += waits_;
  stats->appending_bytes += bytes_;
  stats->waiting_bytes += waiting_bytes_;
}

std::uint64_t AppendGate::LargestLane() const {
  return std::max_element(lanes_.begin(), lanes_.end(),
                          [](const auto& a, const auto& b) {
                            return a.second.bytes < b.second.bytes;
                          })
      ->first;
}

AppendGate::Waiting AppendGate::TakeBack(std::uint64_t connection) {
  Lane& lane = lanes_.at(connection);
  Waiting last = std::move(lane.appends.back());
  lane.appends.pop_back();
  lane.bytes -= last.bytes;
  waiting_bytes_ -= last.bytes;
  if (lane.appends.empty()) Erase(connection);
  return last;
}

void AppendGate::Erase(std::uint64_t connection) {
  lanes_.erase(connection);
  turns_.erase(std::find(turns_.begin(), turns_.end(), connection));
}

}  // namespace messenger
