// Requests to the gateway: how many, and how long each takes.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "messenger/address.h"
#include "messenger/client.h"
#include "peers/runs.h"
#include "percentiles.h"
#include "process_probe.h"
#include "support.h"

namespace messenger::bench {
namespace {

using Samples = std::vector<std::chrono::nanoseconds>;

constexpr const char* kHttpChannel = "bench";
constexpr std::uint64_t kPage = 100;

[[noreturn]] void ThrowErrno(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// One connection that is kept, with one request at a time.
class HttpConnection {
 public:
  explicit HttpConnection(const std::string& address)
      : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (fd_ < 0) ThrowErrno("socket");
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(Value(ParseAddress(address), "the gateway").port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const auto* const any = reinterpret_cast<sockaddr*>(&to);
    const int on = 1;
    if (connect(fd_, any, sizeof to) != 0) ThrowErrno("connect");
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  ~HttpConnection() { close(fd_); }
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  int fd() const { return fd_; }
  Clock::time_point sent_at() const { return sent_at_; }

  void Send(std::string_view request) {
    answer_.clear();
    sent_at_ = Clock::now();
    if (send(fd_, request.data(), request.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request.size())) {
      ThrowErrno("send");
    }
  }

  // Takes what has come; true if that is the whole answer.
  bool Receive() {
    std::array<char, 65536> buffer;
    const ssize_t got = recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return false;
    Check(got > 0, "the gateway has closed a connection");
    answer_.append(buffer.data(), static_cast<std::size_t>(got));
    const std::size_t head = answer_.find("\r\n\r\n");
    if (head == std::string::npos) return false;
    return answer_.size() >= head + 4 + LengthOfBody();
  }

  const std::string& answer() const { return answer_; }

 private:
  std::size_t LengthOfBody() const {
    constexpr std::string_view kName = "\r\nContent-Length: ";
    const std::size_t at = answer_.find(kName);
    Check(at != std::string::npos, "an answer has no length: " + answer_);
    std::size_t length = 0;
    std::from_chars(&answer_[at + kName.size()],
                    answer_.data() + answer_.size(), length);
    return length;
  }

  int fd_;
  std::string answer_;
  Clock::time_point sent_at_;
};

// Requests on several connections, read by one thread.
class Requests {
 public:
  explicit Requests(const RunOptions& options)
      : options_(options), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) ThrowErrno("epoll_create1");
    const std::string body =
        fmt::format(R"({{"text":"{}"}})", MakeText(options.text_bytes));
    get_ = options.system == "get";
    if (get_) {
      head_ = fmt::format(
          "GET /v1/channels/{}/messages?last={} HTTP/1.1\r\n"
          "Host: localhost\r\n",
          kHttpChannel, kPage);
      end_of_head_ = "\r\n";
    } else {
      head_ = fmt::format(
          "POST /v1/channels/{}/messages HTTP/1.1\r\nHost: localhost\r\n"
          "Content-Type: application/json\r\nContent-Length: {}\r\n",
          kHttpChannel, body.size());
      end_of_head_ = "\r\n" + body;
    }
  }
  ~Requests() { close(epoll_); }
  Requests(const Requests&) = delete;
  Requests& operator=(const Requests&) = delete;

  // Flat out.
  Samples Run() {
    for (int i = 0; i < options_.in_flight; ++i) {
      connections_.push_back(
          std::make_unique<HttpConnection>(options_.gateway));
      epoll_event event = {.events = EPOLLIN,
                           .data = {.ptr = connections_.back().get()}};
      if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_.back()->fd(), &event) !=
          0) {
        ThrowErrno("epoll_ctl");
      }
    }
    const Clock::time_point end = Clock::now() + ToDuration(options_.seconds);
    for (const auto& connection : connections_) connection->Send(Request());
    std::array<epoll_event, 64> events{};
    for (std::size_t under_way = connections_.size(); under_way > 0;) {
      const int ready =
          epoll_wait(epoll_, events.data(), events.size(), 10'000);
      Check(ready > 0, "the gateway does not answer");
      for (int i = 0; i < ready; ++i) {
        auto* const connection = static_cast<HttpConnection*>(
            events[static_cast<std::size_t>(i)].data.ptr);
        if (!connection->Receive()) continue;
        const Clock::time_point now = Clock::now();
        samples_.push_back(now - connection->sent_at());
        CheckAnswer(connection->answer());
        if (now < end) {
          connection->Send(Request());
        } else {
          --under_way;
        }
      }
    }
    return std::move(samples_);
  }

