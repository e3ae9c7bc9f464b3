#include "server/parse_batch.h"

#include <memory>
#include <utility>

#include "base/out_of_memory.h"
#include "rpc/bytes.h"

namespace messenger {

namespace {

absl::StatusOr<AppendBatch> ParseWithMemory(const grpc::ByteBuffer& request,
                                            const wire::SendLimits& limits,
                                            SendRequestParser parse) {
  struct Backing {
    grpc::Slice bytes;
    wire::SendRequest request;
  };
  auto backing = std::make_shared<Backing>();
  backing->bytes = rpc::Flatten(request);
  absl::StatusOr<wire::SendRequest> parsed =
      parse(rpc::View(backing->bytes), limits);
  if (!parsed.ok()) return parsed.status();
  backing->request = *std::move(parsed);
  AppendBatch batch;
  batch.channel = backing->request.channel;
  batch.producer_id = backing->request.producer_id;
  batch.first_producer_sequence = backing->request.first_producer_sequence;
  batch.messages = std::move(backing->request.messages);
  batch.backing = std::move(backing);
  return batch;
}

}  // namespace

absl::StatusOr<AppendBatch> ParseBatch(const grpc::ByteBuffer& request,
                                       const wire::SendLimits& limits,
                                       SendRequestParser parse) {
  return RefuseIfOutOfMemory(
      [&] { return ParseWithMemory(request, limits, parse); });
}

}  // namespace messenger
