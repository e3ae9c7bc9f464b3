// A gRPC server that answers every call as it is told: what a hostile, or
// merely another, server does.
#pragma once

#include <grpcpp/support/status.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace messenger::test {

// What one call is answered.
struct FakeAnswer {
  std::vector<std::string> at_once = {};        // before a request has come
  std::vector<std::string> after_request = {};  // when the first one has
  // Then, without waiting for a request if nothing comes after it; nothing: the
  // call stays open.
  std::optional<grpc::Status> end = grpc::Status::OK;
  bool gzip = false;
};

// Thread safety: all members may be called from any thread.
class FakeServer {
 public:
  // `answer` is called for each call with the name of its method, without the
  // service, on gRPC's threads. Listens on `address`, a gRPC target.
  using Answer = std::function<FakeAnswer(const std::string& method)>;
  explicit FakeServer(Answer answer,
                      const std::string& address = "127.0.0.1:0");
  ~FakeServer();
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;

  int port() const;
  // 127.0.0.1:PORT.
  std::string address() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace messenger::test
