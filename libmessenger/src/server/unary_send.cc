#include "server/unary_send.h"

#include <string>
#include <utility>

#include "rpc/bytes.h"
#include "server/parse_batch.h"

namespace messenger {

grpc::ServerUnaryReactor* UnarySend::Start(ServiceCore* core,
                                           grpc::CallbackServerContext* context,
                                           const grpc::ByteBuffer& request,
                                           grpc::ByteBuffer* response) {
  auto call = std::make_shared<UnarySend>(core, response);
  call->self_ = call;
  if (absl::Status s = core->CheckServing(); !s.ok()) {
    call->Finish(core->Tell(s));
  } else {
    call->Send(request, ConnectionOf(*context));
  }
  return call.get();
}

void UnarySend::Send(const grpc::ByteBuffer& request,
                     std::uint64_t connection) {
  absl::StatusOr<AppendBatch> batch =
      ParseBatch(request, core_->send_limits(), wire::ParseSendMessageRequest);
  if (!batch.ok()) return Finish(core_->Tell(batch.status()));
  batch_ = *std::move(batch);
  batch_.source = connection_ = connection;
  size_ = StoredSize(batch_);
  switch (gate_->Enter(self_, connection, size_)) {
    case AppendGate::Entry::kAdmitted:
      return OnAdmitted();
    case AppendGate::Entry::kTurnedAway:
      return OnTurnedAway();
    case AppendGate::Entry::kWaits:
      break;
  }
}

void UnarySend::OnAdmitted() {
  appender_->Append(std::move(batch_),
                    [self = self_](const AppendResult& result) {
                      self->gate_->Leave(self->size_);
                      self->OnAppended(result);
                    });
}

void UnarySend::OnTurnedAway() {
  Finish(core_->Tell(TooMuchToStore()));
}

void UnarySend::OnAppended(const AppendResult& result) {
  if (result.ok()) {
    std::string receipt;
    wire::AppendReceipt(receipt, result->front());
    *response_ = rpc::MakeBuffer(std::move(receipt));
  }
  Finish(core_->Tell(result.status()));
}

void UnarySend::OnCancel() {
  appender_->Cancel();
  if (gate_->Withdraw(this, connection_)) {
    Finish(grpc::Status::CANCELLED);
  }
}

void UnarySend::OnDone() {
  self_.reset();
}

}  // namespace messenger
