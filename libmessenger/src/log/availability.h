// Whether a log takes appends, as it tells others.
#pragma once

#include <chrono>
#include <functional>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "base/notice_pace.h"
#include "log/log_listeners.h"

namespace messenger {

// Thread safety: none.
class Availability {
 public:
  using OnNotice = std::function<void(std::string_view)>;

  // `on_notice` may be empty.
  Availability(LogListeners* listeners, OnNotice on_notice)
      : listeners_(listeners), on_notice_(std::move(on_notice)) {}

  bool available() const { return available_; }

  // Appends are refused because of `refusal`, or, if that is OK, taken: to be
  // called when it changes, and now and then while they are refused. Tells the
  // listeners each time that it changes, and the operator at the pace of
  // notices.
  void Set(const absl::Status& refusal,
           std::chrono::steady_clock::time_point now);

 private:
  LogListeners* const listeners_;
  const OnNotice on_notice_;
  bool available_ = true;
  NoticePace refusals_;
};

}  // namespace messenger
