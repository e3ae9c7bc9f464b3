// ReadMessages: one reader of a channel, over as many calls as it takes, for
// one subscription or for many.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <forward_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "client/backoff.h"
#include "client/blame.h"
#include "client/connection.h"
#include "client/run_queue.h"
#include "client/strand.h"
#include "client/timers.h"
#include "messenger/client.h"
#include "wire/read.h"

namespace messenger {

class Feed;
class Feeds;
struct FeedEvent;

// What reading needs of its client.
struct ReadContext {
  std::shared_ptr<Connector> connector;
  std::shared_ptr<Timers> timers;
  std::shared_ptr<RunQueue> queue;
  RetryOptions retry;
  std::chrono::milliseconds join_timeout;
  bool share_tails = true;
};

// A frame that was found intact: its messages are decoded once, for all who
// follow the feed.
struct DecodedFrame {
  wire::FrameHeader header;
  bool joins = false;              // the first one of its call
  std::uint64_t expected = 0;      // where the feed stood before; 0: nowhere
  std::uint64_t next = 0;          // where it stands after it
  std::vector<Message> messages;   // of consecutive sequences
  std::vector<grpc::Slice> bytes;  // what the messages view
  std::forward_list<std::string> more_bytes;
  std::shared_ptr<const std::string> channel;
  // Of those that were gathered into it: what its last messages view.
  std::vector<std::shared_ptr<const FeedEvent>> parts;
};

// What happens to a feed.
struct FeedEvent {
  enum class Kind : std::uint8_t { kConnecting, kFrame, kWaiting, kEnd };

  Kind kind = Kind::kConnecting;
  int failed_tries = 0;             // kConnecting, kWaiting
  absl::Status status = {};         // kWaiting: why, kEnd: as for on_end
  Timers::TimePoint next_try = {};  // kWaiting
  DecodedFrame frame = {};          // kFrame
};

// One who follows a feed: a subscription. Its turns of the run queue are where
// it takes the events.
class Follower : public RunQueue::Entry {
 private:
  friend class Feed;

  // All guarded by the mu_ of the feed that it follows.
  std::size_t index_ = 0;         // among the feed's followers
  std::uint64_t next_event_ = 0;  // number of the one to be taken, or in hand
  bool busy_ = false;             // has it in hand, or puts it off
  bool expelled_ = false;
  Blame blame_;

  // In its turns: the round of the tail that it waits for.
  std::uint64_t awaited_round_ = 0;
};

// The feed has one call at a time. gRPC's reactions only move its frames into
// the strand, where they are decoded, once, and told the followers; the call's
// end comes there too, after its last frame. So the strand knows what was
// received when it decides whether, and from where, to read on with another
// call.
//
// Each follower takes the events in order, in its own turns. The next frame is
// asked for while few are left that somebody has not done with: so the slowest
// follower holds the stream back, as long as it is not a single one among those
// that wait for it (see LookAtWhoHolds). A sole follower has its turn within
// the strand, which spares a change of threads.
//
// Many followers take their time even if none of them is slow. What arrives
// meanwhile is gathered into one event, within bounds: thousands of turns then
// are for all of it, and not for each message.
//
// mu_ is held over StartRead and RemoveHold, which never run reactions, over
// Strand::Post and RunQueue::MakeReady, which never run anything, and over the
// use of timers.
//
// Kept alive by its followers, and by the call until OnDone. Without a follower
// it ends.
class Feed final : public std::enable_shared_from_this<Feed> {
 public:
  // What `options` of a subscription ask for. If it is `plain`, all who want to
  // read the channel with these options from its start on may follow it: their
  // limit, until_caught_up and strict are not the server's business.
  Feed(std::shared_ptr<Feeds> feeds, const ReadOptions& options, bool plain);
  ~Feed();
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  const ReadOptions& options() const { return options_; }
  bool plain() const { return plain_; }

  // Before Start.
  void Add(const std::shared_ptr<Follower>& follower) ABSL_LOCKS_EXCLUDED(mu_);
  // Begins to read; once.
  void Start();

