// What travels with an error beside its code and text: google.rpc.Status in the
// trailer grpc-status-details-bin, with a google.rpc.ErrorInfo, as
// https://google.aip.dev/193 has it. Written and read by hand: Debian has no
// package of these messages.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace messenger::wire {

// The domain of the reasons that messenger/error.h lists.
inline constexpr std::string_view kErrorDomain = "messenger.v1";

// Empty if the error has no reason, or more is to be said of it than goes into
// a trailer.
std::string EncodeStatusDetails(const absl::Status& status);

// Adds to an error the reason that `encoded` has for it, with what belongs to
// it. None, if there is nothing of our domain, or something of it is not as it
// must be: a peer may send anything.
void AddStatusDetails(std::string_view encoded, absl::Status* status);

}  // namespace messenger::wire
