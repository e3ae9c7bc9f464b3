#include "server/call.h"

#include <grpcpp/server_context.h>

#include "absl/hash/hash.h"
#include "base/counters.h"
#include "base/reason.h"

namespace messenger {

absl::Status TooMuchToStore() {
  return WithReason(
      absl::UnavailableError("the server has too much to store, and most of it "
                             "comes by this connection; try again later"),
      reason::kOverloaded);
}

Call::Call(ServiceCore* core, Method method,
           const grpc::CallbackServerContext& context)
    : core_(core),
      method_(method),
      connection_(absl::HashOf(context.peer()) | 1) {
  Count((core_->counters().*method_).calls);
}

absl::Status Call::Admit(std::string_view /*channel*/) const {
  if (!core_->draining()) return absl::OkStatus();
  return WithReason(absl::UnavailableError("the server is shutting down"),
                    reason::kShuttingDown);
}

grpc::Status Call::Tell(const absl::Status& status) const {
  if (status.ok()) return grpc::Status::OK;
  if (!absl::IsCancelled(status)) {
    Count(CounterOf(status, core_->counters().refusals));
    Count((core_->counters().*method_).errors);
  }
  return core_->Tell(status);
}

}  // namespace messenger
