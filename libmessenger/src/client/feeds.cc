#include "client/feeds.h"

#include <utility>

#include "wire/channel_name.h"

namespace messenger {
namespace {

// However slow the line is, as many may join in a second as a person notices.
constexpr std::chrono::milliseconds kLongestGathering{100};

bool BeginsWithNew(const Start& start) {
  return start.kind == Start::Kind::kNewOnly ||
         (start.kind == Start::Kind::kLast && start.number == 0);
}

// Without a reference, which could turn out to be the last one.
bool Is(const std::weak_ptr<Feed>& a, Feed* feed) {
  const std::weak_ptr<Feed> b = feed->weak_from_this();
  return !a.owner_before(b) && !b.owner_before(a);
}

}  // namespace

Feeds::Key Feeds::KeyOf(const ReadOptions& options) {
  return {options.channel, options.heartbeat_interval, options.skip_damaged};
}

std::shared_ptr<Feed> Feeds::Follow(const std::shared_ptr<Follower>& follower,
                                    const ReadOptions& options) {
  // What must be refused is for the server to refuse.
  const bool gathers = context_.share_tails && BeginsWithNew(options.start) &&
                       !options.until_caught_up &&
                       options.limit.value_or(1) > 0;
  if (!gathers) {
    const bool plain = context_.share_tails && !options.limit &&
                       !options.until_caught_up && !options.strict;
    auto feed = std::make_shared<Feed>(shared_from_this(), options, plain);
    feed->Add(follower);
    feed->Start();
    return feed;
  }
  std::shared_ptr<Feed> feed;
  bool first = false;
  {
    absl::MutexLock lock(&mu_);
    feed = groups_[KeyOf(options)].gathering.lock();
    if (feed) {
      feed->Add(follower);
      return feed;
    }
  }
  // A feed takes the lock, too.
  const ReadOptions of_all = {.channel = options.channel,
                              .heartbeat_interval = options.heartbeat_interval,
                              .skip_damaged = options.skip_damaged};
  auto created = std::make_shared<Feed>(shared_from_this(), of_all, true);
  {
    absl::MutexLock lock(&mu_);
    Group& group = groups_[KeyOf(options)];
    feed = group.gathering.lock();
    if (!feed) {
      group.gathering = feed = created;
      first = group.joining.expired();
    }
    feed->Add(follower);
  }
  if (feed != created) return feed;
  if (first) {
    StartGathered(KeyOf(options));
  } else {
    // Unless those who are joining are let in before.
    context_.timers->Schedule(Timers::Clock::now() + kLongestGathering,
                              [weak = weak_from_this(), key = KeyOf(options)] {
                                if (const auto self = weak.lock()) {
                                  self->StartGathered(key);
                                }
                              });
  }
  return feed;
}

void Feeds::StartGathered(const Key& key) {
  std::shared_ptr<Feed> feed;
  {
    absl::MutexLock lock(&mu_);
    const auto group = groups_.find(key);
    if (group == groups_.end()) return;
    feed = group->second.gathering.lock();
    // It goes on gathering until it asks.
    if (!feed || Is(group->second.joining, feed.get())) return;
    group->second.joining = feed;
  }
  feed->Start();
}

std::shared_ptr<Feed> Feeds::TailFor(const std::shared_ptr<Feed>& feed) {
  if (!feed->plain()) {
    absl::MutexLock lock(&mu_);
    const auto group = groups_.find(KeyOf(feed->options()));
    return group == groups_.end() ? nullptr : group->second.tail.lock();
  }
  absl::MutexLock lock(&mu_);
  std::weak_ptr<Feed>& tail = groups_[KeyOf(feed->options())].tail;
  std::shared_ptr<Feed> known = tail.lock();
  if (known) return known;
  tail = feed;
  return feed;
}

void Feeds::OnBegin() {
  absl::MutexLock lock(&mu_);
  ++live_;
}

void Feeds::OnAsking(Feed* feed) {
  absl::MutexLock lock(&mu_);
  const auto group = groups_.find(KeyOf(feed->options()));
  if (group == groups_.end()) return;
  if (Is(group->second.gathering, feed)) group->second.gathering.reset();
}

void Feeds::OnAnswer(Feed* feed) {
  const Key key = KeyOf(feed->options());
  {
    absl::MutexLock lock(&mu_);
    const auto group = groups_.find(key);
    if (group == groups_.end()) return;
    if (!Is(group->second.joining, feed)) return;
    group->second.joining.reset();
  }
  StartGathered(key);
}

void Feeds::OnEnd(const ReadOptions& options) {
  const Key key = KeyOf(options);
  StartGathered(key);
  absl::MutexLock lock(&mu_);
  const auto group = groups_.find(key);
  if (group != groups_.end() && group->second.tail.expired() &&
      group->second.joining.expired() && group->second.gathering.expired()) {
    groups_.erase(group);
  }
  if (--live_ == 0) changed_.SignalAll();
}

void Feeds::AwaitEnd() {
  absl::MutexLock lock(&mu_);
  while (live_ > 0) changed_.Wait(&mu_);
}

}  // namespace messenger
