// Random numbers from the operating system.
#pragma once

#include <cstdint>

#include "messenger/message.h"

namespace messenger {

std::uint64_t RandomNonZero64();
ProducerId RandomProducerId();

}  // namespace messenger
