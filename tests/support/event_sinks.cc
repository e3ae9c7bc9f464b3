#include "support/event_sinks.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <functional>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

namespace messenger::test {
namespace {

constexpr std::chrono::minutes kSinkPatience(1);
// Connections that have been asked for and have not caught up: more would wait
// in the gateway's backlog, and the kernel drop them for seconds.
constexpr std::size_t kMostJoining = 500;
constexpr std::size_t kPieceOfRead = 256 << 10;

template <typename Number>
Number ParseNumber(std::string_view text, int base = 10) {
  Number number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, base);
  if (error != std::errc() || rest != end) {
    throw std::runtime_error(fmt::format("'{}' is no number", text));
  }
  return number;
}

[[noreturn]] void ThrowErrno(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

// One connection: takes the answer apart as far as it must.
class EventSinks::Stream {
 public:
  Stream(EventSinks* sinks, bool stalls) : sinks_(sinks), stalls_(stalls) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd_ < 0) ThrowErrno("socket");
    const EventSinkOptions& options = sinks->options_;
    if (stalls_) {
      const int bytes = 4096;
      setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    }
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(options.port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const auto* const any = reinterpret_cast<sockaddr*>(&address);
    if (connect(fd_, any, sizeof address) != 0) ThrowErrno("connect");
    const std::string request = fmt::format(
        "GET /v1/channels/{}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n",
        options.channel);
    if (send(fd_, request.data(), request.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request.size())) {
      ThrowErrno("send");
    }
  }
  ~Stream() { close(fd_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  int fd() const { return fd_; }

  // Some of what has come; false if it will read no more. Throws.
  bool Read(std::string* buffer) {
    const ssize_t got = recv(fd_, buffer->data(), buffer->size(), MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return true;
    if (got < 0) ThrowErrno("recv");
    if (got == 0) throw std::runtime_error("a stream has ended");
    Take(std::string_view(*buffer).substr(0, static_cast<std::size_t>(got)));
    return !(stalls_ && caught_up_);
  }

 private:
  enum class Part { kHead, kSize, kData };

  void Take(std::string_view bytes) {
    while (!bytes.empty()) {
      if (part_ == Part::kData) {
        const std::string_view data = bytes.substr(0, left_);
        bytes.remove_prefix(data.size());
        left_ -= data.size();
        TakeText(data);
        if (left_ == 0) part_ = Part::kSize;
        continue;
      }
      const std::size_t end = bytes.find('\n');
      line_of_http_.append(bytes.substr(0, end));
      if (end == std::string_view::npos) return;
      bytes.remove_prefix(end + 1);
      if (line_of_http_.ends_with('\r')) line_of_http_.pop_back();
      TakeLineOfHttp(std::exchange(line_of_http_, {}));
    }
  }

  void TakeLineOfHttp(const std::string& line) {
    if (part_ == Part::kHead) {
      if (line.starts_with("HTTP/") && !line.starts_with("HTTP/1.1 200 ")) {
        throw std::runtime_error("the gateway answers: " + line);
      }
      if (line.empty()) part_ = Part::kSize;
      return;
    }
    if (line.empty()) return;  // the end of the chunk before
    left_ = ParseNumber<std::size_t>(line, 16);
    if (left_ == 0) throw std::runtime_error("a stream has ended");
    ++sinks_->pieces_;
    part_ = Part::kData;
  }

  void TakeText(std::string_view text) {
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      if (end == std::string_view::npos) {
        line_.append(text);
        return;
      }
      if (line_.empty()) {
        TakeLine(text.substr(0, end));
      } else {
        line_.append(text.substr(0, end));
        TakeLine(line_);
        line_.clear();
      }
      text.remove_prefix(end + 1);
    }
  }

  void TakeLine(std::string_view line) {
    if (line.starts_with("id: ")) {
      id_ = ParseNumber<std::uint64_t>(line.substr(line.find(':', 4) + 1));
    } else if (line.starts_with("event: ")) {
      type_ = line.substr(7);
    } else if (line.starts_with("data: ")) {
      TakeEvent(line);
      type_.clear();
    }
  }

  void TakeEvent(std::string_view data) {
    if (type_.empty()) {
      if (id_ != ++last_) {
        throw std::runtime_error(
            fmt::format("message {} came instead of {}", id_, last_));
      }
      if (!stalls_) sinks_->OnMessage(id_, std::hash<std::string_view>()(data));
    } else if (type_ == "caught-up") {
      if (!std::exchange(caught_up_, true)) ++sinks_->caught_up_;
    } else if (type_ != "joined" && type_ != "heartbeat") {
      throw std::runtime_error(fmt::format("{}: {}", type_, data));
    }
  }

  EventSinks* const sinks_;
  const bool stalls_;
  int fd_;
  Part part_ = Part::kHead;
  std::string line_of_http_;
  std::size_t left_ = 0;  // of the chunk
  std::string line_;      // as far as it has come
  std::uint64_t id_ = 0;
  std::string type_;
  std::uint64_t last_ = 0;  // the newest message
  bool caught_up_ = false;
};

EventSinks::EventSinks(const EventSinkOptions& options)
    : options_(options),
      arrivals_(options.messages + 1),
      epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_ < 0) ThrowErrno("epoll_create1");
  const std::size_t all = options.streams + options.stalled;
  streams_.resize(all);
  thread_ = std::thread([this] { Run(); });
  try {
    Progress progress;
    for (std::size_t opened = 0; caught_up_ < all;) {
      for (; opened < all && opened < caught_up_ + kMostJoining; ++opened) {
        Open(opened);
      }
      WaitABit(caught_up_, &progress);
    }
  } catch (...) {
    stopping_ = true;
    thread_.join();
    close(epoll_);
    throw;
  }
}

EventSinks::~EventSinks() {
  stopping_ = true;
  thread_.join();
  close(epoll_);
}

void EventSinks::Open(std::size_t index) {
  // Those that stall lie among the others.
  const std::size_t all = options_.streams + options_.stalled;
  const bool stalls =
      (index + 1) * options_.stalled / all > index * options_.stalled / all;
  streams_[index] = std::make_unique<Stream>(this, stalls);
  epoll_event event = {.events = EPOLLIN,
                       .data = {.ptr = streams_[index].get()}};
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, streams_[index]->fd(), &event) != 0) {
    ThrowErrno("epoll_ctl");
  }
}

