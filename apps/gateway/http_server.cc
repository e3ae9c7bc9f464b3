#include "apps/gateway/http_server.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_suffix.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/flat_stream.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <new>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/cleanup/cleanup.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "apps/common/event.h"
#include "apps/common/time.h"
#include "apps/gateway/budget.h"
#include "apps/gateway/problem.h"
#include "messenger/address.h"

namespace messenger::app {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
namespace net = boost::asio;
namespace ssl = net::ssl;
using net::ip::tcp;

// Completions as values: an error is no exception here.
constexpr auto kAwait = net::as_tuple(net::use_awaitable);

// A request, or why there is none: an answer after which the connection is
// closed, or nothing to say any more.
struct Incoming {
  std::optional<Request> request = std::nullopt;
  std::optional<Response> refusal = std::nullopt;
  Headers common = {};  // of the answer
  bool is_head = false;
  bool is_http_1_0 = false;
  bool keep_alive = false;
};

std::string Date() {
  return absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::Now(),
                          absl::UTCTimeZone());
}

// Everything before the body.
std::string HeadOf(const Response& response, const Incoming& incoming,
                   bool keep_alive) {
  std::string head =
      fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\n", response.status,
                  ReasonOf(response.status), Date());
  const auto add = [&head](std::string_view name, std::string_view value) {
    head.append(name).append(": ").append(value).append("\r\n");
  };
  if (!response.content_type.empty()) {
    add("Content-Type", response.content_type);
  }
  for (const Header& header : incoming.common) {
    if (!FindHeader(response.headers, header.name)) {
      add(header.name, header.value);
    }
  }
  for (const Header& header : response.headers) add(header.name, header.value);
  if (response.stream && !incoming.is_http_1_0) {
    add("Transfer-Encoding", "chunked");
  } else if (!response.stream && response.status != 204 &&
             response.status != 304) {
    add("Content-Length", std::to_string(response.body.size()));
  }
  if (!keep_alive) add("Connection", "close");
  head.append("\r\n");
  return head;
}

Response AnswerToTimeout(const HttpLimits& limits) {
  const std::chrono::duration<double> timeout = limits.request_timeout;
  return ToResponse(
      {.status = 408,
       .detail = fmt::format("the request was not there in full after {}",
                             FormatDuration(limits.request_timeout)),
       .limit = timeout.count()});
}

// Nothing if nobody is there any more.
std::optional<Response> AnswerToError(const beast::error_code& error,
                                      const HttpLimits& limits) {
  if (error == http::error::header_limit ||
      error == http::error::buffer_overflow) {
    return ToResponse(
        {.status = 431,
         .detail = fmt::format("the header is larger than {} bytes",
                               limits.max_header_bytes),
         .limit = limits.max_header_bytes});
  }
  if (error == http::error::body_limit) {
    return ToResponse({.status = 413,
                       .detail = fmt::format("the body is larger than {} bytes",
                                             limits.max_body_bytes),
                       .limit = limits.max_body_bytes});
  }
  if (error == http::error::end_of_stream ||
      error == http::error::partial_message ||
      error.category() !=
          http::make_error_code(http::error::bad_method).category()) {
    return std::nullopt;
  }
  return ToResponse(
      {.status = 400,
       .detail = "the request is not HTTP/1.1: " + error.message()});
}

// Suspends until the router has answered.
net::awaitable<Response> AwaitAnswer(const Router& router, Request request) {
  const auto start = [&router, &request](auto done) {
    const auto shared = std::make_shared<decltype(done)>(std::move(done));
    router.Answer(request, [shared](Response response) {
      const auto executor = net::get_associated_executor(*shared);
      net::post(executor, [shared, response = std::move(response)]() mutable {
        (*shared)(std::move(response));
      });
    });
  };
  co_return co_await net::async_initiate<const net::use_awaitable_t<>&,
                                         void(Response)>(start,
                                                         net::use_awaitable);
}

// Suspends until the stream has its next piece.
net::awaitable<BodyStream::Text> AwaitPiece(BodyStream& stream) {
  using Text = BodyStream::Text;
  const auto start = [&stream](auto done) {
    stream.Next([done = std::move(done)](Text piece) mutable {
      const auto executor = net::get_associated_executor(done);
      net::post(executor,
                [done = std::move(done), piece = std::move(piece)]() mutable {
                  done(std::move(piece));
                });
    });
  };
  co_return co_await net::async_initiate<const net::use_awaitable_t<>&,
                                         void(Text)>(start, net::use_awaitable);
}

