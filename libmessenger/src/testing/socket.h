// Sockets of the fault proxy: none of these calls blocks.
#pragma once

#include <sys/socket.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "base/descriptor.h"

namespace messenger::testing {

using Fd = Descriptor;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

// Of HOST:PORT; blocks, alone of these, if the host is a name.
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
