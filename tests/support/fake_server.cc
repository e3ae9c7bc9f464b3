#include "support/fake_server.h"

#include <fmt/format.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace messenger::test {
namespace {

// One call. Owns itself until OnDone.
class FakeCall final : public grpc::ServerGenericBidiReactor {
 public:
  explicit FakeCall(FakeAnswer answer) : answer_(std::move(answer)) {
    absl::MutexLock lock(&mu_);
    StartRead(&request_);
    Advance();
  }

  void OnReadDone(bool /*ok*/) override {
    absl::MutexLock lock(&mu_);
    requested_ = true;
    Advance();
  }
  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&mu_);
    writing_ = false;
    if (!ok) cancelled_ = true;
    Advance();
  }
  void OnCancel() override {
    absl::MutexLock lock(&mu_);
    cancelled_ = true;
    Advance();
  }
  void OnDone() override { delete this; }

 private:
  void Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (writing_ || finished_) return;
    if (cancelled_) return End(grpc::Status::CANCELLED);
    if (next_ == answer_.at_once.size() &&
        (requested_ || answer_.after_request.empty())) {
      answer_.at_once = std::exchange(answer_.after_request, {});
      next_ = 0;
      answered_ = true;
    }
    if (next_ < answer_.at_once.size()) {
      const grpc::Slice slice(answer_.at_once[next_++]);
      grpc::ByteBuffer bytes(&slice, 1);
      response_.Swap(&bytes);
      writing_ = true;
      StartWrite(&response_);
    } else if (answered_ && answer_.end) {
      End(*answer_.end);
    }
  }
  void End(const grpc::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    finished_ = true;
    Finish(status);
  }

  absl::Mutex mu_;
  FakeAnswer answer_ ABSL_GUARDED_BY(mu_);
  std::size_t next_ ABSL_GUARDED_BY(mu_) = 0;
  bool requested_ ABSL_GUARDED_BY(mu_) = false;
  bool answered_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
};

}  // namespace

class FakeServer::Impl final : public grpc::CallbackGenericService {
 public:
  Impl(Answer answer, const std::string& address) : answer_(std::move(answer)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials(),
                             &port_);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.SetMaxSendMessageSize(-1);
    builder.RegisterCallbackGenericService(this);
    server_ = builder.BuildAndStart();
    if (!server_) throw std::runtime_error("cannot listen on " + address);
  }
  ~Impl() override { server_->Shutdown(std::chrono::system_clock::now()); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  int port() const { return port_; }

 private:
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    const std::string& path = context->method();
    FakeAnswer answer = answer_(path.substr(path.rfind('/') + 1));
    if (answer.gzip) context->set_compression_algorithm(GRPC_COMPRESS_GZIP);
    return new FakeCall(std::move(answer));
  }

  const Answer answer_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

FakeServer::FakeServer(Answer answer, const std::string& address)
    : impl_(std::make_unique<Impl>(std::move(answer), address)) {}

FakeServer::~FakeServer() = default;

int FakeServer::port() const {
  return impl_->port();
}

std::string FakeServer::address() const {
  return fmt::format("127.0.0.1:{}", port());
}

}  // namespace messenger::test
