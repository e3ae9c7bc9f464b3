// For programs that have a gRPC server of their own: the service to register
// with its builder. The only public header that knows gRPC.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/client.h"
#include "messenger/log.h"
#include "messenger/server.h"
#include "messenger/stats.h"

namespace messenger {

class Access;
struct Caller;

//   auto service = messenger::Service::Create(log).value();
//   grpc::ServerBuilder builder;
//   service->Register(builder);
//   auto server = builder.BuildAndStart();
//   ...
//   service->Drain();                       // ends the readers
//   server->Shutdown(deadline);
//   server.reset();
//   service.reset();                        // after the server
//
// `Server` accepts connections itself, and within bounds. A gRPC server of your
// own does what gRPC does: gRPC 1.51 has no bound for connections, and if the
// process runs out of descriptors once, it never accepts again, and says
// nothing (CVE-2023-4785). So have a limit of descriptors (RLIMIT_NOFILE) that
// is never reached, or bound connections in front of it.
//
// In a forked child (see `Client`), Create fails with FAILED_PRECONDITION, and
// Drain and the destructor do nothing: the service is the parent's.
//
// Thread safety: all members may be called from any thread.
class Service {
 public:
  // By which health checks know it.
  static constexpr const char* kName = "messenger.v1.MessengerServer";

  // INVALID_ARGUMENT names an option that is out of bounds.
  static absl::StatusOr<std::unique_ptr<Service>> Create(
      std::shared_ptr<MessageLog> log, const ServiceOptions& options = {});

  // Destroy it after every grpc::Server that it is registered with.
  ~Service();

  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // Registers the service. Also sets what holds for the whole server, your own
  // services included: a receive limit above max_request_bytes, so that the
  // service's own error answers first; keepalive, so that a peer that is gone
  // is noticed; and no compressed requests, so that none grows beyond the
  // limit. What you set on the builder yourself takes its place, before or
  // afterwards; compression only afterwards.
  void Register(grpc::ServerBuilder& builder);

  // Calls `on_change` with whether the service takes messages: at once, before
  // it returns, and whenever that changes. False while the log refuses appends,
  // since its disk is full or has failed (reading goes on), and from Drain on.
  // It must not block, nor call the service. One at a time; null ends it, and
  // when the call has returned none runs. To tell gRPC's health checks:
  //
  //   grpc::EnableDefaultHealthCheckService(true);  // before BuildAndStart
  //   ...
  //   service->WatchServing(
  //       [health = server->GetHealthCheckService()](bool serving) {
  //         health->SetServingStatus(messenger::Service::kName, serving);
  //       });
  //   ...
  //   service->WatchServing(nullptr);               // before server.reset()
  void WatchServing(std::function<void(bool serving)> on_change);

  // A client that is connected to `server`, which the service is registered
  // with and which runs, without a TCP port. It may outlive both; its calls
  // then fail with UNAVAILABLE, as they do after Drain. The options' target is
  // not used. Not to be called once the server is being shut down, unless Drain
  // has returned before that.
  Client LocalClient(grpc::Server& server, ClientOptions options = {});

  // What it has counted so far; all 0 in a forked child. See StatsOf for its
  // log.
  ServiceStats Stats() const;

  // Ends every reader with UNAVAILABLE, completes the sends that were accepted,
  // and refuses new calls with UNAVAILABLE. Does not wait:
  // grpc::Server::Shutdown does.
  void Drain();

 private:
  friend class Server;
  class Impl;
  explicit Service(std::unique_ptr<Impl> impl);
  // With options that are within bounds.
  static std::unique_ptr<Service> Create(std::shared_ptr<MessageLog> log,
                                         const ServiceOptions& options,
                                         std::unique_ptr<Access> access);
  // Why a caller is not served over its connection, whatever it calls; OK if it
  // may be. Counts what it refuses.
  absl::Status RefusalOf(const Caller& caller);

  std::unique_ptr<Impl> impl_;
};

// As Server::Start, with credentials of the program's own instead of
// ServerOptions::tls: what they encrypt counts as encrypted, and whom they
// identify has that identity (AccessOptions). The server keeps them.
absl::StatusOr<std::unique_ptr<Server>> StartServer(
    ServerOptions options,
    std::shared_ptr<grpc::ServerCredentials> credentials);

// As Client::Connect, with credentials of the program's own instead of
// ClientOptions::tls. They are used for each connection that the client makes.
Client Connect(ClientOptions options,
               std::shared_ptr<grpc::ChannelCredentials> credentials);

// A client over a channel that the program has. It makes no other one, and
// never discards it, so that it is gRPC that connects again, at its own pace;
// options that are about the connection (the target, tls, keepalive, the proxy)
// are not used. What this client expects of a channel is up to the program: a
// receive limit of 17 MiB (GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH) and keepalive.
Client ConnectOver(std::shared_ptr<grpc::Channel> channel,
                   ClientOptions options = {});

}  // namespace messenger
