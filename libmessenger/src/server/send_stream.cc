#include "server/send_stream.h"

#include <grpcpp/server_context.h>

#include <utility>

#include "base/counters.h"
#include "rpc/bytes.h"
#include "server/parse_batch.h"

namespace messenger {
namespace {

// Enough for group commit to have something to gather; each holds a request.
constexpr std::size_t kMaxAppends = 16;
// Receipts that the client has not taken.
constexpr std::size_t kMaxOutgoingBytes = std::size_t{64} << 10;

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* SendStream::Start(
    const Call& call, grpc::CallbackServerContext* context) {
  const auto stream = Make(call, context);
  Count(call.core().counters().sends.streams);
  call.core().Add(stream);
  absl::MutexLock lock(&stream->mu_);
  stream->EndUnlessAdmitted();
  if (!stream->end_) {
    stream->outgoing_ = wire::EncodeFirstResponse(call.core().log().epoch());
  }
  stream->Advance();
  return stream.get();
}

void SendStream::Reconsider() {
  absl::MutexLock lock(&mu_);
  EndUnlessAdmitted();
  Advance();
}

void SendStream::ReconsiderAtOnce() {
  if (call_.MayUse({})) return;
  absl::MutexLock lock(&context_mu_);
  if (context_ == nullptr) return;
  context_->TryCancel();
  Count(call_.core().counters().sends.expelled);
}

void SendStream::OnReadDone(bool ok) {
  {
    absl::MutexLock lock(&mu_);
    // The client has half-closed, or the call is gone, of which OnCancel tells.
    if (!ok) EndWith(absl::OkStatus());
    if (end_) {
      reading_ = false;
      return Advance();
    }
    // From here on the request is under way; once it is admitted, it is stored
    // and answered even if the server drains.
    ++appends_;
    entering_ = true;
  }
  Accept();
  absl::MutexLock lock(&mu_);
  reading_ = false;
  Advance();
  if (!reading_ && !end_) Count(call_.core().counters().sends.stalls);
}

void SendStream::Accept() {
  absl::Status status =
      AdmitBatch(call_, request_, wire::ParseSendMessagesRequest, &batch_);
  request_.Clear();
  if (!status.ok()) return Refuse(std::move(status));
  switch (gate_->Enter(self(), call_.connection(), StoredSize(batch_))) {
    case AppendGate::Entry::kAdmitted:
      return Append();
    case AppendGate::Entry::kTurnedAway:
      return Refuse(TooMuchToStore());
    case AppendGate::Entry::kWaits:
      break;
  }
}

void SendStream::Append() {
  AppendBatch batch = std::exchange(batch_, {});
  const std::size_t size = StoredSize(batch);
  bool over = false;
  {
    absl::MutexLock lock(&mu_);
    entering_ = false;
    over = given_up_;
    if (over) --appends_;
  }
  // The call may be gone, and the log with it.
  if (over) return gate_->Leave(size);
  appender_->Append(std::move(batch), [self = shared_from_this(),
                                       size](const AppendResult& result) {
    self->gate_->Leave(size);
    self->OnAppended(result);
  });
}

void SendStream::Refuse(absl::Status status) {
  absl::MutexLock lock(&mu_);
  entering_ = false;
  --appends_;
  // The appends before it are still to be answered, and one of them may fail.
  if (!given_up_) end_ = std::move(status);
}

void SendStream::OnAdmitted() {
  Append();
  absl::MutexLock lock(&mu_);
  Advance();
}

void SendStream::OnTurnedAway() {
  batch_ = {};
  Refuse(TooMuchToStore());
  absl::MutexLock lock(&mu_);
  Advance();
}

void SendStream::OnAppended(const AppendResult& result) {
  absl::MutexLock lock(&mu_);
  --appends_;
  if (given_up_) return;
  if (result.ok()) {
    for (const wire::ReceiptRun& run : *result) {
      wire::AppendReceipt(outgoing_, run);
    }
  } else {
    GiveUpAppends(result.status());
  }
  Advance();
}

void SendStream::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mu_);
  writing_ = false;
  if (!ok) Abort();
  Advance();
}

void SendStream::OnCancel() {
  appender_->Cancel();
  if (gate_->Withdraw(this, call_.connection())) {
    batch_ = {};
    Refuse(absl::CancelledError());
  }
  absl::MutexLock lock(&mu_);
  Abort();
  Advance();
}

void SendStream::OnDone() {
  call_.core().Remove(this);
  {
    absl::MutexLock lock(&context_mu_);
    context_ = nullptr;
  }
  CountBack(call_.core().counters().sends.streams);
  Release();
}

void SendStream::EndUnlessAdmitted() {
  if (end_) return;
  if (absl::Status s = call_.Admit(); !s.ok()) EndWith(std::move(s));
}

void SendStream::EndWith(absl::Status status) {
  if (!end_) end_ = std::move(status);
}

void SendStream::GiveUpAppends(absl::Status status) {
  end_ = std::move(status);
  given_up_ = true;
}

void SendStream::Abort() {
  GiveUpAppends(absl::CancelledError());
  outgoing_.clear();
}

void SendStream::Advance() {
  if (finished_) return;
  if (!writing_ && !outgoing_.empty()) {
    writing_ = true;
    grpc::ByteBuffer response = rpc::MakeBuffer(std::exchange(outgoing_, {}));
    response_.Swap(&response);
    StartWrite(&response_);
  }
  if (end_) {
    if (!writing_ && (appends_ == 0 || given_up_)) {
      finished_ = true;
      Finish(call_.Tell(*end_));
    }
  } else if (!reading_ && !entering_ && appends_ < kMaxAppends &&
             outgoing_.size() < kMaxOutgoingBytes) {
    reading_ = true;
    StartRead(&request_);
  }
}

}  // namespace messenger
