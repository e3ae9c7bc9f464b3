#include "server/send_stream.h"

#include <utility>

#include "rpc/bytes.h"
#include "rpc/status.h"
#include "server/append_batch.h"

namespace messenger {
namespace {

// Enough for group commit to have something to gather; each holds a request.
constexpr std::size_t kMaxAppends = 16;
// Receipts that the client has not taken.
constexpr std::size_t kMaxOutgoingBytes = std::size_t{64} << 10;

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* SendStream::Start(
    ServiceCore* core) {
  auto stream = std::make_shared<SendStream>(core);
  stream->self_ = stream;
  const bool added = core->AddSendStream(stream);
  absl::MutexLock lock(&stream->mu_);
  if (!added) stream->EndWith(rpc::ToGrpc(core->CheckServing()));
  stream->Advance();
  return stream.get();
}

void SendStream::Drain() {
  absl::MutexLock lock(&mu_);
  EndWith(rpc::ToGrpc(core_->CheckServing()));
  Advance();
}

void SendStream::OnReadDone(bool ok) {
  std::uint64_t index;
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
    index = first_append_ + appends_.size();
    appends_.emplace_back();
  }
  Accept(index);
  absl::MutexLock lock(&mu_);
  reading_ = false;
  Advance();
}

void SendStream::Accept(std::uint64_t index) {
  absl::StatusOr<AppendBatch> batch = ParseBatch(
      request_, core_->send_limits(), wire::ParseSendMessagesRequest);
  request_.Clear();
  if (!batch.ok()) return OnAppended(index, batch.status());
  core_->log().Append(*std::move(batch),
                      [self = self_, index](AppendResult result) {
                        self->OnAppended(index, std::move(result));
                      });
}

void SendStream::OnAppended(std::uint64_t index, AppendResult result) {
  absl::MutexLock lock(&mu_);
  if (index < first_append_) return;  // given up
  appends_[index - first_append_] = std::move(result);
  Advance();
}

void SendStream::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mu_);
  writing_ = false;
  if (!ok) Abort();
  Advance();
}

void SendStream::OnCancel() {
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

void SendStream::Abort() {
  end_ = grpc::Status::CANCELLED;
  first_append_ += appends_.size();
  appends_.clear();
  outgoing_.clear();
}

void SendStream::Advance() {
  if (finished_) return;
  CollectReceipts();
  if (!writing_ && !outgoing_.empty()) {
    writing_ = true;
    grpc::ByteBuffer response = rpc::MakeBuffer(std::exchange(outgoing_, {}));
    response_.Swap(&response);
    StartWrite(&response_);
  }
  if (end_) {
    if (!writing_ && appends_.empty()) {
      finished_ = true;
      Finish(*end_);
    }
  } else if (!reading_ && appends_.size() < kMaxAppends &&
             outgoing_.size() < kMaxOutgoingBytes) {
    reading_ = true;
    StartRead(&request_);
  }
}

void SendStream::CollectReceipts() {
  while (!appends_.empty() && appends_.front()) {
    const AppendResult result = *std::move(appends_.front());
    appends_.pop_front();
    ++first_append_;
    if (!result.ok()) {
      // What was sent after it was not stored either, and has no answer.
      end_ = rpc::ToGrpc(result.status());
      first_append_ += appends_.size();
      appends_.clear();
      return;
    }
    for (const wire::ReceiptRun& run : *result) {
      wire::AppendReceipt(outgoing_, run);
    }
  }
}

}  // namespace messenger
