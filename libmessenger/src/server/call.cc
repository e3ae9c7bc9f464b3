#include "server/call.h"

#include <grpcpp/server_context.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "absl/hash/hash.h"
#include "base/counters.h"
#include "base/reason.h"
#include "server/caller.h"

namespace messenger {
namespace {

constexpr std::array<Call::Method, 3> kReading = {&ServiceStats::read_messages,
                                                  &ServiceStats::get_channel,
                                                  &ServiceStats::list_channels};
constexpr std::array<Call::Method, 3> kSending = {&ServiceStats::send_message,
                                                  &ServiceStats::send_messages,
                                                  &ServiceStats::open_producer};
// They show what the caller may see, if it is nothing.
constexpr std::array<Call::Method, 2> kListing = {
    &ServiceStats::list_channels, &ServiceStats::list_producers};

bool IsOneOf(Call::Method method, std::span<const Call::Method> methods) {
  return std::ranges::find(methods, method) != methods.end();
}

// What a caller needs for what the method does with a channel.
Right RightFor(Call::Method method) {
  if (IsOneOf(method, kReading)) return Right::kRead;
  return IsOneOf(method, kSending) ? Right::kSend : Right::kAdmin;
}

absl::Status ShuttingDown() {
  return WithReason(absl::UnavailableError("the server is shutting down"),
                    reason::kShuttingDown);
}

// Null if it may do everything.
std::shared_ptr<const Caller> FindCaller(
    const Access& access, const grpc::CallbackServerContext& context,
    std::string_view peer) {
  const Caller::Place place = WhereIs(peer);
  if (place == Caller::Place::kProcess) return nullptr;
  const bool by_any_line =
      access.transport() == Transport::kAny ||
      (access.transport() == Transport::kLocalOrEncrypted &&
       place == Caller::Place::kMachine);
  if (by_any_line && !access.identifies()) return nullptr;
  auto caller = std::make_shared<const Caller>(CallerOf(context, peer));
  return caller->encrypted && !access.identifies() ? nullptr : caller;
}

}  // namespace

absl::Status TooMuchToStore() {
  return WithReason(
      absl::UnavailableError("the server has too much to store, and most of it "
                             "comes by this connection; try again later"),
      reason::kOverloaded);
}

Call::Call(ServiceCore* core, Method method,
           const grpc::CallbackServerContext& context)
    : core_(core), method_(method) {
  const std::string peer = context.peer();
  connection_ = absl::HashOf(peer) | 1;
  caller_ = FindCaller(core_->access(), context, peer);
  Count((core_->counters().*method_).calls);
}

absl::Status Call::Admit(std::string_view channel) const {
  if (core_->draining()) return ShuttingDown();
  if (!caller_) return absl::OkStatus();
  std::optional<Right> right = RightFor(method_);
  if (channel.empty() && IsOneOf(method_, kListing)) right.reset();
  return core_->access().Admit(*caller_, right, channel);
}

bool Call::MayUse(std::string_view channel) const {
  return !caller_ ||
         core_->access().Admit(*caller_, RightFor(method_), channel).ok();
}

absl::StatusOr<Sender> Call::AdmitSender(std::string_view channel) const {
  if (core_->draining()) return ShuttingDown();
  if (!caller_) return Sender();
  return core_->access().AdmitSender(*caller_, channel);
}

grpc::Status Call::Tell(const absl::Status& status) const {
  if (status.ok()) return grpc::Status::OK;
  if (!absl::IsCancelled(status)) {
    core_->NoteRefusal(status, caller_.get());
    Count((core_->counters().*method_).errors);
  }
  return core_->Tell(status);
}

}  // namespace messenger