  // The next event. Nothing: the follower has another turn when there is one. A
  // frame only if those are wanted.
  struct Taken {
    std::shared_ptr<const FeedEvent> event;
    // It has held the others back, and does not follow any more.
    bool expelled = false;
  };
  Taken Take(Follower* follower, bool frames) ABSL_LOCKS_EXCLUDED(mu_);
  // The follower has done with it, whom others may have waited for. True if
  // there is another one.
  bool Done(Follower* follower) ABSL_LOCKS_EXCLUDED(mu_);

  // The follower, which has done with all events of `from` and stands at the
  // head of the channel, before `next_sequence`, follows this feed instead. The
  // feed may stand behind it, not before. False if it cannot be; if it may soon
  // be, the follower has a turn then.
  bool TakeOver(const std::shared_ptr<Follower>& follower, Feed* from,
                std::uint64_t epoch, std::uint64_t next_sequence)
      ABSL_LOCKS_EXCLUDED(mu_);
  // It does not follow any more. Once is enough, and after being expelled not
  // necessary.
  void Leave(Follower* follower) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Call;

  struct Told {
    std::shared_ptr<const FeedEvent> event;
    std::size_t left = 0;  // followers that have not done with it
  };

  // What the call reports, on gRPC's threads.
  void OnReadDone(bool ok) ABSL_LOCKS_EXCLUDED(mu_);

  void MaybeStartRead() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The call gets no more operations; its end follows.
  void ReleaseCall() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // The watchdog: a read that takes longer than `patience_` ends the call. It
  // bites only when all frames before have been looked at: so a callback that
  // takes its time is not taken for a server that is gone, and what the server
  // has announced is known.
  void SetPatience(std::chrono::nanoseconds patience) ABSL_LOCKS_EXCLUDED(mu_);
  void ArmWatchdog() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnWatchdog() ABSL_LOCKS_EXCLUDED(mu_);