// The bytes of one connection, encrypted or not. It is a stream to Asio and
// Beast, so that what reads and writes HTTP is the same for both.
class Line {
 public:
  using executor_type = tcp::socket::executor_type;

  explicit Line(tcp::socket socket) : socket_(std::move(socket)) {}

  executor_type get_executor() { return socket_.get_executor(); }
  tcp::socket& socket() { return socket_; }

  // From now on; there must be no reading nor writing under way.
  net::awaitable<bool> Encrypt(std::shared_ptr<ssl::context> context) {
    context_ = std::move(context);
    tls_ = std::make_unique<Tls>(socket_, *context_);
    const auto [error] = co_await tls_->next_layer().async_handshake(
        ssl::stream_base::server, kAwait);
    co_return !error;
  }

  // Tells the other end of an encrypted one that this was all.
  net::awaitable<void> SayEnd() {
    co_await tls_->next_layer().async_shutdown(kAwait);
  }

  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    if (tls_) {
      return tls_->async_read_some(buffers, std::forward<Token>(token));
    }
    return socket_.async_read_some(buffers, std::forward<Token>(token));
  }

  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    if (tls_) {
      return tls_->async_write_some(buffers, std::forward<Token>(token));
    }
    return socket_.async_write_some(buffers, std::forward<Token>(token));
  }

  // What is taken without waiting, which an encrypted one cannot do by halves.
  template <typename Buffers>
  std::size_t WriteAtOnce(const Buffers& buffers, beast::error_code& error) {
    return tls_ ? 0 : socket_.write_some(buffers, error);
  }

 private:
  // Flat: else each buffer, however short, would be a record of its own.
  using Tls = beast::flat_stream<ssl::stream<tcp::socket&>>;

  tcp::socket socket_;
  std::shared_ptr<ssl::context> context_;
  std::unique_ptr<Tls> tls_;
};

class Session;

// What the sessions share.
class Sessions {
 public:
  Sessions(const HttpLimits& limits, const Router& router,
           const Certificate* certificate)
      : limits_(limits),
        router_(router),
        certificate_(certificate),
        bodies_(limits.max_bodies_bytes) {}

  const HttpLimits& limits() const { return limits_; }
  const Router& router() const { return router_; }
  // Null: nothing is encrypted.
  const Certificate* certificate() const { return certificate_; }
  Budget& bodies() { return bodies_; }
  bool draining() const { return draining_; }

  // False if there are too many.
  bool Add(Session* session) {
    absl::MutexLock lock(&mu_);
    if (draining_ || sessions_.size() >= limits_.max_connections) return false;
    sessions_.insert(session);
    return true;
  }

  void Remove(Session* session) {
    absl::MutexLock lock(&mu_);
    sessions_.erase(session);
    if (draining_ && sessions_.empty()) empty_.Set();
  }

  void Drain();

  bool WaitUntilEmpty(std::chrono::nanoseconds timeout) {
    return WaitForAny({{empty_.fd(), POLLIN}},
                      std::chrono::ceil<std::chrono::milliseconds>(timeout))
        .has_value();
  }

 private:
  const HttpLimits limits_;
  const Router& router_;
  const Certificate* const certificate_;
  Budget bodies_;
  std::atomic<bool> draining_ = false;
  Event empty_;  // after the drain
  absl::Mutex mu_;
  std::set<Session*> sessions_ ABSL_GUARDED_BY(mu_);
};

