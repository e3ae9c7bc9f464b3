// From a request to a batch for the log.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/message_log.h"
#include "server/call.h"
#include "wire/send.h"

namespace messenger {

using SendRequestParser = absl::StatusOr<wire::SendRequest> (*)(
    std::string_view bytes, const wire::SendLimits& limits);

// The batch keeps the request's bytes alive.
absl::StatusOr<AppendBatch> ParseBatch(const grpc::ByteBuffer& request,
                                       const wire::SendLimits& limits,
                                       SendRequestParser parse);

// The batch of a request of this call, if that is admitted; otherwise why the
// call ends.
absl::Status AdmitBatch(const Call& call, const grpc::ByteBuffer& request,
                        SendRequestParser parse, AppendBatch* batch);

}  // namespace messenger
