#include "bare_server.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "disk.h"
#include "messenger/v1/messenger.grpc.pb.h"

namespace messenger::bench {
namespace {

using Methods = v1::MessengerServer;
using RawService = Methods::WithRawCallbackMethod_SendMessage<
    Methods::WithRawCallbackMethod_SendMessages<
        Methods::WithRawCallbackMethod_ReadMessages<Methods::Service>>>;

// Writes one frame after the other, or the next when the pacer says so. Whoever
// clears ready_ has the turn.
class BareStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void Remove(BareStream* stream) = 0;
  };

  BareStream(Owner* owner, const BareStreamRequest& request)
      : owner_(owner),
        frame_(MakeBuffer(std::string(request.frame_bytes, 'x'))),
        left_(request.frames),
        paced_(request.interval.count() > 0) {}

  // The first frame goes at once.
  void Start() { StartWrite(&frame_); }

  // Skips the beat while a write is under way.
  void Beat() {
    if (ready_.exchange(false)) StartWrite(&frame_);
  }

  void OnWriteDone(bool ok) override {
    if (!ok || cancelled_) return Finish(grpc::Status::CANCELLED);
    if (left_ > 0 && --left_ == 0) return Finish(grpc::Status::OK);
    if (!paced_) return StartWrite(&frame_);
    ready_ = true;
    if (cancelled_ && ready_.exchange(false)) Finish(grpc::Status::CANCELLED);
  }

  void OnCancel() override {
    cancelled_ = true;
    if (ready_.exchange(false)) Finish(grpc::Status::CANCELLED);
  }

  void OnDone() override { owner_->Remove(this); }

 private:
  Owner* const owner_;
  const grpc::ByteBuffer frame_;
  std::uint64_t left_;
  const bool paced_;
  std::atomic<bool> ready_{false};
  std::atomic<bool> cancelled_{false};
};

// Reads until the client has no more, and ends.
class BareSink final
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  BareSink() { StartRead(&request_); }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    request_.Clear();
    StartRead(&request_);
  }
  void OnDone() override { delete this; }

 private:
  grpc::ByteBuffer request_;
};

}  // namespace

grpc::ByteBuffer MakeBuffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return {&slice, 1};
}

std::string BareStreamRequest::Encode() const {
  return fmt::format("{} {} {}", frame_bytes, frames, interval.count());
}

BareStreamRequest BareStreamRequest::Decode(const std::string& text) {
  BareStreamRequest request;
  std::chrono::microseconds::rep interval = 0;
  std::istringstream(text) >> request.frame_bytes >> request.frames >> interval;
  request.interval = std::chrono::microseconds(interval);
  return request;
}

class BareServer::Service final : public RawService, public BareStream::Owner {
 public:
  explicit Service(const std::string& synced_file)
      : pacer_([this] { Pace(); }) {
    if (!synced_file.empty()) {
      synced_ = std::make_unique<SyncedFile>(synced_file);
    }
  }

  ~Service() override {
    {
      absl::MutexLock lock(&mu_);
      stopping_ = true;
    }
    pacer_.join();
  }

  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  grpc::ServerUnaryReactor* SendMessage(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override {
    if (synced_) Sync(*request);
    *response = MakeBuffer("");
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* SendMessages(
      grpc::CallbackServerContext* /*context*/) override {
    return new BareSink;
  }

  grpc::ServerWriteReactor<grpc::ByteBuffer>* ReadMessages(
      grpc::CallbackServerContext* /*context*/,
      const grpc::ByteBuffer* bytes) override {
    grpc::Slice slice;
    static_cast<void>(bytes->DumpToSingleSlice(&slice));
    const BareStreamRequest request = BareStreamRequest::Decode(
        {reinterpret_cast<const char*>(slice.begin()), slice.size()});
    auto* const stream = new BareStream(this, request);
    if (request.interval.count() > 0) {
      absl::MutexLock lock(&mu_);
      interval_ = absl::FromChrono(request.interval);
      changed_ = true;
      paced_.push_back(stream);
    }
    stream->Start();
    return stream;
  }

  void Remove(BareStream* stream) override {
    {
      absl::MutexLock lock(&mu_);
      std::erase(paced_, stream);
    }
    delete stream;
  }

 private:
  void Sync(const grpc::ByteBuffer& request) {
    grpc::Slice slice;
    static_cast<void>(request.DumpToSingleSlice(&slice));
    absl::MutexLock lock(&synced_mu_);
    synced_->Append(
        {reinterpret_cast<const char*>(slice.begin()), slice.size()});
  }

  void Pace() {
    absl::MutexLock lock(&mu_);
    absl::Time next = absl::Now();
    while (!stopping_) {
      for (BareStream* stream : paced_) stream->Beat();
      next = std::max(next + interval_, absl::Now());
      while (mu_.AwaitWithDeadline(absl::Condition(this, &Service::Disturbed),
                                   next) &&
             !stopping_) {
        changed_ = false;
        next = std::min(next, absl::Now() + interval_);
      }
    }
  }

  bool Disturbed() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return stopping_ || changed_;
  }

  absl::Mutex synced_mu_;
  std::unique_ptr<SyncedFile> synced_;

  absl::Mutex mu_;
  std::vector<BareStream*> paced_ ABSL_GUARDED_BY(mu_);
  absl::Duration interval_ ABSL_GUARDED_BY(mu_) = absl::Milliseconds(100);
  bool changed_ ABSL_GUARDED_BY(mu_) = false;  // interval_
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread pacer_;  // last: it uses all of the above
};

BareServer::BareServer(
    const std::string& address, const std::string& synced_file,
    const std::shared_ptr<grpc::ServerCredentials>& credentials)
    : service_(std::make_unique<Service>(synced_file)) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address, credentials, &port);
  builder.RegisterService(service_.get());
  server_ = builder.BuildAndStart();
  if (!server_ || port == 0) {
    throw std::runtime_error("bare server: cannot listen on " + address);
  }
  address_ = fmt::format("{}:{}", address.substr(0, address.rfind(':')), port);
}

BareServer::~BareServer() {
  server_->Shutdown(std::chrono::system_clock::now());
  server_.reset();  // before service_
}

}  // namespace messenger::bench
