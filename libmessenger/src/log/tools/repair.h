// Repairs a log, see messenger/log_tools.h.
//
// What is in force is what the checkpoint names. A repair writes beside it what
// it makes of the log, as a checkpoint would, and then replaces the checkpoint:
// before that, nothing that was readable has been touched, and after it the log
// is whole. Headers and indexes of segments, which hold nothing that is not
// known otherwise, are mended where they are.
#pragma once

#include "absl/status/statusor.h"
#include "log/tools/survey.h"
#include "messenger/log_tools.h"

namespace messenger {

absl::StatusOr<LogRepair> Repair(const LogToolContext& context,
                                 const LogToolOptions& options);

}  // namespace messenger
