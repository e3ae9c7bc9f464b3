// Retention of the durable log: what is dropped, and when.
//
// A channel drops whole units, oldest first: segments, and runs in memory that
// are not in a segment yet. A unit is dropped when its newest message is too
// old, or when the channel has too many bytes and other units as well. Times
// are those of the log's clock (log_time.h), so that setting the wall clock
// neither freezes a channel nor empties it.
#pragma once

#include <chrono>
#include <cstdint>

#include "messenger/log.h"

namespace messenger {

// A segment takes messages up to this size, so that a channel consists of
// several,
std::uint64_t MaxSegmentSize(const RetentionOptions& retention);

// and for so long after its first one, so that new messages do not keep old
// ones much longer than they should be.
bool TakesMore(const RetentionOptions& retention,
               std::chrono::steady_clock::time_point first_write,
               std::chrono::steady_clock::time_point now);

bool IsExpired(const RetentionOptions& retention,
               std::chrono::steady_clock::time_point last_write,
               std::chrono::steady_clock::time_point now);

bool IsExcess(const RetentionOptions& retention, std::uint64_t bytes);

}  // namespace messenger
