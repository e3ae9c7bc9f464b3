#include "apps/cli/output.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "apps/common/event.h"
#include "apps/common/exit_code.h"
#include "apps/common/option_names.h"
#include "apps/common/standard_streams.h"
#include "apps/common/status_text.h"
#include "messenger/error.h"

namespace messenger::app {

bool Output::is_terminal() const {
  return isatty(fd_) != 0;
}

bool Output::Flush() {
  std::string_view rest = buffer_;
  while (ok() && !rest.empty()) {
    // A pipe that is ready takes PIPE_BUF bytes without waiting.
    if (WaitForAny({{fd_, POLLOUT}, {stop_fd_, POLLIN}}) != 0) {
      stopped_ = true;
      break;
    }
    const ssize_t written =
        write(fd_, rest.data(), std::min<std::size_t>(rest.size(), PIPE_BUF));
    if (written >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR && errno != EAGAIN) {
      error_ = errno;
    }
  }
  buffer_.clear();
  return ok();
}

bool IsServerAway(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kDeadlineExceeded;
}

int ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return kOk;
  return IsServerAway(status) ? kUnavailable : kFailed;
}

std::string WithServer(const absl::Status& status, std::string_view server) {
  const std::string_view reason = MessageOf(status);
  // As a rule the library has named it.
  if (reason.find(server) != std::string_view::npos) return std::string(reason);
  return fmt::format("{}: {}", server, reason);
}

std::string Explain(const absl::Status& status, std::string_view server,
                    std::string_view options) {
  if (!IsServerAway(status)) {
    return WithOptionNames(MessageOf(status));
  }
  std::string text = WithServer(status, server);
  // It is there, but its disk is full or has failed.
  const std::string reason = ReasonOf(status);
  if (reason == reason::kStorageFailed || reason == reason::kNotServing) {
    return text;
  }
  // "ADDRESS: why", perhaps with a proxy; anything else is a sentence.
  const std::string_view rest = std::string_view(text).substr(
      text.starts_with(server) ? server.size() : 0);
  const bool is_reason = rest.starts_with(": ") || rest.starts_with(" (");
  if (reason == reason::kHandshakeFailed) {
    return fmt::format("{}{}", is_reason ? "cannot connect to " : "", text);
  }
  return fmt::format("{}{}. Is messenger-server running there? ({})",
                     is_reason ? "cannot reach " : "", text, options);
}

void PrintError(std::string_view message) {
  PrintError("messenger-cli", message);
}

}  // namespace messenger::app
