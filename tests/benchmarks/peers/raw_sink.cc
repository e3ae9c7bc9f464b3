#include "peers/raw_sink.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include "support.h"
#include "wire/read.h"

namespace messenger::bench {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{256} << 10;
constexpr std::size_t kTailBytes = 512;
constexpr std::chrono::seconds kSinkPatience(60);

// ---- HTTP/2, RFC 9113.
constexpr std::size_t kHeaderBytes = 9;
enum FrameType : std::uint8_t {
  kData = 0,
  kHeaders = 1,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kWindowUpdate = 8,
};
constexpr std::uint8_t kAck = 1;  // of SETTINGS and PING
constexpr std::uint8_t kEndStream = 1;
constexpr std::uint8_t kEndHeaders = 4;
constexpr std::uint32_t kMaxWindow = 0x7fffffff;

void PutInteger(std::string* out, std::uint32_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) {
    out->push_back(static_cast<char>(value >> (8 * i)));
  }
}

std::string Frame(FrameType type, std::uint8_t flags, std::uint32_t stream,
                  std::string_view payload) {
  std::string frame;
  PutInteger(&frame, static_cast<std::uint32_t>(payload.size()), 3);
  frame.push_back(static_cast<char>(type));
  frame.push_back(static_cast<char>(flags));
  PutInteger(&frame, stream, 4);
  frame.append(payload);
  return frame;
}

std::string WindowUpdate(std::uint32_t stream, std::uint32_t increment) {
  std::string payload;
  PutInteger(&payload, increment, 4);
  return Frame(kWindowUpdate, 0, stream, payload);
}

// HPACK (RFC 7541) without compression: indices of the static table, and
// literals.
std::string Headers(std::string_view authority) {
  std::string block = "\x83\x86";  // :method POST, :scheme http
  const auto literal = [&](std::string_view name, std::string_view value) {
    block += name;
    block.push_back(static_cast<char>(value.size()));
    block += value;
  };
  using namespace std::string_view_literals;
  literal("\x04"sv, "/messenger.v1.MessengerServer/ReadMessages");  // :path
  literal("\x01"sv, authority);               // :authority
  literal("\x0f\x10"sv, "application/grpc");  // content-type
  literal("\x00\x02te"sv, "trailers");
  return block;
}

std::string Preface(const SinkOptions& options) {
  std::string settings;
  PutInteger(&settings, 4, 2);  // SETTINGS_INITIAL_WINDOW_SIZE
  PutInteger(&settings, options.window_bytes, 4);
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Frame(kSettings, 0, 0, settings) +
         WindowUpdate(0, kMaxWindow - 0xffff);
}

std::string Call(const SinkOptions& options, std::uint32_t stream) {
  const std::string request = wire::EncodeReadMessagesRequest(
      {.channel = "bench",
       .start = Start::NewOnly(),
       .heartbeat_interval = options.heartbeat_interval});
  std::string message(1, '\0');  // not compressed
  PutInteger(&message, static_cast<std::uint32_t>(request.size()), 4);
  message += request;
  return Frame(kHeaders, kEndHeaders, stream, Headers(options.address)) +
         Frame(kData, kEndStream, stream, message);
}

}  // namespace

class RawSinks::Connection {
 public:
  Connection(const SinkOptions& options, std::size_t readers)
      : protocol_(options.protocol), unjoined_(readers), buffer_(kBufferBytes) {
    Connect(options.address);
    if (protocol_ == SinkProtocol::kNats) {
      std::string hello = "CONNECT {\"verbose\":false}\r\n";
      for (std::size_t i = 1; i <= readers; ++i) {
        hello += fmt::format("SUB bench {}\r\n", i);
      }
      Send(hello + "PING\r\n");
      unjoined_ = 1;  // one PONG for all
    } else {
      std::string hello = Preface(options);
      for (std::uint32_t i = 0; i < readers; ++i) {
        hello += Call(options, 2 * i + 1);
      }
      Send(hello);
    }
  }

