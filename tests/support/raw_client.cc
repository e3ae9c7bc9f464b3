#include "support/raw_client.h"

#include <fmt/format.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <utility>
#include <vector>

#include "messenger/client.h"

namespace messenger::test {
namespace {

using grpc::ByteBuffer;

std::string Varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7U) {
    out += static_cast<char>(value | 0x80U);
  }
  out += static_cast<char>(value);
  return out;
}

std::string ToString(const ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string out;
  if (!buffer.Dump(&slices).ok()) return out;
  for (const grpc::Slice& slice : slices) {
    out.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return out;
}

ByteBuffer ToBuffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return {&slice, 1};
}

std::shared_ptr<grpc::Channel> Connect(int port,
                                       const RawClient::Options& options) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  if (options.fixed_windows) arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  return grpc::CreateCustomChannel(fmt::format("127.0.0.1:{}", port),
                                   options.credentials
                                       ? options.credentials
                                       : grpc::InsecureChannelCredentials(),
                                   arguments);
}

}  // namespace

std::string VarintField(std::uint32_t field, std::uint64_t value) {
  return Varint(std::uint64_t{field} << 3U) + Varint(value);
}

std::string Fixed64Field(std::uint32_t field, std::uint64_t value) {
  std::string out = Varint((std::uint64_t{field} << 3U) | 1U);
  for (int i = 0; i < 8; ++i, value >>= 8U) {
    out += static_cast<char>(value & 0xFFU);
  }
  return out;
}

std::string BytesField(std::uint32_t field, std::string_view bytes) {
  std::string out = Varint((std::uint64_t{field} << 3U) | 2U);
  out += Varint(bytes.size());
  out += bytes;
  return out;
}

// Refers to the channel, whose last reference must not be dropped on a thread
// of gRPC's: so it is destroyed by the test's thread, after OnDone.
class RawStream::Impl final
    : public grpc::ClientBidiReactor<ByteBuffer, ByteBuffer> {
 public:
  static std::unique_ptr<Impl> Start(
      const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
      const RawCallOptions& options) {
    auto impl = std::make_unique<Impl>(channel);
    impl->context_.set_deadline(std::chrono::system_clock::now() +
                                10 * kRawDeadline);
    if (options.gzip) {
      impl->context_.set_compression_algorithm(GRPC_COMPRESS_GZIP);
    }
    if (!options.authorization.empty()) {
      impl->context_.AddMetadata("authorization", options.authorization);
    }
    impl->stub_.PrepareBidiStreamingCall(
        &impl->context_,
        method.starts_with("/") ? method
                                : "/messenger.v1.MessengerServer/" + method,
        {}, impl.get());
    impl->AddHold();  // operations start outside of reactions
    impl->StartCall();
    return impl;
  }

  explicit Impl(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(channel) {}

  void Write(const std::string& bytes) {
    const std::lock_guard lock(mutex_);
    writes_.push_back(ToBuffer(bytes));
    Advance();
  }

  void CloseWrites() {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    Advance();
  }

  bool AwaitWrites(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    while (!write_failed_ && (writing_ || !writes_.empty())) {
      const std::size_t left = writes_.size();
      if (!changed_.wait_for(lock, patience, [&] {
            return write_failed_ || !writing_ || writes_.size() < left;
          })) {
        return false;
      }
    }
    return true;
  }

  void StartReading() {
    const std::lock_guard lock(mutex_);
    if (reading_ || read_) return;
    reading_ = true;
    StartRead(&incoming_);
  }

  std::optional<std::string> AwaitRead() {
    std::unique_lock lock(mutex_);
    Wait(lock, "a message", [this] { return read_.has_value(); });
    if (!*read_) return std::nullopt;  // stays that way
    read_.reset();
    return ToString(incoming_);
  }

  void Cancel() { context_.TryCancel(); }

  grpc::Status Release() {
    std::unique_lock lock(mutex_);
    if (std::exchange(held_, false)) RemoveHold();
    Wait(lock, "the end of a call", [this] { return status_.has_value(); });
    return *status_;
  }

  void OnReadDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    reading_ = false;
    read_ = ok;
    changed_.notify_all();
  }

  void OnWriteDone(bool ok) override { WriteEnded(ok); }
  void OnWritesDoneDone(bool ok) override { WriteEnded(ok); }

  void OnDone(const grpc::Status& status) override {
    const std::lock_guard lock(mutex_);
    status_ = status;
    changed_.notify_all();  // with the lock: this may be gone after it
  }

 private:
  void Wait(std::unique_lock<std::mutex>& lock, const char* what,
            const std::function<bool()>& condition) {
    if (changed_.wait_for(lock, kRawDeadline, condition)) return;
    throw std::runtime_error(
        fmt::format("{} has not come within the deadline", what));
  }

  void WriteEnded(bool ok) {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok) write_failed_ = true;
    Advance();
    changed_.notify_all();
  }

  void Advance() {
    if (writing_ || write_failed_) return;
    if (!writes_.empty()) {
      writing_ = true;
      outgoing_.Swap(&writes_.front());
      writes_.pop_front();
      StartWrite(&outgoing_);
    } else if (closing_) {
      closing_ = false;
      writing_ = true;
      StartWritesDone();
    }
  }

  grpc::GenericStub stub_;
  grpc::ClientContext context_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<ByteBuffer> writes_;
  ByteBuffer outgoing_;
  bool writing_ = false;
  bool closing_ = false;
  bool write_failed_ = false;
  ByteBuffer incoming_;
  bool reading_ = false;
  std::optional<bool> read_;  // whether incoming_ is a message
  bool held_ = true;
  std::optional<grpc::Status> status_;
};

