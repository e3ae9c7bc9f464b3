// From a request to a batch for the log.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/message_log.h"
#include "security/access.h"
#include "server/call.h"
#include "wire/send.h"

namespace messenger {

using SendRequestParser = absl::StatusOr<wire::SendRequest> (*)(
    std::string_view bytes, const wire::SendLimits& limits);

// Under which names somebody may send to a channel, or why not.
using AdmitSender =
    absl::FunctionRef<absl::StatusOr<Sender>(std::string_view channel)>;

// The batch keeps the request's bytes alive. Its messages have authors that the
// sender may give them.
absl::StatusOr<AppendBatch> ParseBatch(const grpc::ByteBuffer& request,
                                       const wire::SendLimits& limits,
                                       SendRequestParser parse,
                                       AdmitSender admit);

// The batch of a request of this call, if that is admitted; otherwise why the
// call ends.
absl::Status AdmitBatch(const Call& call, const grpc::ByteBuffer& request,
                        SendRequestParser parse, AppendBatch* batch);

}  // namespace messenger