 private:
  std::string Request() {
    ++requests_;
    if (options_.system != "post-keyed") return head_ + end_of_head_;
    return fmt::format("{}Idempotency-Key: bench-{}\r\n{}", head_, requests_,
                       end_of_head_);
  }

  void CheckAnswer(std::string_view answer) const {
    Check(answer.starts_with(get_ ? "HTTP/1.1 200 " : "HTTP/1.1 201 "),
          fmt::format("the gateway answers: {}", answer));
    if (!get_) return;
    std::uint64_t messages = 0;
    constexpr std::string_view kMessage = "\"send_time\":";
    for (std::size_t at = 0;
         (at = answer.find(kMessage, at)) != std::string_view::npos; ++at) {
      ++messages;
    }
    Check(messages == kPage,
          fmt::format("a page has {} messages, not {}", messages, kPage));
  }

  const RunOptions& options_;
  const int epoll_;
  bool get_ = false;
  std::string head_;
  std::string end_of_head_;
  std::vector<std::unique_ptr<HttpConnection>> connections_;
  std::uint64_t requests_ = 0;
  Samples samples_;
};

// What GET does, in a program that has the library: a read for each page.
Samples ReadPages(const RunOptions& options) {
  const Client client = Client::Connect(ClientOptionsFor(options.server));
  std::vector<Samples> samples(static_cast<std::size_t>(options.in_flight));
  std::vector<absl::Status> failures(samples.size());
  const Clock::time_point end = Clock::now() + ToDuration(options.seconds);
  const auto work = [&](std::size_t i) {
    for (Clock::time_point now = Clock::now(); now < end && failures[i].ok();) {
      std::uint64_t messages = 0;
      Client reader = client;
      failures[i] =
          reader
              .Read({.channel = kHttpChannel,
                     .start = Start::Last(kPage),
                     .limit = kPage},
                    {.on_message = [&](const Message&) { ++messages; }})
              .Wait();
      if (failures[i].ok() && messages != kPage) {
        failures[i] = absl::DataLossError("a page is not whole");
      }
      const Clock::time_point done = Clock::now();
      samples[i].push_back(done - now);
      now = done;
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    threads.emplace_back(work, i);
  }
  for (std::thread& thread : threads) thread.join();
  Samples all;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    Check(failures[i], "read");
    all.insert(all.end(), samples[i].begin(), samples[i].end());
  }
  return all;
}

// What the pages are of.
void SendOnePage(const RunOptions& options) {
  Client client = Client::Connect(ClientOptionsFor(options.server));
  const std::string text = MakeText(options.text_bytes);
  for (std::uint64_t i = 0; i < kPage; ++i) {
    client.SendAsync({.channel = kHttpChannel, .text = text});
  }
  Check(client.Flush(), "send");
}

}  // namespace

Case RunHttp(const RunOptions& options) {
  SendOnePage(options);
  const ProcessProbe server(options.server_pid);
  const ProcessProbe gateway(options.gateway_pid);
  const CpuMeter server_cpu(server);
  const CpuMeter gateway_cpu(gateway);
  const Clock::time_point start = Clock::now();
  Samples samples =
      options.system == "read" ? ReadPages(options) : Requests(options).Run();
  const double elapsed = SecondsSince(start);
  Case row;
  row.Add("calls", "/s", static_cast<double>(samples.size()) / elapsed);
  AddPercentiles(std::move(samples), &row);
  AddServerCores(server_cpu.Seconds(), elapsed, &row);
  if (!options.gateway.empty()) {
    row.Add("gateway CPU", "cores",
            gateway_cpu.Seconds().value_or(0) / elapsed);
  }
  return row;
}

}  // namespace messenger::bench
