#include "log/durable/verify.h"

#include "log/durable/survey.h"
#include "messenger/log_tools.h"

namespace messenger {

absl::StatusOr<LogVerification> Verify(const LogToolContext& context,
                                       const LogToolOptions& options) {
  const auto lock = LockLog(context);
  if (!lock.ok()) return lock.status();
  const absl::StatusOr<LogSurvey> survey = SurveyLog(context, options);
  if (!survey.ok()) return survey.status();
  return survey->found;
}

absl::StatusOr<LogVerification> VerifyLog(std::string_view log,
                                          const LogToolOptions& options) {
  absl::StatusOr<std::string> directory = DirectoryOfLog(log);
  if (!directory.ok()) return directory.status();
  return Verify({.directory = *std::move(directory)}, options);
}

}  // namespace messenger
