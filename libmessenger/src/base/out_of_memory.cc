#include "base/out_of_memory.h"

namespace messenger {
namespace {

const absl::Status& TheStatus() {
  static const auto* const status =
      new absl::Status(absl::StatusCode::kResourceExhausted,
                       "the server has no memory for this request");
  return *status;
}

// Made while there is memory.
[[maybe_unused]] const absl::Status& made_early = TheStatus();

}  // namespace

absl::Status OutOfMemory() {
  return TheStatus();
}

}  // namespace messenger
