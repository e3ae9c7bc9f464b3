#include "server/call.h"

#include <grpcpp/server_context.h>

#include "absl/hash/hash.h"
#include "base/counters.h"
#include "base/reason.h"

namespace messenger {

Call::Call(ServiceCore* core, Method method,
           const grpc::CallbackServerContext& context)
    : core_(core),
      method_(method),
      connection_(absl::HashOf(context.peer()) | 1) {
  Count((core_->counters().*method_).calls);
}

grpc::Status Call::Admit(std::string_view /*channel*/) const {
  if (!core_->draining()) return grpc::Status::OK;
  return Refuse(
      WithReason(absl::UnavailableError("the server is shutting down"),
                 reason::kShuttingDown),
      core_->counters().refusals.shutting_down);
}

grpc::Status Call::TurnAway() const {
  return Refuse(
      WithReason(
          absl::UnavailableError(
              "the server has too much to store, and most of it comes by this "
              "connection; try again later"),
          reason::kOverloaded),
      core_->counters().refusals.overloaded);
}

grpc::Status Call::Tell(const absl::Status& status) const {
  if (status.ok()) return grpc::Status::OK;
  return Refuse(status, CounterOf(status.code(), core_->counters().refusals));
}

grpc::Status Call::Refuse(const absl::Status& status,
                          std::uint64_t& refusals) const {
  Count(refusals);
  Count((core_->counters().*method_).errors);
  return core_->Tell(status);
}

}  // namespace messenger
