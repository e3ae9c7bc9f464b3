#include "log/durable/durable_log.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <map>
#include <optional>

#include "absl/cleanup/cleanup.h"
#include "base/forked.h"
#include "base/out_of_memory.h"
#include "base/random.h"
#include "base/reason.h"
#include "base/status.h"
#include "log/channel_errors.h"
#include "log/durable/layout.h"
#include "log/durable/log_time.h"
#include "wire/entry.h"

namespace messenger {
namespace {

// What one round takes, so that the first of its messages need not wait too
// long for the last, and its size fits into its header; always at least one
// batch.
constexpr std::size_t kMaxRoundSize = std::size_t{8} << 20;

// Journals of logs that were opened and not closed, without a message between.
constexpr std::uint64_t kMaxEmptyJournals = 4;

// Deleted channels that wait for a checkpoint to become tombstones; they take
// some 2 KB each.
constexpr std::size_t kMaxUnburied = 10'000;

// How often retention looks after channels that nobody looks at.
constexpr std::chrono::seconds kSweepInterval{30};

// What must be free when the log is opened, and what is enough room in any
// case.
constexpr std::uint64_t kLeastRoom = std::uint64_t{64} << 10;
constexpr std::uint64_t kEnoughRoom = std::uint64_t{1} << 20;

// Of segments that cannot be read. A disk that has failed has any number of
// them, and has said so by then.
constexpr std::size_t kMaxUnreadableNotices = 100;

// After a checkpoint that could not be made.
constexpr std::chrono::seconds kCheckpointRetry{1};

std::string ParentOf(const std::string& directory) {
  const std::string parent =
      std::filesystem::path(directory + "/.").parent_path().parent_path();
  return parent.empty() ? "." : parent;
}

absl::Status RefusesWrites(const absl::Status& why) {
  const std::string text =
      fmt::format("the log cannot be written to: {}", MessageOf(why));
  // Of a full disk, it is known that nothing was stored.
  return absl::IsResourceExhausted(why)
             ? WithReason(absl::ResourceExhaustedError(text),
                          reason::kStorageFull)
             : WithReason(absl::UnavailableError(text), reason::kStorageFailed);
}

absl::Status DiskIsFull() {
  return WithReason(
      absl::ResourceExhaustedError("the disk is full, but for what is kept to "
                                   "delete channels: delete some, or make "
                                   "room"),
      reason::kStorageFull);
}

template <typename... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <typename... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

}  // namespace

// ---------------------------------------------------------------------------
// Opening and closing

DurableLog::DurableLog(std::string directory, const LogOptions& options,
                       DurableLogOptions durable)
    : directory_(std::move(directory)),
      durable_(std::move(durable)),
      files_(durable_.files),
      reserve_(files_, fmt::format("{}/{}", directory_, kReserveName)),
      context_{.options = options, .clock = durable_.clock, .epochs = {}},
      cache_(files_, durable_.max_open_segments),
      availability_(&listeners_, options.on_notice) {}

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
  const auto names = files_->List(directory_);
  const bool directory_is_new = absl::IsNotFound(names.status());
  if (!names.ok() && !directory_is_new) return names.status();
  const bool is_new =
      directory_is_new || std::find(names->begin(), names->end(),
                                    kCheckpointFileName) == names->end();
  absl::Status s = files_->CreateDirectory(directory_);
  if (s.ok()) s = files_->SyncDirectory(ParentOf(directory_));
  if (s.ok()) s = SetUpDirectory();
  // Not what somebody else creates, or damage has left.
  if (!s.ok() && is_new && !absl::IsFailedPrecondition(s) &&
      !absl::IsDataLoss(s)) {
    RemoveTraces(directory_is_new);
  }
  return s;
}

void DurableLog::RemoveTraces(bool directory_is_new) {
  const std::string journals = JournalsDirectory(directory_);
  for (const std::string& path :
       {fmt::format("{}/{}.new", directory_, kCheckpointFileName),
        fmt::format("{}/{}", directory_, kCheckpointFileName),
        fmt::format("{}/{}", journals, JournalFileName(1)),
        fmt::format("{}/{}", journals, JournalFileName(2)), journals,
        ChannelsDirectory(directory_),
        fmt::format("{}/{}", directory_, kReserveName)}) {
    files_->Remove(path).IgnoreError();
  }
  if (!directory_is_new) return;
  files_->Remove(fmt::format("{}/{}", directory_, kLockFileName)).IgnoreError();
  files_->Remove(directory_).IgnoreError();
}

