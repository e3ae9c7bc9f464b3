#include "cli/errors.h"

#include <fmt/format.h>

#include <cstddef>

#include "common/escape.h"
#include "common/exit_code.h"
#include "common/standard_streams.h"

namespace messenger::app {
namespace {

// What gRPC says of a connection that fails, without the way it got there:
// "failed to connect to all addresses; last error: …: Connection refused".
std::string_view Reason(std::string_view message) {
  if (!message.starts_with("failed to connect to all addresses") &&
      !message.starts_with("DNS resolution failed")) {
    return message;
  }
  constexpr std::string_view kSeparator = ": ";
  const std::size_t last = message.rfind(kSeparator);
  return last == std::string_view::npos
             ? message
             : message.substr(last + kSeparator.size());
}

}  // namespace

bool IsServerAway(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kDeadlineExceeded;
}

int ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return kOk;
  return IsServerAway(status) ? kUnavailable : kFailed;
}

std::string Explain(const absl::Status& status, std::string_view server) {
  std::string reason;
  AppendEscaped(Reason(MessageOf(status)), &reason);
  if (!IsServerAway(status)) return reason;
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
  WriteStderr(fmt::format("messenger-cli: {}\n", message));
}

int Fail(const absl::Status& status, std::string_view server) {
  PrintError(Explain(status, server));
  return ExitCodeOf(status);
}

}  // namespace messenger::app
