#include "cli/errors.h"

#include <fmt/format.h>

#include "common/exit_code.h"
#include "common/standard_streams.h"

namespace messenger::app {

bool IsServerAway(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kDeadlineExceeded;
}

int ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return kOk;
  return IsServerAway(status) ? kUnavailable : kFailed;
}

std::string Explain(const absl::Status& status, std::string_view server) {
  const std::string_view reason = MessageOf(status);
  if (!IsServerAway(status)) return std::string(reason);
  // It is there, but its disk is full or has failed.
  if (reason.starts_with("the log cannot be written to") ||
      reason.starts_with("the server takes no messages")) {
    return fmt::format("{}: {}", server, reason);
  }
  return fmt::format(
      "cannot reach {}: {}. Is messenger-server running there? (--server, "
      "$MESSENGER_SERVER_ADDR)",
      server, reason);
}

void PrintError(std::string_view message) {
  PrintError("messenger-cli", message);
}

int Fail(const absl::Status& status, std::string_view server) {
  PrintError(Explain(status, server));
  return ExitCodeOf(status);
}

}  // namespace messenger::app