absl::Status DurableLog::SetUpDirectory() {
  absl::Status s;
  absl::StatusOr<std::unique_ptr<FileLock>> lock =
      files_->Lock(fmt::format("{}/{}", directory_, kLockFileName));
  if (!lock.ok()) return lock.status();
  lock_ = *std::move(lock);

  absl::StatusOr<RecoveredLog> recovered =
      Recover(*files_, directory_, &context_);
  if (!recovered.ok()) return recovered.status();
  for (const std::string& notice : recovered->notices) Notify(notice);
  context_.clock = ContinueFrom(recovered->last_time, durable_.clock,
                                context_.options.retention.max_age);
  key_ = recovered->checkpoint.log.key;
  const std::uint64_t first_journal = recovered->checkpoint.log.first_journal;
  dirty_ = std::move(recovered->dirty);
  next_round_ = recovered->next_round;
  counts_.deleted = recovered->tombstones.size();
  for (const auto& [name, channel] : recovered->channels) {
    ++(channel->exists() ? counts_.existing : counts_.deleted);
  }
  counts_before_round_ = counts_;
  NotifyOfAge(Elapsed(recovered->last_time.wall_time, durable_.clock.now()));
  channels_.Assign(std::move(recovered->channels),
                   std::move(recovered->tombstones));
  auto journal = CreateJournal(recovered->next_journal, {.synced = synced()});
  if (!journal.ok()) return journal.status();
  journal_ = *std::move(journal);
  next_journal_number_ = recovered->next_journal + 1;
  if (recovered->needs_new_epoch) {
    s = reserve_.LendTo([this] { return BeginEpoch(); });
    if (!s.ok()) return s;
  }
  checkpointer_ = std::make_unique<Checkpointer>(
      files_, directory_, &context_, &cache_, &reserve_,
      std::move(recovered->checkpoint),
      CheckpointerLimits{
          .max_cached_bytes = durable_.max_cached_bytes,
          .max_small_segments = durable_.max_small_segments,
          .max_carried_bytes = context_.options.directory.max_journal_bytes});
  KeepReserve();
  {
    // So that journals of logs that end badly again and again do not pile up.
    absl::MutexLock mu_lock(&mu_);
    checkpoint_wanted_ =
        !dirty_.empty() ||
        recovered->next_journal - first_journal > kMaxEmptyJournals;
  }
  // The disk may be full to begin with.
  if (durable_.reserve_bytes > 0) needed_room_ = kLeastRoom;
  Commit({});
  commit_thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "log-commit");
    RunCommits();
  });
  checkpoint_thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "log-checkpoint");
    RunCheckpoints();
  });
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<JournalWriter>> DurableLog::CreateJournal(
    std::uint64_t number, JournalTraits traits) {
  return reserve_.LendTo([&] {
    return JournalWriter::Create(*files_, JournalsDirectory(directory_),
                                 {.key = key_, .number = number}, traits);
  });
}

void DurableLog::KeepReserve() {
  if (durable_.reserve_bytes == 0) return;
  reserve_.Keep(durable_.reserve_bytes + 2 * checkpointer_->checkpoint_size());
}

absl::Status DurableLog::BeginEpoch() {
  const std::uint64_t epoch = RandomNonZero64();
  channels_.ForEach([this](DurableChannel* channel) {
    channel->EndEpoch();
    dirty_.insert(channel);
  });
  context_.BeginEpoch(epoch);
  Notify(
      "the log was not closed, and its messages were not synced: some may be "
      "lost, so it begins a new epoch");
  round_.AddEpoch(epoch);
  absl::Status s = journal_->Write(round_, next_round_++,
                                   {.log_time = context_.clock.steady_now(),
                                    .wall_time = context_.clock.now()});
  round_.Clear();
  if (s.ok()) s = journal_->Sync();
  return s;
}

DurableLog::~DurableLog() {
  {
    absl::MutexLock lock(&mu_);
    closing_ = true;
    close_deadline_ = std::chrono::steady_clock::now() + durable_.close_timeout;
    commit_wakes_.SignalAll();
    checkpoint_wakes_.SignalAll();
  }
  if (commit_thread_.joinable()) commit_thread_.join();
  append_completions_.Stop();
  io_.Stop();
  read_completions_.Stop();
  if (checkpoint_thread_.joinable()) checkpoint_thread_.join();
}

void DurableLog::Notify(std::string_view notice) const {
  if (context_.options.on_notice) context_.options.on_notice(notice);
}

void DurableLog::NotifyOfAge(std::chrono::nanoseconds said) const {
  using std::chrono::duration_cast;
  using std::chrono::hours;
  using std::chrono::seconds;
  const auto max_age = context_.options.retention.max_age;
  if (max_age.count() == 0 || counts_.existing == 0) return;
  if (TimeClosed(said, max_age) < said) {
    Notify(fmt::format(
        "by the wall clock, the log was last written {} days ago, so that "
        "retention by age would drop all of it: more than {} days are not "
        "believed, and do not count; check the clock",
        duration_cast<hours>(said).count() / 24, kLongestClosed.count() / 24));
  } else if (said > max_age) {
    Notify(fmt::format(
        "by the wall clock, the log was last written {} s ago, and messages "
        "are kept for {} s: all of them are dropped",
        duration_cast<seconds>(said).count(),
        duration_cast<seconds>(max_age).count()));
  }
}

void DurableLog::NoteUnreadable(const std::string& channel,
                                const absl::Status& status) {
  if (absl::IsNotFound(status)) return;
  std::string notice(MessageOf(status));
  if (notice.find(directory_) == std::string::npos) {
    notice =
        fmt::format("{}: {}", ChannelDirectory(directory_, channel), notice);
  }
  {
    absl::MutexLock lock(&unreadable_mu_);
    if (unreadable_.size() == kMaxUnreadableNotices ||
        !unreadable_.insert(notice).second) {
      return;
    }
  }
  Notify(notice);
}

// ---------------------------------------------------------------------------
// Appending

