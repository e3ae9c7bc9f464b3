// What becomes of batches, as a log counts it.
#pragma once

#include <cstdint>

#include "log/message_log.h"
#include "messenger/stats.h"

namespace messenger {

// A batch was answered with `result`; its new messages take so many bytes.
void CountAppend(const AppendResult& result, std::uint64_t bytes,
                 LogStats& counters);

}  // namespace messenger
