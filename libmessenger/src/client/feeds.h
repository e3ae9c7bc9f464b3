// The feeds of a client, and which subscription follows which of them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "client/feed.h"
#include "messenger/client.h"
#include "messenger/message.h"
#include "messenger/stats.h"

namespace messenger {

// Subscriptions that ask for the same and stand at the head of one channel
// follow one feed, its tail. Each begins with a feed of its own, reads it until
// it has caught up, and goes over to the tail where both stand; the first one's
// own feed becomes the tail. Who begins with new messages need not read
// anything first: those that begin while one of them is joining wait for it,
// and join together.
//
// Thread safety: all members may be called from any thread.
class Feeds : public std::enable_shared_from_this<Feeds> {
 public:
  explicit Feeds(ReadContext context) : context_(std::move(context)) {}

  const ReadContext& context() const { return context_; }
  // Where feeds and subscriptions count: see base/counters.h.
  ClientReadStats& counters() { return counters_; }

  // The feed that a subscription with these options is to follow.
  std::shared_ptr<Feed> Follow(const std::shared_ptr<Follower>& follower,
                               const ReadOptions& options)
      ABSL_LOCKS_EXCLUDED(mu_);

  // The tail for those who follow `feed` and have caught up; `feed` itself if
  // there was none. Null if it cannot be shared.
  std::shared_ptr<Feed> TailFor(const std::shared_ptr<Feed>& feed)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Waits until no feed, and nothing of gRPC's that belongs to one, is left.
  void AwaitEnd() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  friend class Feed;

  // What readers must ask for alike.
  using Key = std::tuple<std::string, std::chrono::milliseconds, bool>;
  static Key KeyOf(const ReadOptions& options);

  struct Group {
    std::weak_ptr<Feed> tail;
    // Of those that begin with new messages: one that has asked the server and
    // has no answer, and one that has not asked.
    std::weak_ptr<Feed> joining;
    std::weak_ptr<Feed> gathering;
  };

  // Of a feed.
  void OnBegin() ABSL_LOCKS_EXCLUDED(mu_);
  // It asks the server: who comes now comes too late for it.
  void OnAsking(Feed* feed) ABSL_LOCKS_EXCLUDED(mu_);
  // It has an answer, or none.
  void OnAnswer(Feed* feed) ABSL_LOCKS_EXCLUDED(mu_);
  void OnEnd(const ReadOptions& options) ABSL_LOCKS_EXCLUDED(mu_);

  std::uint64_t NewRound() { return ++rounds_; }

  void StartGathered(const Key& key) ABSL_LOCKS_EXCLUDED(mu_);

  const ReadContext context_;
  ClientReadStats counters_;
  std::atomic<std::uint64_t> rounds_{0};
  absl::Mutex mu_;
  absl::CondVar changed_;
  std::map<Key, Group> groups_ ABSL_GUARDED_BY(mu_);
  std::size_t live_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace messenger
