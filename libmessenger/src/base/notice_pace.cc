#include "base/notice_pace.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace messenger {
namespace {

constexpr std::chrono::seconds kFirstInterval{1};
constexpr std::chrono::seconds kLongestInterval{600};

// The reasons for one thing come in several words, a connection that is reset
// and the next one that is refused: only one that stays is news.
constexpr std::chrono::seconds kReasonStays{10};

}  // namespace

std::optional<std::uint64_t> NoticePace::Holds(std::string_view reason,
                                               TimePoint now) {
  if (!since_) {
    since_ = now;
    told_ = false;
    if (now - ended_ > interval_) {
      interval_ = kFirstInterval;
      next_ = now;
    }
  }
  const bool news =
      !told_ || (reason != reason_ && now - told_at_ >= kReasonStays);
  if (!news || now < next_) return std::nullopt;
  told_ = true;
  told_at_ = now;
  reason_ = reason;
  next_ = now + interval_;
  interval_ = std::min(2 * interval_, kLongestInterval);
  return std::exchange(untold_, 0);
}

bool NoticePace::Ends(TimePoint now) {
  if (!since_) return false;
  since_.reset();
  ended_ = now;
  if (!told_) ++untold_;
  return told_;
}

std::string TimesMore(std::uint64_t untold) {
  if (untold == 0) return {};
  return fmt::format(" ({} time{} more)", untold, untold == 1 ? "" : "s");
}

}  // namespace messenger