  ~Connection() { close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int fd() const { return fd_; }
  std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  std::uint64_t frames() const {
    return frames_.load(std::memory_order_relaxed);
  }

  void Join() {
    while (unjoined_ > 0) Receive();
    bytes_ = 0;
    frames_ = 0;
  }

  // What is there, or if nothing is, what comes.
  void Receive() {
    const ssize_t got =
        recv(fd_, buffer_.data() + kept_, buffer_.size() - kept_, 0);
    if (got <= 0) {
      throw std::runtime_error("raw sink: the server closed the connection");
    }
    const std::string_view arrived(buffer_.data(),
                                   kept_ + static_cast<std::size_t>(got));
    KeepTail(arrived.substr(kept_));
    if (protocol_ == SinkProtocol::kMessenger) {
      TakeFrames(arrived);
    } else if (unjoined_ > 0) {
      if (tail_.find("PONG\r\n") != std::string::npos) unjoined_ = 0;
    } else {
      Count(static_cast<std::size_t>(got));
    }
  }

  // Whether it has arrived, for the first time.
  bool Finds(const std::string& marker) {
    if (marked_ || tail_.find(marker) == std::string::npos) return false;
    marked_ = true;
    return true;
  }

 private:
  void Connect(const std::string& address) {
    const std::size_t colon = address.rfind(':');
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port =
        htons(static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1))));
    inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    constexpr int kOn = 1;
    if (fd_ < 0 ||
        connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0 ||
        setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &kOn, sizeof kOn) != 0) {
      throw std::system_error(errno, std::generic_category(), "raw sink");
    }
  }

  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0) {
        throw std::system_error(errno, std::generic_category(), "raw sink");
      }
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  void Count(std::size_t bytes) {
    bytes_.store(bytes_.load(std::memory_order_relaxed) + bytes,
                 std::memory_order_release);
  }

  void KeepTail(std::string_view arrived) {
    if (arrived.size() >= kTailBytes) {
      tail_.assign(arrived.substr(arrived.size() - kTailBytes));
      return;
    }
    tail_.append(arrived);
    if (tail_.size() > kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
  }

  void TakeFrames(std::string_view bytes) {
    while (!bytes.empty()) {
      if (data_left_ > 0) {
        const std::string_view data =
            bytes.substr(0, std::min(data_left_, bytes.size()));
        data_left_ -= data.size();
        bytes.remove_prefix(data.size());
        TakeData(data);
        continue;
      }
      if (bytes.size() < kHeaderBytes) break;
      const auto byte = [&](std::size_t i) {
        return static_cast<std::uint8_t>(bytes[i]);
      };
      const std::size_t length = static_cast<std::size_t>(byte(0)) << 16 |
                                 static_cast<std::size_t>(byte(1)) << 8 |
                                 byte(2);
      const std::uint8_t type = byte(3);
      if (type == kData) {
        data_left_ = length;
        bytes.remove_prefix(kHeaderBytes);
        continue;
      }
      if (bytes.size() < kHeaderBytes + length) break;
      TakeControl(type, byte(4), bytes.substr(kHeaderBytes, length));
      bytes.remove_prefix(kHeaderBytes + length);
    }
    kept_ = bytes.size();
    std::memmove(buffer_.data(), bytes.data(), bytes.size());
  }

  void TakeControl(std::uint8_t type, std::uint8_t flags,
                   std::string_view payload) {
    if (type == kSettings && (flags & kAck) == 0) {
      Send(Frame(kSettings, kAck, 0, ""));
    } else if (type == kPing && (flags & kAck) == 0) {
      Send(Frame(kPing, kAck, 0, payload));
    } else if (type == kRstStream || type == kGoAway) {
      throw std::runtime_error("raw sink: the server ended a stream");
    }
  }

  // gRPC's framing: one byte, four of length, and the message. Streams that
  // share a connection only join, each with one small message in one frame.
  void TakeData(std::string_view data) {
    Count(data.size());
    window_used_ += static_cast<std::uint32_t>(data.size());
    if (window_used_ > kMaxWindow / 4) {
      Send(WindowUpdate(0, window_used_) + WindowUpdate(1, window_used_));
      window_used_ = 0;
    }
    while (!data.empty()) {
      if (message_left_ > 0) {
        const std::size_t taken = std::min(message_left_, data.size());
        message_left_ -= taken;
        data.remove_prefix(taken);
        if (message_left_ == 0) EndMessage();
        continue;
      }
      const std::size_t taken = std::min(5 - prefix_.size(), data.size());
      prefix_.append(data.substr(0, taken));
      data.remove_prefix(taken);
      if (prefix_.size() < 5) return;
      for (std::size_t i = 1; i < 5; ++i) {
        message_left_ =
            message_left_ << 8 | static_cast<std::uint8_t>(prefix_[i]);
      }
      prefix_.clear();
      if (message_left_ == 0) EndMessage();
    }
  }

  void EndMessage() {
    frames_.store(frames_.load(std::memory_order_relaxed) + 1,
                  std::memory_order_relaxed);
    if (unjoined_ > 0) --unjoined_;
  }

  const SinkProtocol protocol_;
  int fd_ = -1;
  std::size_t unjoined_;
  std::vector<char> buffer_;
  std::size_t kept_ = 0;  // bytes of a frame that is not complete
  std::string tail_;
  bool marked_ = false;

  std::size_t data_left_ = 0;  // of a DATA frame
  std::uint32_t window_used_ = 0;
  std::string prefix_;
  std::size_t message_left_ = 0;

  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<std::uint64_t> frames_{0};
};

