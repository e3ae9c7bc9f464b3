#include "base/forked.h"

#include <pthread.h>

#include <atomic>

namespace messenger {
namespace {

std::atomic<bool> in_forked_child{false};

}  // namespace

void WatchForks() {
  static const int kRegistered = pthread_atfork(nullptr, nullptr, [] {
    in_forked_child.store(true, std::memory_order_relaxed);
  });
  static_cast<void>(kRegistered);
}

bool InForkedChild() {
  return in_forked_child.load(std::memory_order_relaxed);
}

absl::Status CheckNotForked() {
  if (!InForkedChild()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "this process was forked after libmessenger had been used, and has none "
      "of its threads: fork before the first client, server, service or log "
      "is made, or call exec in the child");
}

}  // namespace messenger
