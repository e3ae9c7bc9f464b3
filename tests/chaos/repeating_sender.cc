#include "repeating_sender.h"

#include <utility>

#include "absl/time/time.h"
#include "history/origin.h"
#include "messenger/error.h"
#include "support/recorder.h"

namespace messenger::test::chaos {
namespace {

// So many with successors may be there at once.
constexpr std::size_t kMostReplaced = 4;

constexpr absl::Duration kMoment = absl::Milliseconds(10);

}  // namespace

RepeatingSender::RepeatingSender(Connect connect,
                                 const std::vector<std::string>& channels,
                                 SenderOptions options)
    : connect_(std::move(connect)),
      channels_(channels),
      options_(std::move(options)),
      random_(options_.seed),
      client_(connect_()) {
  producer_.name = options_.name;
  producer_.sent.reserve(options_.messages);
}

void RepeatingSender::Begin() {
  thread_ = std::thread([this] { Run(); });
}

void RepeatingSender::End() {
  {
    absl::MutexLock lock(&mu_);
    taken_ = true;
    changed_.SignalAll();
  }
  thread_.join();
  client_.reset();
  replaced_.clear();
}

void RepeatingSender::Run() {
  const Pace pace(options_.rate);
  while (left() > 0) {
    pace.Await(number_ + 1);
    DestroyReplaced();
    Step();
  }
  {
    absl::MutexLock lock(&mu_);
    sent_ = true;
    changed_.SignalAll();
  }
  Finish();
}

void RepeatingSender::Finish() {
  do {
    Repair();
    absl::MutexLock lock(&mu_);
    if (owed_.empty() && IsWhole()) {
      finished_ = true;
      changed_.SignalAll();
    }
  } while (!Rest());
}

bool RepeatingSender::Rest() {
  absl::MutexLock lock(&mu_);
  const auto taken = [this] {
    mu_.AssertHeld();
    return taken_;
  };
  return Await(mu_, changed_, taken, kMoment);
}

std::uint32_t RepeatingSender::Add(const Sent& sent) {
  absl::MutexLock lock(&mu_);
  producer_.sent.push_back(sent);
  return ++number_;
}

std::uint32_t RepeatingSender::SendNew(const Sent& sent,
                                       const SendOptions& options) {
  const std::uint32_t number = Add(sent);
  SendThrough(&*client_, client_number_, number, options,
              random_.OneIn(kWaitOneIn));
  return number;
}

void RepeatingSender::SendLate(const Sent& sent, const SendOptions& options) {
  const std::uint32_t number = Add(sent);
  SendThrough(&replaced_.back().client, replaced_.back().number, number,
              options, false);
}

void RepeatingSender::SendAgain(std::uint32_t number,
                                const SendOptions& options) {
  {
    absl::MutexLock lock(&mu_);
    Sent& sent = producer_.sent[number - 1];
    ++sent.times;
    if (sent.fate != Sent::Fate::kStored && sent.fate != Sent::Fate::kTold) {
      sent.fate = Sent::Fate::kUnknown;
    }
  }
  SendThrough(&*client_, client_number_, number, options, false);
}

void RepeatingSender::SendThrough(Client* client, int client_number,
                                  std::uint32_t number,
                                  const SendOptions& options, bool wait) {
  const std::size_t channel = [&] {
    absl::MutexLock lock(&mu_);
    ++owed_[client_number];
    return producer_.sent[number - 1].channel;
  }();
  const std::string text = TextOf(options_.name, number);
  const Data data = DataOf(options_.name, number);
  const NewMessage message = {.channel = channels_[channel],
                              .author = options_.name,
                              .text = text,
                              .data = data.bytes,
                              .content_type = data.content_type};
  if (wait) {
    return Note(number, client_number, false, client->Send(message, options));
  }
  client->SendAsync(
      message,
      [this, number, client_number](const absl::StatusOr<Receipt>& result) {
        Note(number, client_number, true, result);
      },
      options);
}

void RepeatingSender::Note(std::uint32_t number, int client, bool async,
                           const absl::StatusOr<Receipt>& result) {
  absl::MutexLock lock(&mu_);
  changed_.SignalAll();
  const auto owed = owed_.find(client);
  if (--owed->second == 0) owed_.erase(owed);
  if (taken_) return;
  Sent& sent = producer_.sent[number - 1];
  ++sent.results;
  const bool is_present = client == present_;
  if (!result.ok()) return NoteFailure(result.status(), is_present, &sent);
  if (sent.fate == Sent::Fate::kStored) {
    producer_.repeats.push_back({.number = number, .receipt = *result});
    return;
  }
  // Those of several clients come in any order.
  if (async && is_present && sent.times == 1) sent.order = ++order_;
  sent.fate = Sent::Fate::kStored;
  sent.receipt = *result;
}

void RepeatingSender::NoteFailure(const absl::Status& status, bool is_present,
                                  Sent* sent) {
  const bool fenced = ReasonOf(status) == reason::kProducerFenced;
  // A client that was destroyed is not the present one.
  const bool expected = fenced || (!is_present && absl::IsCancelled(status));
  if (!expected) producer_.failure.Update(status);
  if (sent->after_fence && fenced) {
    sent->fate = Sent::Fate::kFenced;
    return;
  }
  if (is_present) OnFailure(*sent);
  const bool is_there =
      sent->fate == Sent::Fate::kStored || sent->fate == Sent::Fate::kTold;
  if (!MayBeStored(status) && sent->times == 1) {
    sent->fate = Sent::Fate::kNotStored;
  } else if (!is_there && sent->results == sent->times) {
    sent->fate = Sent::Fate::kMayBeStored;
  }
}

void RepeatingSender::Kill() {
  std::optional<Client> killed = std::exchange(client_, connect_());
  {
    absl::MutexLock lock(&mu_);
    present_ = ++client_number_;
  }
  // Its results come before this returns.
  killed.reset();
}

bool RepeatingSender::Replace() {
  if (replaced_.size() >= kMostReplaced) return false;
  const int number = client_number_;
  replaced_.push_back({.number = number, .client = *std::move(client_)});
  client_.emplace(connect_());
  absl::MutexLock lock(&mu_);
  present_ = ++client_number_;
  return true;
}

void RepeatingSender::DestroyReplaced() {
  std::erase_if(replaced_, [this](const Numbered& replaced) {
    absl::MutexLock lock(&mu_);
    return owed_.find(replaced.number) == owed_.end();
  });
}

bool RepeatingSender::AwaitSent(std::chrono::milliseconds patience) {
  absl::MutexLock lock(&mu_);
  const auto sent = [this] {
    mu_.AssertHeld();
    return sent_;
  };
  return Await(mu_, changed_, sent, absl::FromChrono(patience));
}

bool RepeatingSender::AwaitResults(std::chrono::milliseconds patience) {
  absl::MutexLock lock(&mu_);
  const auto finished = [this] {
    mu_.AssertHeld();
    return finished_;
  };
  return Await(mu_, changed_, finished, absl::FromChrono(patience));
}

Producer RepeatingSender::Take() {
  absl::MutexLock lock(&mu_);
  taken_ = true;
  changed_.SignalAll();
  // A copy: the thread may not have noticed yet.
  return producer_;
}

}  // namespace messenger::test::chaos
