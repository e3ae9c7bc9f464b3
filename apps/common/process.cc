#include "common/process.h"

#include <sched.h>

#include <cstdlib>

#include "absl/synchronization/mutex.h"
#include "common/standard_streams.h"

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

void PreferThroughput() {
  // Without the permission the server is slower, and no worse.
  const sched_param none = {};
  static_cast<void>(sched_setscheduler(0, SCHED_BATCH, &none));
}

}  // namespace messenger::app
