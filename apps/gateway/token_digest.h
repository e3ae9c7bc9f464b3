// By what tokens are told apart.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace messenger::app {

// The SHA-256 of a token: how long a comparison takes tells nothing of it.
using TokenDigest = std::array<std::uint8_t, 32>;

TokenDigest DigestOf(std::string_view token);

}  // namespace messenger::app
