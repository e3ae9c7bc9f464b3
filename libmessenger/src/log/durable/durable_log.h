// The log that lives in a directory.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/cond_var.h"
#include "base/notice_pace.h"
#include "log/availability.h"
#include "log/channel_map.h"
#include "log/durable/checkpointer.h"
#include "log/durable/durable_channel.h"
#include "log/durable/file_system.h"
#include "log/durable/journal.h"
#include "log/durable/recovery.h"
#include "log/durable/request_queue.h"
#include "log/durable/reserve.h"
#include "log/durable/segment_cache.h"
#include "log/durable/task_thread.h"
#include "log/log_clock.h"
#include "log/log_listeners.h"
#include "log/message_log.h"
#include "wire/entry.h"

namespace messenger {

// What tests set, and OpenLog.
struct DurableLogOptions {
  LogClock clock;
  std::shared_ptr<FileSystem> files = FileSystem::Posix();
  std::size_t max_open_segments = 128;
  // Of messages that stay in memory though they are in segments: readers that
  // lag a little, and retries, find them there.
  std::uint64_t max_cached_bytes = std::uint64_t{64} << 20;
  // If more channels than this have something to write, a checkpoint carries
  // over what is little (see Checkpointer).
  std::size_t max_small_segments = 64;
  // Room that is kept on the disk (see Reserve), besides twice the size of a
  // checkpoint; zero: none.
  std::uint64_t reserve_bytes = 0;
  // What closing may take for a last checkpoint. What is not done by then is
  // left in the journals.
  std::chrono::milliseconds close_timeout = std::chrono::hours(24);
  // While appends are refused, how often the log looks whether it can take them
  // again: whoever would send may have been told not to.
  std::chrono::milliseconds room_interval = std::chrono::seconds(1);
};

// Appends are queued for the *commit thread*. It takes all that are there,
// stages them in their channels, writes them to the journal as one round, syncs
// it, and publishes them; meanwhile the next ones gather (group commit). Their
// `done`s run on a completion thread.
//
// The *checkpoint thread* brings what is in the journal into segments (see
// Checkpointer), for which the commit thread has gone on to another journal.
//
// Reads are answered from memory, or else from segments by the *I/O thread*;
// their `done`s run on another completion thread.
//
// If a round cannot be written, it is refused and the next one is tried; on a
// full disk, channels can still be deleted. Until there is room for one like
// it, the log counts as one that refuses appends, so that senders go elsewhere.
// If a round cannot be synced, nobody knows what is on the disk: the log
// accepts nothing any more until it is opened again. The listeners hear of
// both.
class DurableLog final : public MessageLog {
 public:
  // Opens the log in `directory`, which is created if its parent exists. Blocks
  // on the disk; see Recover.
  static absl::StatusOr<std::shared_ptr<DurableLog>> Open(
      const std::string& directory, const LogOptions& options,
      DurableLogOptions durable = {});

  ~DurableLog() override;
  DurableLog(const DurableLog&) = delete;
  DurableLog& operator=(const DurableLog&) = delete;

  std::uint64_t epoch() const override { return context_.epoch(); }
  std::string_view directory() const override { return directory_; }
  std::unique_ptr<LogAppender> OpenAppender() override;
  std::unique_ptr<LogReader> OpenReader(std::string_view channel,
                                        const Start& start,
                                        ReaderOptions options) override;
  absl::StatusOr<ChannelInfo> GetChannel(std::string_view channel) override;
  std::vector<ChannelInfo> ListChannels(std::string_view after,
                                        std::size_t max) override;
  void DeleteChannel(std::string_view channel,
                     absl::AnyInvocable<void(absl::Status)> done) override;
  void AddListener(LogListener* listener) override { listeners_.Add(listener); }
  void RemoveListener(LogListener* listener) override {
    listeners_.Remove(listener);
  }

 private:
  class Appender;
  class Reader;
  struct Cursor;

  // A request that was looked at, and how it will be answered if its round is
  // written.
  struct AppendOutcome {
    AppendRequest request;
    AppendResult result;
    bool decided = false;  // before the round
  };
  struct DeleteOutcome {
    DeleteRequest request;
    absl::Status status;
    bool decided = false;  // before the round
  };
  using Outcome = std::variant<AppendOutcome, DeleteOutcome>;

