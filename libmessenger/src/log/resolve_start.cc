#include "log/resolve_start.h"

#include <fmt/format.h>

#include <algorithm>

#include "absl/status/status.h"

namespace messenger {
namespace {

// The largest sequence has none after it.
std::uint64_t SequenceAfter(const Position& position) {
  return std::max(position.sequence, position.sequence + 1);
}

}  // namespace

std::optional<std::uint64_t> PastEpochs::HeadOf(std::uint64_t epoch) const {
  const auto it = std::find(epochs.begin(), epochs.end(), epoch);
  if (it == epochs.end() || it + 1 == epochs.end()) return std::nullopt;
  // The last head belongs to the last epoch but one.
  const auto back = static_cast<std::size_t>(epochs.end() - it) - 1;
  return back > heads.size() ? 0 : heads[heads.size() - back];
}

std::optional<Gap> ChannelExtent::GapBefore(std::uint64_t next) const {
  if (next >= first_sequence) return std::nullopt;
  return Gap{.first_missing = next,
             .next = first_sequence,
             .reason = next <= deleted_head ? Gap::Reason::kDeleted
                                            : Gap::Reason::kRetention};
}

absl::StatusOr<Origin> ResolveStart(const Start& start, bool strict,
                                    const ChannelExtent& channel,
                                    std::uint64_t sent_since) {
  Origin origin;
  switch (start.kind) {
    case Start::Kind::kNewOnly:
      origin.next = channel.head + 1;
      break;
    case Start::Kind::kEarliest:
      // The beginning, not what is left of it: whoever asks for everything is
      // told what is not there any more.
      origin.next = 1;
      break;
    case Start::Kind::kSequence:
      if (start.number > channel.head + 1) {
        return absl::OutOfRangeError(fmt::format(
            "sequence: {} is beyond the head of channel \"{}\", which is {}; "
            "start at {} at most",
            start.number, channel.name, channel.head, channel.head + 1));
      }
      origin.next = start.number;
      break;
    case Start::Kind::kTime:
      origin.next = sent_since;
      break;
    case Start::Kind::kLast:
      origin.next = channel.head - std::min(channel.head, start.number) + 1;
      break;
    case Start::Kind::kAfter:
      if (start.position.epoch != channel.epoch) {
        // What it has in common with this epoch need not be read again.
        const std::optional<std::uint64_t> common =
            channel.past_epochs.HeadOf(start.position.epoch);
        if (common && start.position.sequence <= *common) {
          origin.next = start.position.sequence + 1;
          break;
        }
        origin.next = std::max(channel.first_sequence, common.value_or(0) + 1);
        origin.gap = Gap{.first_missing = SequenceAfter(start.position),
                         .next = origin.next,
                         .reason = Gap::Reason::kNewEpoch};
        break;
      }
      if (start.position.sequence > channel.head) {
        if (strict) {
          return absl::OutOfRangeError(fmt::format(
              "resume_after.sequence: {} is beyond the head of channel "
              "\"{}\", which is {}: the log was rolled back, or the position "
              "is of another channel",
              start.position.sequence, channel.name, channel.head));
        }
        origin.next = channel.head + 1;
        origin.gap = Gap{.first_missing = SequenceAfter(start.position),
                         .next = origin.next,
                         .reason = Gap::Reason::kRolledBack};
        break;
      }
      origin.next = start.position.sequence + 1;
      break;
  }
  if (!origin.gap) origin.gap = channel.GapBefore(origin.next);
  if (!origin.gap) return origin;
  if (strict) return StartIsMissing(channel.name, *origin.gap);
  origin.next = origin.gap->next;
  return origin;
}

absl::Status StartIsMissing(std::string_view channel, const Gap& gap) {
  return absl::OutOfRangeError(fmt::format(
      "strict: messages from {} on are not there any more ({}); the oldest one "
      "of channel \"{}\" after them is {}",
      gap.first_missing, ToString(gap.reason), channel, gap.next));
}

}  // namespace messenger
