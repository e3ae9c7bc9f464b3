#include "log/cursor.h"

#include <utility>

namespace messenger {

std::optional<absl::StatusOr<ReadResult>> Cursor::Read(FindStart find_start,
                                                       ReadFrom read) {
  if (next_ == 0) {
    const std::optional<absl::StatusOr<Origin>> origin = find_start();
    if (!origin) return std::nullopt;
    if (!origin->ok()) return origin->status();
    next_ = (*origin)->next;
    start_gap_ = (*origin)->gap;
  }
  ReadResult result;
  result.next_sequence = next_;
  const std::optional<absl::Status> status = read(next_, &result);
  if (!status) return std::nullopt;
  if (!status->ok()) return *status;
  if (!std::exchange(started_, true) && strict_ && result.gap) {
    return StartIsMissing(channel_, *result.gap);
  }
  if (start_gap_) {
    // Retention may have gone on since the start was found.
    start_gap_->next = result.next_sequence;
    result.gap = std::exchange(start_gap_, std::nullopt);
  }
  next_ = result.next_sequence + result.count;
  return result;
}

absl::StatusOr<Origin> Cursor::StartOfNothing(
    const ChannelContext& context) const {
  return ResolveStart(start_, strict_,
                      {.name = channel_,
                       .epoch = context.epoch(),
                       .past_epochs = {.epochs = context.epochs, .heads = {}}},
                      /*sent_since=*/1);
}

}  // namespace messenger
