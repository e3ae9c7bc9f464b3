#include "apps/common/process.h"

#include <sys/resource.h>

#include <cstdlib>

#include "absl/synchronization/mutex.h"
#include "apps/common/standard_streams.h"

namespace messenger::app {

void SetUpProcess() {
  ReserveStandardStreams();
  // gRPC logs what peers do wrong, and what the programs report anyway.
  // NOLINTNEXTLINE(concurrency-mt-unsafe): there is only one thread yet
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  // Debian builds absl with its search for lock cycles, in every lock of gRPC's
  // as well. It is for tests; here it only costs.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace messenger::app
