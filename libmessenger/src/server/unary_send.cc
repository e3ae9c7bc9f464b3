#include "server/unary_send.h"

#include <string>
#include <utility>

#include "rpc/bytes.h"
#include "server/parse_batch.h"

namespace messenger {

grpc::ServerUnaryReactor* UnarySend::Start(const Call& call,
                                           const grpc::ByteBuffer& request,
                                           grpc::ByteBuffer* response) {
  const auto send = Make(call, response);
  send->Send(request);
  return send.get();
}

void UnarySend::Send(const grpc::ByteBuffer& request) {
  absl::Status status =
      AdmitBatch(call_, request, wire::ParseSendMessageRequest, &batch_);
  if (!status.ok()) return Finish(call_.Tell(status));
  size_ = StoredSize(batch_);
  switch (gate_->Enter(self(), call_.connection(), size_)) {
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
                    [self = self()](const AppendResult& result) {
                      self->gate_->Leave(self->size_);
                      self->OnAppended(result);
                    });
}

void UnarySend::OnTurnedAway() {
  Finish(call_.Tell(TooMuchToStore()));
}

void UnarySend::OnAppended(const AppendResult& result) {
  if (result.ok()) {
    std::string receipt;
    wire::AppendReceipt(receipt, result->front());
    *response_ = rpc::MakeBuffer(std::move(receipt));
  }
  Finish(call_.Tell(result.status()));
}

void UnarySend::OnCancel() {
  appender_->Cancel();
  if (gate_->Withdraw(this, call_.connection())) {
    Finish(grpc::Status::CANCELLED);
  }
}

void UnarySend::OnDone() {
  Release();
}

}  // namespace messenger
