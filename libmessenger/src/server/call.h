// A call of one of the service's methods.
#pragma once

#include <grpcpp/support/server_callback.h>
#include <grpcpp/support/status.h>

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "messenger/stats.h"
#include "server/service_core.h"

namespace messenger {

// What a call is told that the append gate turns away.
absl::Status TooMuchToStore();

// What is known of a call, and what is decided for every call. A value: the
// core outlives all calls.
//
// Thread safety: all members may be called from any thread.
class Call {
 public:
  // One of the methods' counters tells which one it is.
  using Method = MethodStats ServiceStats::*;

  // Counts it.
  Call(ServiceCore* core, Method method,
       const grpc::CallbackServerContext& context);

  ServiceCore& core() const { return *core_; }
  // The connection that it came by, as a number. Never 0.
  std::uint64_t connection() const { return connection_; }

  // OK, if the call may do now what its method does with `channel`; otherwise
  // why it ends. All that a client wants done asks here: every call, and each
  // request of a SendMessages stream, before it is parsed, without a channel,
  // and then with its channel; and a ReadMessages stream before each read of
  // the log and each frame that was held back, so that it ends when the answer
  // changes. A reader that waits asks when it is woken.
  absl::Status Admit(std::string_view channel = {}) const;

  // What the call is told when it ends. Called once for each call: an error is
  // counted by its reason, unless it is CANCELLED: then nobody is left to be
  // told, or the service has cut it off, and counts it where it does.
  grpc::Status Tell(const absl::Status& status) const;

 private:
  ServiceCore* core_;
  Method method_;
  std::uint64_t connection_;
};

}  // namespace messenger
