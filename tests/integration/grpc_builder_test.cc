// What Service::Register (messenger/grpc.h) sets for a whole gRPC server, and
// what becomes of it when the program sets it as well.
#include <doctest/doctest.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "messenger/grpc.h"
#include "messenger/log.h"
#include "messenger/v1/messenger.pb.h"
#include "support/printing.h"
#include "support/raw_client.h"
#include "support/tcp_socket.h"

namespace messenger::grpc_builder_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""h;

constexpr std::size_t kMiB = std::size_t{1} << 20;

using Setting = std::function<void(grpc::ServerBuilder&)>;

enum class When : std::uint8_t { kNever, kBefore, kAfter };

// A gRPC server of a program's own, for which `setting` was made before or
// after Register.
class OwnServer {
 public:
  OwnServer(When when, const Setting& setting,
            const ServiceOptions& options = {})
      : service_(Service::Create(OpenLog("memory:").value(), options).value()) {
    grpc::ServerBuilder builder;
    if (when == When::kBefore) setting(builder);
    service_->Register(builder);
    if (when == When::kAfter) setting(builder);
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    server_ = builder.BuildAndStart();
    REQUIRE(server_);
  }
  ~OwnServer() {
    service_->Drain();
    server_->Shutdown();
  }
  OwnServer(const OwnServer&) = delete;
  OwnServer& operator=(const OwnServer&) = delete;

  int port() const { return port_; }

 private:
  const std::unique_ptr<Service> service_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// A reader that answers no ping.
class MuteReader {
 public:
  explicit MuteReader(int port) : socket_(port) {
    socket_.Send(Http2Preface() + Http2Call(1, "ReadMessages") +
                 Http2Data(1, GrpcMessage(BytesField(1, "c")), true));
  }

 private:
  TcpSocket socket_;
};

TEST_CASE("grpc builder: the service's keepalive is in force") {
  const OwnServer server(When::kNever, {},
                         {.keepalive_time = 200ms, .keepalive_timeout = 200ms});
  RawClient client(server.port());
  client.MustSend("c", 1, "first");
  const MuteReader reader(server.port());
  client.AwaitReaders("c", 1);
  client.AwaitReaders("c", 0);
}

TEST_CASE("grpc builder: a program's keepalive takes the service's place") {
  for (const When when : {When::kBefore, When::kAfter}) {
    CAPTURE(static_cast<int>(when));
    const OwnServer server(
        when,
        [](grpc::ServerBuilder& builder) {
          builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 200);
          builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 200);
        },
        {.keepalive_time = 24h, .keepalive_timeout = 24h});
    RawClient client(server.port());
    client.MustSend("c", 1, "first");
    const MuteReader reader(server.port());
    client.AwaitReaders("c", 1);
    client.AwaitReaders("c", 0);  // long before a day is over
  }
}

TEST_CASE("grpc builder: a program's limit takes the service's place") {
  const std::string large =
      BytesField(2, BytesField(4, std::string(2 * kMiB, 'x')));
  const auto error = [&](When when) {
    const OwnServer server(when, [](grpc::ServerBuilder& builder) {
      builder.SetMaxReceiveMessageSize(kMiB);
    });
    RawClient client(server.port());
    return client.Call("SendMessage", large).status;
  };
  const grpc::Status own = error(When::kNever);
  CHECK(own.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  CHECK(own.error_message().find("exceed the limit of 1048576") !=
        std::string::npos);
  for (const When when : {When::kBefore, When::kAfter}) {
    CAPTURE(static_cast<int>(when));
    const grpc::Status status = error(when);
    CHECK(status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
    CHECK(status.error_message().find("larger than max") != std::string::npos);
  }
}

TEST_CASE("grpc builder: compression is off unless it is set afterwards") {
  const std::string request = BytesField(2, BytesField(4, "text"));
  const auto code = [&](When when) {
    const OwnServer server(when, [](grpc::ServerBuilder& builder) {
      builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, true);
    });
    RawClient client(server.port());
    return client.Call("SendMessage", request, {.gzip = true})
        .status.error_code();
  };
  CHECK(code(When::kNever) == grpc::StatusCode::UNIMPLEMENTED);
  CHECK(code(When::kBefore) == grpc::StatusCode::UNIMPLEMENTED);
  CHECK(code(When::kAfter) == grpc::StatusCode::OK);
}

}  // namespace
}  // namespace messenger::grpc_builder_test
