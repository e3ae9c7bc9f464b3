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
  // how it ends. All that a client wants done asks here first: every call, each
  // request of a SendMessages stream, and a ReadMessages stream before each of
  // its frames, so that it ends when the answer changes. Without a channel: a
  // SendMessages stream that begins, and ListChannels.
  grpc::Status Admit(std::string_view channel = {}) const;

  // How it ends if the append gate turns it away.
  grpc::Status TurnAway() const;

  // How it ends otherwise. An error is counted, by its reason.
  grpc::Status Tell(const absl::Status& status) const;

 private:
  ServiceCore* core_;
  Method method_;
  std::uint64_t connection_;
};

}  // namespace messenger
