#include "keyed_sender.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/narrow.h"

namespace messenger::test::chaos {
namespace {

constexpr std::uint64_t kKillOneIn = 400;
constexpr std::uint64_t kReplaceOneIn = 400;

// Of those that have receipts, so many before the others, at most.
constexpr std::uint64_t kMostBack = 20;

}  // namespace

KeyedSender::KeyedSender(Connect connect,
                         const std::vector<std::string>& channels,
                         SenderOptions options)
    : RepeatingSender(std::move(connect), channels, std::move(options)) {
  Begin();
}

void KeyedSender::Step() {
  const bool kills = random().OneIn(kKillOneIn);
  if (kills) Kill();
  if (kills || (random().OneIn(kReplaceOneIn) && Replace())) {
    for (const std::uint32_t number : PickRepeats()) {
      SendAgain(number, OptionsOf(number));
    }
  }
  const std::size_t channel = PickChannel(channels().size(), &random());
  SendNew({.channel = Narrow<std::uint16_t>(channel), .has_key = true},
          OptionsOf(next()));
}

SendOptions KeyedSender::OptionsOf(std::uint32_t number) const {
  return {.idempotency_key = fmt::format("{} {}", name(), number)};
}

std::vector<std::uint32_t> KeyedSender::PickRepeats() {
  const std::uint64_t back = random().Between(0, kMostBack);
  absl::MutexLock lock(&mu_);
  const auto has_receipt = [this](std::uint32_t number) {
    mu_.AssertHeld();
    return producer_.sent[number - 1].fate == Sent::Fate::kStored;
  };
  while (settled_ + 1 < next() && has_receipt(settled_ + 1)) ++settled_;
  std::vector<std::uint32_t> numbers;
  const std::uint64_t first =
      settled_ + 1 - std::min<std::uint64_t>(settled_, back);
  for (auto number = Narrow<std::uint32_t>(first); number < next(); ++number) {
    if (number <= settled_ || !has_receipt(number)) numbers.push_back(number);
  }
  return numbers;
}

}  // namespace messenger::test::chaos
