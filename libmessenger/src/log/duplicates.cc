#include "log/duplicates.h"

#include <fmt/format.h>

#include "absl/status/status.h"
#include "base/reason.h"
#include "wire/entry.h"

namespace messenger {
namespace {

// Adds message `sequence` to the last run, or as one of its own.
void AddDuplicate(std::uint64_t epoch, std::uint64_t sequence, Timestamp time,
                  AppendResult::value_type* receipts) {
  if (!receipts->empty()) {
    wire::ReceiptRun& last = receipts->back();
    if (last.first_sequence + last.count == sequence &&
        last.send_time == time) {
      ++last.count;
      return;
    }
  }
  receipts->push_back({.epoch = epoch,
                       .first_sequence = sequence,
                       .count = 1,
                       .send_time = time,
                       .duplicate = true});
}

}  // namespace

AppendResult ReceiptsOfDuplicates(const AppendBatch& batch,
                                  const ProducerTable::Stored& stored,
                                  std::uint64_t epoch, FindMessage find) {
  AppendResult::value_type receipts;
  for (const ProducerRun& run : stored) {
    for (std::uint64_t i = 0; i < run.count; ++i) {
      const std::uint64_t producer_sequence = run.producer_sequence + i;
      const std::uint64_t sequence = run.sequence + i;
      const absl::StatusOr<LogBytes> message = find(sequence);
      if (!message.ok()) return message.status();
      if (message->bytes.empty()) {
        return WithReason(absl::FailedPreconditionError(fmt::format(
                              "producer sequence {}: was stored as {}, which "
                              "is no longer there to compare with",
                              producer_sequence, sequence)),
                          reason::kProducerSequenceTooOld);
      }
      const wire::StoredParts parts = wire::SplitMessage(message->bytes);
      const wire::CanonicalMessage& repeated =
          batch.messages[producer_sequence - batch.first_producer_sequence];
      if (parts.before_producer != repeated.before_producer() ||
          parts.after_producer != repeated.after_producer()) {
        return WithReason(
            absl::FailedPreconditionError(fmt::format(
                "producer sequence {}: was stored as {} with another content",
                producer_sequence, sequence)),
            reason::kProducerSequenceReused);
      }
      AddDuplicate(epoch, sequence, parts.send_time, &receipts);
    }
  }
  return receipts;
}

}  // namespace messenger
