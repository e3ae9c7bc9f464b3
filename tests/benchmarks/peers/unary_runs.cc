// One message a call: how many calls, and how long each takes.
#include <fmt/format.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <stdexcept>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "bare_client.h"
#include "messenger/v1/messenger.grpc.pb.h"
#include "peers/peer.h"
#include "peers/runs.h"
#include "percentiles.h"
#include "support.h"

namespace messenger::bench {
namespace {

using Samples = std::vector<std::chrono::nanoseconds>;

// SendMessage calls with gRPC's callback API: of our server, or of the bare
// one, which is asked in the same words.
class Calls {
 public:
  explicit Calls(const RunOptions& options)
      : options_(options),
        stub_(v1::MessengerServer::NewStub(MakeChannel(
            options.server.address, CredentialsFor(options.server)))) {
    request_.set_channel("bench");
    request_.mutable_message()->set_author(options.author);
    request_.mutable_message()->set_text(MakeText(options.text_bytes));
  }

  // So many at a time, flat out.
  Samples FlatOut() {
    end_ = Clock::now() + ToDuration(options_.seconds);
    for (int i = 0; i < options_.in_flight; ++i) Start();
    return Finish();
  }

  // One each millisecond or so.
  Samples Paced() {
    const auto tick = ToDuration(1.0 / options_.rate);
    const auto count = static_cast<int>(options_.seconds * options_.rate);
    end_ = {};
    Clock::time_point next = Clock::now();
    for (int i = 0; i < count; ++i) {
      std::this_thread::sleep_until(next);
      Start();
      next += tick;
    }
    return Finish();
  }

 private:
  struct Call {
    grpc::ClientContext context;
    v1::SendMessageResponse response;
    Clock::time_point start = Clock::now();
  };

  void Start() {
    const std::string& token = options_.server.token;
    {
      absl::MutexLock lock(&mu_);
      ++calls_;
    }
    auto* const raw = new Call;
    if (!token.empty()) {
      raw->context.AddMetadata("authorization", "Bearer " + token);
    }
    // A call refers to its channel, which must not end on a thread of gRPC's:
    // so Finish waits until there are no calls any more.
    const std::shared_ptr<Call> call(raw, [this](Call* ended) {
      delete ended;
      absl::MutexLock lock(&mu_);
      --calls_;
    });
    stub_->async()->SendMessage(
        &raw->context, &request_, &raw->response,
        [this, call](const grpc::Status& status) { Done(*call, status); });
  }

  void Done(const Call& call, const grpc::Status& status) {
    const Clock::time_point now = Clock::now();
    {
      absl::MutexLock lock(&mu_);
      samples_.push_back(now - call.start);
      if (!status.ok()) failure_ = status.error_message();
      if (!status.ok() || now >= end_) return;
    }
    Start();
  }

  Samples Finish() {
    absl::MutexLock lock(&mu_);
    const auto over = [this] { return calls_ == 0; };
    mu_.Await(absl::Condition(&over));
    Check(failure_.empty(), "SendMessage: " + failure_);
    return std::move(samples_);
  }

  const RunOptions& options_;
  const std::unique_ptr<v1::MessengerServer::Stub> stub_;
  v1::SendMessageRequest request_;
  Clock::time_point end_;
  absl::Mutex mu_;
  Samples samples_;
  int calls_ = 0;
  std::string failure_;
};

Samples CallPeer(const RunOptions& options) {
  const std::unique_ptr<StorePeer> peer = MakeStore(options);
  const std::string text = MakeText(options.text_bytes);
  Samples samples;
  const Clock::time_point end = Clock::now() + ToDuration(options.seconds);
  while (Clock::now() < end) {
    const Clock::time_point start = Clock::now();
    peer->SendOne(text);
    samples.push_back(Clock::now() - start);
  }
  return samples;
}

}  // namespace

Case RunUnary(const RunOptions& options) {
  const Clock::time_point start = Clock::now();
  Samples samples;
  if (options.system == "messenger" || options.system == "bare") {
    Calls calls(options);
    samples = options.rate > 0 ? calls.Paced() : calls.FlatOut();
  } else {
    samples = CallPeer(options);
  }
  Case row;
  row.Add("calls", "/s",
          static_cast<double>(samples.size()) / SecondsSince(start));
  AddPercentiles(std::move(samples), &row);
  return row;
}

}  // namespace messenger::bench
