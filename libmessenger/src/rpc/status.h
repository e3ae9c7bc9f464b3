// gRPC's status type and ours. The codes have the same numbers. The text of one
// side is on the other one's terminal sooner or later: it becomes printable.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace messenger::rpc {

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace messenger::rpc
