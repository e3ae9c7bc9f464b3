#include "log/tools/verify.h"

#include "base/status.h"
#include "log/tools/survey.h"
#include "messenger/log_tools.h"

namespace messenger {

absl::StatusOr<LogVerification> Verify(const LogToolContext& context,
                                       const LogToolOptions& options) {
  LogVerification locking;
  const auto lock = LockLogToRead(context, options, &locking);
  if (!lock.ok()) return lock.status();
  absl::StatusOr<LogSurvey> survey = SurveyLog(context, options);
  if (!survey.ok()) return survey.status();
  survey->found.notices += locking.notices;
  return survey->found;
}

absl::StatusOr<LogVerification> VerifyLog(std::string_view log,
                                          const LogToolOptions& options) {
  absl::StatusOr<std::string> directory = DirectoryOfLog(log);
  if (!directory.ok()) return directory.status();
  auto found = Verify({.directory = *std::move(directory)},
                      WithPrintableFindings(options));
  if (!found.ok()) return MakePrintable(found.status());
  return found;
}

}  // namespace messenger