class DurableLog::Appender final : public LogAppender {
 public:
  explicit Appender(DurableLog* log) : log_(log) {}

  void Append(AppendBatch batch, AppendDone done) override {
    const std::size_t size = StoredSize(batch);
    log_->Enqueue(AppendRequest{.appender = state_,
                                .batch = std::move(batch),
                                .done = std::move(done),
                                .size = size});
  }

  void Cancel() override {
    std::vector<AppendBatch> freed;
    absl::MutexLock lock(&log_->mu_);
    freed = log_->requests_.Cancel(state_.get());
  }

  static absl::Status Failed() { return FailedBefore(); }
  static absl::Status Gone() { return Cancelled(); }

 private:
  DurableLog* const log_;
  const std::shared_ptr<AppenderState> state_ =
      std::make_shared<AppenderState>();
};

std::unique_ptr<LogAppender> DurableLog::OpenAppender() {
  return std::make_unique<Appender>(this);
}

void DurableLog::DeleteChannel(std::string_view channel,
                               absl::AnyInvocable<void(absl::Status)> done) {
  Enqueue(
      DeleteRequest{.channel = std::string(channel), .done = std::move(done)});
}

void DurableLog::Enqueue(LogRequest request) {
  absl::MutexLock lock(&mu_);
  const bool first = requests_.empty();
  requests_.Push(std::move(request));
  if (first) commit_wakes_.Signal();
}

void DurableLog::RunCommits() {
  std::vector<LogRequest> requests;
  while (NextRequests(&requests)) Commit(std::exchange(requests, {}));
  absl::MutexLock lock(&mu_);
  commits_ended_ = true;
  checkpoint_wakes_.SignalAll();
}

bool DurableLog::NextRequests(std::vector<LogRequest>* requests) {
  std::unique_ptr<JournalWriter> next;
  {
    absl::MutexLock lock(&mu_);
    bool room = false;
    while (true) {
      if (WantsCheckpoint(/*late=*/false) && !checkpoint_wanted_) {
        checkpoint_wanted_ = true;
        checkpoint_wakes_.SignalAll();
      }
      // Not while a journal that cannot be left behind is too large, unless
      // the requests are to be refused, or are the last ones.
      room = !WantsCheckpoint(/*late=*/true) || !checkpoint_status_.ok() ||
             !failure_.ok() || closing_;
      if (next_journal_ || (!requests_.empty() && room)) break;
      if (requests_.empty() && closing_) return false;
      if (availability_.available() || !failure_.ok()) {
        commit_wakes_.Wait(&mu_);
      } else if (!commit_wakes_.WaitUntil(
                     &mu_, CondVar::After(durable_.room_interval))) {
        break;
      }
    }
    next = std::move(next_journal_);
    if (room) *requests = requests_.Take(kMaxRoundSize);
  }
  if (next) SwitchJournal(std::move(next));
  return true;
}

void DurableLog::Commit(std::vector<LogRequest> requests) {
  const absl::Status refusal = Refusal();
  for (LogRequest& request : requests) {
    std::visit(
        Overloaded{
            [&](AppendRequest& append) { Stage(std::move(append), refusal); },
            [&](DeleteRequest& deletion) { Stage(std::move(deletion)); }},
        request);
  }
  if (!round_.empty()) {
    absl::Status s = WriteRound();
    NoteWritten(s, round_.size());
    if (s.ok()) {
      PublishRound();
    } else {
      FailRound(s);
      if (absl::IsResourceExhausted(s)) RetryDeletions();
    }
  }
  if (refusal.ok()) LookForRoom();
  if (failure_.ok()) {  // or Fail has told it
    availability_.Set(refusal.ok() && needed_room_ > 0 ? no_room_ : refusal,
                      context_.clock.steady_now());
  }
  if (!availability_.available() && HasDeleted()) {
    WantCheckpoint();  // to make room
  }
  CompleteRound();
}

absl::Status DurableLog::Refusal() {
  if (!failure_.ok()) return failure_;
  if (WantsCheckpoint(/*late=*/true)) {
    absl::MutexLock lock(&mu_);
    if (!checkpoint_status_.ok()) return checkpoint_status_;
  }
  return reserve_.Ready() ? absl::OkStatus() : DiskIsFull();
}

void DurableLog::NoteWritten(const absl::Status& status, std::uint64_t size) {
  if (status.ok()) {
    if (size >= needed_room_) needed_room_ = 0;
    return;
  }
  needed_room_ = std::min(std::max(needed_room_, size), kEnoughRoom);
  no_room_ = status;
  next_look_ = std::chrono::steady_clock::now() + durable_.room_interval;
}

void DurableLog::LookForRoom() {
  const auto now = std::chrono::steady_clock::now();
  if (needed_room_ == 0 || now < next_look_ || !failure_.ok()) return;
  next_look_ = now + durable_.room_interval;
  no_room_ = journal_->MakeRoom(needed_room_);
  if (no_room_.ok()) needed_room_ = 0;
}

bool DurableLog::HasDeleted() const {
  return std::any_of(
      outcomes_.begin(), outcomes_.end(), [](const Outcome& outcome) {
        const auto* const deletion = std::get_if<DeleteOutcome>(&outcome);
        return deletion != nullptr && deletion->status.ok();
      });
}

