#include "apps/cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "apps/cli/errors.h"
#include "apps/common/standard_streams.h"

namespace messenger::app {

Progress::Progress()
    : watched_(isatty(STDERR_FILENO) != 0),
      shown_(watched_ && isatty(STDIN_FILENO) == 0) {}

void Progress::Show(std::uint64_t sent) {
  if (!shown_) return;
  absl::MutexLock lock(&mu_);
  Erase();
  WriteStderr(fmt::format("sent {}, {:.0f}/s", sent, Rate(sent)));
  on_line_ = true;
}

void Progress::PrintError(std::string_view message) {
  absl::MutexLock lock(&mu_);
  Erase();
  app::PrintError(message);
}

void Progress::Close(std::uint64_t sent, std::string_view channel) {
  if (!watched_) return;
  absl::MutexLock lock(&mu_);
  Erase();
  WriteStderr(fmt::format("sent {} {} to {} in {:.2f} s, {:.0f}/s\n", sent,
                          sent == 1 ? "line" : "lines", channel, seconds(),
                          Rate(sent)));
}

double Progress::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() -
                                       start_)
      .count();
}

void Progress::Erase() {
  if (!on_line_) return;
  WriteStderr("\r\x1b[K");
  on_line_ = false;
}

double Progress::Rate(std::uint64_t sent) const {
  return static_cast<double>(sent) / std::max(seconds(), 1e-6);
}

}  // namespace messenger::app
