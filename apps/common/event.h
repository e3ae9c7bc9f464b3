// Waiting for events and files at the same time.
#pragma once

#include <chrono>
#include <initializer_list>
#include <optional>

namespace messenger::app {

// A flag that can be waited for with poll: its descriptor is readable from the
// first Set on.
//
// Thread safety: all members may be called from any thread.
class Event {
 public:
  Event();
  ~Event();

  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void Set() const;
  int fd() const { return fd_; }

 private:
  int fd_;
};

// A descriptor and the poll events to wait for. Errors and hang-ups of the
// other end are always waited for.
struct Wanted {
  int fd;
  short events;  // NOLINT(google-runtime-int): the type that poll takes
};

// Blocks until something that is wanted has happened and returns the index of
// the first one, or nothing after `timeout`.
std::optional<std::size_t> WaitForAny(
    std::initializer_list<Wanted> wanted,
    std::optional<std::chrono::milliseconds> timeout = std::nullopt);

}  // namespace messenger::app
