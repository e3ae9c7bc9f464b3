#include "bare_client.h"

#include <grpcpp/create_channel.h>

#include <algorithm>
#include <thread>

#include "support.h"

namespace messenger::bench {
namespace {

constexpr const char* kReadMessages =
    "/messenger.v1.MessengerServer/ReadMessages";
constexpr const char* kSendMessages =
    "/messenger.v1.MessengerServer/SendMessages";

class BareUpload final
    : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  BareUpload(const std::string& target, std::size_t request_bytes,
             Clock::duration time)
      : stub_(MakeChannel(target)),
        request_(MakeBuffer(std::string(request_bytes, 'x'))),
        end_(Clock::now() + time) {
    stub_.PrepareBidiStreamingCall(&context_, kSendMessages, {}, this);
    StartWrite(&request_);
    StartCall();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return;
    bytes_ += request_.Length();
    if (Clock::now() < end_) {
      StartWrite(&request_);
    } else {
      StartWritesDone();
    }
  }

  void OnDone(const grpc::Status& status) override {
    status_ = status;
    done_.Notify();
  }

  double AwaitBytes() {
    done_.WaitForNotification();
    Check(status_.ok(), "bare upload: " + status_.error_message());
    return static_cast<double>(bytes_);
  }

 private:
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  const grpc::ByteBuffer request_;
  const Clock::time_point end_;
  std::uint64_t bytes_ = 0;
  grpc::Status status_;
  absl::Notification done_;
};

}  // namespace

std::shared_ptr<grpc::Channel> MakeChannel(
    const std::string& target,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(target, credentials, arguments);
}

BareReader::BareReader(const std::shared_ptr<grpc::Channel>& channel,
                       const std::string& request)
    : stub_(channel), request_(MakeBuffer(request)) {
  stub_.PrepareBidiStreamingCall(&context_, kReadMessages, {}, this);
  StartWriteLast(&request_, grpc::WriteOptions());
  StartRead(&frame_);
  StartCall();
}

grpc::Status BareReader::Wait() {
  done_.WaitForNotification();
  return status_;
}

void BareReader::OnReadDone(bool ok) {
  if (!ok) return;
  bytes_ += frame_.Length();
  ++frames_;
  frame_.Clear();
  StartRead(&frame_);
}

void BareReader::OnDone(const grpc::Status& status) {
  status_ = status;
  done_.Notify();
}

BareFanOut MeasureBareFanOut(
    const std::string& target, const ProcessProbe& server, int readers,
    int connections, const BareStreamRequest& request, double seconds,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < std::min(readers, connections); ++i) {
    channels.push_back(MakeChannel(target, credentials));
  }
  std::vector<std::unique_ptr<BareReader>> streams;
  for (std::size_t i = 0; i < static_cast<std::size_t>(readers); ++i) {
    streams.push_back(std::make_unique<BareReader>(
        channels[i % channels.size()], request.Encode()));
  }
  const auto total = [&streams] {
    BareFanOut sum;
    for (const auto& stream : streams) {
      sum.frames += static_cast<double>(stream->frames());
      sum.bytes += static_cast<double>(stream->bytes());
    }
    return sum;
  };
  for (const auto& stream : streams) {
    while (stream->frames() == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  const BareFanOut before = total();
  const CpuMeter cpu(server);
  const Clock::time_point start = Clock::now();
  std::this_thread::sleep_for(ToDuration(seconds));
  BareFanOut result = total();
  result.server_cpu_seconds = cpu.Seconds();
  result.seconds = SecondsSince(start);
  result.frames -= before.frames;
  result.bytes -= before.bytes;

  for (const auto& stream : streams) stream->Cancel();
  for (const auto& stream : streams) stream->Wait();
  return result;
}

double MeasureBareUpload(const std::string& target, std::size_t request_bytes,
                         double seconds) {
  const Clock::time_point start = Clock::now();
  BareUpload upload(target, request_bytes, ToDuration(seconds));
  const double bytes = upload.AwaitBytes();
  return bytes / SecondsSince(start);
}

}  // namespace messenger::bench
