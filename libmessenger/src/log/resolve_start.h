// Where a reader starts.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "messenger/message.h"

namespace messenger {

// What there is of a channel at some moment. By default nothing, since nothing
// has happened in it yet.
struct ChannelExtent {
  std::string_view name;
  std::uint64_t epoch = 0;
  std::uint64_t first_sequence = 1;  // the oldest one; head + 1 if none is left
  std::uint64_t head = 0;
  std::uint64_t deleted_head = 0;  // the head when it was last deleted

  // What a reader misses that wants `next`.
  std::optional<Gap> GapBefore(std::uint64_t next) const;
};

struct Origin {
  std::uint64_t next = 1;  // after `gap`
  std::optional<Gap> gap;
};

// `sent_since` is what a start by time finds: the sequence of the first message
// that may not have been sent before that time. OUT_OF_RANGE if the start is
// beyond the head, or if `strict` and messages are missing.
absl::StatusOr<Origin> ResolveStart(const Start& start, bool strict,
                                    const ChannelExtent& channel,
                                    std::uint64_t sent_since);

}  // namespace messenger