void DurableLog::WantCheckpoint() {
  absl::MutexLock lock(&mu_);
  checkpoint_wanted_ = true;
  checkpoint_wakes_.SignalAll();
}

// Appends may have failed with it; a deletion takes little room, and makes
// some.
void DurableLog::RetryDeletions() {
  std::vector<DeleteRequest> deletions;
  std::erase_if(outcomes_, [&](Outcome& outcome) {
    auto* const deletion = std::get_if<DeleteOutcome>(&outcome);
    if (deletion == nullptr || deletion->decided) return false;
    deletions.push_back(std::move(deletion->request));
    return true;
  });
  if (deletions.empty()) return;
  round_.Clear();
  const Reserve::Loan loan(&reserve_);
  for (DeleteRequest& deletion : deletions) Stage(std::move(deletion));
  if (round_.empty()) return;
  if (absl::Status s = WriteRound(); s.ok()) {
    PublishRound();
  } else {
    FailRound(s);
  }
}

void DurableLog::Stage(AppendRequest request, const absl::Status& refusal) {
  AppenderState& appender = *request.appender;
  AppendOutcome outcome = {.request = std::move(request),
                           .result = AppendResult()};
  outcome.decided = appender.failed || outcome.request.cancelled;
  if (appender.failed) {
    outcome.result = Appender::Failed();
  } else if (outcome.request.cancelled) {
    outcome.result = Appender::Gone();
  } else if (!refusal.ok()) {
    outcome.result = RefusesWrites(refusal);
  } else {
    outcome.result = StageBatch(outcome.request.batch);
  }
  appender.failed = !outcome.result.ok();
  outcomes_.emplace_back(std::move(outcome));
}

AppendResult DurableLog::StageBatch(const AppendBatch& batch) {
  // Before anything is staged that could not be written.
  absl::Status room = RefuseIfOutOfMemory([&] {
    round_.MakeRoom(StoredSize(batch));
    return absl::OkStatus();
  });
  if (!room.ok()) return room;
  absl::StatusOr<DurableChannel*> channel = FindOrStage(batch);
  if (!channel.ok()) return channel.status();
  touched_.insert(*channel);
  const bool existed = (*channel)->exists();
  const bool deleted = !existed && (*channel)->deleted();
  absl::StatusOr<DurableChannel::Staged> staged = (*channel)->Stage(
      batch, [&](const SegmentInfo& segment, std::uint64_t sequence) {
        return ReadMessage(**channel, segment, sequence);
      });
  if (!staged.ok()) {
    // Of reading what is repeated.
    if (!absl::IsInternal(staged.status())) return staged.status();
    NoteUnreadable(batch.channel, staged.status());
    return absl::UnavailableError(staged.status().message());
  }
  if (!existed && (*channel)->exists()) {
    ++counts_.existing;
    if (deleted) --counts_.deleted;
  }
  for (const EntryRun& run : staged->runs) {
    round_.AddEntries(batch.channel, run.first_sequence, run.bytes());
  }
  return std::move(staged->receipts);
}

absl::StatusOr<DurableChannel*> DurableLog::FindOrStage(
    const AppendBatch& batch) {
  DurableChannel* const found = FindStaged(batch.channel);
  if (found != nullptr && found->exists()) return found;
  if (counts_.existing >= context_.options.max_channels) {
    return TooManyChannels(batch.channel, context_.options.max_channels);
  }
  if (found != nullptr) return found;
  std::shared_ptr<DurableChannel> created =
      channels_.FindOrRevive(batch.channel, [&](const Tombstone& tombstone) {
        return std::make_shared<DurableChannel>(
            StateOf(batch.channel, tombstone, context_.epochs), context_);
      });
  if (!created) {
    if (batch.producer_id) {
      // What an empty channel would refuse need not be made.
      absl::Status s = ProducerTable::CheckFirst(batch.first_producer_sequence);
      if (!s.ok()) return s;
    }
    created = std::make_shared<DurableChannel>(batch.channel, context_);
  }
  return new_.emplace(batch.channel, std::move(created)).first->second.get();
}

DurableChannel* DurableLog::FindStaged(const std::string& name) const {
  const auto it = new_.find(name);
  // The map keeps it alive, since only this thread takes anything out of it.
  return it != new_.end() ? it->second.get() : channels_.Find(name).get();
}

absl::StatusOr<LogBytes> DurableLog::ReadMessage(DurableChannel& channel,
                                                 const SegmentInfo& segment,
                                                 std::uint64_t sequence) {
  const bool goes_on = repeated_.channel == &channel &&
                       repeated_.next == sequence && repeated_.entries.Next();
  if (!goes_on) {
    repeated_ = {};
    const auto reader = OpenSegment(channel, segment);
    if (absl::IsNotFound(reader.status())) return LogBytes();
    if (!reader.ok()) return reader.status();
    auto place = (*reader)->Find(sequence, segment);
    if (!place.ok()) return place.status();
    constexpr ReadBounds kBounds{.max_bytes = std::size_t{64} << 10};
    auto entries = (*reader)->Read(&*place, kBounds, segment);
    if (!entries.ok()) return entries.status();
    repeated_ = {.channel = &channel,
                 .next = sequence,
                 .owner = std::move(entries->bytes.owner),
                 .entries = wire::EntryReader(entries->bytes.bytes)};
    repeated_.entries.Next();
  }
  ++repeated_.next;
  return LogBytes{repeated_.owner, repeated_.entries.message()};
}

