// gRPC's status type and ours. The codes have the same numbers. The text of one
// side is on the other one's terminal sooner or later: it becomes printable.
// Reasons (messenger/error.h) travel along.
#pragma once

#include <grpcpp/support/status.h>

#include <string_view>

#include "absl/status/status.h"

namespace messenger::rpc {

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

// With the reason that the other end gave, if it gave one.
absl::Status WithDetailsOf(const grpc::Status& from, absl::Status status);

// What is kept of a text that the other end has chosen, or is told: at most 1
// KiB of it.
std::string_view Excerpt(std::string_view text);

}  // namespace messenger::rpc
