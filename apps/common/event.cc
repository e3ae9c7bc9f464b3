#include "apps/common/event.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <vector>

namespace messenger::app {

Event::Event() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ < 0) std::abort();  // out of descriptors before anything was opened
}

Event::~Event() {
  close(fd_);
}

void Event::Set() const {
  const std::uint64_t one = 1;
  // It fails only when the counter is full, and then the event is set.
  [[maybe_unused]] const ssize_t written = write(fd_, &one, sizeof one);
}

std::optional<std::size_t> WaitForAny(
    std::initializer_list<Wanted> wanted,
    std::optional<std::chrono::milliseconds> timeout) {
  std::vector<pollfd> polled;
  polled.reserve(wanted.size());
  for (const Wanted& one : wanted) {
    polled.push_back({.fd = one.fd, .events = one.events, .revents = 0});
  }
  // poll takes no longer ones; three weeks are as good.
  constexpr std::chrono::milliseconds kLongest{INT_MAX};
  const int wait =
      timeout ? static_cast<int>(std::min(*timeout, kLongest).count()) : -1;
  int ready;
  do {
    ready = poll(polled.data(), polled.size(), wait);
  } while (ready < 0 && errno == EINTR);
  for (std::size_t i = 0; i < polled.size(); ++i) {
    if (polled[i].revents != 0) return i;
  }
  return std::nullopt;
}

}  // namespace messenger::app