RawStream::RawStream(const std::shared_ptr<grpc::Channel>& channel,
                     const std::string& method, const RawCallOptions& options)
    : impl_(Impl::Start(channel, method, options)) {}

RawStream::RawStream(RawStream&&) noexcept = default;

RawStream::~RawStream() {
  if (!impl_) return;
  impl_->Cancel();
  impl_->Release();
}

void RawStream::Write(const std::string& bytes) {
  impl_->Write(bytes);
}

void RawStream::CloseWrites() {
  impl_->CloseWrites();
}

bool RawStream::AwaitWrites(std::chrono::milliseconds patience) {
  return impl_->AwaitWrites(patience);
}

void RawStream::StartRead() {
  impl_->StartReading();
}

std::optional<std::string> RawStream::Read() {
  impl_->StartReading();
  return impl_->AwaitRead();
}

v1::ReadMessagesResponse RawStream::MustReadMessages() {
  auto frame = MustRead<v1::ReadMessagesResponse>();
  while (frame.messages_size() == 0) {
    frame = MustRead<v1::ReadMessagesResponse>();
  }
  return frame;
}

void RawStream::Cancel() {
  impl_->Cancel();
}

grpc::Status RawStream::Finish() {
  while (Read()) {
  }
  return impl_->Release();
}

RawClient::RawClient(int port, const Options& options)
    : channel_(Connect(port, options)) {}

RawStream RawClient::Open(const std::string& method,
                          const RawCallOptions& options) {
  return {channel_, method, options};
}

RawStream RawClient::Read(const v1::ReadMessagesRequest& request) {
  RawStream stream = Open("ReadMessages");
  stream.Write(request);
  stream.CloseWrites();
  return stream;
}

RawClient::Answer RawClient::Call(const std::string& method,
                                  const std::string& request,
                                  const RawCallOptions& options) {
  RawStream stream = Open(method, options);
  stream.Write(request);
  stream.CloseWrites();
  std::optional<std::string> bytes = stream.Read();
  return {.status = stream.Finish(), .bytes = std::move(bytes).value_or("")};
}

void RawClient::MustSend(const std::string& channel, std::uint64_t count,
                         const std::string& text) {
  RawStream stream = Open("SendMessages");
  const std::uint64_t most =
      std::max<std::uint64_t>(1, (1U << 20U) / (text.size() + 16));
  std::uint64_t stored = 0;
  for (std::uint64_t left = count; left > 0;) {
    v1::SendMessagesRequest request;
    request.set_channel(channel);
    for (std::uint64_t i = std::min(left, most); i > 0; --i, --left) {
      request.add_messages()->set_text(text);
    }
    stream.Write(request);
    if (!stream.AwaitWrites()) throw std::runtime_error("sending hangs");
  }
  stream.CloseWrites();
  while (const auto response = stream.Read<v1::SendMessagesResponse>()) {
    for (const v1::Receipt& receipt : response->receipts()) {
      stored += receipt.count();
    }
  }
  const grpc::Status status = stream.Finish();
  if (!status.ok() || stored != count) {
    throw std::runtime_error(fmt::format("{} of {} messages were stored: {}",
                                         stored, count,
                                         status.error_message()));
  }
}

v1::Channel RawClient::GetChannel(const std::string& channel) {
  v1::GetChannelRequest request;
  request.set_channel(channel);
  const Answer answer = Call("GetChannel", request.SerializeAsString());
  v1::GetChannelResponse response;
  if (answer.status.error_code() != grpc::StatusCode::NOT_FOUND &&
      (!answer.status.ok() || !response.ParseFromString(answer.bytes))) {
    throw std::runtime_error("GetChannel: " + answer.status.error_message());
  }
  return response.channel();
}

void RawClient::AwaitHead(const std::string& channel, std::uint64_t head) {
  const auto end = std::chrono::steady_clock::now() + kRawDeadline;
  for (;;) {
    const std::uint64_t now = GetChannel(channel).head();
    if (now >= head) return;
    if (std::chrono::steady_clock::now() > end) {
      throw std::runtime_error(fmt::format(
          "channel {} has the head {} instead of {}", channel, now, head));
    }
  }
}

void RawClient::AwaitReaders(const std::string& channel,
                             std::uint64_t readers) {
  const auto end = std::chrono::steady_clock::now() + kRawDeadline;
  for (;;) {
    const std::uint64_t now = GetChannel(channel).readers();
    if (now == readers) return;
    if (std::chrono::steady_clock::now() > end) {
      throw std::runtime_error(fmt::format(
          "channel {} has {} readers instead of {}", channel, now, readers));
    }
  }
}

std::string SendAndReadBack(int port) {
  Client client =
      Client::Connect({.target = fmt::format("127.0.0.1:{}", port)});
  const auto receipt =
      client.Send({.channel = "still-serving", .text = "hello"});
  if (!receipt.ok()) return "send: " + receipt.status().ToString();
  const auto text = std::make_shared<std::promise<std::string>>();
  const auto ended = std::make_shared<std::promise<std::string>>();
  const Subscription subscription = client.Read(
      {.channel = "still-serving",
       .start = Start::At(receipt->position.sequence),
       .limit = 1},
      {.on_message =
           [text](const Message& m) { text->set_value(std::string(m.text)); },
       .on_end =
           [ended](const absl::Status& s) { ended->set_value(s.ToString()); }});
  std::future<std::string> end = ended->get_future();
  if (end.wait_for(kRawDeadline) != std::future_status::ready) {
    return "the read does not end";
  }
  if (const std::string status = end.get(); status != "OK") {
    return "read: " + status;
  }
  std::future<std::string> read = text->get_future();
  if (read.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
    return "nothing was read";
  }
  const std::string got = read.get();
  return got == "hello" ? "OK" : "read \"" + got + '"';
}

}  // namespace messenger::test