  DurableLog(std::string directory, const LogOptions& options,
             DurableLogOptions durable);
  absl::Status SetUp();
  absl::Status SetUpDirectory();
  // Of a log that could not be created.
  void RemoveTraces(bool directory_is_new);
  absl::StatusOr<std::unique_ptr<JournalWriter>> CreateJournal(
      std::uint64_t number, JournalTraits traits);
  // Begins an epoch in the journal, which is new.
  absl::Status BeginEpoch();

  // A segment that the channel has listed. NOT_FOUND if it does not list it any
  // more; if it does, and the file is missing, that is DATA_LOSS.
  absl::StatusOr<std::shared_ptr<SegmentReader>> OpenSegment(
      DurableChannel& channel, const SegmentInfo& segment);

  void Enqueue(LogRequest request) ABSL_LOCKS_EXCLUDED(mu_);

  // ---- Commit thread.
  void RunCommits() ABSL_LOCKS_EXCLUDED(mu_);
  // Waits for requests, and for room in the journal; comes back without any
  // when it is time to look whether appends can be taken. False at the end.
  bool NextRequests(std::vector<LogRequest>* requests) ABSL_LOCKS_EXCLUDED(mu_);
  void Commit(std::vector<LogRequest> requests);
  void Stage(AppendRequest request, const absl::Status& refusal);
  void Stage(DeleteRequest request);
  AppendResult StageBatch(const AppendBatch& batch);
  // For its first message: counts it among the channels.
  absl::StatusOr<DurableChannel*> FindOrStage(const AppendBatch& batch);
  // As it is with what is staged; null if there is none.
  DurableChannel* FindStaged(const std::string& name) const;
  // The encoded Message with this sequence; empty if it is no longer there.
  absl::StatusOr<LogBytes> ReadMessage(DurableChannel& channel,
                                       const SegmentInfo& segment,
                                       std::uint64_t sequence);
  absl::Status WriteRound();
  // Nothing is accepted from now on.
  void Fail(const absl::Status& status);
  void PublishRound();
  void FailRound(const absl::Status& status);
  // Why appends cannot even be tried.
  absl::Status Refusal() ABSL_LOCKS_EXCLUDED(mu_);
  // Of a round of this size.
  void NoteWritten(const absl::Status& status, std::uint64_t size);
  // Where a round could not be written: whether one like it could be now.
  void LookForRoom();
  bool HasDeleted() const;
  void WantCheckpoint() ABSL_LOCKS_EXCLUDED(mu_);
  // Of a round that has failed, with the room of the reserve.
  void RetryDeletions();
  void CompleteRound();
  // Goes on to the next journal, and hands what was in the old one to the
  // checkpoint thread.
  void SwitchJournal(std::unique_ptr<JournalWriter> next)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Whether a checkpoint should be made, or appends have to wait for it, if it
  // is late: the journal is too large, or too many deleted channels wait for a
  // checkpoint to become tombstones.
  bool WantsCheckpoint(bool late) const;
  // Leaves a tombstone of a deleted channel.
  void Bury(DurableChannel* channel, ChannelState state, CheckpointWork* work);
  // What a reader reads that has held `held` so far: that, if it is as it
  // should be; a retired channel if the channel is deleted; null if there has
  // never been one.
  std::shared_ptr<DurableChannel> FindToRead(
      const std::string& name, std::shared_ptr<DurableChannel> held) const;

  // ---- Checkpoint thread.
  void RunCheckpoints() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status MakeCheckpoint() ABSL_LOCKS_EXCLUDED(mu_);
  // After a checkpoint for which the disk was too full. Whether there is more
  // room now.
  bool MakeRoom();
  // Also those that will be tombstones.
  void VisitChannels(absl::FunctionRef<void(DurableChannel*)> visit) const;
  void KeepReserve();
  // What was appended is on stable storage, and known to be, though it may be
  // in no segment.
  absl::Status SyncAtEnd();
  bool OutOfTime() const;
  // Lets the commit thread go on to another journal, unless there is work left
  // of a checkpoint that has failed.
  absl::Status PrepareWork(bool closing) ABSL_LOCKS_EXCLUDED(mu_);
  // Waits until a checkpoint is wanted; false if there will be no more appends.
  bool AwaitCheckpoint() ABSL_LOCKS_EXCLUDED(mu_);
  // Applies retention to all channels. Whether there is something to remove.
  bool Sweep() const;

