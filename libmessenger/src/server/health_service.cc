#include "server/health_service.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "messenger/grpc.h"
#include "rpc/bytes.h"
#include "wire/coding.h"

namespace messenger {
namespace {

constexpr std::size_t kMaxAwaited = 16;

// The service of a HealthCheckRequest, of which an empty one asks after the
// server. Nothing if it is malformed.
std::optional<std::string> ParseService(const grpc::ByteBuffer& request) {
  constexpr wire::BytesField kService = 1;
  const grpc::Slice bytes = rpc::Flatten(request);
  wire::FieldReader fields(rpc::View(bytes));
  std::string service;
  while (fields.Next()) {
    if (fields.tag() == kService) service = fields.bytes();
  }
  if (!fields.ok()) return std::nullopt;
  return service;
}

}  // namespace

class HealthService::Other final : public grpc::ServerGenericBidiReactor {
 public:
  explicit Other(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

// A Check, or a Watch. Owns itself until OnDone.
class HealthService::Call final : public grpc::ServerGenericBidiReactor {
 public:
  Call(HealthService* service, bool watches)
      : service_(service), watches_(watches) {
    service_->Await(this);
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    service_->NoLongerAwait(this);
    const std::optional<std::string> asked =
        ok ? ParseService(request_) : std::nullopt;
    if (!asked) {
      return End({grpc::StatusCode::INVALID_ARGUMENT,
                  "request: not an encoded HealthCheckRequest"});
    }
    known_ = asked->empty() || *asked == Service::kName;
    if (!watches_) return Answer();
    if (!service_->Add(this)) End(Ended());
  }
  void OnWriteDone(bool ok) override {
    if (ok && !service_->OnWritten(this)) End(Ended());
    // If not, OnCancel follows.
  }
  void OnCancel() override { End(grpc::Status::CANCELLED); }
  void OnDone() override {
    service_->Remove(this);
    delete this;
  }

  void Write(Health health) {
    response_ = Encode(health);
    StartWrite(&response_);
  }
  void End(const grpc::Status& status) {
    if (service_->Finishes(this)) Finish(status);
  }
  static grpc::Status Ended() {
    return {grpc::StatusCode::UNAVAILABLE, "the server is shutting down"};
  }

  bool known() const { return known_; }

  // Guarded by the service's mu_.
  bool writing = false;
  bool finished = false;
  std::optional<Health> told;

 private:
  void Answer() {
    if (!known_) {
      return End({grpc::StatusCode::NOT_FOUND, "service: not known"});
    }
    const bool serving = service_->serving();
    if (!service_->Finishes(this)) return;
    response_ = Encode(serving ? kServing : kNotServing);
    StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
  }

  static grpc::ByteBuffer Encode(Health health) {
    std::string bytes;
    wire::AppendVarintField(bytes, /*status*/ 1, health);
    return rpc::MakeBuffer(std::move(bytes));
  }

  HealthService* const service_;
  const bool watches_;
  bool known_ = false;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
};

void HealthService::SetServing(bool serving) {
  absl::MutexLock lock(&mu_);
  serving_ = serving;
  for (Call* const watch : watches_) Tell(watch);
}

void HealthService::End() {
  std::vector<Call*> idle;
  {
    absl::MutexLock lock(&mu_);
    ended_ = true;
    for (Call* const watch : watches_) {
      // It stays until it is finished, which nobody else does from now on.
      if (!watch->writing && !std::exchange(watch->finished, true)) {
        idle.push_back(watch);
      }
    }
  }
  for (Call* const watch : idle) watch->Finish(Call::Ended());
}

void HealthService::Await(Call* call) {
  Call* given_up = nullptr;
  {
    absl::MutexLock lock(&mu_);
    awaited_.push_back(call);
    if (awaited_.size() > kMaxAwaited) {
      // It stays until it is finished, which nobody else does from now on.
      given_up = awaited_.front();
      awaited_.pop_front();
      if (std::exchange(given_up->finished, true)) given_up = nullptr;
    }
  }
  if (given_up != nullptr) {
    given_up->Finish({grpc::StatusCode::RESOURCE_EXHAUSTED,
                      "too many health checks at a time"});
  }
}

void HealthService::NoLongerAwait(Call* call) {
  absl::MutexLock lock(&mu_);
  std::erase(awaited_, call);
}

bool HealthService::serving() const {
  absl::MutexLock lock(&mu_);
  return serving_;
}

bool HealthService::Add(Call* watch) {
  absl::MutexLock lock(&mu_);
  if (ended_) return false;
  watches_.insert(watch);
  Tell(watch);
  return true;
}

bool HealthService::OnWritten(Call* watch) {
  absl::MutexLock lock(&mu_);
  watch->writing = false;
  Tell(watch);
  return watch->writing || !ended_;
}

void HealthService::Remove(Call* call) {
  absl::MutexLock lock(&mu_);
  watches_.erase(call);
}

bool HealthService::Finishes(Call* call) {
  absl::MutexLock lock(&mu_);
  return !std::exchange(call->finished, true);
}

void HealthService::Tell(Call* watch) const {
  const Health known = serving_ ? kServing : kNotServing;
  const Health health = watch->known() ? known : kServiceUnknown;
  if (watch->writing || watch->finished || watch->told == health) return;
  watch->told = health;
  watch->writing = true;
  watch->Write(health);
}

grpc::ServerGenericBidiReactor* HealthService::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  const std::string& method = context->method();
  const bool watches = method == "/grpc.health.v1.Health/Watch";
  if (watches || method == "/grpc.health.v1.Health/Check") {
    return new Call(this, watches);
  }
  return new Other(others_ ? others_(*context)
                           : grpc::Status(grpc::StatusCode::UNIMPLEMENTED, ""));
}

}  // namespace messenger
