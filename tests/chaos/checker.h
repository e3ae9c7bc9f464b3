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
  std::uint64_t named = 0;  // of them: of named producers
  std::uint64_t keyed = 0;  // with idempotency keys
  // Of named producers: sent after another client had opened it, and refused.
  std::uint64_t fenced = 0;
  // Openings between the first and the last one of a producer and channel.
  std::uint64_t reopened = 0;
  // Without a receipt, but told by an opening.
  std::uint64_t told = 0;
  // Receipts that tell of a duplicate.
  std::uint64_t named_duplicates = 0;
  std::uint64_t key_duplicates = 0;
  std::uint64_t received = 0;  // by all readers
};

// Linear in the history; needs some bytes more for each message that is stored.
Verdict Check(const History& history);

}  // namespace messenger::test::chaos
