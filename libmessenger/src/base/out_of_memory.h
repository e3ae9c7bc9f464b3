// What to do when there is no memory for what somebody has asked for: refuse
// him, and serve the others.
#pragma once

#include <new>
#include <utility>

#include "absl/status/status.h"

namespace messenger {

// RESOURCE_EXHAUSTED. Needs no memory.
absl::Status OutOfMemory();

// Returns what `call` returns, an absl::Status or absl::StatusOr; OutOfMemory()
// if an allocation in it fails. What it has changed until then must be as good
// as nothing.
template <typename Call>
auto RefuseIfOutOfMemory(Call&& call) -> decltype(call()) {
  try {
    return std::forward<Call>(call)();
  } catch (const std::bad_alloc&) {
    return OutOfMemory();
  }
}

}  // namespace messenger
