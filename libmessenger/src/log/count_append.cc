#include "log/count_append.h"

#include "base/counters.h"

namespace messenger {

void CountAppend(const AppendResult& result, std::uint64_t bytes,
                 LogStats& counters) {
  if (!result.ok()) {
    return Count(CounterOf(result.status(), counters.refusals));
  }
  std::uint64_t messages = 0;
  std::uint64_t duplicates = 0;
  for (const wire::ReceiptRun& run : *result) {
    (run.duplicate ? duplicates : messages) += run.count;
  }
  Count(counters.batches);
  Count(counters.messages, messages);
  Count(counters.bytes, bytes);
  if (duplicates > 0) Count(counters.duplicates, duplicates);
}

}  // namespace messenger