void DurableLog::Stage(DeleteRequest request) {
  DeleteOutcome outcome = {.request = std::move(request)};
  const std::string& name = outcome.request.channel;
  DurableChannel* const channel = FindStaged(name);
  const std::size_t max_deleted = context_.options.max_deleted_channels;
  if (channel == nullptr || !channel->exists()) {
    outcome.status = NoSuchChannel(name);
  } else if (!failure_.ok()) {
    outcome.status = RefusesWrites(failure_);
  } else if (counts_.deleted >= max_deleted) {
    outcome.status = TooManyDeletedChannels(name, max_deleted);
  } else {
    --counts_.existing;
    ++counts_.deleted;
    touched_.insert(channel);
    round_.AddDeletion(name, channel->StageDeletion());
  }
  outcome.decided = !outcome.status.ok();
  outcomes_.emplace_back(std::move(outcome));
}

absl::Status DurableLog::WriteRound() {
  absl::Status s = journal_->Write(round_, next_round_,
                                   {.log_time = context_.clock.steady_now(),
                                    .wall_time = context_.clock.now()});
  if (!s.ok() || !synced()) return s;
  const auto before = std::chrono::steady_clock::now();
  s = journal_->Sync();
  sync_time_ = std::chrono::steady_clock::now() - before;
  if (s.ok()) return s;
  journal_->CutLast().IgnoreError();
  Fail(s);
  return s;
}

void DurableLog::Fail(const absl::Status& status) {
  failure_ = status;
  Notify(fmt::format(
      "{}; nothing is accepted any more until the log is opened again",
      MessageOf(status)));
  listeners_.OnAvailability(status);
}

void DurableLog::PublishRound() {
  ++next_round_;
  counts_before_round_ = counts_;
  // Not one whose only batch was refused.
  absl::erase_if(new_, [this](const auto& created) {
    DurableChannel* const channel = created.second.get();
    if (channel->advances()) return false;
    channel->Unstage();
    touched_.erase(channel);
    return true;
  });
  std::vector<DurableChannel*> advanced;
  for (DurableChannel* const channel : touched_) {
    if (channel->Publish()) advanced.push_back(channel);
    if (channel->head() > 0) dirty_.insert(channel);
  }
  touched_.clear();
  for (auto& [name, channel] : new_) channels_.Insert(std::move(channel));
  new_.clear();
  for (DurableChannel* const channel : advanced) {
    listeners_.OnAppend(channel->name());
  }
}

// Of the requests of this round, the first one of each appender has failed with
// the round, and the others follow a failure.
void DurableLog::FailRound(const absl::Status& status) {
  for (DurableChannel* const channel : touched_) channel->Unstage();
  touched_.clear();
  new_.clear();
  counts_ = counts_before_round_;
  absl::flat_hash_set<AppenderState*> failed;
  for (Outcome& outcome : outcomes_) {
    std::visit(Overloaded{[&](AppendOutcome& append) {
                            if (append.decided) return;
                            AppenderState* const appender =
                                append.request.appender.get();
                            appender->failed = true;
                            append.result = failed.insert(appender).second
                                                ? RefusesWrites(status)
                                                : Appender::Failed();
                          },
                          [&](DeleteOutcome& deletion) {
                            if (deletion.status.ok()) {
                              deletion.status = RefusesWrites(status);
                            }
                          }},
               outcome);
  }
}

void DurableLog::CompleteRound() {
  round_.Clear();
  repeated_ = {};
  // Whatever was refused was touched, but nothing of it is staged.
  for (DurableChannel* const channel : touched_) channel->Unstage();
  touched_.clear();
  new_.clear();
  if (outcomes_.empty()) return;
  append_completions_.Post([outcomes = std::exchange(outcomes_, {})]() mutable {
    for (Outcome& outcome : outcomes) {
      std::visit(Overloaded{[](AppendOutcome& append) {
                              append.request.done(std::move(append.result));
                            },
                            [](DeleteOutcome& deletion) {
                              deletion.request.done(deletion.status);
                            }},
                 outcome);
    }
  });
}

// ---------------------------------------------------------------------------
// Checkpoints

void DurableLog::SwitchJournal(std::unique_ptr<JournalWriter> next) {
  if (absl::Status s = journal_->Close(); !s.ok() && failure_.ok()) Fail(s);
  journal_ = std::move(next);
  auto work = std::make_unique<CheckpointWork>();
  work->log = {.key = key_,
               .epochs = context_.epochs,
               .first_journal = journal_->number(),
               .first_round = next_round_,
               .time = {.log_time = context_.clock.steady_now(),
                        .wall_time = context_.clock.now()}};
  for (DurableChannel* const channel : dirty_) {
    work->dirty.push_back(
        {.channel = channel, .state = channel->BeginCheckpoint()});
    if (!channel->exists()) Bury(channel, work->dirty.back().state, work.get());
  }
  dirty_.clear();
  absl::MutexLock lock(&mu_);
  work_ = std::move(work);
  checkpoint_wakes_.SignalAll();
}