// One connection. All of it runs on the strand of its socket.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, std::shared_ptr<Sessions> sessions)
      : line_(std::move(socket)),
        timer_(line_.get_executor()),
        sessions_(std::move(sessions)),
        peer_(PeerOf(line_.socket())) {}

  net::awaitable<void> Run() {
    const auto self = shared_from_this();
    if (sessions_->Add(this)) {
      // Whatever ends it: no memory for a request ends its connection.
      const absl::Cleanup remove = [this] { sessions_->Remove(this); };
      bool goes_on = co_await Begin();
      while (goes_on) {
        goes_on = co_await Exchange();
      }
    } else {
      // Not within the call: g++ 12 would destroy what is made there twice.
      const Incoming nothing;
      Response refusal = ToResponse(
          {.status = 503, .detail = "too many connections; try again"});
      if (sessions_->certificate() == nullptr) {
        co_await Write(nothing, std::move(refusal));
        co_await Linger();
      }
    }
    Disarm();
    beast::error_code ignored;
    line_.socket().close(ignored);
  }

  void DrainSoon() {
    net::post(line_.get_executor(), [self = shared_from_this()] {
      if (!self->is_idle_) return;
      beast::error_code ignored;
      self->line_.socket().cancel(ignored);
    });
  }

 private:
  using Clock = std::chrono::steady_clock;

  // From now on, what takes longer is cancelled, until Disarm or another Arm.
  void Arm(std::chrono::nanoseconds timeout) {
    // More would overflow.
    constexpr std::chrono::hours kMost(24 * 365);
    timed_out_ = false;
    deadline_ =
        Clock::now() + std::min<std::chrono::nanoseconds>(timeout, kMost);
    timer_.expires_at(deadline_);
    AwaitDeadline();
  }

  void Disarm() {
    timed_out_ = false;
    deadline_ = Clock::time_point::max();
    timer_.cancel();
  }

  void AwaitDeadline() {
    timer_.async_wait([weak = weak_from_this()](beast::error_code error) {
      const auto self = weak.lock();
      if (error || !self || Clock::now() < self->deadline_) return;
      self->timed_out_ = true;
      beast::error_code ignored;
      self->line_.socket().cancel(ignored);
      // It may have been between two operations, and the next one begin now.
      self->timer_.expires_after(std::chrono::milliseconds(100));
      self->AwaitDeadline();
    });
  }

  // What is answered to a request that cannot be read.
  std::optional<Response> AnswerToFailure(
      const beast::error_code& error) const {
    return timed_out_ ? AnswerToTimeout(sessions_->limits())
                      : AnswerToError(error, sessions_->limits());
  }

  static Peer PeerOf(const tcp::socket& socket) {
    beast::error_code error;
    const tcp::endpoint endpoint = socket.remote_endpoint(error);
    if (error) return {};
    net::ip::address address = endpoint.address();
    if (address.is_v6() && address.to_v6().is_v4_mapped()) {
      address = net::ip::make_address_v4(net::ip::v4_mapped, address.to_v6());
    }
    return {.address = address.to_string(), .is_local = address.is_loopback()};
  }

  // Makes the connection one that carries requests; false if it cannot.
  net::awaitable<bool> Begin() {
    if (sessions_->certificate() == nullptr) co_return true;
    is_idle_ = true;
    if (sessions_->draining()) co_return false;
    Arm(sessions_->limits().request_timeout);
    tcp::socket& socket = line_.socket();
    unsigned char first = 0;
    ssize_t got = 0;
    do {
      // It may end although there is nothing yet.
      const auto [error] =
          co_await socket.async_wait(tcp::socket::wait_read, kAwait);
      if (error) co_return false;
      got = recv(socket.native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
    } while (got < 0 && (errno == EAGAIN || errno == EINTR));
    if (got != 1) co_return false;
    constexpr unsigned char kHandshakeRecord = 0x16;
    if (first != kHandshakeRecord) {
      co_await WriteInTime(net::buffer(kPlainRefusal));
      co_await Linger();
      co_return false;
    }
    peer_.is_encrypted =
        co_await line_.Encrypt(sessions_->certificate()->context());
    is_idle_ = false;
    Disarm();
    co_return peer_.is_encrypted;
  }

  // One request and its answer; false if the connection ends.
  net::awaitable<bool> Exchange() {
    if (!co_await AwaitFirstByte()) co_return false;
    Budget::Claim claim(&sessions_->bodies());
    Incoming incoming = co_await Read(&claim);
    if (incoming.refusal) {
      // The rest of the request may still be on its way.
      incoming.keep_alive = false;
      co_await Write(incoming, *std::move(incoming.refusal));
      co_await Linger();
      co_return false;
    }
    if (!incoming.request) co_return false;
    Disarm();
    Response response =
        co_await AwaitAnswer(sessions_->router(), *std::move(incoming.request));
    incoming.keep_alive = incoming.keep_alive && !sessions_->draining();
    if (response.stream) {
      co_await WriteStream(incoming, std::move(response));
      co_return false;
    }
    const bool is_taken = co_await Write(incoming, std::move(response));
    if (is_taken && !incoming.keep_alive && peer_.is_encrypted) {
      Arm(kGoodbyeTimeout);
      co_await line_.SayEnd();
    }
    co_return is_taken&& incoming.keep_alive;
  }

  net::awaitable<bool> AwaitFirstByte() {
    if (buffer_.size() > 0) co_return true;
    is_idle_ = true;
    if (sessions_->draining()) co_return false;
    Arm(sessions_->limits().idle_timeout);
    const auto [error, size] =
        co_await line_.async_read_some(buffer_.prepare(kReadBytes), kAwait);
    buffer_.commit(size);
    is_idle_ = false;
    co_return !error;
  }

  net::awaitable<Incoming> Read(Budget::Claim* claim) {
    const HttpLimits& limits = sessions_->limits();
    const Router& router = sessions_->router();
    Incoming incoming;
    http::request_parser<http::string_body> parser;
    parser.header_limit(limits.max_header_bytes);
    parser.body_limit(limits.max_body_bytes);
    Arm(limits.request_timeout);
    auto [error, _] =
        co_await http::async_read_header(line_, buffer_, parser, kAwait);
    if (error) {
      incoming.refusal = AnswerToFailure(error);
      co_return incoming;
    }
    Request request = HeadOfRequest(parser, &incoming);
    request.peer = peer_;
    incoming.common = router.CommonHeaders(request.headers);
    if (!incoming.refusal) incoming.refusal = router.AnswerHead(request);
    if (!incoming.refusal &&
        parser.content_length().value_or(0) > limits.max_body_bytes) {
      incoming.refusal = AnswerToError(http::error::body_limit, limits);
    }
    if (incoming.refusal) co_return incoming;
    if (!co_await Continue(request, &incoming)) co_return incoming;
    std::size_t taken = 0;
    while (!parser.is_done()) {
      auto [body_error, size] =
          co_await http::async_read_some(line_, buffer_, parser, kAwait);
      if (body_error) {
        incoming.refusal = AnswerToFailure(body_error);
        co_return incoming;
      }
      const std::size_t now = parser.get().body().size();
      if (!claim->Add(now - std::exchange(taken, now))) {
        incoming.refusal = ToResponse(
            {.status = 503, .detail = "too many large requests; try again"});
        co_return incoming;
      }
    }
    request.body = std::move(parser.get().body());
    incoming.request = std::move(request);
    co_return incoming;
  }

  // Takes the header over; `incoming->refusal` says what is wrong with it.
  static Request HeadOfRequest(http::request_parser<http::string_body>& parser,
                               Incoming* incoming) {
    const auto& head = parser.get();
    Request request{.method = std::string(head.method_string())};
    for (const auto& field : head) {
      request.headers.push_back({.name = std::string(field.name_string()),
                                 .value = std::string(field.value())});
    }
    incoming->is_head = request.method == "HEAD";
    incoming->is_http_1_0 = head.version() < 11;
    incoming->keep_alive = parser.keep_alive();
    absl::Status status = CheckFraming(request.headers, incoming->is_http_1_0);
    if (status.ok()) {
      auto target = ParseRequestTarget(
          std::string_view(head.target().data(), head.target().size()));
      status = target.status();
      if (target.ok()) request.target = *std::move(target);
    }
    if (!status.ok()) incoming->refusal = ToResponse(ProblemOf(status));
    return request;
  }

  // A client may wait for leave to send its body.
  net::awaitable<bool> Continue(const Request& request, Incoming* incoming) {
    const auto expect = FindHeader(request.headers, "Expect");
    if (!expect) co_return true;
    if (!EqualsIgnoringCase(*expect, "100-continue")) {
      incoming->refusal = ToResponse({.status = 417,
                                      .detail = "Expect: must be 100-continue",
                                      .field = "Expect",
                                      .value = std::string(*expect)});
      co_return false;
    }
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    const auto [error, _] = co_await net::async_write(
        line_, net::buffer(kContinue.data(), kContinue.size()), kAwait);
    co_return !error;
  }

  net::awaitable<bool> Write(const Incoming& incoming, Response response) {
    const std::string head = HeadOf(response, incoming, incoming.keep_alive);
    std::array<net::const_buffer, 2> buffers = {net::buffer(head),
                                                net::buffer(response.body)};
    if (incoming.is_head) buffers[1] = {};
    co_return co_await WriteInTime(buffers);
  }

  // Each piece, however large, has the whole time. Mostly it is taken at once,
  // which spares the timer and a way through the context.
  template <typename Buffers>
  net::awaitable<bool> WriteInTime(const Buffers& buffers) {
    beast::error_code error;
    beast::buffers_suffix<Buffers> rest(buffers);
    rest.consume(line_.WriteAtOnce(rest, error));
    if (error && error != net::error::would_block) co_return false;
    if (beast::buffer_bytes(rest) == 0) co_return true;
    Arm(sessions_->limits().write_timeout);
    const auto [late_error, _] = co_await net::async_write(line_, rest, kAwait);
    Disarm();
    co_return !late_error;
  }

  net::awaitable<void> WriteStream(const Incoming& incoming,
                                   Response response) {
    const std::shared_ptr<BodyStream> body = std::move(response.stream);
    response.stream = body;
    const std::string head = HeadOf(response, incoming, /*keep_alive=*/false);
    // From now on, a read waits for the end of the connection.
    Disarm();
    buffer_.clear();
    buffer_.shrink_to_fit();
    net::co_spawn(line_.get_executor(), AwaitHangUp(shared_from_this(), body),
                  net::detached);
    bool is_taken = co_await WriteInTime(net::buffer(head));
    while (true) {
      const auto piece = co_await AwaitPiece(*body);
      if (!piece) break;
      if (is_taken && !piece->empty()) {
        is_taken = co_await WritePiece(*piece, incoming.is_http_1_0);
      }
      // The stream has to be asked until its end.
      if (!is_taken) body->Cancel();
    }
    if (is_taken && !incoming.is_http_1_0) {
      constexpr std::string_view kLastChunk = "0\r\n\r\n";
      co_await WriteInTime(net::buffer(kLastChunk.data(), kLastChunk.size()));
    }
    // A read is under way: over TLS, only the last chunk says that this was
    // all.
    beast::error_code ignored;
    line_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    line_.socket().cancel(ignored);
  }

  net::awaitable<bool> WritePiece(const std::string& piece, bool is_http_1_0) {
    const std::string size = fmt::format("{:x}\r\n", piece.size());
    const std::array<net::const_buffer, 3> chunk = {
        net::buffer(size), net::buffer(piece), net::buffer("\r\n", 2)};
    // Not as one expression: g++ 12 would await both of them.
    if (is_http_1_0) {
      co_return co_await WriteInTime(net::buffer(piece));
    }
    co_return co_await WriteInTime(chunk);
  }

  // What comes while a stream is sent can only be its end: nobody may ask for
  // more behind an answer that does not end.
  static net::awaitable<void> AwaitHangUp(std::shared_ptr<Session> self,
                                          std::shared_ptr<BodyStream> body) {
    std::array<char, 1> byte{};
    co_await self->line_.async_read_some(net::buffer(byte), kAwait);
    body->Cancel();
  }

  // Takes what is still coming, as it is, within bounds: a connection that is
  // closed over unread bytes is reset, and the answer may be lost with it.
  net::awaitable<void> Linger() {
    constexpr std::size_t kMost = std::size_t{16} << 20;
    beast::error_code ignored;
    line_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    buffer_.clear();
    Arm(kGoodbyeTimeout);
    for (std::size_t taken = 0; taken < kMost;) {
      const auto [error, size] = co_await line_.socket().async_read_some(
          buffer_.prepare(kReadBytes), kAwait);
      if (error) co_return;
      taken += size;
    }
  }

  static constexpr std::size_t kReadBytes = 4096;
  // For who has been told that there is nothing more.
  static constexpr std::chrono::seconds kGoodbyeTimeout{2};
  static constexpr std::string_view kPlainRefusal =
      "HTTP/1.1 400 Bad Request\r\n"
      "Content-Type: text/plain; charset=utf-8\r\n"
      "Connection: close\r\n"
      "\r\n"
      "This port speaks HTTPS: the URL has to begin with https://\n";

  Line line_;
  net::steady_timer timer_;
  Clock::time_point deadline_ = Clock::time_point::max();
  bool timed_out_ = false;
  // Its budget, too, until the context destroys what was cut off.
  const std::shared_ptr<Sessions> sessions_;
  Peer peer_;
  beast::flat_buffer buffer_;
  bool is_idle_ = false;
};

