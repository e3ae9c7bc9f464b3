#include "base/counters.h"

#include <string>

#include "messenger/error.h"

namespace messenger {

std::uint64_t& CounterOf(const absl::Status& error, RefusalStats& refusals) {
  const std::string reason = ReasonOf(error);
  if (reason == reason::kShuttingDown) return refusals.shutting_down;
  if (reason == reason::kOverloaded) return refusals.overloaded;
  if (reason == reason::kStorageFailed) return refusals.storage_failed;
  if (reason == reason::kStorageFull) return refusals.storage_full;
  if (reason == reason::kLimitReached) return refusals.limit_reached;
  if (reason == reason::kWrongLastSequence) return refusals.condition;
  switch (error.code()) {
    case absl::StatusCode::kUnavailable:
      return refusals.unavailable;
    case absl::StatusCode::kResourceExhausted:
      return refusals.exhausted;
    case absl::StatusCode::kInvalidArgument:
      return refusals.invalid;
    case absl::StatusCode::kFailedPrecondition:
      return refusals.producer;
    case absl::StatusCode::kOutOfRange:
      return refusals.start;
    case absl::StatusCode::kNotFound:
      return refusals.not_found;
    case absl::StatusCode::kDataLoss:
      return refusals.damaged;
    case absl::StatusCode::kCancelled:
      return refusals.cancelled;
    case absl::StatusCode::kUnauthenticated:
      return refusals.unauthenticated;
    case absl::StatusCode::kPermissionDenied:
      return refusals.denied;
    case absl::StatusCode::kAborted:
      return refusals.aborted;
    default:
      return refusals.other;
  }
}

std::uint64_t& CounterOf(Gap::Reason reason, GapStats& gaps) {
  switch (reason) {
    case Gap::Reason::kUnspecified:
    case Gap::Reason::kRetention:
      return gaps.retention;
    case Gap::Reason::kDamaged:
      return gaps.damaged;
    case Gap::Reason::kDeleted:
      return gaps.deleted;
    case Gap::Reason::kNewEpoch:
      return gaps.new_epoch;
    case Gap::Reason::kRolledBack:
      return gaps.rolled_back;
  }
  return gaps.retention;
}

}  // namespace messenger
