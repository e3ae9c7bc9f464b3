// One subscription: what of a feed it wants, and the callbacks.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "client/feed.h"
#include "client/feeds.h"
#include "messenger/client.h"

namespace messenger {

// Follows a feed, and another one when it goes over to the tail or is expelled
// from it. All that happens does so in its turns of the run queue: events of
// the feed are taken there, and the callbacks run.
//
// If it is pulled, a turn takes a frame only while somebody waits for it. What
// the callbacks would be told is collected, then, and handed over.
//
// Kept alive by its Subscription, by the feed, and by the run queue.
class Subscription::Impl final
    : public Follower,
      public std::enable_shared_from_this<Subscription::Impl> {
 public:
  Impl(std::shared_ptr<Feeds> feeds, ReadOptions options,
       ReadCallbacks callbacks);
  // Is pulled.
  Impl(std::shared_ptr<Feeds> feeds, ReadOptions options);
  ~Impl() override;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // Ends at once with `status` unless that is OK. Call it once.
  void Start(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  // Cancels without waiting.
  void StartCancel() ABSL_LOCKS_EXCLUDED(mu_);
  // Waits for the terminal callback, unless inside a callback of the client.
  void AwaitEnd() ABSL_LOCKS_EXCLUDED(mu_);

  absl::Status Wait() ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<ReadFrame> Next(
      std::optional<std::chrono::steady_clock::time_point> deadline)
      ABSL_LOCKS_EXCLUDED(mu_);
  void NextAsync(NextCallback done) ABSL_LOCKS_EXCLUDED(mu_);

  std::optional<Position> position() const ABSL_LOCKS_EXCLUDED(mu_);
  std::optional<Bookmark> bookmark() const ABSL_LOCKS_EXCLUDED(mu_);
  SubscriptionState state() const ABSL_LOCKS_EXCLUDED(mu_);
  bool ended() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Pull;

  bool Run() override ABSL_LOCKS_EXCLUDED(mu_);
  void Begin() ABSL_LOCKS_EXCLUDED(mu_);
  // Takes and handles one event. True if there may be another one.
  bool FollowFeed(bool frames) ABSL_LOCKS_EXCLUDED(mu_);
  // Reads on with a feed of its own.
  void GoOnAlone() ABSL_LOCKS_EXCLUDED(mu_);
  // Goes over to the tail if it can.
  void LookForTail();
  void Handle(const std::shared_ptr<const FeedEvent>& event)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status HandleFrame(const DecodedFrame& frame) ABSL_LOCKS_EXCLUDED(mu_);
  void Join(const DecodedFrame& frame, bool gap_follows)
      ABSL_LOCKS_EXCLUDED(mu_);
  // What of the frame's gap concerns this reader, which may stand after the
  // feed.
  std::optional<Gap> GapFor(const DecodedFrame& frame) const;
  std::span<const Message> Wanted(const DecodedFrame& frame) const;
  absl::Status DeliverGap(const Gap& gap) ABSL_LOCKS_EXCLUDED(mu_);
  void DeliverMessages(const DecodedFrame& frame) ABSL_LOCKS_EXCLUDED(mu_);
  void DeliverNews(const DecodedFrame& frame) ABSL_LOCKS_EXCLUDED(mu_);
  // Nothing more is wanted.
  bool Finished() const;
  // To just before next_sequence_.
  void SetPosition() ABSL_LOCKS_EXCLUDED(mu_);
  void SetState(const SubscriptionState& state) ABSL_LOCKS_EXCLUDED(mu_);
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  // If it is pulled.
  // `done`: null if the caller waits. Taken only if OK is returned.
  absl::Status Want(NextCallback* done) ABSL_LOCKS_EXCLUDED(mu_);
  // Whether a Next waits for what comes now; the frame before is done with.
  bool IsPulled() ABSL_LOCKS_EXCLUDED(mu_);
  void HandOver(const std::shared_ptr<const FeedEvent>& event)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Answer(absl::StatusOr<ReadFrame> answer) ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<ReadFrame> AfterEnd() const ABSL_LOCKS_EXCLUDED(mu_);

  bool cancelled() const { return cancelled_.load(); }

  const std::shared_ptr<Feeds> feeds_;
  const ReadOptions options_;  // its channel is resolved, if that is a name

  std::atomic<bool> cancelled_{false};
  // Goes with position_epoch_; its own, since it changes with every message.
  std::atomic<std::uint64_t> position_sequence_{0};

  mutable absl::Mutex mu_;
  absl::CondVar changed_;
  std::optional<std::uint64_t> position_epoch_ ABSL_GUARDED_BY(mu_);
  SubscriptionState state_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mu_);
  const std::unique_ptr<Pull> pull_;  // null: it is not pulled

  // In its turns.
  absl::Status start_status_;
  std::shared_ptr<Feed> feed_;  // null: it has not begun, or has ended
  ReadCallbacks callbacks_;
  bool over_ = false;     // on_end has been called
  bool on_tail_ = false;  // follows what others may follow, too
  // It was expelled: what becomes of its new call is nobody's business.
  bool quiet_ = false;
  int expulsions_ = 0;
  Timers::TimePoint on_tail_since_;
  Timers::TimePoint alone_until_;
  std::uint64_t epoch_ = 0;
  std::uint64_t next_sequence_ = 0;  // 0: was never joined
  std::uint64_t delivered_ = 0;      // messages
  // The head when it joined: where until_caught_up ends.
  std::uint64_t first_head_ = 0;
  std::uint64_t head_ = 0;  // as the last frame has it
  bool caught_up_ = false;
};

}  // namespace messenger