bool DurableLog::WantsCheckpoint(bool late) const {
  const std::uint64_t factor = late ? 2 : 1;
  const std::size_t channels = channels_.size();
  return journal_->size() >=
             factor * context_.options.directory.max_journal_bytes ||
         channels - std::min(channels, counts_before_round_.existing) >=
             factor * kMaxUnburied;
}

void DurableLog::Bury(DurableChannel* channel, ChannelState state,
                      CheckpointWork* work) {
  channel->CompleteCheckpoint(&state);
  channel->Retire();
  work->buried.push_back(
      channels_.Bury(state.name, TombstoneOf(state, context_.epochs)));
}

void DurableLog::RunCheckpoints() {
  while (AwaitCheckpoint()) {
    absl::Status s;
    do {
      s = PrepareWork(/*closing=*/false);
      if (s.ok()) s = MakeCheckpoint();
    } while (absl::IsResourceExhausted(s) && MakeRoom());
    {
      absl::MutexLock lock(&mu_);
      if (absl::IsCancelled(s)) {  // it is closing
        checkpoint_wanted_ = false;
        continue;
      }
      checkpoint_wanted_ = !s.ok();
      checkpoint_status_ = s;
      commit_wakes_.SignalAll();
    }
    const auto now = context_.clock.steady_now();
    if (s.ok()) {
      if (checkpoint_failures_.Ends(now)) {
        Notify("the journals are written to segments again");
      }
    } else if (const auto untold =
                   checkpoint_failures_.Holds(MessageOf(s), now)) {
      Notify(
          fmt::format("{}; trying again{}", MessageOf(s), TimesMore(*untold)));
    }
  }
  // The commit thread has ended, so that its members are ours.
  absl::Status s = failure_;
  if (s.ok()) s = SyncAtEnd();
  if (s.ok() && !OutOfTime()) {
    if (unfinished_) s = MakeCheckpoint();
    if (s.ok()) s = PrepareWork(/*closing=*/true);
    if (s.ok()) s = MakeCheckpoint();
    if (absl::IsCancelled(s)) s = absl::OkStatus();
  }
  if (!s.ok()) {
    Notify(fmt::format("the log was not closed: {}", MessageOf(s)));
  }
}

absl::Status DurableLog::SyncAtEnd() {
  if (synced()) return absl::OkStatus();
  // Also those before the present one, if the last checkpoint is unfinished.
  const std::string directory = JournalsDirectory(directory_);
  const auto names = files_->List(directory);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    if (!ParseJournalFileName(name)) continue;
    auto file = files_->Open(fmt::format("{}/{}", directory, name),
                             FileSystem::Mode::kModify);
    if (!file.ok()) return file.status();
    if (absl::Status s = (*file)->Sync(); !s.ok()) return s;
  }
  return CreateJournal(next_journal_number_++, {.follows_close = true})
      .status();
}

bool DurableLog::OutOfTime() const {
  // A checkpoint takes several syncs, of which none can be interrupted.
  constexpr int kSyncs = 4;
  return std::chrono::steady_clock::now() + kSyncs * sync_time_ >
         close_deadline_.load();
}

bool DurableLog::MakeRoom() {
  const auto made = checkpointer_->RemoveWhatIsDropped(
      [this](absl::FunctionRef<void(DurableChannel*)> visit) {
        VisitChannels(visit);
      });
  return made.ok() && *made;
}

void DurableLog::VisitChannels(
    absl::FunctionRef<void(DurableChannel*)> visit) const {
  channels_.ForEach(visit);
  if (!unfinished_) return;
  for (const auto& channel : unfinished_->buried) visit(channel.get());
}

bool DurableLog::AwaitCheckpoint() {
  const bool sweeps = context_.options.retention.max_age.count() > 0;
  absl::MutexLock lock(&mu_);
  if (!checkpoint_status_.ok() && !commits_ended_) {
    checkpoint_wakes_.WaitUntil(&mu_, CondVar::After(kCheckpointRetry));
  }
  while (!commits_ended_ && !checkpoint_wanted_) {
    if (!sweeps) {
      checkpoint_wakes_.Wait(&mu_);
    } else if (!checkpoint_wakes_.WaitUntil(&mu_,
                                            CondVar::After(kSweepInterval))) {
      mu_.Unlock();
      const bool dropped = Sweep();
      mu_.Lock();
      checkpoint_wanted_ = checkpoint_wanted_ || dropped;
    }
  }
  return !commits_ended_;
}

bool DurableLog::Sweep() const {
  bool dropped = false;
  channels_.ForEach([&](DurableChannel* channel) {
    channel->Sweep();
    dropped = dropped || channel->HasDroppedSegments();
  });
  return dropped;
}

absl::Status DurableLog::PrepareWork(bool closing) {
  if (unfinished_) return absl::OkStatus();
  // Of a log that was closed, nothing is missing.
  auto next =
      CreateJournal(next_journal_number_, {.synced = synced() || closing});
  if (!next.ok()) return next.status();
  ++next_journal_number_;
  std::unique_ptr<JournalWriter> not_taken;
  {
    absl::MutexLock lock(&mu_);
    next_journal_ = *std::move(next);
    commit_wakes_.SignalAll();
    while (!work_ && !commits_ended_) checkpoint_wakes_.Wait(&mu_);
    not_taken = std::move(next_journal_);
  }
  // The commit thread has ended, so that its members are ours.
  if (not_taken) SwitchJournal(std::move(not_taken));
  absl::MutexLock lock(&mu_);
  unfinished_ = std::move(work_);
  return absl::OkStatus();
}

