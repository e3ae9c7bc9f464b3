// Where a reader starts.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messenger/message.h"

namespace messenger {

// Epochs that a log has had before the present one. Up to the head that it had
// when an epoch ended, a channel has the same messages in that epoch as now.
struct PastEpochs {
  std::span<const std::uint64_t> epochs;  // oldest first, the present one last
  // When those before the present one ended; of the first ones there may be
  // none, if the channel was not there yet.
  std::span<const std::uint64_t> heads;

  // The head when that epoch ended; nothing if there was no such epoch.
  std::optional<std::uint64_t> HeadOf(std::uint64_t epoch) const;
};

// What there is of a channel at some moment. By default nothing, since nothing
// has happened in it yet.
struct ChannelExtent {
  std::string_view name;
  std::uint64_t epoch = 0;
  std::uint64_t first_sequence = 1;  // the oldest one; head + 1 if none is left
  std::uint64_t head = 0;
  std::uint64_t deleted_head = 0;  // the head when it was last deleted
  PastEpochs past_epochs;

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

// What a strict reader is told whose start is in this gap: OUT_OF_RANGE.
absl::Status StartIsMissing(std::string_view channel, const Gap& gap);

}  // namespace messenger
