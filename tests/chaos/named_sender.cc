#include "named_sender.h"

#include <algorithm>
#include <utility>

#include "base/narrow.h"

namespace messenger::test::chaos {
namespace {

constexpr std::uint64_t kNewProcessOneIn = 800;
constexpr std::uint64_t kTakeOverOneIn = 800;
// So many are sent right before a takeover, at most, and right after it.
constexpr std::uint64_t kMostBefore = 20;
constexpr std::uint64_t kMostAfter = 5;

constexpr std::uint64_t kHoleOneIn = 50;
constexpr std::uint64_t kLargestHole = 5;

// It goes on so many numbers before the next one, at most.
constexpr std::uint64_t kMostRepeated = 20;

}  // namespace

NamedSender::NamedSender(Connect connect,
                         const std::vector<std::string>& channels,
                         SenderOptions options)
    : RepeatingSender(std::move(connect), channels, std::move(options)),
      lanes_(channels.size()),
      failed_(channels.size()) {
  Begin();
}

void NamedSender::Step() {
  const std::size_t channel = PickChannel(channels().size(), &random());
  if (!IsNearEnd()) Disturb(channel);
  Repair();
  if (left() > 0) SendNext(channel);
}

void NamedSender::Disturb(std::size_t channel) {
  if (random().OneIn(kNewProcessOneIn)) {
    Kill();
    BreakAll();
  } else if (random().OneIn(kTakeOverOneIn)) {
    TakeOver(channel);
  }
}

void NamedSender::SendNext(std::size_t channel) {
  Lane& lane = lanes_[channel];
  if (!lane.opened) Open(channel);
  const std::uint64_t last =
      lane.entries.empty() ? 0 : lane.entries.back().producer_sequence;
  const std::uint64_t hole =
      random().OneIn(kHoleOneIn) ? random().Between(1, kLargestHole) : 0;
  const std::uint64_t next = last + 1 + hole;
  const std::uint32_t number = SendNew(
      {.channel = Narrow<std::uint16_t>(channel), .producer_sequence = next},
      {.producer_sequence = next});
  lane.entries.push_back({.producer_sequence = next, .number = number});
}

void NamedSender::TakeOver(std::size_t channel) {
  const std::uint64_t before =
      std::min(left(), random().Between(1, kMostBefore));
  for (std::uint64_t i = 0; i < before; ++i) SendNext(channel);
  if (!Replace()) return;
  BreakAll();
  // What the second client sends next has the same numbers.
  std::uint64_t next = lanes_[channel].entries.back().producer_sequence;
  const std::uint64_t last = Open(channel);
  const std::uint64_t after = std::min(left(), random().Between(1, kMostAfter));
  for (std::uint64_t i = 0; i < after; ++i) {
    ++next;
    SendLate({.channel = Narrow<std::uint16_t>(channel),
              .producer_sequence = next,
              .after_fence = true},
             {.producer_sequence = next});
  }
  GoOn(channel, last);
}

void NamedSender::BreakAll() {
  for (Lane& lane : lanes_) lane.broken = lane.opened;
}

void NamedSender::OnFailure(const Sent& sent) {
  failed_[sent.channel] = true;
}

bool NamedSender::IsWhole() const {
  return std::find(failed_.begin(), failed_.end(), true) == failed_.end();
}

void NamedSender::Repair() {
  for (std::size_t channel = 0; channel < lanes_.size(); ++channel) {
    const bool failed = [&] {
      absl::MutexLock lock(&mu_);
      return failed_[channel];
    }();
    if (failed || lanes_[channel].broken) GoOn(channel, Open(channel));
  }
}

std::uint64_t NamedSender::Open(std::size_t channel) {
  while (true) {
    const std::uint64_t acknowledged = Acknowledged(channel);
    const auto info = client().OpenProducer(channels()[channel]);
    if (info.ok()) {
      NoteOpened({.channel = Narrow<std::uint16_t>(channel),
                  .generation = info->generation,
                  .last_producer_sequence = info->last_producer_sequence,
                  .acknowledged = acknowledged});
      return info->last_producer_sequence;
    }
    // The server is away; or what was sent before a failure is on its way.
    if (!absl::IsUnavailable(info.status()) &&
        !absl::IsDeadlineExceeded(info.status()) &&
        !absl::IsFailedPrecondition(info.status())) {
      absl::MutexLock lock(&mu_);
      producer_.failure.Update(info.status());
    }
    if (Rest()) return UINT64_MAX;
  }
}

std::uint64_t NamedSender::Acknowledged(std::size_t channel) {
  const std::vector<Entry>& entries = lanes_[channel].entries;
  absl::MutexLock lock(&mu_);
  const auto has_receipt = [this](const Entry& entry) {
    mu_.AssertHeld();
    return producer_.sent[entry.number - 1].fate == Sent::Fate::kStored;
  };
  const auto last = std::find_if(entries.rbegin(), entries.rend(), has_receipt);
  return last == entries.rend() ? 0 : last->producer_sequence;
}

void NamedSender::NoteOpened(const Opening& opening) {
  Lane& lane = lanes_[opening.channel];
  lane.opened = true;
  lane.broken = false;
  absl::MutexLock lock(&mu_);
  failed_[opening.channel] = false;
  producer_.openings.push_back(opening);
  for (; lane.told < lane.entries.size() &&
         lane.entries[lane.told].producer_sequence <=
             opening.last_producer_sequence;
       ++lane.told) {
    Sent& sent = producer_.sent[lane.entries[lane.told].number - 1];
    if (sent.fate == Sent::Fate::kUnknown ||
        sent.fate == Sent::Fate::kMayBeStored) {
      sent.fate = Sent::Fate::kTold;
    }
  }
}

void NamedSender::GoOn(std::size_t channel, std::uint64_t last) {
  const std::vector<Entry>& entries = lanes_[channel].entries;
  const std::uint64_t back =
      random().OneIn(2) ? random().Between(0, kMostRepeated) : 0;
  const std::uint64_t from = last - std::min(last, back);
  const auto is_before = [](std::uint64_t a, const Entry& b) {
    return a < b.producer_sequence;
  };
  for (auto entry =
           std::upper_bound(entries.begin(), entries.end(), from, is_before);
       entry != entries.end(); ++entry) {
    SendAgain(entry->number, {.producer_sequence = entry->producer_sequence});
  }
}

}  // namespace messenger::test::chaos
