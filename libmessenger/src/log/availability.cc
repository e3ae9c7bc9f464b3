#include "log/availability.h"

#include <fmt/format.h>

#include <utility>

#include "base/status.h"

namespace messenger {

void Availability::Set(const absl::Status& refusal,
                       std::chrono::steady_clock::time_point now) {
  if (std::exchange(available_, refusal.ok()) != refusal.ok()) {
    listeners_->OnAvailability(refusal);
  }
  if (!on_notice_) return;
  if (refusal.ok()) {
    if (refusals_.Ends(now)) on_notice_("appends are accepted again");
  } else if (const auto untold = refusals_.Holds(MessageOf(refusal), now)) {
    on_notice_(fmt::format("{}; appends are refused{}", MessageOf(refusal),
                           TimesMore(*untold)));
  }
}

}  // namespace messenger
