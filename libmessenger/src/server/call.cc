#include "server/call.h"

#include <grpcpp/server_context.h>

#include "absl/hash/hash.h"

namespace messenger {

Call::Call(ServiceCore* core, Method method,
           const grpc::CallbackServerContext& context)
    : core_(core),
      method_(method),
      connection_(absl::HashOf(context.peer()) | 1) {}

grpc::Status Call::Admit(std::string_view /*channel*/) const {
  if (!core_->draining()) return grpc::Status::OK;
  return Tell(absl::UnavailableError("the server is shutting down"));
}

grpc::Status Call::TurnAway() const {
  return Tell(absl::UnavailableError(
      "the server has too much to store, and most of it comes by this "
      "connection; try again later"));
}

grpc::Status Call::Tell(const absl::Status& status) const {
  return core_->Tell(status);
}

}  // namespace messenger