void Sessions::Drain() {
  draining_ = true;
  absl::MutexLock lock(&mu_);
  for (Session* const session : sessions_) session->DrainSoon();
  if (sessions_.empty()) empty_.Set();
}

class Server final : public HttpServer {
 public:
  Server(net::io_context& io, const HttpLimits& limits, const Router& router,
         const Certificate* certificate)
      : io_(io),
        sessions_(std::make_shared<Sessions>(limits, router, certificate)) {}

  absl::Status Listen(const std::string& listen) {
    auto address = ParseAddress(listen);
    if (!address.ok()) return address.status();
    address_ = *std::move(address);
    tcp::resolver resolver(io_);
    beast::error_code error;
    const auto endpoints =
        resolver.resolve(address_.host, std::to_string(address_.port),
                         tcp::resolver::passive, error);
    if (error) return Failed(error);
    for (const auto& entry : endpoints) {
      tcp::endpoint endpoint = entry.endpoint();
      endpoint.port(address_.port);
      error = Open(endpoint);
      if (error) return Failed(error);
      address_.port = acceptors_.back().local_endpoint().port();
    }
    for (tcp::acceptor& acceptor : acceptors_) {
      net::co_spawn(acceptor.get_executor(), Accept(acceptor), net::detached);
    }
    return absl::OkStatus();
  }

