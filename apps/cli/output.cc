#include "apps/cli/output.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <string_view>

#include "apps/common/event.h"

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

}  // namespace messenger::app
