// fork(): the child has the memory of the library's objects and none of their
// threads, nor gRPC's. Locks may be held there by threads that are gone. So in
// the child no lock of such an object may be taken, and none destroyed.
#pragma once

#include "absl/status/status.h"

namespace messenger {

// From now on, children that are forked are told apart. To be called before
// anything is made that has threads or locks.
void WatchForks();

// Whether this process, or one that it descends from, was forked after
// WatchForks.
bool InForkedChild();

// FAILED_PRECONDITION if so.
absl::Status CheckNotForked();

// A deleter that leaves the objects of the parent alone.
struct DeleteUnlessForked {
  template <typename T>
  void operator()(T* object) const {
    if (!InForkedChild()) delete object;
  }
};

}  // namespace messenger
