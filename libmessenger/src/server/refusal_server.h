// For those who are refused whatever they call.
#pragma once

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "security/access.h"
#include "server/health_service.h"

namespace messenger {

// A gRPC server beside the one with the messages, and much smaller: it says why
// a call is refused, and answers health checks. Peers that have proved nothing,
// and cannot, are left to it: what they cost is memory of a fixed amount, and
// when that is used up they crowd out one another.
//
// Thread safety: all members may be called from any thread; Shutdown once.
class RefusalServer {
 public:
  // Why a caller is refused. Called for each call.
  using Refuse = std::function<absl::Status(const Caller&)>;

  // Null if gRPC cannot start it.
  static std::unique_ptr<RefusalServer> Start(Refuse refuse);

  ~RefusalServer();
  RefusalServer(const RefusalServer&) = delete;
  RefusalServer& operator=(const RefusalServer&) = delete;

  using Acceptor = grpc::experimental::ExternalConnectionAcceptor;
  // Takes connections over, which are not encrypted. Not to be used any more
  // when Shutdown begins.
  Acceptor& acceptor() { return *acceptor_; }

  HealthService& health() { return health_; }

  // Cuts off what there is, and waits until it has ended.
  void Shutdown();

 private:
  explicit RefusalServer(Refuse refuse);

  HealthService health_;
  std::unique_ptr<Acceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace messenger
