#include "server/parse_batch.h"

#include <memory>
#include <utility>

#include "base/counters.h"
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
  batch.expected_last_sequence = backing->request.expected_last_sequence;
  batch.expected_epoch = backing->request.expected_epoch;
  batch.producer_generation = backing->request.producer_generation;
  batch.idempotency_key = backing->request.idempotency_key;
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

absl::Status AdmitBatch(const Call& call, const grpc::ByteBuffer& request,
                        SendRequestParser parse, AppendBatch* batch) {
  if (absl::Status s = call.Admit(); !s.ok()) return s;
  absl::StatusOr<AppendBatch> parsed =
      ParseBatch(request, call.core().send_limits(), parse);
  if (!parsed.ok()) return parsed.status();
  if (absl::Status s = call.Admit(parsed->channel); !s.ok()) return s;
  SendStats& counters = call.core().counters().sends;
  Count(counters.requests);
  Count(counters.messages, parsed->messages.size());
  Count(counters.bytes, request.Length());
  *batch = *std::move(parsed);
  batch->source = call.connection();
  return absl::OkStatus();
}

}  // namespace messenger
