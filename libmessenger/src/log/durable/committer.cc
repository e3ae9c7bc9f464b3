#include "log/durable/committer.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <utility>

#include "base/counters.h"
#include "base/narrow.h"
#include "base/random.h"
#include "base/reason.h"
#include "base/status.h"

namespace messenger {
namespace {

// What one round takes, so that the first of its messages need not wait too
// long for the last, and its size fits into its header; always at least one
// batch.
constexpr std::size_t kMaxRoundSize = std::size_t{8} << 20;

// Deleted channels that wait for a checkpoint to become tombstones; they take
// some 2 KB each.
constexpr std::size_t kMaxUnburied = 10'000;

// How often retention looks after channels that nobody looks at.
constexpr std::chrono::seconds kSweepInterval{30};

// What must be free when the log is opened, and what is enough room in any
// case.
constexpr std::uint64_t kLeastRoom = std::uint64_t{64} << 10;
constexpr std::uint64_t kEnoughRoom = std::uint64_t{1} << 20;

// After a checkpoint that could not be made.
constexpr std::chrono::seconds kCheckpointRetry{1};

absl::Status DiskIsFull() {
  return WithReason(
      absl::ResourceExhaustedError("the disk is full, but for what is kept to "
                                   "delete channels: delete some, or make "
                                   "room"),
      reason::kStorageFull);
}

}  // namespace

// ---------------------------------------------------------------------------
// Opening and closing

Committer::Committer(DurableCore* core, Recovered recovered)
    : core_(core),
      journal_(std::move(recovered.journal)),
      next_round_(recovered.next_round),
      changes_(std::move(recovered.changes)),
      round_(core),
      availability_(&core->listeners, core->context.options.on_notice) {}

Committer::~Committer() {
  Close();
}

absl::Status Committer::BeginEpoch() {
  const std::uint64_t epoch = RandomNonZero64();
  core_->channels.ForEach([this](DurableChannel* channel) {
    channel->EndEpoch();
    changes_.channels.insert(channel);
  });
  core_->context.named_producers->BeginEpoch();
  for (const auto& kept : core_->context.named_producers->Save()) {
    changes_.named_producers.insert(kept.producer.id);
  }
  core_->context.BeginEpoch(epoch);
  core_->Notify(
      "the log was not closed, and its messages were not synced: some may be "
      "lost, so it begins a new epoch");
  JournalRound round;
  round.AddEpoch(epoch);
  absl::Status s = core_->reserve.LendTo(
      [&] { return journal_->Write(round, next_round_, core_->Now()); });
  if (!s.ok()) return s;
  ++next_round_;
  return journal_->Sync();
}

void Committer::Start() {
  // The disk may be full to begin with.
  if (core_->durable.reserve_bytes > 0) needed_room_ = kLeastRoom;
  Commit({});
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "log-commit");
    Run();
  });
}

void Committer::Close() {
  {
    absl::MutexLock lock(&mu_);
    closing_ = true;
    commit_wakes_.SignalAll();
    checkpoint_wakes_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
  completions_.Stop();
}

// ---------------------------------------------------------------------------
// Requests

class Committer::Appender final : public LogAppender {
 public:
  explicit Appender(Committer* committer) : committer_(committer) {}

  void Append(AppendBatch batch, AppendDone done) override {
    const std::size_t size = StoredSize(batch);
    committer_->Enqueue(AppendRequest{.appender = state_,
                                      .batch = std::move(batch),
                                      .done = std::move(done),
                                      .size = size});
  }

  void Cancel() override {
    std::vector<AppendBatch> freed;
    absl::MutexLock lock(&committer_->mu_);
    freed = committer_->requests_.Cancel(state_.get());
  }

 private:
  Committer* const committer_;
  const std::shared_ptr<AppenderState> state_ =
      std::make_shared<AppenderState>();
};

std::unique_ptr<LogAppender> Committer::OpenAppender() {
  return std::make_unique<Appender>(this);
}

void Committer::Enqueue(LogRequest request) {
  absl::MutexLock lock(&mu_);
  const bool first = requests_.empty();
  requests_.Push(std::move(request));
  if (first) commit_wakes_.Signal();
}

void Committer::Run() {
  std::vector<LogRequest> requests;
  while (NextRequests(&requests)) Commit(std::exchange(requests, {}));
  absl::MutexLock lock(&mu_);
  ended_ = true;
  checkpoint_wakes_.SignalAll();
}

bool Committer::NextRequests(std::vector<LogRequest>* requests) {
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
                     &mu_, CondVar::After(core_->durable.room_interval))) {
        break;
      }
    }
    next = std::move(next_journal_);
    if (room) *requests = requests_.Take(kMaxRoundSize);
  }
  if (next == nullptr) return true;
  auto work = BeginJournal(std::move(next));
  absl::MutexLock lock(&mu_);
  work_ = std::move(work);
  checkpoint_wakes_.SignalAll();
  return true;
}

