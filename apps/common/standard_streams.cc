#include "apps/common/standard_streams.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <initializer_list>
#include <utility>

#include "messenger/printable.h"

namespace messenger::app {

void ReserveStandardStreams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) != -1) continue;
    // It gets the lowest number that is free, which is fd.
    static_cast<void>(open("/dev/null", O_RDWR | O_CLOEXEC));
  }
}

bool IsInherited(int fd) {
  const int flags = fcntl(fd, F_GETFD);
  return flags != -1 && (flags & FD_CLOEXEC) == 0;
}

void WriteStderr(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
}

void PrintError(std::string_view who, std::string_view what) {
  WriteStderr(fmt::format("{}: {}\n", who, Printable(what)));
}

ProgressLine::ProgressLine() : watched_(isatty(STDERR_FILENO) != 0) {}

void ProgressLine::Show(std::string_view text) {
  if (!watched_) return;
  Erase();
  WriteStderr(text);
  shown_ = true;
}

void ProgressLine::Erase() {
  if (std::exchange(shown_, false)) WriteStderr("\r\x1b[K");
}

void ProgressLine::Leave(std::string_view text) {
  if (!watched_) return;
  Erase();
  WriteStderr(fmt::format("{}\n", text));
}

}  // namespace messenger::app
