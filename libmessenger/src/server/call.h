// A call of one of the service's methods.
#pragma once

#include <grpcpp/support/server_callback.h>
#include <grpcpp/support/status.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/stats.h"
#include "security/access.h"
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
  // why it ends. Without a channel: if it may do that with some channel. All
  // that a client wants done asks here: every call, and each request of a
  // SendMessages stream, before it is parsed, without a channel, and then with
  // its channel; and a ReadMessages stream before each read of the log and each
  // frame that was held back, so that it ends when the answer changes. A reader
  // that waits asks when it is woken.
  absl::Status Admit(std::string_view channel = {}) const;

  // Whether its caller may do with `channel`, or if that is empty, with some
  // channel, what the method does, be the service drained or not.
  bool MayUse(std::string_view channel) const;

  // As Admit, of a call that sends to `channel`: under which names it may.
  absl::StatusOr<Sender> AdmitSender(std::string_view channel) const;

  // Whether the answer may change with the rules.
  bool depends_on_rules() const { return caller_ != nullptr; }

  // What the call is told when it ends. Called once for each call: an error is
  // counted by its reason, unless it is CANCELLED: then nobody is left to be
  // told, or the service has cut it off, and counts it where it does.
  grpc::Status Tell(const absl::Status& status) const;

 private:
  ServiceCore* core_;
  Method method_;
  std::uint64_t connection_;
  // Null if it may do everything, whatever the rules will be.
  std::shared_ptr<const Caller> caller_;
};

}  // namespace messenger
