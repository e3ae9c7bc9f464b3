#include "log/durable/durable_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/counters.h"
#include "base/forked.h"
#include "base/out_of_memory.h"
#include "log/durable/layout.h"
#include "log/durable/log_time.h"
#include "log/durable/recovery.h"

namespace messenger {
namespace {

// Journals of logs that were opened and not closed, without a message between.
constexpr std::uint64_t kMaxEmptyJournals = 4;

std::string ParentOf(const std::string& directory) {
  const std::string parent =
      std::filesystem::path(directory + "/.").parent_path().parent_path();
  return parent.empty() ? "." : parent;
}

}  // namespace

absl::StatusOr<std::shared_ptr<DurableLog>> DurableLog::Open(
    const std::string& directory, const LogOptions& options,
    DurableLogOptions durable) {
  const std::shared_ptr<DurableLog> log(
      new DurableLog(directory, options, std::move(durable)),
      DeleteUnlessForked());
  if (absl::Status s = log->SetUp(); !s.ok()) return s;
  return log;
}

absl::Status DurableLog::SetUp() {
  const auto names = core_.files.List(core_.directory);
  const bool directory_is_new = absl::IsNotFound(names.status());
  if (!names.ok() && !directory_is_new) return names.status();
  const bool is_new =
      directory_is_new || std::find(names->begin(), names->end(),
                                    kCheckpointFileName) == names->end();
  absl::Status s = core_.files.CreateDirectory(core_.directory);
  if (s.ok()) s = core_.files.SyncDirectory(ParentOf(core_.directory));
  if (s.ok()) s = SetUpDirectory();
  // Not what somebody else creates, or damage has left.
  if (!s.ok() && is_new && !absl::IsFailedPrecondition(s) &&
      !absl::IsDataLoss(s)) {
    RemoveTraces(directory_is_new);
  }
  return s;
}

void DurableLog::RemoveTraces(bool directory_is_new) {
  const std::string journals = JournalsDirectory(core_.directory);
  for (const std::string& path :
       {fmt::format("{}/{}.new", core_.directory, kCheckpointFileName),
        fmt::format("{}/{}", core_.directory, kCheckpointFileName),
        fmt::format("{}/{}", journals, JournalFileName(1)),
        fmt::format("{}/{}", journals, JournalFileName(2)), journals,
        ChannelsDirectory(core_.directory),
        fmt::format("{}/{}", core_.directory, kReserveName)}) {
    core_.files.Remove(path).IgnoreError();
  }
  if (!directory_is_new) return;
  core_.files.Remove(fmt::format("{}/{}", core_.directory, kLockFileName))
      .IgnoreError();
  core_.files.Remove(core_.directory).IgnoreError();
}

absl::Status DurableLog::SetUpDirectory() {
  absl::StatusOr<std::unique_ptr<FileLock>> lock =
      core_.files.Lock(fmt::format("{}/{}", core_.directory, kLockFileName));
  if (!lock.ok()) return lock.status();
  core_.file_lock = *std::move(lock);

  absl::StatusOr<RecoveredLog> recovered =
      Recover(core_.files, core_.directory, &core_.context);
  if (!recovered.ok()) return recovered.status();
  for (const std::string& notice : recovered->notices) core_.Notify(notice);
  const LogState& checkpoint = recovered->checkpoint.log;
  core_.key = checkpoint.key;
  core_.checkpoint.Open(checkpoint.version);
  core_.context.clock = ContinueFrom(recovered->last_time, core_.durable.clock,
                                     core_.context.options.retention.max_age);
  if (std::any_of(recovered->channels.begin(), recovered->channels.end(),
                  [](const auto& named) { return named.second->exists(); })) {
    NotifyOfAge(
        Elapsed(recovered->last_time.wall_time, core_.durable.clock.now()));
  }
  core_.channels.Assign(std::move(recovered->channels),
                        std::move(recovered->tombstones));
  const std::uint64_t number = recovered->next_journal;
  auto journal = core_.CreateJournal(number, {.synced = core_.synced()});
  if (!journal.ok()) return journal.status();
  // So that journals of logs that end badly again and again do not pile up.
  const bool many_journals =
      number - checkpoint.first_journal > kMaxEmptyJournals;
  committer_ = std::make_unique<Committer>(
      &core_, Committer::Recovered{.journal = *std::move(journal),
                                   .next_round = recovered->next_round,
                                   .changes = std::move(recovered->changes)});
  if (recovered->needs_new_epoch) {
    if (absl::Status s = committer_->BeginEpoch(); !s.ok()) return s;
  }
  checkpoints_ = std::make_unique<CheckpointThread>(
      &core_, committer_.get(), std::move(recovered->checkpoint), number + 1);
  if (committer_->HasChanges() || many_journals) committer_->WantCheckpoint();
  committer_->Start();
  checkpoints_->Start();
  return absl::OkStatus();
}

DurableLog::~DurableLog() {
  if (checkpoints_) checkpoints_->LimitClosing(core_.durable.close_timeout);
  if (committer_) committer_->Close();
  read_threads_.Stop();
}

void DurableLog::NotifyOfAge(std::chrono::nanoseconds said) const {
  using std::chrono::duration_cast;
  using std::chrono::hours;
  using std::chrono::seconds;
  const auto max_age = core_.context.options.retention.max_age;
  if (max_age.count() == 0) return;
  if (TimeClosed(said, max_age) < said) {
    core_.Notify(fmt::format(
        "by the wall clock, the log was last written {} days ago, so that "
        "retention by age would drop all of it: more than {} days are not "
        "believed, and do not count; check the clock",
        duration_cast<hours>(said).count() / 24, kLongestClosed.count() / 24));
  } else if (said > max_age) {
    core_.Notify(fmt::format(
        "by the wall clock, the log was last written {} s ago, and messages "
        "are kept for {} s: all of them are dropped",
        duration_cast<seconds>(said).count(),
        duration_cast<seconds>(max_age).count()));
  }
}

LogStats DurableLog::Stats() const {
  LogStats stats = Snapshot(core_.counters);
  stats.channels = core_.channels.size();
  stats.named_producers = core_.context.named_producers->size();
  stats.idempotency_keys = core_.context.idempotency_keys->size();
  return stats;
}

void DurableLog::DeleteChannel(std::string_view channel,
                               absl::AnyInvocable<void(absl::Status)> done) {
  committer_->Enqueue(
      DeleteRequest{.channel = std::string(channel), .done = std::move(done)});
}

void DurableLog::OpenProducer(std::string_view channel, std::string_view name,
                              std::string_view owner, ProducerDone done) {
  committer_->Enqueue(OpenProducerRequest{
      .producer = {.channel = std::string(channel), .name = std::string(name)},
      .owner = std::string(owner),
      .done = std::move(done)});
}

void DurableLog::ListProducers(std::string_view channel,
                               const ProducerKey& after, std::size_t max,
                               ProducersDone done) {
  done(RefuseIfOutOfMemory([&] {
    return absl::StatusOr<std::vector<ProducerInfo>>(
        core_.context.named_producers->List(channel, after, max, epoch()));
  }));
}

void DurableLog::DeleteProducer(std::string_view channel, std::string_view name,
                                absl::AnyInvocable<void(absl::Status)> done) {
  committer_->Enqueue(DeleteProducerRequest{
      .producer = {.channel = std::string(channel), .name = std::string(name)},
      .done = std::move(done)});
}

}  // namespace messenger
