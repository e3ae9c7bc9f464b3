// gRPC's health checks, for a server that serves nothing but messages.
#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/support/status.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <utility>

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
// the others end as it is told, at once.
//
// Anyone may call it, so few requests are awaited at a time: for a new one,
// that which has taken the longest is given up. gRPC gathers a request before
// it looks at its size, and those of honest callers are there at once.
//
// Destroy it after the server. mu_ is held over StartWrite, which never runs
// reactions.
//
// Thread safety: all members may be called from any thread.
class HealthService final : public grpc::CallbackGenericService {
 public:
  // How a call of another method ends.
  using Others =
      std::function<grpc::Status(const grpc::GenericCallbackServerContext&)>;

  // Without it, as without this service: UNIMPLEMENTED.
  explicit HealthService(Others others = nullptr)
      : others_(std::move(others)) {}

  // Not serving at first.
  void SetServing(bool serving) ABSL_LOCKS_EXCLUDED(mu_);

  // Ends those who watch, when they have heard how it is, and refuses others: a
  // server that is shut down waits for its calls.
  void End() ABSL_LOCKS_EXCLUDED(mu_);

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

 private:
  class Other;
  class Call;
  // HealthCheckResponse.ServingStatus.
  enum Health : std::uint64_t {
    kServing = 1,
    kNotServing = 2,
    kServiceUnknown = 3,
  };

  // Its request is awaited, and another one's given up if there are too many.
  void Await(Call* call) ABSL_LOCKS_EXCLUDED(mu_);
  void NoLongerAwait(Call* call) ABSL_LOCKS_EXCLUDED(mu_);
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

  const Others others_;
  mutable absl::Mutex mu_;
  bool serving_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_set<Call*> watches_ ABSL_GUARDED_BY(mu_);
  std::deque<Call*> awaited_ ABSL_GUARDED_BY(mu_);
};

}  // namespace messenger
