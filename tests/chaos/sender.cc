#include "sender.h"

#include <thread>

namespace messenger::test::chaos {
namespace {

constexpr std::uint64_t kLastOneIn = 32;

}  // namespace

void Pace::Await(std::uint64_t number) const {
  if (rate_ == 0) return;
  const std::chrono::duration<double> due(static_cast<double>(number) / rate_);
  std::this_thread::sleep_until(
      start_ + std::chrono::duration_cast<Clock::duration>(due));
}

std::size_t PickChannel(std::size_t channels, Random* random) {
  const std::size_t last = channels - 1;
  const std::size_t channel = random->Between(0, last);
  if (channel < last || last == 0 || random->OneIn(kLastOneIn)) return channel;
  return random->Between(0, last - 1);
}

}  // namespace messenger::test::chaos
