// SendMessage: one message.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "log/message_log.h"
#include "server/append_gate.h"
#include "server/service_core.h"

namespace messenger {

// Owns itself from Start until OnDone.
class UnarySend final : public grpc::ServerUnaryReactor,
                        public AppendGate::Waiter {
 public:
  static grpc::ServerUnaryReactor* Start(ServiceCore* core,
                                         grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer& request,
                                         grpc::ByteBuffer* response);

  UnarySend(ServiceCore* core, grpc::ByteBuffer* response)
      : core_(core), response_(response) {}

  void OnCancel() override;
  void OnDone() override;

  void OnAdmitted() override;
  void OnTurnedAway() override;

 private:
  // Its reactions are short: without this gRPC runs them on another thread,
  // which costs a third of the calls.
  bool InternalInlineable() override { return true; }

  void Send(const grpc::ByteBuffer& request, std::uint64_t connection);
  void OnAppended(const AppendResult& result);

  ServiceCore* const core_;
  const std::shared_ptr<AppendGate> gate_ = core_->append_gate();
  grpc::ByteBuffer* const response_;
  const std::unique_ptr<LogAppender> appender_ = core_->log().OpenAppender();
  std::shared_ptr<UnarySend> self_;
  AppendBatch batch_;  // until it has entered the gate
  std::uint64_t connection_ = 0;
  std::size_t size_ = 0;
};

}  // namespace messenger
