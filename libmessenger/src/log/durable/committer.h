// The commit thread of a log in a directory.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/cond_var.h"
#include "log/availability.h"
#include "log/durable/checkpointer.h"
#include "log/durable/commit_round.h"
#include "log/durable/durable_channel.h"
#include "log/durable/durable_core.h"
#include "log/durable/journal.h"
#include "log/durable/request_queue.h"
#include "log/durable/task_thread.h"
#include "log/message_log.h"

namespace messenger {

// Takes all requests that are there, prepares them in their channels, writes
// them to the journal as one *round*, syncs it, and publishes them; meanwhile
// the next ones gather (group commit). Their `done`s run on a thread of
// completions.
//
// If a round cannot be written, it is refused and the next one is tried; on a
// full disk, channels can still be deleted. Until there is room for one like
// it, the log counts as one that refuses appends, so that senders go elsewhere.
// If a round cannot be synced, nobody knows what is on the disk: the log
// accepts nothing any more until it is opened again. The listeners hear of
// both.
//
// Thread safety: as said at the members.
class Committer {
 public:
  // The log as it was recovered.
  struct Recovered {
    std::unique_ptr<JournalWriter> journal;  // new
    std::uint64_t next_round = 1;
    Changes changes;
  };
  // `core`, whose channels are there, must outlive it.
  Committer(DurableCore* core, Recovered recovered);
  ~Committer();
  Committer(const Committer&) = delete;
  Committer& operator=(const Committer&) = delete;

  // ---- While the log is opened.

  // Begins an epoch in the journal.
  absl::Status BeginEpoch();
  // Whether there is something for a checkpoint.
  bool HasChanges() const { return !changes_.empty(); }
  // Looks whether there is room on the disk, and starts the thread.
  void Start();

  // ---- For every thread.

  std::unique_ptr<LogAppender> OpenAppender();
  void Enqueue(LogRequest request) ABSL_LOCKS_EXCLUDED(mu_);
  void WantCheckpoint() ABSL_LOCKS_EXCLUDED(mu_);

  // Completes what is there, and ends the thread.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

  // ---- For the checkpoint thread.

  enum class Wake { kCheckpoint, kSweep, kEnd };
  // Waits until a checkpoint is wanted; kSweep after a while if `sweeps`, and
  // kEnd once the commit thread has ended.
  Wake AwaitCheckpoint(bool sweeps) ABSL_LOCKS_EXCLUDED(mu_);
  // Goes on to the next journal. Returns what is in the ones before it.
  std::unique_ptr<CheckpointWork> SwitchJournal(
      std::unique_ptr<JournalWriter> next) ABSL_LOCKS_EXCLUDED(mu_);
  // How the checkpoint went that was wanted: if it could not be made, it is
  // wanted still.
  void EndCheckpoint(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  // Once the commit thread has ended: why nothing is accepted any more, and
  // what the last sync took.
  const absl::Status& failure() const { return failure_; }
  std::chrono::steady_clock::duration sync_time() const { return sync_time_; }

 private:
  class Appender;

  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  // Waits for requests, and for room in the journal; comes back without any
  // when it is time to look whether appends can be taken. False at the end.
  bool NextRequests(std::vector<LogRequest>* requests) ABSL_LOCKS_EXCLUDED(mu_);
  void Commit(std::vector<LogRequest> requests);

  // Writes the round and publishes it, or it fails.
  absl::Status WriteRound();
  absl::Status WriteToJournal();
  void CountRound();
  // Of a round that has failed, with the room of the reserve.
  void RetryDeletions();

  // Nothing is accepted from now on.
  void Fail(const absl::Status& status);
  // Why appends cannot even be tried.
  absl::Status Refusal() ABSL_LOCKS_EXCLUDED(mu_);
  // Of a round of this size.
  void NoteWritten(const absl::Status& status, std::uint64_t size);
  // Where a round could not be written: whether one like it could be now.
  void LookForRoom();

  // Whether a checkpoint should be made, or appends have to wait for it, if it
  // is late: the journal is too large, or too many deleted channels wait for a
  // checkpoint to become tombstones.
  bool WantsCheckpoint(bool late) const;
  std::unique_ptr<CheckpointWork> BeginJournal(
      std::unique_ptr<JournalWriter> next);
  // Leaves a tombstone of a deleted channel.
  void Bury(DurableChannel* channel, ChannelState state, CheckpointWork* work);

  DurableCore* const core_;

  // Commit thread only; once it has ended, checkpoint thread.
  std::unique_ptr<JournalWriter> journal_;
  std::uint64_t next_round_;
  Changes changes_;       // since the last checkpoint
  absl::Status failure_;  // why nothing is accepted any more
  // What the last sync took.
  std::chrono::steady_clock::duration sync_time_{0};
  CommitRound round_;

  // What a round would take that could not be written, and why; zero: there is
  // room.
  std::uint64_t needed_room_ = 0;
  absl::Status no_room_;
  std::chrono::steady_clock::time_point next_look_;  // for room
  Availability availability_;

  absl::Mutex mu_;
  CondVar commit_wakes_;
  CondVar checkpoint_wakes_;
  RequestQueue requests_ ABSL_GUARDED_BY(mu_);
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool checkpoint_wanted_ ABSL_GUARDED_BY(mu_) = false;
  // Why the last checkpoint could not be made.
  absl::Status checkpoint_status_ ABSL_GUARDED_BY(mu_);
  // From the checkpoint thread to the commit thread, and back.
  std::unique_ptr<JournalWriter> next_journal_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<CheckpointWork> work_ ABSL_GUARDED_BY(mu_);

  TaskThread completions_{"log-appended"};
  std::thread thread_;
};

}  // namespace messenger
