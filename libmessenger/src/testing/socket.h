// Sockets of the fault proxy: none of these calls blocks.
#pragma once

#include <sys/socket.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

namespace messenger::testing {

// Owns a descriptor, and closes it.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { Close(); }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      Close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  void Close();

 private:
  int fd_ = -1;
};

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

// Of host:port; blocks, alone of these, if the host is a name.
absl::StatusOr<Address> Resolve(std::string_view target);

// Listens on a free port of 127.0.0.1, which it returns.
absl::StatusOr<std::pair<Fd, int>> Listen();

// Nothing if there is none, for whatever reason.
std::optional<Fd> Accept(const Fd& listener);

// A connection to `address` on its way: it has been made, or not, when it can
// be written to. An invalid one if there is no descriptor left.
Fd Connect(const Address& address);

// Whether a connection that Connect has returned was made.
bool IsConnected(const Fd& fd);

// Closes it so that the peer sees ECONNRESET.
void Reset(Fd fd);

// The text of `errno`.
std::string ErrorText();

}  // namespace messenger::testing
