// Connections with a limit.
#pragma once

#include <poll.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/cond_var.h"
#include "base/descriptor.h"
#include "messenger/address.h"

namespace messenger {

using Deadline = CondVar::Clock::time_point;

// A socket, which does not block, that is connected to the first of the
// addresses that takes it. DEADLINE_EXCEEDED if there is none in time: then the
// thread that looks up a name may be left behind until the system has an
// answer. UNAVAILABLE names the address, and says why.
absl::StatusOr<Descriptor> Dial(const std::vector<Address>& addresses,
                                Deadline deadline);

// Waits for POLLIN or POLLOUT; false if the time has come first.
bool AwaitSocket(int fd, decltype(pollfd::events) events, Deadline deadline);

// Whether it is an address, and no name that has to be looked up.
bool IsNumericHost(const std::string& host);

}  // namespace messenger
