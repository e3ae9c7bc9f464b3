#include "server/service_core.h"

#include <cassert>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/counters.h"
#include "base/status.h"
#include "rpc/init.h"
#include "rpc/status.h"

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
                         const ServiceOptions& options,
                         std::unique_ptr<Access> access)
    : log_(std::move(log)),
      options_(options),
      append_gate_(std::make_shared<AppendGate>(AppendGate::Limits{
          .max_bytes = options.max_append_bytes,
          .max_waiting_bytes = kWaitingFactor * options.max_append_bytes})),
      frames_(options.max_frames_in_flight_bytes),
      access_(std::move(access)) {
  rpc::KeepInitialized();
  log_->AddListener(&fan_out_);
  log_->AddListener(&serving_);
  access_->Watch({.on_change =
                      [this] {
                        for (const auto& call : LiveCalls()) call->Reconsider();
                      },
                  .on_overdue =
                      [this] {
                        for (const auto& call : LiveCalls()) {
                          call->ReconsiderAtOnce();
                        }
                      }});
}

ServiceCore::~ServiceCore() {
  assert(LiveCalls().empty());
  access_->Unwatch();
  log_->RemoveListener(&serving_);
  log_->RemoveListener(&fan_out_);
}

void ServiceCore::Drain() {
  serving_.Drain();
  draining_ = true;
  fan_out_.Drain();
  for (const auto& call : LiveCalls()) call->Reconsider();
}

ServiceStats ServiceCore::Stats() {
  ServiceStats stats = Snapshot(counters_);
  append_gate_->AddTo(&stats.sends);
  fan_out_.AddTo(&stats.reads);
  stats.reads.held_bytes = frames_.bytes();
  return stats;
}

void ServiceCore::NoteRefusal(const absl::Status& status,
                              const Caller* caller) {
  Count(CounterOf(status, counters_.refusals));
  if (caller != nullptr) access_->NoteRefusal(*caller, status);
}

grpc::Status ServiceCore::Tell(const absl::Status& status) const {
  std::string text(MessageOf(status));
  if (HideDirectory(log_->directory(), &text)) {
    text += " (the server's notices have the path)";
  }
  return rpc::ToGrpc(WithMessage(status, text));
}

void ServiceCore::Add(const std::shared_ptr<LiveCall>& call) {
  absl::MutexLock lock(&mu_);
  live_calls_.emplace(call.get(), call);
}

void ServiceCore::Remove(LiveCall* call) {
  absl::MutexLock lock(&mu_);
  live_calls_.erase(call);
}

std::vector<std::shared_ptr<LiveCall>> ServiceCore::LiveCalls() {
  std::vector<std::shared_ptr<LiveCall>> calls;
  absl::MutexLock lock(&mu_);
  calls.reserve(live_calls_.size());
  for (const auto& [pointer, call] : live_calls_) calls.push_back(call);
  return calls;
}

}  // namespace messenger
