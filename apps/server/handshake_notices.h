// Tells an operator of TLS handshakes that fail.
#pragma once

#include <functional>
#include <string_view>

namespace messenger::app {

// gRPC says so in its log alone. While this lives, what gRPC logs of handshakes
// becomes notices, each reason once a minute at most, unless the environment
// asks for gRPC's log itself (GRPC_VERBOSITY). One at a time.
class HandshakeNotices {
 public:
  // `on_notice` is called by threads of gRPC's.
  explicit HandshakeNotices(std::function<void(std::string_view)> on_notice);
  ~HandshakeNotices();
  HandshakeNotices(const HandshakeNotices&) = delete;
  HandshakeNotices& operator=(const HandshakeNotices&) = delete;
};

}  // namespace messenger::app
