// What is in a log, see messenger/log_tools.h.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/tools/survey.h"
#include "messenger/log_tools.h"

namespace messenger {

absl::StatusOr<LogOverview> Inspect(const LogToolContext& context,
                                    const LogToolOptions& options);

absl::Status ReadStored(const LogToolContext& context,
                        const LogSelection& selection,
                        const std::function<void(const Message&)>& visit,
                        const LogToolOptions& options);

}  // namespace messenger
