#include "sender.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "base/narrow.h"
#include "history/origin.h"
#include "support/recorder.h"

namespace messenger::test::chaos {
namespace {

using Clock = std::chrono::steady_clock;

// Some results are waited for, one by one.
constexpr std::uint64_t kWaitOneIn = 400;
constexpr std::uint64_t kWaitForConditionalOneIn = 8;

// Of those who send on conditions.
constexpr std::uint64_t kConditionalOneIn = 4;
// So many of them are under way at once: each that is refused costs a round
// trip, and once one is, most of those behind it are, too.
constexpr std::uint64_t kMostConditional = 2;
constexpr std::uint64_t kTimeoutOneIn = 8;

// One of so many plain messages that would go to the channel that is left to
// conditional ones goes there.
constexpr std::uint64_t kLeftOneIn = 32;

}  // namespace

Sender::Sender(Client client, const std::vector<std::string>& channels,
               SenderOptions options)
    : channels_(channels),
      options_(std::move(options)),
      random_(options_.seed),
      client_(std::move(client)) {
  producer_.name = options_.name;
  producer_.sent.reserve(options_.messages);
  last_.resize(channels.size());
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
  const SendOptions options = Prepare(number);
  const std::size_t channel = [&] {
    absl::MutexLock lock(&mu_);
    return producer_.sent.back().channel;
  }();
  const std::string text = TextOf(options_.name, number);
  const Data data = DataOf(options_.name, number);
  const NewMessage message = {.channel = channels_[channel],
                              .author = options_.name,
                              .text = text,
                              .data = data.bytes,
                              .content_type = data.content_type};
  if (random_.OneIn(options.expected_last ? kWaitForConditionalOneIn
                                          : kWaitOneIn)) {
    return Note(number, false, client_->Send(message, options));
  }
  client_->SendAsync(
      message,
      [this, number](const absl::StatusOr<Receipt>& result) {
        Note(number, true, result);
      },
      options);
}

std::size_t Sender::PickChannel(bool conditional) {
  const std::size_t last = channels_.size() - 1;
  if (conditional && random_.OneIn(2)) return last;
  const std::size_t channel = random_.Between(0, last);
  if (conditional || channel < last || last == 0) return channel;
  return random_.OneIn(kLeftOneIn) ? last : random_.Between(0, last - 1);
}

SendOptions Sender::Prepare(std::uint64_t number) {
  absl::MutexLock lock(&mu_);
  Sent& sent = producer_.sent.emplace_back();
  const std::uint64_t left = options_.messages - number;
  if (left < channels_.size()) {
    // One to each channel: with their receipts, all that was sent before is
    // settled, also what is out of time.
    sent.channel = Narrow<std::uint16_t>(left);
    return {};
  }
  const bool conditional = options_.conditional &&
                           conditional_ < kMostConditional &&
                           (refused_ || random_.OneIn(kConditionalOneIn));
  std::size_t channel = PickChannel(conditional);
  if (conditional && refused_) channel = *std::exchange(refused_, std::nullopt);
  sent.channel = Narrow<std::uint16_t>(channel);
  SendOptions options;
  if (options_.conditional && random_.OneIn(kTimeoutOneIn)) {
    options.timeout = std::chrono::milliseconds(random_.Between(5, 500));
  }
  Position& last = last_[channel];
  if (conditional) {
    ++conditional_;
    options.expected_last = last;
    sent.expected = last.sequence;
  }
  // What has a timeout may not be stored, though it is not refused.
  if (!options.timeout) ++last.sequence;
  return options;
}

void Sender::Note(std::uint64_t number, bool async,
                  const absl::StatusOr<Receipt>& result) {
  absl::MutexLock lock(&mu_);
  if (taken_) return;
  Sent& sent = producer_.sent[number - 1];
  ++results_;
  changed_.SignalAll();
  ++sent.results;
  if (sent.expected) --conditional_;
  if (!result.ok()) return NoteFailure(result.status(), &sent);
  if (async) sent.order = ++order_;
  sent.fate = Sent::Fate::kStored;
  sent.receipt = *result;
  Position& last = last_[sent.channel];
  last = {.epoch = result->position.epoch,
          .sequence = std::max(last.sequence, result->position.sequence)};
}

void Sender::NoteFailure(const absl::Status& status, Sent* sent) {
  sent->fate =
      MayBeStored(status) ? Sent::Fate::kMayBeStored : Sent::Fate::kNotStored;
  if (const auto last = LastPosition(status); last && !MayBeStored(status)) {
    sent->fate = Sent::Fate::kRefused;
    sent->refused_at = *last;
    last_[sent->channel] = *last;
    refused_ = sent->channel;
    return;
  }
  sent->out_of_time = absl::IsDeadlineExceeded(status);
  if (!sent->out_of_time) producer_.failure.Update(status);
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