  std::string address() const override { return address_.ToString(); }

  void Drain() override {
    // The acceptors are the context's.
    for (tcp::acceptor& acceptor : acceptors_) {
      net::post(acceptor.get_executor(), [&acceptor] {
        beast::error_code ignored;
        acceptor.close(ignored);
      });
    }
    sessions_->Drain();
  }

  bool WaitUntilEmpty(std::chrono::nanoseconds timeout) override {
    return sessions_->WaitUntilEmpty(timeout);
  }

 private:
  absl::Status Failed(const beast::error_code& error) const {
    return absl::FailedPreconditionError(fmt::format(
        "cannot listen on {}: {}", address_.ToString(), error.message()));
  }

  beast::error_code Open(const tcp::endpoint& endpoint) {
    beast::error_code error;
    tcp::acceptor acceptor(net::make_strand(io_));
    acceptor.open(endpoint.protocol(), error);
    if (!error) {
      acceptor.set_option(net::socket_base::reuse_address(true), error);
    }
    if (!error) acceptor.bind(endpoint, error);
    if (!error) {
      acceptor.listen(net::socket_base::max_listen_connections, error);
    }
    if (!error) acceptors_.push_back(std::move(acceptor));
    return error;
  }

  static void SetUp(tcp::socket& socket) {
    beast::error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    // What is written without waiting must not wait.
    socket.non_blocking(true, ignored);
    // What the other end does not take should not gather in the kernel, where
    // it would be megabytes: who takes nothing is noticed soon, and cheap.
    constexpr int kMostUnsentBytes = 64 << 10;
    setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT,
               &kMostUnsentBytes, sizeof kMostUnsentBytes);
  }

  net::awaitable<void> Accept(tcp::acceptor& acceptor) {
    while (!sessions_->draining()) {
      const auto new_strand = net::make_strand(io_);
      auto [error, accepted] =
          co_await acceptor.async_accept(new_strand, kAwait);
      if (error == net::error::operation_aborted ||
          error == net::error::bad_descriptor) {
        co_return;
      }
      if (error || !Begin(std::move(accepted))) {
        // Out of descriptors, for example: it does not help to ask at once.
        net::steady_timer timer(acceptor.get_executor(),
                                std::chrono::milliseconds(100));
        co_await timer.async_wait(kAwait);
      }
    }
  }

  // False if there is no memory for another one.
  template <typename Accepted>
  bool Begin(Accepted accepted) {
    try {
      const auto strand = accepted.get_executor();
      tcp::socket socket(std::move(accepted));
      SetUp(socket);
      const auto session =
          std::make_shared<Session>(std::move(socket), sessions_);
      net::co_spawn(
          strand, [session] { return session->Run(); }, net::detached);
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }

  net::io_context& io_;
  Address address_;
  const std::shared_ptr<Sessions> sessions_;
  std::vector<tcp::acceptor> acceptors_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(
    net::io_context& io, const std::string& listen, const HttpLimits& limits,
    const Router& router, const Certificate* certificate) {
  auto server = std::make_unique<Server>(io, limits, router, certificate);
  if (absl::Status status = server->Listen(listen); !status.ok()) {
    return status;
  }
  return server;
}

}  // namespace messenger::app
