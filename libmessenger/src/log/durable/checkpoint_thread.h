// The checkpoint thread of a log in a directory.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "base/notice_pace.h"
#include "log/durable/checkpointer.h"
#include "log/durable/committer.h"
#include "log/durable/durable_core.h"

namespace messenger {

// Brings what is in the journal into segments (see Checkpointer) whenever the
// commit thread wants it, which goes on to another journal meanwhile; and, when
// that has ended, closes the log. Between checkpoints it applies retention.
//
// Thread safety: none, but for Start and Close.
class CheckpointThread {
 public:
  // `next_journal` is the number of the next one. Keeps the reserve.
  CheckpointThread(DurableCore* core, Committer* committer, LastCheckpoint last,
                   std::uint64_t next_journal);
  // After the committer is closed.
  ~CheckpointThread();
  CheckpointThread(const CheckpointThread&) = delete;
  CheckpointThread& operator=(const CheckpointThread&) = delete;

  void Start();
  // To be called before the committer is closed: what is not done after
  // `timeout` is left in the journals.
  void LimitClosing(std::chrono::milliseconds timeout);

 private:
  void Run();
  absl::Status RunCheckpoint();
  void CloseLog();
  // Lets the commit thread go on to another journal, unless there is work left
  // of a checkpoint that has failed.
  absl::Status PrepareWork(bool closing);
  absl::Status MakeCheckpoint();
  // After a checkpoint for which the disk was too full. Whether there is more
  // room now.
  bool MakeRoom();
  // Also those that will be tombstones.
  void VisitChannels(absl::FunctionRef<void(DurableChannel*)> visit) const;
  // Applies retention to all channels. Whether there is something to remove.
  bool Sweep() const;
  void Notify(const absl::Status& status);
  void KeepReserve();
  // What was appended is on stable storage, and known to be, though it may be
  // in no segment.
  absl::Status SyncAtEnd();
  bool OutOfTime() const;

  DurableCore* const core_;
  Committer* const committer_;
  Checkpointer checkpointer_;
  std::unique_ptr<CheckpointWork> unfinished_;
  std::uint64_t next_journal_;
  NoticePace failures_;
  std::atomic<std::chrono::steady_clock::time_point> deadline_{
      std::chrono::steady_clock::time_point::max()};
  std::thread thread_;
};

}  // namespace messenger
