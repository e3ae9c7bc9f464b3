#include "plain_sender.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "base/narrow.h"
#include "history/origin.h"
#include "support/recorder.h"

namespace messenger::test::chaos {
namespace {

// Of their results, more are waited for.
constexpr std::uint64_t kWaitForConditionalOneIn = 8;

// Of those who send on conditions.
constexpr std::uint64_t kConditionalOneIn = 4;
// So many of them are under way at once: each that is refused costs a round
// trip, and once one is, most of those behind it are, too.
constexpr std::uint64_t kMostConditional = 2;
constexpr std::uint64_t kTimeoutOneIn = 8;

}  // namespace

PlainSender::PlainSender(Client client,
                         const std::vector<std::string>& channels,
                         SenderOptions options, bool conditional)
    : channels_(channels),
      options_(std::move(options)),
      sends_conditional_(conditional),
      random_(options_.seed),
      client_(std::move(client)) {
  producer_.name = options_.name;
  producer_.sent.reserve(options_.messages);
  last_.resize(channels.size());
  thread_ = std::thread([this] { Run(); });
}

PlainSender::~PlainSender() {
  thread_.join();
  client_.reset();
}

void PlainSender::Run() {
  const Pace pace(options_.rate);
  for (std::uint64_t number = 1; number <= options_.messages; ++number) {
    pace.Await(number);
    SendOne(number);
  }
  absl::MutexLock lock(&mu_);
  sent_ = true;
  changed_.SignalAll();
}

void PlainSender::SendOne(std::uint64_t number) {
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

std::size_t PlainSender::Pick(bool conditional) {
  if (!conditional) return PickChannel(channels_.size(), &random_);
  const std::size_t last = channels_.size() - 1;
  return random_.OneIn(2) ? last : random_.Between(0, last);
}

SendOptions PlainSender::Prepare(std::uint64_t number) {
  absl::MutexLock lock(&mu_);
  Sent& sent = producer_.sent.emplace_back();
  const std::uint64_t left = options_.messages - number;
  if (left < channels_.size()) {
    // One to each channel: with their receipts, all that was sent before is
    // settled, also what is out of time.
    sent.channel = Narrow<std::uint16_t>(left);
    return {};
  }
  const bool conditional = sends_conditional_ &&
                           conditional_ < kMostConditional &&
                           (refused_ || random_.OneIn(kConditionalOneIn));
  std::size_t channel = Pick(conditional);
  if (conditional && refused_) channel = *std::exchange(refused_, std::nullopt);
  sent.channel = Narrow<std::uint16_t>(channel);
  SendOptions options;
  if (sends_conditional_ && random_.OneIn(kTimeoutOneIn)) {
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

void PlainSender::Note(std::uint64_t number, bool async,
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

void PlainSender::NoteFailure(const absl::Status& status, Sent* sent) {
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

bool PlainSender::AwaitSent(std::chrono::milliseconds patience) {
  absl::MutexLock lock(&mu_);
  const auto sent = [this] {
    mu_.AssertHeld();
    return sent_;
  };
  return Await(mu_, changed_, sent, absl::FromChrono(patience));
}

bool PlainSender::AwaitResults(std::chrono::milliseconds patience) {
  // Fails if a send has, which the history tells as well.
  static_cast<void>(client_->Flush(patience));
  absl::MutexLock lock(&mu_);
  const auto all = [this] {
    mu_.AssertHeld();
    return results_ >= options_.messages;
  };
  return Await(mu_, changed_, all, absl::FromChrono(patience));
}

Producer PlainSender::Take() {
  absl::MutexLock lock(&mu_);
  taken_ = true;
  return std::move(producer_);
}

}  // namespace messenger::test::chaos
