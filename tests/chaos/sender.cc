#include "sender.h"

#include <utility>

#include "absl/time/time.h"
#include "history/origin.h"
#include "support/recorder.h"

namespace messenger::test::chaos {
namespace {

using Clock = std::chrono::steady_clock;

// Some results are waited for, one by one.
constexpr std::uint64_t kWaitOneIn = 400;

}  // namespace

Sender::Sender(Client client, const std::vector<std::string>& channels,
               SenderOptions options)
    : channels_(channels),
      options_(std::move(options)),
      random_(options_.seed),
      client_(std::move(client)) {
  producer_.name = options_.name;
  producer_.sent.reserve(options_.messages);
  thread_ = std::thread([this] { Run(); });
}

Sender::~Sender() {
  thread_.join();
  client_.reset();
}

void Sender::Run() {
  const Clock::time_point start = Clock::now();
  for (std::uint64_t number = 1; number <= options_.messages; ++number) {
    if (options_.rate > 0) {
      const std::chrono::duration<double> due(static_cast<double>(number) /
                                              options_.rate);
      std::this_thread::sleep_until(
          start + std::chrono::duration_cast<Clock::duration>(due));
    }
    SendOne(number);
  }
  absl::MutexLock lock(&mu_);
  sent_ = true;
  changed_.SignalAll();
}

void Sender::SendOne(std::uint64_t number) {
  const auto channel =
      static_cast<std::uint16_t>(random_.Between(0, channels_.size() - 1));
  {
    absl::MutexLock lock(&mu_);
    producer_.sent.push_back({.channel = channel});
  }
  const std::string text = TextOf(options_.name, number);
  const NewMessage message = {
      .channel = channels_[channel], .author = options_.name, .text = text};
  if (random_.OneIn(kWaitOneIn)) {
    return Note(number, false, client_->Send(message));
  }
  client_->SendAsync(message,
                     [this, number](const absl::StatusOr<Receipt>& result) {
                       Note(number, true, result);
                     });
}

void Sender::Note(std::uint64_t number, bool async,
                  const absl::StatusOr<Receipt>& result) {
  absl::MutexLock lock(&mu_);
  if (taken_) return;
  Sent& sent = producer_.sent[number - 1];
  ++results_;
  changed_.SignalAll();
  ++sent.results;
  if (async) sent.order = ++order_;
  if (result.ok()) {
    sent.fate = Sent::Fate::kStored;
    sent.receipt = *result;
    return;
  }
  sent.fate = MayBeStored(result.status()) ? Sent::Fate::kMayBeStored
                                           : Sent::Fate::kNotStored;
  producer_.failure.Update(result.status());
}

bool Sender::AwaitSent(std::chrono::milliseconds patience) {
  absl::MutexLock lock(&mu_);
  const auto sent = [this] {
    mu_.AssertHeld();
    return sent_;
  };
  return Await(mu_, changed_, sent, absl::FromChrono(patience));
}

bool Sender::AwaitResults(std::chrono::milliseconds patience) {
  // Fails if a send has, which the history tells as well.
  static_cast<void>(client_->Flush(patience));
  absl::MutexLock lock(&mu_);
  const auto all = [this] {
    mu_.AssertHeld();
    return results_ >= options_.messages;
  };
  return Await(mu_, changed_, all, absl::FromChrono(patience));
}

Producer Sender::Take() {
  absl::MutexLock lock(&mu_);
  taken_ = true;
  return std::move(producer_);
}

}  // namespace messenger::test::chaos
