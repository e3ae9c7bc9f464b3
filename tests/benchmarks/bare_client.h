// Clients of the bare gRPC server, which do as little as a client can.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/client_callback.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "bare_server.h"
#include "process_probe.h"

namespace messenger::bench {

// A channel with a connection of its own.
std::shared_ptr<grpc::Channel> MakeChannel(
    const std::string& target,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials =
        grpc::InsecureChannelCredentials());

// Counts the bytes of a stream, from construction on.
class BareReader final
    : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  // `request` is an encoded BareStreamRequest or, to be a bare reader of the
  // message log, ReadMessagesRequest.
  BareReader(const std::shared_ptr<grpc::Channel>& channel,
             const std::string& request);

  std::uint64_t frames() const { return frames_; }
  std::uint64_t bytes() const { return bytes_; }
  void Cancel() { context_.TryCancel(); }
  // Until the stream has ended; it must be called before destruction.
  grpc::Status Wait();

  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

 private:
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer frame_;
  std::atomic<std::uint64_t> frames_{0};
  std::atomic<std::uint64_t> bytes_{0};
  grpc::Status status_;
  absl::Notification done_;
};

// What streams to several readers came to, once all of them were under way.
struct BareFanOut {
  double seconds = 0;
  double frames = 0;
  double bytes = 0;
  std::optional<double> server_cpu_seconds;
};

BareFanOut MeasureBareFanOut(
    const std::string& target, const ProcessProbe& server, int readers,
    int connections, const BareStreamRequest& request, double seconds,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials =
        grpc::InsecureChannelCredentials());

// Bytes per second of preformed requests to the server.
double MeasureBareUpload(const std::string& target, std::size_t request_bytes,
                         double seconds);

}  // namespace messenger::bench