  void Notify(std::string_view notice) const;
  // If, by the wall clock, all is too old when the log is opened: the time
  // since it was last written is what that says.
  void NotifyOfAge(std::chrono::nanoseconds said) const;
  // Of a read of segments: what is damaged, or cannot be read, is told the
  // operator once. Not what retention has dropped meanwhile.
  void NoteUnreadable(const std::string& channel, const absl::Status& status)
      ABSL_LOCKS_EXCLUDED(unreadable_mu_);
  bool synced() const {
    return context_.options.directory.durability == Durability::kFsync;
  }

  const std::string directory_;
  const DurableLogOptions durable_;
  const std::shared_ptr<FileSystem> files_;
  std::unique_ptr<FileLock> lock_;
  Reserve reserve_;
  ChannelContext context_;
  SegmentCache cache_;
  std::uint64_t key_ = 0;

  ChannelMap<DurableChannel> channels_;
  LogListeners listeners_;

  // Commit thread only.
  std::unique_ptr<JournalWriter> journal_;
  std::uint64_t next_round_ = 1;
  absl::Status failure_;  // why nothing is accepted any more
  Availability availability_;
  // What a round would take that could not be written, and why; zero: there is
  // room.
  std::uint64_t needed_room_ = 0;
  absl::Status no_room_;
  std::chrono::steady_clock::time_point next_look_;  // for room
  // What the last sync took.
  std::chrono::steady_clock::duration sync_time_{0};
  JournalRound round_;
  std::vector<Outcome> outcomes_;                 // of the round
  absl::flat_hash_set<DurableChannel*> touched_;  // by the round
  // That appear with the round.
  absl::flat_hash_map<std::string, std::shared_ptr<DurableChannel>> new_;
  // Channels that exist, and those that are deleted, with what is staged.
  struct Counts {
    std::size_t existing = 0;
    std::size_t deleted = 0;
  };
  Counts counts_;
  Counts counts_before_round_;
  absl::flat_hash_set<DurableChannel*> dirty_;  // since the last checkpoint
  // Messages from a segment that a producer repeats, since it will go on to
  // repeat those after them; for one round.
  struct Repeated {
    const DurableChannel* channel = nullptr;
    std::uint64_t next = 0;
    std::shared_ptr<const void> owner;
    wire::EntryReader entries{{}};
  };
  Repeated repeated_;

  // Checkpoint thread only.
  std::unique_ptr<Checkpointer> checkpointer_;
  std::unique_ptr<CheckpointWork> unfinished_;
  std::uint64_t next_journal_number_ = 1;
  NoticePace checkpoint_failures_;

  absl::Mutex unreadable_mu_;
  absl::flat_hash_set<std::string> unreadable_  // what was told of it
      ABSL_GUARDED_BY(unreadable_mu_);

  absl::Mutex mu_;
  CondVar commit_wakes_;
  CondVar checkpoint_wakes_;
  RequestQueue requests_ ABSL_GUARDED_BY(mu_);
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  // When what is not done is left; set with closing_.
  std::atomic<std::chrono::steady_clock::time_point> close_deadline_{
      std::chrono::steady_clock::time_point::max()};
  bool commits_ended_ ABSL_GUARDED_BY(mu_) = false;
  bool checkpoint_wanted_ ABSL_GUARDED_BY(mu_) = false;
  // Why the last checkpoint could not be made.
  absl::Status checkpoint_status_ ABSL_GUARDED_BY(mu_);
  // From the checkpoint thread to the commit thread, and back.
  std::unique_ptr<JournalWriter> next_journal_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<CheckpointWork> work_ ABSL_GUARDED_BY(mu_);

  TaskThread io_{"log-io"};
  TaskThread append_completions_{"log-appended"};
  TaskThread read_completions_{"log-read"};
  std::thread commit_thread_;
  std::thread checkpoint_thread_;
};

}  // namespace messenger
