#include "server/service_core.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/counters.h"
#include "base/status.h"
#include "rpc/init.h"
#include "rpc/status.h"
#include "server/send_stream.h"

namespace messenger {
namespace {

// Of what may be appended at a time, that may wait besides.
constexpr std::size_t kWaitingFactor = 4;

// Takes `directory` off the paths in `text`, which leaves what a file is called
// within it. Returns whether there were any.
bool HideDirectory(std::string_view directory, std::string* text) {
  if (directory.empty()) return false;
  bool found = false;
  std::size_t at = 0;
  while ((at = text->find(directory, at)) != std::string::npos) {
    const bool begins =
        at == 0 || std::string_view(" \"(").find((*text)[at - 1]) !=
                       std::string_view::npos;
    std::size_t end = at + directory.size();
    if (!begins || (end < text->size() && (*text)[end] != '/')) {
      at = end;
      continue;
    }
    while (end < text->size() && (*text)[end] == '/') ++end;
    text->erase(at, end - at);
    found = true;
  }
  return found;
}

}  // namespace

ServiceCore::ServiceCore(std::shared_ptr<MessageLog> log,
                         const ServiceOptions& options)
    : log_(std::move(log)),
      options_(options),
      append_gate_(std::make_shared<AppendGate>(AppendGate::Limits{
          .max_bytes = options.max_append_bytes,
          .max_waiting_bytes = kWaitingFactor * options.max_append_bytes})),
      frames_(options.max_frames_in_flight_bytes) {
  rpc::KeepInitialized();
  log_->AddListener(&fan_out_);
  log_->AddListener(&serving_);
}

ServiceCore::~ServiceCore() {
  log_->RemoveListener(&serving_);
  log_->RemoveListener(&fan_out_);
}

void ServiceCore::Drain() {
  serving_.Drain();
  std::vector<std::shared_ptr<SendStream>> streams;
  {
    absl::MutexLock lock(&mu_);
    draining_ = true;
    for (const auto& [pointer, stream] : send_streams_) {
      streams.push_back(stream);
    }
  }
  fan_out_.Drain();
  for (const auto& stream : streams) stream->Reconsider();
}

ServiceStats ServiceCore::Stats() {
  ServiceStats stats = Snapshot(counters_);
  append_gate_->AddTo(&stats.sends);
  fan_out_.AddTo(&stats.reads);
  stats.reads.held_bytes = frames_.bytes();
  absl::MutexLock lock(&mu_);
  stats.sends.streams = send_streams_.size();
  return stats;
}

grpc::Status ServiceCore::Tell(const absl::Status& status) const {
  std::string text(MessageOf(status));
  if (HideDirectory(log_->directory(), &text)) {
    text += " (the server's notices have the path)";
  }
  return rpc::ToGrpc(WithMessage(status, text));
}

void ServiceCore::AddSendStream(const std::shared_ptr<SendStream>& stream) {
  absl::MutexLock lock(&mu_);
  send_streams_.emplace(stream.get(), stream);
}

void ServiceCore::RemoveSendStream(SendStream* stream) {
  absl::MutexLock lock(&mu_);
  send_streams_.erase(stream);
}

}  // namespace messenger