// ---------------------------------------------------------------------------
// Rounds

void Committer::Commit(std::vector<LogRequest> requests) {
  const absl::Status refusal = Refusal();
  for (LogRequest& request : requests) {
    if (auto* const append = std::get_if<AppendRequest>(&request)) {
      round_.Prepare(std::move(*append), refusal);
    } else if (auto* const deletion = std::get_if<DeleteRequest>(&request)) {
      round_.Prepare(std::move(*deletion), failure_);
    } else if (auto* const open = std::get_if<OpenProducerRequest>(&request)) {
      round_.Prepare(std::move(*open), refusal);
    } else {
      round_.Prepare(std::get<DeleteProducerRequest>(std::move(request)),
                     refusal);
    }
  }
  if (!round_.journal_round().empty()) {
    const std::uint64_t size = round_.journal_round().size();
    absl::Status s = WriteRound();
    NoteWritten(s, size);
    // On a full disk, channels can be deleted with the room of the reserve.
    if (absl::IsResourceExhausted(s)) RetryDeletions();
  }
  if (refusal.ok()) LookForRoom();
  if (failure_.ok()) {  // or Fail has told it
    availability_.Set(refusal.ok() && needed_room_ > 0 ? no_room_ : refusal,
                      core_->context.clock.steady_now());
  }
  // To make room.
  if (!availability_.available() && round_.HasDeleted()) WantCheckpoint();
  if (auto completion = round_.Complete()) {
    completions_.Post(std::move(completion));
  }
}

absl::Status Committer::WriteRound() {
  absl::Status s = WriteToJournal();
  if (!s.ok()) {
    round_.Fail(s);
    return s;
  }
  CountRound();
  ++next_round_;
  round_.Publish(&changes_);
  return s;
}

absl::Status Committer::WriteToJournal() {
  absl::Status s =
      journal_->Write(round_.journal_round(), next_round_, core_->Now());
  if (!s.ok() || !core_->synced()) return s;
  const auto before = std::chrono::steady_clock::now();
  s = journal_->Sync();
  sync_time_ = std::chrono::steady_clock::now() - before;
  Count(core_->counters.syncs);
  Count(core_->counters.sync_time, sync_time_);
  if (s.ok()) return s;
  journal_->CutLast().IgnoreError();
  Fail(s);
  return s;
}

void Committer::CountRound() {
  auto& by_requests = core_->counters.rounds_by_requests;
  const auto power = std::bit_width(round_.size()) - 1;
  Count(core_->counters.rounds);
  Count(by_requests.at(
      std::min(Narrow<std::size_t>(power), by_requests.size() - 1)));
}

void Committer::RetryDeletions() {
  round_.PrepareDeletions(failure_);
  if (round_.journal_round().empty()) return;
  const Reserve::Loan loan(&core_->reserve);
  WriteRound().IgnoreError();
}

// ---------------------------------------------------------------------------
// Whether appends are taken

void Committer::Fail(const absl::Status& status) {
  failure_ = status;
  core_->Notify(fmt::format(
      "{}; nothing is accepted any more until the log is opened again",
      MessageOf(status)));
  core_->listeners.OnAvailability(status);
}

absl::Status Committer::Refusal() {
  if (!failure_.ok()) return failure_;
  if (WantsCheckpoint(/*late=*/true)) {
    absl::MutexLock lock(&mu_);
    if (!checkpoint_status_.ok()) return checkpoint_status_;
  }
  return core_->reserve.Ready() ? absl::OkStatus() : DiskIsFull();
}

