#include "server/reflection_guard.h"

#include <grpc/grpc.h>
#include <grpcpp/server_context.h>

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "rpc/status.h"
#include "server/caller.h"

namespace messenger {
namespace {

using grpc::experimental::InterceptionHookPoints;

class Guard final : public grpc::experimental::Interceptor {
 public:
  Guard(Access* access, grpc::ServerContextBase* context)
      : access_(access), context_(context) {}

  void Intercept(
      grpc::experimental::InterceptorBatchMethods* methods) override {
    // At the beginning, and with each request.
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_INITIAL_METADATA) ||
        methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_MESSAGE)) {
      Check();
    }
    methods->Proceed();
  }

 private:
  void Check() {
    const Caller caller = CallerOf(*context_, context_->peer());
    const absl::Status status = access_->Admit(caller, std::nullopt, {});
    if (status.ok()) return;
    access_->NoteRefusal(caller, status);
    // An interceptor cannot answer; this makes gRPC answer so.
    const grpc::Status answer = rpc::ToGrpc(status);
    grpc_call_cancel_with_status(
        context_->c_call(), static_cast<grpc_status_code>(answer.error_code()),
        answer.error_message().c_str(), nullptr);
  }

  Access* const access_;
  grpc::ServerContextBase* const context_;
};

}  // namespace

std::vector<
    std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
ReflectionGuard::Creators(Access* access) {
  std::vector<
      std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
      creators;
  creators.push_back(std::make_unique<ReflectionGuard>(access));
  return creators;
}

grpc::experimental::Interceptor* ReflectionGuard::CreateServerInterceptor(
    grpc::experimental::ServerRpcInfo* info) {
  const std::string_view method = info->method();
  if (!method.starts_with("/grpc.reflection.")) return nullptr;
  return new Guard(access_, info->server_context());
}

}  // namespace messenger
