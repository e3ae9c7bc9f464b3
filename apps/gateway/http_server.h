// HTTP/1.1, plain or over TLS: accepts connections, reads requests, writes the
// router's answers.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "apps/gateway/certificate.h"
#include "apps/gateway/router.h"

namespace messenger::app {

struct HttpLimits {
  std::size_t max_connections = 10'000;
  std::uint32_t max_header_bytes = 16 << 10;
  std::size_t max_body_bytes = std::size_t{8} << 20;
  // Of the bodies of all requests together that have not been answered.
  std::size_t max_bodies_bytes = std::size_t{128} << 20;
  // A request must be there in full so long after its first byte, and a TLS
  // handshake so long after the connection.
  std::chrono::nanoseconds request_timeout = std::chrono::seconds(30);
  // A connection may wait for its next request.
  std::chrono::nanoseconds idle_timeout = std::chrono::seconds(75);
  // An answer, or one event of a stream, must have been taken.
  std::chrono::nanoseconds write_timeout = std::chrono::seconds(30);
};

// Thread safety: all members may be called from any thread.
class HttpServer {
 public:
  // Listens on all addresses of `listen`, HOST:PORT; those of a name too. It
  // serves while the context runs; `router` must outlive that, and so must the
  // certificate. Without one, it does not encrypt.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(
      boost::asio::io_context& io, const std::string& listen,
      const HttpLimits& limits, const Router& router,
      const Certificate* certificate);

  HttpServer() = default;
  virtual ~HttpServer() = default;
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // HOST:PORT, with the port that was taken for 0.
  virtual std::string address() const = 0;

  // Accepts nothing more, closes connections that wait for a request, and the
  // others when they have been answered.
  virtual void Drain() = 0;

  // Blocks until there is no connection any more, or the time is up; false
  // then.
  virtual bool WaitUntilEmpty(std::chrono::nanoseconds timeout) = 0;
};

}  // namespace messenger::app
