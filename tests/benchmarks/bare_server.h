// The baseline: gRPC with the log's methods, and no log.
#pragma once

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/support/byte_buffer.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace messenger::bench {

// In one slice.
grpc::ByteBuffer MakeBuffer(const std::string& bytes);

// What a reader asks of the bare server, instead of a ReadMessagesRequest.
struct BareStreamRequest {
  std::size_t frame_bytes = 0;
  // 0: until the reader cancels.
  std::uint64_t frames = 0;
  // Between frames; 0: as fast as they go. All paced streams share one clock,
  // that of the one which came last.
  std::chrono::microseconds interval{0};

  std::string Encode() const;
  static BareStreamRequest Decode(const std::string& text);
};

// Answers SendMessage with an empty message, drops what comes with
// SendMessages, and writes preformed frames to ReadMessages. Uses the raw
// callback methods, as the message log does.
class BareServer {
 public:
  // Throws std::runtime_error if it cannot listen on `address`. If there is a
  // `synced_file`, each SendMessage writes its request there and syncs it, on
  // gRPC's thread, before it answers.
  explicit BareServer(const std::string& address,
                      const std::string& synced_file = {},
                      const std::shared_ptr<grpc::ServerCredentials>&
                          credentials = grpc::InsecureServerCredentials());
  ~BareServer();

  BareServer(const BareServer&) = delete;
  BareServer& operator=(const BareServer&) = delete;

  const std::string& address() const { return address_; }

 private:
  class Service;

  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace messenger::bench
