// Channels to the server, and calls that are not streams.
#pragma once

#include <google/protobuf/message_lite.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/client_callback.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/notice_pace.h"
#include "client/credentials.h"
#include "messenger/client.h"

namespace messenger {

using ByteStream = grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

// The last reference must not be dropped on one of gRPC's own threads:
// gRPC 1.51 ends these threads with the last channel, and a thread that joins
// itself takes memory with it that is still in use. (A ClientContext refers to
// its channel as well.) So what holds a connection is given to an executor to
// be destroyed.
//
// Thread safety: all members may be called from any thread.
class Connection {
 public:
  // What a server may send in one piece: the largest message there can be, and
  // a frame around it. A server's own limits are even, so that it is seen whose
  // one was exceeded.
  static constexpr int kMaxReceiveBytes = (17 << 20) - 1;

  // `token` goes with its calls.
  Connection(std::shared_ptr<grpc::Channel> channel,
             std::shared_ptr<CallToken> token)
      : token_(std::move(token)), stub_(std::move(channel)) {}

  // Prepares a streaming call, whose token is returned; StartCall on the
  // reactor starts it. `method` is its name within the service.
  [[nodiscard]] CallToken::Version PrepareStream(grpc::ClientContext* context,
                                                 const char* method,
                                                 ByteStream* reactor);

  // Starts a call that is not a stream; `on_end` runs on a thread of gRPC's,
  // never before this has returned on the same one.
  void StartCall(grpc::ClientContext* context, const char* method,
                 const grpc::ByteBuffer* request, grpc::ByteBuffer* response,
                 std::function<void(grpc::Status)> on_end);

  // The status of a stream that has ended: as StatusOfOurCall, but UNAVAILABLE
  // if its token was not valid, and there is another one by now.
  absl::Status StatusOf(const grpc::Status& status,
                        CallToken::Version token) const;

  // Blocks until the answer is there or `timeout` is over. DATA_LOSS if it is
  // not an encoded Response. `token`, if there is one, takes the place of the
  // connection's.
  absl::Status Call(const char* method,
                    const google::protobuf::MessageLite& request,
                    google::protobuf::MessageLite* response,
                    std::chrono::milliseconds timeout,
                    const std::optional<std::string>& token = std::nullopt);

  // Asks gRPC's health service after the message service. UNAVAILABLE if that
  // is not SERVING, UNIMPLEMENTED if there is no health service.
  absl::Status CheckHealth(std::chrono::milliseconds timeout);

 private:
  // `method` with its service.
  absl::Status CallRaw(const std::string& method,
                       const grpc::ByteBuffer& request,
                       grpc::ByteBuffer* response,
                       std::chrono::milliseconds timeout,
                       const std::optional<std::string>& token = std::nullopt);

  const std::shared_ptr<CallToken> token_;
  grpc::GenericStub stub_;
};

// Makes connections, one after the other. A call that has lost its connection
// tries again on a fresh one: gRPC would keep one whose other end is silent,
// and decide by itself when to try again.
//
// Thread safety: all members may be called from any thread.
class Connector {
 public:
  // The options' target is what ParseTarget has returned, and http_proxy empty
  // or an address.
  // Credentials of the program's own take the place of those that the options
  // ask for.
  static std::shared_ptr<Connector> ToTarget(
      const ClientOptions& options,
      std::shared_ptr<grpc::ChannelCredentials> credentials = nullptr);
  // Takes ownership of `fd`. There is only this one connection.
  static std::shared_ptr<Connector> ToFd(int fd, const ClientOptions& options);
  // There is only this one connection, which gRPC makes again when it is lost.
  static std::shared_ptr<Connector> Over(std::shared_ptr<grpc::Channel> channel,
                                         const ClientOptions& options);

  bool can_reconnect() const { return can_reconnect_; }

  // The present connection.
  std::shared_ptr<Connection> Get() ABSL_LOCKS_EXCLUDED(mu_);

  // How many it has made.
  std::uint64_t connections() ABSL_LOCKS_EXCLUDED(mu_);

  // `connection` has failed: Get makes another one, if it was the present one
  // and another one can be made. The caller keeps its reference.
  void Discard(const std::shared_ptr<Connection>& connection)
      ABSL_LOCKS_EXCLUDED(mu_);

  // An error of a call on one of the connections, as it is told the user: with
  // the server's name. Contract errors, which are about the request, stay as
  // they are. Apply it once.
  absl::Status WithAddress(const absl::Status& status) const;

  // A stream has ended because of `reason`, and will be tried again; or one
  // has brought something forward. Gives a notice when the one follows the
  // other, at the pace of NoticePace.
  void ReportAway(const absl::Status& reason) ABSL_LOCKS_EXCLUDED(mu_);
  void ReportBack() ABSL_LOCKS_EXCLUDED(mu_);

  // How another connection is made; null: there is only the first one.
  using Make = std::function<std::shared_ptr<grpc::Channel>()>;
  struct Parts {
    std::string name;
    bool can_reconnect = true;
    Make make = nullptr;
    std::shared_ptr<grpc::Channel> first = nullptr;
  };
  Connector(const ClientOptions& options, Parts parts);

 private:
  const std::function<void(std::string_view)> on_notice_;
  const bool encrypts_;
  const std::shared_ptr<CallToken> token_;
  // The server, as notices and errors name it. Empty: it has no address.
  const std::string name_;
  const std::string name_in_errors_;
  const bool can_reconnect_;
  const Make make_;
  absl::Mutex mu_;
  std::shared_ptr<Connection> connection_ ABSL_GUARDED_BY(mu_);
  std::uint64_t connections_ ABSL_GUARDED_BY(mu_);
  bool was_connected_ ABSL_GUARDED_BY(mu_) = false;
  NoticePace away_ ABSL_GUARDED_BY(mu_);
};

// The status of a call that the client did not cancel. A call that broke, in
// whichever way, is UNAVAILABLE; the server's own answers stay as they are.
absl::Status StatusOfCall(const grpc::Status& status);

// The same for a call of the message service. There, UNIMPLEMENTED comes from
// something else that listens where the server should be: UNAVAILABLE.
absl::Status StatusOfOurCall(const grpc::Status& status);

// That the server has not said anything for as long as `waited`.
absl::Status NotAnswered(std::chrono::nanoseconds waited);

}  // namespace messenger
