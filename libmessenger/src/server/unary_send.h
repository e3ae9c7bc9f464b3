// SendMessage: one message.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <memory>
#include <utility>

#include "log/message_log.h"
#include "rpc/self_owned.h"
#include "server/append_gate.h"
#include "server/call.h"

namespace messenger {

class UnarySend final : public grpc::ServerUnaryReactor,
                        public AppendGate::Waiter,
                        public rpc::SelfOwned<UnarySend> {
 public:
  static grpc::ServerUnaryReactor* Start(const Call& call,
                                         const grpc::ByteBuffer& request,
                                         grpc::ByteBuffer* response);

  UnarySend(Call call, grpc::ByteBuffer* response)
      : call_(std::move(call)), response_(response) {}

  void OnCancel() override;
  void OnDone() override;

  void OnAdmitted() override;
  void OnTurnedAway() override;

 private:
  // Its reactions are short: without this gRPC runs them on another thread,
  // which costs a third of the calls.
  bool InternalInlineable() override { return true; }

  void Send(const grpc::ByteBuffer& request);
  void OnAppended(const AppendResult& result);

  const Call call_;
  const std::shared_ptr<AppendGate> gate_ = call_.core().append_gate();
  grpc::ByteBuffer* const response_;
  const std::unique_ptr<LogAppender> appender_ =
      call_.core().log().OpenAppender();
  AppendBatch batch_;  // until it has entered the gate
  std::size_t size_ = 0;
};

}  // namespace messenger
