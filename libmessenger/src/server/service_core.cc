#include "server/service_core.h"

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "rpc/init.h"
#include "server/send_stream.h"

namespace messenger {

ServiceCore::ServiceCore(std::shared_ptr<MessageLog> log,
                         const ServiceOptions& options)
    : log_(std::move(log)),
      options_(options),
      frames_(options.max_frames_in_flight_bytes) {
  rpc::KeepInitialized();
  log_->AddListener(&fan_out_);
}

ServiceCore::~ServiceCore() {
  log_->RemoveListener(&fan_out_);
}

void ServiceCore::Drain() {
  std::vector<std::shared_ptr<SendStream>> streams;
  {
    absl::MutexLock lock(&mu_);
    draining_ = true;
    for (const auto& [pointer, stream] : send_streams_) {
      streams.push_back(stream);
    }
  }
  fan_out_.Drain();
  for (const auto& stream : streams) stream->Drain();
}

absl::Status ServiceCore::CheckServing() const {
  if (!draining_) return absl::OkStatus();
  return absl::UnavailableError("the server is shutting down");
}

bool ServiceCore::AddSendStream(const std::shared_ptr<SendStream>& stream) {
  absl::MutexLock lock(&mu_);
  if (draining_) return false;
  send_streams_.emplace(stream.get(), stream);
  return true;
}

void ServiceCore::RemoveSendStream(SendStream* stream) {
  absl::MutexLock lock(&mu_);
  send_streams_.erase(stream);
}

}  // namespace messenger
