// A call of one of the service's methods.
#pragma once

#include <grpcpp/support/server_callback.h>
#include <grpcpp/support/status.h>

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "server/service_core.h"

namespace messenger {

// What is known of a call, and what is decided for every call. A value: the
// core outlives all calls.
//
// Thread safety: all members may be called from any thread.
class Call {
 public:
  Call(ServiceCore* core, Method method,
       const grpc::CallbackServerContext& context);

  ServiceCore& core() const { return *core_; }
  Method method() const { return method_; }
  // The connection that it came by, as a number. Never 0.
  std::uint64_t connection() const { return connection_; }

  // OK, if the call may do now what its method does with `channel`; otherwise
  // how it ends. All that a client wants done asks here first: every call, each
  // request of a SendMessages stream, and a ReadMessages stream before each of
  // its frames, so that it ends when the answer changes. Without a channel: a
  // SendMessages stream that begins, and ListChannels.
  grpc::Status Admit(std::string_view channel = {}) const;

  // How a call ends that the append gate turns away.
  grpc::Status TurnAway() const;

  // How it ends otherwise.
  grpc::Status Tell(const absl::Status& status) const;

 private:
  ServiceCore* core_;
  Method method_;
  std::uint64_t connection_;
};

}  // namespace messenger
