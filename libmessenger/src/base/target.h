// Targets as gRPC knows them.
#pragma once

#include <string>
#include <string_view>

namespace messenger {

// `target` is what ParseTarget has returned; the result is gRPC's URI for it.
// gRPC is given no HOST:PORT as it is: it would take some hosts for schemes.
std::string TargetUri(std::string_view target);

// Whether `target`, of ParseTarget, is HOST:PORT without a scheme.
bool IsHostAndPort(std::string_view target);

}  // namespace messenger
