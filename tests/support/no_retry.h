// A client that fails as soon as its server is away.
#pragma once

#include <chrono>

#include "messenger/client.h"

namespace messenger::test {

inline constexpr RetryOptions kNoRetry = {.give_up_after =
                                              std::chrono::milliseconds(0)};

}  // namespace messenger::test
