#include "client/frame_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>

#include "base/bounds.h"
#include "base/status.h"
#include "messenger/client.h"
#include "wire/sequence.h"

namespace messenger {
namespace {

absl::Status Wrong(const FramePlace& place, std::string_view what) {
  return absl::DataLossError(
      fmt::format("channel \"{}\": a frame arrived that cannot be: {}",
                  place.channel, what));
}

absl::Status CheckGap(const Gap& gap, const FramePlace& place) {
  // Only what was asked to be resumed after may lie beyond what there can be.
  const bool possible = gap.first_missing >= 1 && gap.next >= 1 &&
                        gap.next <= wire::kMaxSequence &&
                        (place.joining || gap.next > gap.first_missing);
  if (possible) return absl::OkStatus();
  return Wrong(place, fmt::format("a gap from {} to before {}",
                                  gap.first_missing, gap.next));
}

}  // namespace

absl::Status CheckNumbers(const wire::Frame& frame, const FramePlace& place) {
  const wire::FrameHeader& header = frame.header;
  if (place.joining && (header.epoch == 0 || header.next_sequence == 0)) {
    return absl::DataLossError(
        "the first frame has no epoch or no next_sequence");
  }
  if (!header.head) return Wrong(place, "it has no head");
  const std::uint64_t head = *header.head;
  if (head > wire::kMaxSequence) {
    return Wrong(place, fmt::format("its head is {}", head));
  }
  if (!place.joining && head < place.head) {
    return Wrong(place, fmt::format("its head is {}, and was {} before", head,
                                    place.head));
  }
  if (header.gap) {
    if (absl::Status s = CheckGap(*header.gap, place); !s.ok()) return s;
  }
  // Where it goes on, before its messages.
  const std::uint64_t next = header.gap      ? header.gap->next
                             : place.joining ? header.next_sequence
                                             : place.next_sequence;
  const bool says_so = place.joining || frame.message_count == 0;
  if (says_so && header.next_sequence != next) {
    return Wrong(place, fmt::format("it goes on with {}, but says {}", next,
                                    header.next_sequence));
  }
  if (next > head + 1 || frame.message_count > head + 1 - next) {
    return Wrong(place, fmt::format("{} messages from {} on, with the head {}",
                                    frame.message_count, next, head));
  }
  if (absl::Status s =
          CheckBounds("heartbeat_interval", header.heartbeat_interval,
                      ReadOptions::kHeartbeatInterval);
      !s.ok()) {
    return Wrong(place, MessageOf(s));
  }
  return absl::OkStatus();
}

std::uint64_t FirstSequence(const Start& start) {
  switch (start.kind) {
    case Start::Kind::kEarliest:
      return 1;
    case Start::Kind::kSequence:
      return start.number;
    case Start::Kind::kAfter:
      // The largest one has none after it.
      return std::max(start.position.sequence, start.position.sequence + 1);
    case Start::Kind::kNewOnly:
    case Start::Kind::kTime:
    case Start::Kind::kLast:
      break;
  }
  return 0;
}

}  // namespace messenger
