// gRPC's health checks, for a server that serves nothing but messages.
#pragma once

#include <grpcpp/generic/async_generic_service.h>

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"

namespace messenger {

// grpc.health.v1.Health, for the message service and for the server as a whole,
// which are one:
// https://github.com/grpc/grpc/blob/master/doc/health-checking.md
//
// gRPC's own is there only if the process has asked for it, for all of its
// servers. Of a server's methods that nobody has registered this one gets all:
// the others are UNIMPLEMENTED, as without it.
//
// Destroy it after the server. mu_ is held over StartWrite, which never runs
// reactions.
//
// Thread safety: all members may be called from any thread.
class HealthService final : public grpc::CallbackGenericService {
 public:
  HealthService() = default;

  // Not serving at first.
  void SetServing(bool serving) ABSL_LOCKS_EXCLUDED(mu_);

  // Ends those who watch, when they have heard how it is, and refuses others: a
  // server that is shut down waits for its calls.
  void End() ABSL_LOCKS_EXCLUDED(mu_);

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

 private:
  class Unknown;
  class Call;
  // HealthCheckResponse.ServingStatus.
  enum Health : std::uint64_t {
    kServing = 1,
    kNotServing = 2,
    kServiceUnknown = 3,
  };

  bool serving() const ABSL_LOCKS_EXCLUDED(mu_);
  // From now on it is told how it is; false if all have been ended.
  bool Add(Call* watch) ABSL_LOCKS_EXCLUDED(mu_);
  // False if it has heard everything, and all are ended.
  bool OnWritten(Call* watch) ABSL_LOCKS_EXCLUDED(mu_);
  void Remove(Call* call) ABSL_LOCKS_EXCLUDED(mu_);
  // Whether the caller is the one to finish the call.
  bool Finishes(Call* call) ABSL_LOCKS_EXCLUDED(mu_);
  // How it is, unless that is known, or is being written.
  void Tell(Call* watch) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable absl::Mutex mu_;
  bool serving_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_set<Call*> watches_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger
