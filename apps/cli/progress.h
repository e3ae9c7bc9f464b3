// How far a long send has come, for a person who watches.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace messenger::app {

// A line on stderr that is rewritten. Only shown on a terminal, and not while
// the lines are typed on one.
//
// Thread safety: all members may be called from any thread.
class Progress {
 public:
  Progress();

  // Rewrites the line: "sent 123, 45/s".
  void Show(std::uint64_t sent) ABSL_LOCKS_EXCLUDED(mu_);

  // Prints an error, without mixing it up with the line.
  void PrintError(std::string_view message) ABSL_LOCKS_EXCLUDED(mu_);

  // Replaces the line by one that stays, if stderr is a terminal.
  void Close(std::uint64_t sent, std::string_view channel)
      ABSL_LOCKS_EXCLUDED(mu_);

  double seconds() const;

 private:
  void Erase() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  double Rate(std::uint64_t sent) const;

  const bool watched_;
  const bool shown_;
  const std::chrono::steady_clock::time_point start_ =
      std::chrono::steady_clock::now();
  absl::Mutex mu_;
  bool on_line_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace messenger::app