absl::Status DurableLog::MakeCheckpoint() {
  absl::Status s = checkpointer_->Run(
      *unfinished_,
      [this](absl::FunctionRef<void(DurableChannel*)> visit) {
        VisitChannels(visit);
      },
      [this] {
        return std::chrono::steady_clock::now() > close_deadline_.load();
      });
  if (!s.ok()) return s;
  absl::flat_hash_set<DurableChannel*> gone;
  for (const auto& channel : unfinished_->buried) gone.insert(channel.get());
  checkpointer_->Forget(gone);
  unfinished_.reset();
  KeepReserve();
  return s;
}

// ---------------------------------------------------------------------------
// Reading

// A reader's place. It outlives the reader while a read is under way.
struct DurableLog::Cursor {
  Cursor(DurableLog* the_log, std::string_view channel_name,
         const Start& the_start, ReaderOptions the_options)
      : log(the_log),
        name(channel_name),
        start(the_start),
        options(the_options) {}

  DurableLog* const log;
  const std::string name;
  const Start start;
  const ReaderOptions options;

  std::atomic<bool> cancelled{false};
  absl::Mutex channel_mu;
  std::shared_ptr<DurableChannel> channel ABSL_GUARDED_BY(channel_mu);
  std::atomic<std::uint64_t> next{0};  // 0: the start has not been found yet
  std::optional<Gap> start_gap;        // not told yet
  bool started = false;                // the first read has had a result

  // Where the last read from a segment has ended.
  std::weak_ptr<SegmentReader> last_segment;
  std::uint64_t segment_first = 0;
  SegmentReader::Place place;
  std::shared_ptr<SegmentReader> segment;  // during a read

  // Null until the channel's first message; retired if it is deleted.
  std::shared_ptr<DurableChannel> Channel() ABSL_LOCKS_EXCLUDED(channel_mu) {
    absl::MutexLock lock(&channel_mu);
    if (channel == nullptr || channel->retired()) {
      channel = log->FindToRead(name, std::move(channel));
    }
    return channel;
  }

  // The result, or nothing if it takes a segment to tell.
  std::optional<absl::StatusOr<ReadResult>> ReadMemory(
      const ReadBounds& bounds) {
    return Read(bounds, /*may_block=*/false);
  }
  absl::StatusOr<ReadResult> ReadSegments(const ReadBounds& bounds) {
    while (true) {
      absl::StatusOr<ReadResult> result = *Read(bounds, /*may_block=*/true);
      // Retention has dropped the segment meanwhile: what the channel lists now
      // comes after it.
      if (!absl::IsNotFound(result.status())) return result;
    }
  }

 private:
  std::optional<absl::StatusOr<ReadResult>> Read(const ReadBounds& bounds,
                                                 bool may_block);
  // Nothing if it takes a segment to tell.
  std::optional<absl::StatusOr<Origin>> FindStart(bool may_block);
  absl::Status ReadSegment(const SegmentInfo& info, const ReadBounds& bounds,
                           ReadResult* result);
  absl::Status FindPlace(const SegmentInfo& info, std::uint64_t sequence);
};

std::optional<absl::StatusOr<Origin>> DurableLog::Cursor::FindStart(
    bool may_block) {
  const std::shared_ptr<DurableChannel> found = Channel();
  if (found == nullptr) {
    return ResolveStart(
        start, options.strict,
        {.name = name,
         .epoch = log->epoch(),
         .past_epochs = {.epochs = log->context_.epochs, .heads = {}}},
        /*sent_since=*/1);
  }
  std::optional<SegmentInfo> info;
  absl::StatusOr<Origin> origin = found->Resolve(start, options.strict, &info);
  if (!info) return origin;
  if (!may_block) return std::nullopt;
  const auto reader = log->OpenSegment(*found, *info);
  absl::StatusOr<std::uint64_t> sequence =
      reader.ok() ? (*reader)->FindTime(start.time, *info) : reader.status();
  if (!sequence.ok()) log->NoteUnreadable(name, sequence.status());
  // All of it is damaged: any of its messages may be wanted.
  if (absl::IsDataLoss(sequence.status())) sequence = info->first_sequence;
  if (!sequence.ok()) return sequence.status();
  return found->ResolveTime(start, options.strict, *sequence);
}

std::optional<absl::StatusOr<ReadResult>> DurableLog::Cursor::Read(
    const ReadBounds& bounds, bool may_block) {
  if (next == 0) {
    const std::optional<absl::StatusOr<Origin>> origin = FindStart(may_block);
    if (!origin) return std::nullopt;
    if (!origin->ok()) return origin->status();
    next = (*origin)->next;
    start_gap = (*origin)->gap;
  }
  ReadResult result;
  result.next_sequence = next;
  if (const std::shared_ptr<DurableChannel> found = Channel()) {
    const std::optional<SegmentInfo> info = found->Read(next, bounds, &result);
    if (info && !may_block) return std::nullopt;
    if (info) {
      absl::Status s = ReadSegment(*info, bounds, &result);
      if (!s.ok()) return s;
    }
  }
  if (!std::exchange(started, true) && options.strict && result.gap) {
    return StartIsMissing(name, *result.gap);
  }
  if (start_gap) {
    // Retention may have gone on since the start was found.
    start_gap->next = result.next_sequence;
    result.gap = std::exchange(start_gap, std::nullopt);
  }
  next = result.next_sequence + result.count;
  return result;
}