RawSinks::RawSinks(const SinkOptions& options) : epoll_(epoll_create1(0)) {
  const std::size_t count = std::min(options.connections, options.readers);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t readers =
        options.readers / count + (i < options.readers % count ? 1 : 0);
    connections_.push_back(std::make_unique<Connection>(options, readers));
  }
  for (const auto& connection : connections_) connection->Join();
  if (options.stalled) return;
  for (const auto& connection : connections_) {
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.ptr = connection.get();
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connection->fd(), &event) != 0) {
      throw std::system_error(errno, std::generic_category(), "epoll");
    }
  }
  thread_ = std::thread([this] { Run(); });
}

RawSinks::~RawSinks() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
  close(epoll_);
}

void RawSinks::Run() {
  try {
    ReadAll();
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    failed_ = true;
  }
}

void RawSinks::ReadAll() {
  constexpr int kLookMs = 20;  // for stopping_
  std::array<epoll_event, 64> events{};
  while (!stopping_) {
    const int count = epoll_wait(epoll_, events.data(),
                                 static_cast<int>(events.size()), kLookMs);
    for (int i = 0; i < count; ++i) {
      auto* const connection = static_cast<Connection*>(
          events.at(static_cast<std::size_t>(i)).data.ptr);
      connection->Receive();
      if (marker_set_ && connection->Finds(marker_)) ++marked_;
    }
  }
}

std::uint64_t RawSinks::SlowestBytes() const {
  std::uint64_t slowest = UINT64_MAX;
  for (const auto& connection : connections_) {
    slowest = std::min(slowest, connection->bytes());
  }
  return slowest;
}

std::uint64_t RawSinks::TotalBytes() const {
  std::uint64_t sum = 0;
  for (const auto& connection : connections_) sum += connection->bytes();
  return sum;
}

std::uint64_t RawSinks::TotalFrames() const {
  std::uint64_t sum = 0;
  for (const auto& connection : connections_) sum += connection->frames();
  return sum;
}

void RawSinks::ExpectMarker(std::string_view marker) {
  marker_ = marker;
  marked_ = 0;
  marker_set_ = true;
}

void RawSinks::AwaitMarker() const {
  Clock::time_point last_progress = Clock::now();
  std::uint64_t last_bytes = 0;
  while (marked_ < connections_.size()) {
    Check(!failed_, "raw sink: failed");
    if (const std::uint64_t bytes = TotalBytes(); bytes != last_bytes) {
      last_bytes = bytes;
      last_progress = Clock::now();
    }
    Check(Clock::now() - last_progress < kSinkPatience,
          fmt::format("raw sink: {} of {} readers did not get the last message",
                      connections_.size() - marked_, connections_.size()));
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

}  // namespace messenger::bench
