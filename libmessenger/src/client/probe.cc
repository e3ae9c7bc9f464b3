#include "client/probe.h"

#include <string>

#include "rpc/bytes.h"

namespace messenger {

void Probe::Ask(absl::AnyInvocable<void()> on_end) {
  on_end_ = std::move(on_end);
  request_ = rpc::MakeBuffer(std::string());
  connection_->StartCall(&context_, "GetChannel", &request_, &response_,
                         [this](const grpc::Status&) {
                           // It may own this.
                           auto end = std::move(on_end_);
                           end();
                         });
}

}  // namespace messenger
