// gRPC's reflection, for those who may use the server.
#pragma once

#include <grpcpp/support/server_interceptor.h>

#include <memory>
#include <vector>

#include "security/access.h"

namespace messenger {

// Ends the calls of gRPC's own reflection service whose callers are not
// admitted. It is not a method of ours, which asks Call::Admit.
class ReflectionGuard final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  // For one server, which `access` must outlive.
  static std::vector<
      std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
  Creators(Access* access);

  explicit ReflectionGuard(Access* access) : access_(access) {}

  // Null for all other methods.
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override;

 private:
  Access* const access_;
};

}  // namespace messenger