void Committer::NoteWritten(const absl::Status& status, std::uint64_t size) {
  if (status.ok()) {
    if (size >= needed_room_) needed_room_ = 0;
    return;
  }
  needed_room_ = std::min(std::max(needed_room_, size), kEnoughRoom);
  no_room_ = status;
  next_look_ = std::chrono::steady_clock::now() + core_->durable.room_interval;
}

void Committer::LookForRoom() {
  const auto now = std::chrono::steady_clock::now();
  if (needed_room_ == 0 || now < next_look_ || !failure_.ok()) return;
  next_look_ = now + core_->durable.room_interval;
  no_room_ = journal_->MakeRoom(needed_room_);
  if (no_room_.ok()) needed_room_ = 0;
}

// ---------------------------------------------------------------------------
// Checkpoints

void Committer::WantCheckpoint() {
  absl::MutexLock lock(&mu_);
  checkpoint_wanted_ = true;
  checkpoint_wakes_.SignalAll();
}

bool Committer::WantsCheckpoint(bool late) const {
  const std::uint64_t factor = late ? 2 : 1;
  const std::size_t channels = core_->channels.size();
  return journal_->size() >=
             factor * core_->context.options.directory.max_journal_bytes ||
         channels - std::min(channels, round_.existing()) >=
             factor * kMaxUnburied;
}

Committer::Wake Committer::AwaitCheckpoint(bool sweeps) {
  absl::MutexLock lock(&mu_);
  if (!checkpoint_status_.ok() && !ended_) {
    checkpoint_wakes_.WaitUntil(&mu_, CondVar::After(kCheckpointRetry));
  }
  while (!ended_ && !checkpoint_wanted_) {
    if (!sweeps) {
      checkpoint_wakes_.Wait(&mu_);
    } else if (!checkpoint_wakes_.WaitUntil(&mu_,
                                            CondVar::After(kSweepInterval))) {
      return Wake::kSweep;
    }
  }
  return ended_ ? Wake::kEnd : Wake::kCheckpoint;
}

std::unique_ptr<CheckpointWork> Committer::SwitchJournal(
    std::unique_ptr<JournalWriter> next) {
  {
    absl::MutexLock lock(&mu_);
    next_journal_ = std::move(next);
    commit_wakes_.SignalAll();
    while (!work_ && !ended_) checkpoint_wakes_.Wait(&mu_);
    if (work_) return std::move(work_);
    next = std::move(next_journal_);
  }
  // The commit thread has ended, so that its members are ours.
  return BeginJournal(std::move(next));
}

std::unique_ptr<CheckpointWork> Committer::BeginJournal(
    std::unique_ptr<JournalWriter> next) {
  if (absl::Status s = journal_->Close(); !s.ok() && failure_.ok()) Fail(s);
  journal_ = std::move(next);
  auto work = std::make_unique<CheckpointWork>();
  work->log = {.key = core_->key,
               .epochs = core_->context.epochs,
               .first_journal = journal_->number(),
               .first_round = next_round_,
               .time = core_->Now()};
  for (DurableChannel* const channel : changes_.channels) {
    work->dirty.push_back(
        {.channel = channel, .state = channel->BeginCheckpoint()});
    if (!channel->exists()) Bury(channel, work->dirty.back().state, work.get());
  }
  const NamedProducers& named = *core_->context.named_producers;
  for (const ProducerId& id : changes_.named_producers) {
    work->named_producers.emplace_back(id, named.FindById(id));
  }
  work->idempotency_keys = core_->context.idempotency_keys->Save();
  changes_ = {};
  return work;
}

void Committer::Bury(DurableChannel* channel, ChannelState state,
                     CheckpointWork* work) {
  channel->CompleteCheckpoint(&state);
  channel->Retire();
  work->buried.push_back(core_->channels.Bury(
      state.name, TombstoneOf(state, core_->context.epochs)));
}

void Committer::EndCheckpoint(const absl::Status& status) {
  absl::MutexLock lock(&mu_);
  // If it was given up, the log is closing.
  const bool given_up = absl::IsCancelled(status);
  checkpoint_wanted_ = !status.ok() && !given_up;
  if (!given_up) checkpoint_status_ = status;
  commit_wakes_.SignalAll();
}

}  // namespace messenger
