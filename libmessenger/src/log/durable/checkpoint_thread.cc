#include "log/durable/checkpoint_thread.h"

#include <fmt/format.h>
#include <pthread.h>

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "base/counters.h"
#include "base/status.h"
#include "log/durable/layout.h"

namespace messenger {

CheckpointThread::CheckpointThread(DurableCore* core, Committer* committer,
                                   LastCheckpoint last,
                                   std::uint64_t next_journal)
    : core_(core),
      committer_(committer),
      checkpointer_(core->durable.files, core->directory, &core->context,
                    &core->cache, &core->checkpoint, std::move(last),
                    CheckpointerLimits{
                        .max_cached_bytes = core->durable.max_cached_bytes,
                        .max_small_segments = core->durable.max_small_segments,
                        .max_carried_bytes =
                            core->context.options.directory.max_journal_bytes}),
      next_journal_(next_journal) {
  KeepReserve();
}

CheckpointThread::~CheckpointThread() {
  if (thread_.joinable()) thread_.join();
}

void CheckpointThread::Start() {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "log-checkpoint");
    Run();
  });
}

void CheckpointThread::LimitClosing(std::chrono::milliseconds timeout) {
  deadline_ = std::chrono::steady_clock::now() + timeout;
}

void CheckpointThread::Run() {
  const bool sweeps = core_->context.options.retention.max_age.count() > 0;
  while (true) {
    switch (committer_->AwaitCheckpoint(sweeps)) {
      case Committer::Wake::kCheckpoint: {
        const absl::Status s = RunCheckpoint();
        committer_->EndCheckpoint(s);
        if (!absl::IsCancelled(s)) Notify(s);  // or it is closing
        break;
      }
      case Committer::Wake::kSweep:
        if (Sweep()) committer_->WantCheckpoint();
        break;
      case Committer::Wake::kEnd:
        return CloseLog();
    }
  }
}

absl::Status CheckpointThread::RunCheckpoint() {
  absl::Status s;
  do {
    s = PrepareWork(/*closing=*/false);
    if (s.ok()) s = MakeCheckpoint();
  } while (absl::IsResourceExhausted(s) && MakeRoom());
  return s;
}

void CheckpointThread::Notify(const absl::Status& status) {
  const auto now = core_->context.clock.steady_now();
  if (status.ok()) {
    if (failures_.Ends(now)) {
      core_->Notify("the journals are written to segments again");
    }
  } else if (const auto untold = failures_.Holds(MessageOf(status), now)) {
    core_->Notify(fmt::format("{}; trying again{}", MessageOf(status),
                              TimesMore(*untold)));
  }
}

void CheckpointThread::CloseLog() {
  absl::Status s = committer_->failure();
  if (s.ok()) s = SyncAtEnd();
  if (s.ok() && !OutOfTime()) {
    if (unfinished_) s = MakeCheckpoint();
    if (s.ok()) s = PrepareWork(/*closing=*/true);
    if (s.ok()) s = MakeCheckpoint();
    if (absl::IsCancelled(s)) s = absl::OkStatus();
  }
  if (!s.ok()) {
    core_->Notify(fmt::format("the log was not closed: {}", MessageOf(s)));
  }
}

absl::Status CheckpointThread::PrepareWork(bool closing) {
  if (unfinished_) return absl::OkStatus();
  // Of a log that was closed, nothing is missing.
  auto next = core_->CreateJournal(next_journal_,
                                   {.synced = core_->synced() || closing});
  if (!next.ok()) return next.status();
  ++next_journal_;
  unfinished_ = committer_->SwitchJournal(*std::move(next));
  return absl::OkStatus();
}

absl::Status CheckpointThread::MakeCheckpoint() {
  absl::Status s = checkpointer_.Run(
      *unfinished_,
      [this](absl::FunctionRef<void(DurableChannel*)> visit) {
        VisitChannels(visit);
      },
      [this] { return std::chrono::steady_clock::now() > deadline_.load(); });
  if (!s.ok()) return s;
  Count(core_->counters.checkpoints);
  absl::flat_hash_set<DurableChannel*> gone;
  for (const auto& channel : unfinished_->buried) gone.insert(channel.get());
  checkpointer_.Forget(gone);
  unfinished_.reset();
  KeepReserve();
  return s;
}

bool CheckpointThread::MakeRoom() {
  const auto made = checkpointer_.RemoveWhatIsDropped(
      [this](absl::FunctionRef<void(DurableChannel*)> visit) {
        VisitChannels(visit);
      });
  return made.ok() && *made;
}

void CheckpointThread::VisitChannels(
    absl::FunctionRef<void(DurableChannel*)> visit) const {
  core_->channels.ForEach(visit);
  if (!unfinished_) return;
  for (const auto& channel : unfinished_->buried) visit(channel.get());
}

bool CheckpointThread::Sweep() const {
  bool dropped = false;
  core_->channels.ForEach([&](DurableChannel* channel) {
    channel->Sweep();
    dropped = dropped || channel->HasDroppedSegments();
  });
  return dropped;
}

void CheckpointThread::KeepReserve() {
  if (core_->durable.reserve_bytes == 0) return;
  core_->reserve.Keep(core_->durable.reserve_bytes +
                      2 * checkpointer_.checkpoint_size());
}

absl::Status CheckpointThread::SyncAtEnd() {
  if (core_->synced()) return absl::OkStatus();
  // Also those before the present one, if the last checkpoint is unfinished.
  const std::string directory = JournalsDirectory(core_->directory);
  const auto names = core_->files.List(directory);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    if (!ParseJournalFileName(name)) continue;
    auto file = core_->files.Open(fmt::format("{}/{}", directory, name),
                                  FileSystem::Mode::kModify);
    if (!file.ok()) return file.status();
    if (absl::Status s = (*file)->Sync(); !s.ok()) return s;
  }
  return core_->CreateJournal(next_journal_++, {.follows_close = true})
      .status();
}

bool CheckpointThread::OutOfTime() const {
  // A checkpoint takes several syncs, of which none can be interrupted.
  constexpr int kSyncs = 4;
  return std::chrono::steady_clock::now() + kSyncs * committer_->sync_time() >
         deadline_.load();
}

}  // namespace messenger
