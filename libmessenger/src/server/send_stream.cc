#include "server/send_stream.h"

#include <utility>

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
    ServiceCore* core, grpc::CallbackServerContext* context) {
  auto stream = std::make_shared<SendStream>(core, ConnectionOf(*context));
  stream->self_ = stream;
  const bool added = core->AddSendStream(stream);
  absl::MutexLock lock(&stream->mu_);
  if (added) {
    stream->outgoing_ = wire::EncodeEpochResponse(core->log().epoch());
  } else {
    stream->EndWith(core->Tell(core->CheckServing()));
  }
  stream->Advance();
  return stream.get();
}

void SendStream::Drain() {
  absl::MutexLock lock(&mu_);
  EndWith(core_->Tell(core_->CheckServing()));
  Advance();
}

void SendStream::OnReadDone(bool ok) {
  {
    absl::MutexLock lock(&mu_);
    // The client has half-closed, or the call is gone, of which OnCancel tells.
    if (!ok) EndWith(grpc::Status::OK);
    if (end_) {
      reading_ = false;
      return Advance();
    }
    // From here on the request is accepted, and is answered even if the server
    // drains.
    ++appends_;
    entering_ = true;
  }
  Accept();
  absl::MutexLock lock(&mu_);
  reading_ = false;
  Advance();
}

void SendStream::Accept() {
  absl::StatusOr<AppendBatch> batch = ParseBatch(
      request_, core_->send_limits(), wire::ParseSendMessagesRequest);
  request_.Clear();
  if (!batch.ok()) return Refuse(batch.status());
  batch_ = *std::move(batch);
  batch_.source = connection_;
  switch (gate_->Enter(self_, connection_, StoredSize(batch_))) {
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

void SendStream::Refuse(const absl::Status& status) {
  absl::MutexLock lock(&mu_);
  entering_ = false;
  --appends_;
  // The appends before it are still to be answered, and one of them may fail.
  if (!given_up_) end_ = core_->Tell(status);
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
    GiveUpAppends(core_->Tell(result.status()));
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
  if (gate_->Withdraw(this, connection_)) {
    batch_ = {};
    Refuse(absl::OkStatus());
  }
  absl::MutexLock lock(&mu_);
  Abort();
  Advance();
}

void SendStream::OnDone() {
  core_->RemoveSendStream(this);
  self_.reset();
}

void SendStream::EndWith(grpc::Status status) {
  if (!end_) end_ = std::move(status);
}

void SendStream::GiveUpAppends(grpc::Status status) {
  end_ = std::move(status);
  given_up_ = true;
}

void SendStream::Abort() {
  GiveUpAppends(grpc::Status::CANCELLED);
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
      Finish(*end_);
    }
  } else if (!reading_ && !entering_ && appends_ < kMaxAppends &&
             outgoing_.size() < kMaxOutgoingBytes) {
    reading_ = true;
    StartRead(&request_);
  }
}

}  // namespace messenger
