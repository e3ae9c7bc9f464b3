// When an operator is told of a state that comes and goes.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace messenger {

// That a server is away, that a disk is full. The first time it is told at
// once, and so is its end. If it soon comes again, it is told at growing
// intervals, with how often it has come and gone in between; what lasts is
// always told, by the end of the interval, and so is another reason for it that
// has come up after a while. Once it has been gone for longer than the
// interval, it is new again.
//
// So what was told last holds, or has changed a short while ago.
//
// Thread safety: none.
class NoticePace {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // It is so, because of `reason`: to be called when it begins, and now and
  // then while it lasts. Nothing, if there is nothing new to tell now; else how
  // often it has come and gone since it was told last.
  std::optional<std::uint64_t> Holds(std::string_view reason, TimePoint now);

  // It is over. Whether that is to be told, as its beginning was.
  bool Ends(TimePoint now);

  // Since when it is so.
  std::optional<TimePoint> since() const { return since_; }

 private:
  std::optional<TimePoint> since_;
  bool told_ = false;   // of the present time
  std::string reason_;  // that was told
  TimePoint told_at_;
  TimePoint ended_;  // last
  TimePoint next_;   // not to be told before
  std::chrono::seconds interval_{0};
  std::uint64_t untold_ = 0;
};

// " (37 times more)"; nothing for 0.
std::string TimesMore(std::uint64_t untold);

}  // namespace messenger