absl::Status DurableLog::Cursor::FindPlace(const SegmentInfo& info,
                                           std::uint64_t sequence) {
  if (segment_first == info.first_sequence && place.sequence == sequence) {
    if (std::shared_ptr<SegmentReader> open = last_segment.lock()) {
      segment = std::move(open);
      return absl::OkStatus();
    }
  }
  auto opened = log->OpenSegment(*Channel(), info);
  if (!opened.ok()) return opened.status();
  segment = *std::move(opened);
  last_segment = segment;
  segment_first = info.first_sequence;
  const auto found = segment->Find(sequence, info);
  if (!found.ok()) return found.status();
  place = *found;
  return absl::OkStatus();
}

absl::Status DurableLog::Cursor::ReadSegment(const SegmentInfo& info,
                                             const ReadBounds& bounds,
                                             ReadResult* result) {
  const std::uint64_t first = result->next_sequence;
  // The cursor keeps no file open between reads.
  const absl::Cleanup close = [this] { segment.reset(); };
  absl::Status s = FindPlace(info, first);
  // Without a header, nothing in the segment can be trusted.
  std::uint64_t resumed = info.end_sequence;
  if (s.ok()) {
    auto entries = segment->Read(&place, bounds, info);
    if (entries.ok()) {
      result->count = entries->count;
      result->entries.push_back(std::move(entries->bytes));
      return absl::OkStatus();
    }
    s = entries.status();
    if (absl::IsDataLoss(s) && options.skip_damaged) {
      absl::Status skipped = segment->SkipDamage(&place, info);
      if (!skipped.ok()) return skipped;
      resumed = place.sequence;
    }
  }
  log->NoteUnreadable(name, s);
  if (!absl::IsDataLoss(s) || !options.skip_damaged) {
    return {s.code(), fmt::format("channel \"{}\": {}", name, MessageOf(s))};
  }
  result->gap =
      Gap{.first_missing = result->gap ? result->gap->first_missing : first,
          .next = resumed,
          .reason = Gap::Reason::kDamaged};
  result->next_sequence = resumed;
  return absl::OkStatus();
}

class DurableLog::Reader final : public LogReader {
 public:
  explicit Reader(std::shared_ptr<Cursor> cursor)
      : cursor_(std::move(cursor)) {}

  std::optional<absl::StatusOr<ReadResult>> Read(const ReadBounds& bounds,
                                                 ReadDone done) override {
    std::optional<absl::StatusOr<ReadResult>> result =
        cursor_->ReadMemory(bounds);
    if (result) return result;
    cursor_->log->io_.Post([cursor = cursor_, bounds,
                            done = std::move(done)]() mutable {
      absl::StatusOr<ReadResult> read = cursor->cancelled
                                            ? absl::CancelledError("cancelled")
                                            : cursor->ReadSegments(bounds);
      DurableLog* const log = cursor->log;
      log->read_completions_.Post(
          [read = std::move(read), done = std::move(done)]() mutable {
            done(std::move(read));
          });
    });
    return std::nullopt;
  }

  void Cancel() override { cursor_->cancelled = true; }

  bool Behind() const override {
    const std::shared_ptr<DurableChannel> channel = cursor_->Channel();
    return channel != nullptr && channel->head() >= cursor_->next;
  }

 private:
  const std::shared_ptr<Cursor> cursor_;
};

std::shared_ptr<DurableChannel> DurableLog::FindToRead(
    const std::string& name, std::shared_ptr<DurableChannel> held) const {
  std::shared_ptr<DurableChannel> found =
      channels_.FindOrRevive(name, [&](const Tombstone& tombstone) {
        if (held && held->head() == tombstone.head) return held;
        auto revived = std::make_shared<DurableChannel>(
            StateOf(name, tombstone, context_.epochs), context_);
        revived->Retire();
        return revived;
      });
  return found ? found : held;
}

std::unique_ptr<LogReader> DurableLog::OpenReader(std::string_view channel,
                                                  const Start& start,
                                                  ReaderOptions options) {
  return std::make_unique<Reader>(
      std::make_shared<Cursor>(this, channel, start, options));
}

absl::StatusOr<ChannelInfo> DurableLog::GetChannel(std::string_view channel) {
  return channels_.GetInfo(channel);
}

std::vector<ChannelInfo> DurableLog::ListChannels(std::string_view after,
                                                  std::size_t max) {
  return channels_.List(after, max);
}

absl::StatusOr<std::shared_ptr<SegmentReader>> DurableLog::OpenSegment(
    DurableChannel& channel, const SegmentInfo& segment) {
  auto reader = cache_.Open(ChannelDirectory(directory_, channel.name()),
                            channel.name(), segment);
  if (absl::IsNotFound(reader.status()) &&
      channel.HasSegment(segment.first_sequence)) {
    return absl::DataLossError(reader.status().message());
  }
  return reader;
}

}  // namespace messenger
