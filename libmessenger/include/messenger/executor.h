// Where a client runs callbacks.
#pragma once

#include "absl/functional/any_invocable.h"

namespace messenger {

// Runs tasks. Implement it to let a client use threads that a program already
// has: a thread pool, or the loop of its user interface. Each client without
// one has a small pool of its own (ClientOptions::callback_threads).
//
// Lifetime: clients share it, and so do tasks that outlive them. The last
// reference may go with a task, on a thread of the executor's own: a destructor
// that joins its threads must not join that one.
//
// Thread safety: Post is called from any thread, gRPC's among them.
class Executor {
 public:
  Executor() = default;
  virtual ~Executor() = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Runs `task` once, soon. Never before Post has returned (the caller may hold
  // a lock that the task takes), and not on a thread of gRPC's. Tasks may run
  // side by side, and in any order: a client sees to the order that it needs.
  // None may be dropped: who destroys a client waits for its tasks. Must not
  // block, nor throw.
  virtual void Post(absl::AnyInvocable<void()> task) = 0;
};

}  // namespace messenger
