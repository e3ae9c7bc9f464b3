// Judges a history by what guarantees.md promises to clients that come back,
// on a log that loses nothing.
#pragma once

#include <cstdint>
#include <vector>

#include "history.h"
#include "history/violation.h"

namespace messenger::test::chaos {

struct Verdict {
  // What is wrong; of each promise and channel at most some.
  std::vector<Violation> violations;
  std::uint64_t all = 0;  // as many as were found

  std::uint64_t acknowledged = 0;
  std::uint64_t duplicates = 0;   // of them: answered as sent before
  std::uint64_t conditional = 0;  // of them: conditional appends
  std::uint64_t refused = 0;      // for their conditions
  std::uint64_t out_of_time = 0;
  std::uint64_t stored = 0;
  std::uint64_t received = 0;  // by all readers
};

// Linear in the history; needs some bytes more for each message that is stored.
Verdict Check(const History& history);

}  // namespace messenger::test::chaos
