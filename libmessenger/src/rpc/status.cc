#include "rpc/status.h"

#include "base/status.h"
#include "messenger/printable.h"

namespace messenger::rpc {

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(status.code()),
          Printable(MessageOf(status))};
}

absl::Status FromGrpc(const grpc::Status& status) {
  return {static_cast<absl::StatusCode>(status.error_code()),
          Printable(status.error_message())};
}

}  // namespace messenger::rpc
