// Calls with bytes of one's own choosing, one operation at a time: what a
// hostile, or merely peculiar, client does.
#pragma once

#include <google/protobuf/message_lite.h>
#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "messenger/v1/messenger.pb.h"

namespace messenger::test {

// How long to wait for what must happen; then the wait throws.
inline constexpr std::chrono::seconds kRawDeadline{30};

// Fields of an encoded message, well-formed or not.
std::string VarintField(std::uint32_t field, std::uint64_t value);
std::string Fixed64Field(std::uint32_t field, std::uint64_t value);
std::string BytesField(std::uint32_t field, std::string_view bytes);

struct RawCallOptions {
  bool gzip = false;
  std::string authorization = {};  // the header; empty: none
};

// One call of any method. Nothing is read ahead of `Read`, and nothing is
// written but by `Write`.
//
// Thread safety: one call at a time.
class RawStream {
 public:
  RawStream(const std::shared_ptr<grpc::Channel>& channel,
            const std::string& method, const RawCallOptions& options = {});
  // Cancels the call, if it has not ended, and waits for its end.
  ~RawStream();
  RawStream(RawStream&& other) noexcept;
  RawStream& operator=(RawStream&& other) = delete;
  RawStream(const RawStream&) = delete;
  RawStream& operator=(const RawStream&) = delete;

  // Puts a message behind those that wait to be written. Does not block.
  void Write(const std::string& bytes);
  void Write(const google::protobuf::MessageLite& message) {
    Write(message.SerializeAsString());
  }
  // Half-closes after what waits to be written.
  void CloseWrites();
  // True when all is written, or the call has ended; false if nothing moves for
  // as long as `patience`.
  bool AwaitWrites(std::chrono::milliseconds patience = kRawDeadline);

  // Asks for the next message without waiting for it; `Read` takes it.
  void StartRead();
  // The next message; nothing at the end of the stream.
  std::optional<std::string> Read();
  // The same, decoded. Throws what cannot be decoded.
  template <typename Response>
  std::optional<Response> Read() {
    const std::optional<std::string> bytes = Read();
    if (!bytes) return std::nullopt;
    std::optional<Response> response(std::in_place);
    if (!response->ParseFromString(*bytes)) {
      throw std::runtime_error("what the server sent cannot be decoded");
    }
    return response;
  }
  // What must be there.
  template <typename Response>
  Response MustRead() {
    std::optional<Response> response = Read<Response>();
    if (!response) throw std::runtime_error("the stream has ended");
    return *std::move(response);
  }
  // Of a ReadMessages: the next frame that has messages.
  v1::ReadMessagesResponse MustReadMessages();

  void Cancel();
  // Reads and drops what is left, and returns how the call has ended.
  grpc::Status Finish();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// A connection of its own to a server on this machine.
class RawClient {
 public:
  struct Options {
    // Leaves HTTP/2 windows at 64 KiB, instead of letting them grow with the
    // traffic: little fits into a stream that nobody reads.
    bool fixed_windows = false;
    // Null: not encrypted.
    std::shared_ptr<grpc::ChannelCredentials> credentials = nullptr;
  };
  explicit RawClient(int port) : RawClient(port, Options()) {}
  RawClient(int port, const Options& options);

  RawStream Open(const std::string& method, const RawCallOptions& options = {});
  // A ReadMessages that has sent its request.
  RawStream Read(const v1::ReadMessagesRequest& request);

  struct Answer {
    grpc::Status status;
    std::string bytes;  // of the first message
  };
  // One request, half-close, and what comes back.
  Answer Call(const std::string& method, const std::string& request,
              const RawCallOptions& options = {});
  template <typename Response>
  Response MustCall(const std::string& method,
                    const google::protobuf::MessageLite& request) {
    const Answer answer = Call(method, request.SerializeAsString());
    Response response;
    if (!answer.status.ok() || !response.ParseFromString(answer.bytes)) {
      throw std::runtime_error(method + ": " + answer.status.error_message());
    }
    return response;
  }

  // Sends `count` messages of this text to `channel`, at most 1 MiB a request.
  void MustSend(const std::string& channel, std::uint64_t count,
                const std::string& text);

  // The channel; with no name if it does not exist.
  v1::Channel GetChannel(const std::string& channel);

  // Ask again and again, until the channel has come so far, or, if it exists,
  // has this many readers.
  void AwaitHead(const std::string& channel, std::uint64_t head);
  void AwaitReaders(const std::string& channel, std::uint64_t readers);

 private:
  std::shared_ptr<grpc::Channel> channel_;
};

// Whether a new client can send a message and read it back: "OK", or what went
// wrong.
std::string SendAndReadBack(int port);

}  // namespace messenger::test
