// Which machines the gateway serves.
//
// Protected by default: who has not said how requests are to be protected
// serves this machine alone, wherever the gateway listens.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "apps/gateway/http.h"

namespace messenger::app {

// Thread safety: all members may be called from any thread.
class PeerGuard {
 public:
  // `insecure`: plain HTTP is served to all. `on_notice` is told of each peer
  // that is refused, once.
  PeerGuard(bool insecure, std::function<void(std::string_view)> on_notice)
      : insecure_(insecure), on_notice_(std::move(on_notice)) {}

  // Why the request is refused, and how to go on; nothing if it is not.
  std::optional<Response> Check(const Request& request);

 private:
  void Note(const std::string& address);

  const bool insecure_;
  const std::function<void(std::string_view)> on_notice_;
  absl::Mutex mu_;
  std::set<std::string> noted_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger::app