void EventSinks::Run() {
  try {
    ReadAll();
  } catch (const std::exception& error) {
    failure_ = error.what();
    failed_ = true;
  }
}

void EventSinks::ReadAll() {
  std::string buffer(kPieceOfRead, '\0');
  std::array<epoll_event, 256> events{};
  while (!stopping_) {
    const int ready = epoll_wait(epoll_, events.data(), events.size(), 10);
    for (int i = 0; i < ready; ++i) {
      auto* const stream =
          static_cast<Stream*>(events[static_cast<std::size_t>(i)].data.ptr);
      if (stream->Read(&buffer)) continue;
      epoll_ctl(epoll_, EPOLL_CTL_DEL, stream->fd(), nullptr);
    }
  }
}

void EventSinks::OnMessage(std::uint64_t message, std::size_t bytes_hash) {
  Arrival& arrival = arrivals_.at(message);
  if (arrival.streams == 0) arrival.bytes_hash = bytes_hash;
  if (arrival.bytes_hash != bytes_hash) {
    throw std::runtime_error(
        fmt::format("message {} is not the same everywhere", message));
  }
  ++received_;
  if (++arrival.streams < options_.streams) return;
  arrival.last = Clock::now();
  complete_ = message;
}

void EventSinks::Await(std::uint64_t message) const {
  Progress progress;
  while (complete_ < message) WaitABit(received_, &progress);
}

void EventSinks::WaitABit(std::uint64_t now, Progress* progress) const {
  if (failed_) throw std::runtime_error("an event stream: " + failure_);
  if (now != progress->value) *progress = {.value = now};
  if (Clock::now() - progress->since > kSinkPatience) {
    throw std::runtime_error(
        fmt::format("event streams: nothing comes after {}", now));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

EventSinks::Clock::time_point EventSinks::ArrivedAt(
    std::uint64_t message) const {
  return arrivals_.at(message).last;
}

}  // namespace messenger::test
