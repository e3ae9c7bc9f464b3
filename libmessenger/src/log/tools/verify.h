// Checks a log, see messenger/log_tools.h.
#pragma once

#include "absl/status/statusor.h"
#include "log/tools/survey.h"
#include "messenger/log_tools.h"

namespace messenger {

absl::StatusOr<LogVerification> Verify(const LogToolContext& context,
                                       const LogToolOptions& options);

}  // namespace messenger
