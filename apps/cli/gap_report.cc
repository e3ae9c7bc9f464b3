#include "apps/cli/gap_report.h"

#include <fmt/format.h>

#include <utility>

namespace messenger::app {
namespace {

constexpr int kToldOneByOne = 10;
constexpr std::chrono::seconds kInterval(1);

std::string Describe(const Gap& gap) {
  if (gap.reason == Gap::Reason::kNewEpoch) {
    return fmt::format(
        "gap: this is another log than the one of the position; reading it "
        "from its oldest message, {}, on",
        gap.next);
  }
  if (gap.reason == Gap::Reason::kRolledBack) {
    return fmt::format(
        "gap: the log has lost messages up to {}, or it is another channel; "
        "reading on with {}",
        gap.first_missing - 1, gap.next);
  }
  if (gap.next == gap.first_missing + 1) {
    return fmt::format("gap: message {} is not there any more ({})",
                       gap.first_missing, ToString(gap.reason));
  }
  return fmt::format("gap: messages {} to {} are not there any more ({})",
                     gap.first_missing, gap.next - 1, ToString(gap.reason));
}

}  // namespace

std::string GapReport::Add(const Gap& gap, Clock::time_point now) {
  if (told_ < kToldOneByOne) {
    ++told_;
    last_told_ = now;
    return Describe(gap);
  }
  ++untold_;
  last_ = gap;
  if (now - last_told_ < kInterval) return {};
  last_told_ = now;
  return Rest();
}

std::string GapReport::Rest() {
  if (untold_ == 0) return {};
  const std::uint64_t before = std::exchange(untold_, 0) - 1;
  if (before == 0) return Describe(*last_);
  return fmt::format("{}, and {} gaps before it", Describe(*last_), before);
}

}  // namespace messenger::app