  // Followers.
  void Attach(const std::shared_ptr<Follower>& follower)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // As Leave, but returns what is left to be cancelled.
  std::shared_ptr<Call> Detach(Follower* follower) ABSL_LOCKS_EXCLUDED(mu_);
  void Drop(std::size_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Follower* At(std::size_t index) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return static_cast<Follower*>(followers_[index].get());
  }
  std::uint64_t end_event() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return first_event_ + log_.size();
  }
  void ForgetWhatIsDone() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether more may be read than is told, to be gathered.
  bool MayReadAhead() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TellGathered() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool TakesOver() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    // Who follows must not wait for a callback of another one.
    return at_head_ && !inside_ && !followers_.empty();
  }
  void CallThoseWhoWait() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Nobody is left: the call that is to be cancelled, outside of the lock.
  std::shared_ptr<Call> Stop() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // While the stream is held back: is it by a few, for whom many wait? They are
  // expelled.
  void WatchWhoHolds() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void LookAtWhoHolds() ABSL_LOCKS_EXCLUDED(mu_);
  void ExpelWhoHolds() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // In the strand.
  void Connect() ABSL_LOCKS_EXCLUDED(mu_);
  // What remains to be read.
  wire::ReadRequest Request() const;
  void HandleFrame(const grpc::ByteBuffer& bytes) ABSL_LOCKS_EXCLUDED(mu_);
  // The frame, as far as it is what has to come next; the rest of it is
  // failure_.
  std::shared_ptr<FeedEvent> Decode(const grpc::ByteBuffer& bytes)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status DecodeHeader(const wire::Frame& frame, DecodedFrame* decoded)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status DecodeMessages(const wire::Frame& frame, DecodedFrame* decoded);
  // Whether a frame with this header can come next.
  absl::Status CheckHeader(const wire::FrameHeader& header) const;
  // Where there was nothing to read, the call has stood for long enough to have
  // worked.
  bool HasStood() const;
  void NoteProgress(bool messages, bool caught_up);
  // Whether who has done with this frame stands at the head.
  bool IsAtHead(const DecodedFrame& frame) const;
  // Keeps a frame until there is room for it among what is told; false if it is
  // to be told now.
  bool Gather(const std::shared_ptr<FeedEvent>& event, std::size_t bytes)
      ABSL_LOCKS_EXCLUDED(mu_);
  void Tell(std::shared_ptr<const FeedEvent> event) ABSL_LOCKS_EXCLUDED(mu_);
  void OnCallEnd(const absl::Status& status,
                 const std::shared_ptr<Connection>& connection)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Why the call has ended, in our words.
  absl::Status ReasonOf(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  bool MayRetry(const absl::Status& reason);
  void Retry(const absl::Status& reason) ABSL_LOCKS_EXCLUDED(mu_);
  void End(const absl::Status& reason) ABSL_LOCKS_EXCLUDED(mu_);

  const std::shared_ptr<Feeds> feeds_;
  const ReadContext& context_;  // of feeds_
  const std::shared_ptr<Strand> strand_;
  const ReadOptions options_;
  const std::shared_ptr<const std::string> channel_;
  const bool plain_;

  mutable absl::Mutex mu_;
  std::shared_ptr<Call> call_ ABSL_GUARDED_BY(mu_);
  bool in_call_ ABSL_GUARDED_BY(mu_) = false;  // the call's hold is ours
  bool reading_ ABSL_GUARDED_BY(mu_) = false;
  int undecoded_frames_ ABSL_GUARDED_BY(mu_) = 0;  // in the strand
  int told_frames_ ABSL_GUARDED_BY(mu_) = 0;       // in log_
  // Follows what is told; null: nothing.
  std::shared_ptr<FeedEvent> gathered_ ABSL_GUARDED_BY(mu_);
  std::size_t gathered_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool gathered_at_head_ ABSL_GUARDED_BY(mu_) = false;
  // Of the next try.
  std::optional<Timers::Id> retry_timer_ ABSL_GUARDED_BY(mu_);
  std::optional<Timers::Id> watchdog_ ABSL_GUARDED_BY(mu_);
  std::chrono::nanoseconds patience_ ABSL_GUARDED_BY(mu_){0};  // 0: for ever
  Timers::TimePoint reading_since_ ABSL_GUARDED_BY(mu_);
  bool bitten_ ABSL_GUARDED_BY(mu_) = false;  // the watchdog has ended the call
  std::vector<std::shared_ptr<RunQueue::Entry>> followers_ ABSL_GUARDED_BY(mu_);
  // Those that not all have done with.
  std::deque<Told> log_ ABSL_GUARDED_BY(mu_);
  std::uint64_t first_event_ ABSL_GUARDED_BY(mu_) = 0;  // number of log_[0]
  // The sole follower has its turn in the strand, which it may block.
  bool inside_ ABSL_GUARDED_BY(mu_) = false;
  bool looking_ ABSL_GUARDED_BY(mu_) = false;
  // Who would like to follow. They are all told to try at the end of a round,
  // each of which has another number, whatever the feed.
  std::vector<std::shared_ptr<RunQueue::Entry>> awaiting_ ABSL_GUARDED_BY(mu_);
  std::uint64_t round_ ABSL_GUARDED_BY(mu_);
  // Where those stand who have done with all events.
  bool at_head_ ABSL_GUARDED_BY(mu_) = false;
  std::uint64_t told_epoch_ ABSL_GUARDED_BY(mu_) = 0;
  std::uint64_t told_next_ ABSL_GUARDED_BY(mu_) = 0;

  // In the strand.
  Backoff backoff_;
  // Of the present call.
  bool joining_ = false;
  std::chrono::milliseconds heartbeat_interval_{0};  // as the server says
  absl::Status failure_;     // what was wrong with a frame
  bool progressed_ = false;  // messages have come, or it has caught up
  std::optional<Timers::TimePoint> caught_up_since_;
  std::uint64_t head_ = 0;  // as the last frame has it
  // Of the feed.
  std::uint64_t epoch_ = 0;
  std::uint64_t next_sequence_ = 0;  // 0: was never joined
  std::uint64_t received_ = 0;       // messages
  // Where something last arrived damaged.
  std::optional<std::uint64_t> damaged_at_;
};

}  // namespace messenger
