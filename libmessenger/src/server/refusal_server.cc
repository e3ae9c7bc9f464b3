#include "server/refusal_server.h"

#include <grpc/grpc.h>
#include <grpcpp/ext/health_check_service_server_builder_option.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>

#include <chrono>
#include <cstddef>
#include <utility>

#include "base/narrow.h"
#include "rpc/status.h"
#include "server/acceptor.h"
#include "server/caller.h"

namespace messenger {
namespace {

// More than any health check has; gRPC gathers a message before it measures it.
constexpr int kMaxRequestBytes = 4 << 10;
// Of all connections together. gRPC ends some of them at the limit.
constexpr std::size_t kMaxBytes = std::size_t{32} << 20;
constexpr int kMaxCallsPerConnection = 16;
// What is read at a time, and what a peer may send ahead in a call.
constexpr int kReadAhead = 16 << 10;
// Who has been refused has no reason to stay, nor has one who says nothing.
constexpr std::chrono::milliseconds kMaxIdle = std::chrono::seconds(60);

}  // namespace

std::unique_ptr<RefusalServer> RefusalServer::Start(Refuse refuse) {
  std::unique_ptr<RefusalServer> refusal(new RefusalServer(std::move(refuse)));
  return refusal->server_ ? std::move(refusal) : nullptr;
}

RefusalServer::RefusalServer(Refuse refuse)
    : health_([refuse = std::move(refuse)](
                  const grpc::GenericCallbackServerContext& context) {
        return rpc::ToGrpc(refuse(CallerOf(context, context.peer())));
      }) {
  grpc::ServerBuilder builder;
  builder.RegisterCallbackGenericService(&health_);
  builder.SetOption(
      std::make_unique<grpc::HealthCheckServiceServerBuilderOption>(nullptr));
  builder.SetResourceQuota(
      grpc::ResourceQuota("messenger-refusals").Resize(kMaxBytes));
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  for (const auto& [argument, value] :
       {std::pair(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxCallsPerConnection),
        std::pair(GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, kReadAhead),
        std::pair(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kReadAhead),
        std::pair(GRPC_ARG_HTTP2_BDP_PROBE, 0),
        std::pair(GRPC_ARG_MAX_CONNECTION_IDLE_MS,
                  Narrow<int>(kMaxIdle.count())),
        std::pair(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                  Narrow<int>(kHandshakeTimeout.count())),
        std::pair(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0)}) {
    builder.AddChannelArgument(argument, value);
  }
  acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      grpc::InsecureServerCredentials());
  server_ = builder.BuildAndStart();
}

RefusalServer::~RefusalServer() {
  acceptor_.reset();  // before server_
  server_.reset();    // before health_
}

void RefusalServer::Shutdown() {
  health_.End();
  // A deadline that is over, whatever the clock says.
  server_->Shutdown(std::chrono::system_clock::time_point());
}

}  // namespace messenger
