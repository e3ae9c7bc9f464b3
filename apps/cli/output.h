// What messenger-cli writes: results on stdout, errors on stderr.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace messenger::app {

// Buffered output that can be interrupted: like stdio's, but a write that waits
// for the other end of a pipe gives up as soon as `stop_fd` is readable. After
// a write that failed or was given up, everything is dropped.
//
// Thread safety: none; hand it from thread to thread with synchronisation.
class Output {
 public:
  Output(int fd, int stop_fd) : fd_(fd), stop_fd_(stop_fd) {}

  int fd() const { return fd_; }
  bool is_terminal() const;

  // Append here, then say so with Flush or MaybeFlush.
  std::string& buffer() { return buffer_; }

  // Writes what is in the buffer. False if that failed, now or before.
  bool Flush();

  // As Flush, but only if there is much in the buffer.
  bool MaybeFlush() { return buffer_.size() < kMuch ? ok() : Flush(); }

  bool ok() const { return !stopped_ && error_ == 0; }

  // The errno of the write that failed; 0 if none did. EPIPE: the reader at the
  // other end has seen enough.
  int error() const { return error_; }

 private:
  static constexpr std::size_t kMuch = std::size_t{64} << 10;

  const int fd_;
  const int stop_fd_;
  std::string buffer_;
  bool stopped_ = false;
  int error_ = 0;
};

// The server cannot be reached, is draining, or does not answer in time.
bool IsServerAway(const absl::Status& status);

// The exit code that stands for `status`.
int ExitCodeOf(const absl::Status& status);

// The status as a sentence: what to look at if the server cannot be reached,
// such as the options that name it, else its message.
std::string Explain(
    const absl::Status& status, std::string_view server,
    std::string_view options = "--server, $MESSENGER_SERVER_ADDR");

// The status as a sentence that names the server, if only by being about it:
// "localhost:51075: Connection refused".
std::string WithServer(const absl::Status& status, std::string_view server);

// Prints "messenger-cli: <message>" as one line, fit for a terminal.
void PrintError(std::string_view message);

}  // namespace messenger::app
