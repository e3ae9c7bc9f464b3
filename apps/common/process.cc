#include "common/process.h"

#include <cstdlib>

#include "absl/synchronization/mutex.h"

namespace messenger::app {

void SetUpProcess() {
  // gRPC logs what peers do wrong, and what the programs report anyway.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  // Debian builds absl with its search for lock cycles, in every lock of gRPC's
  // as well. It is for tests; here it only costs.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

}  // namespace messenger::app
