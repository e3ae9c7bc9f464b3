// What a producer is told that sends messages again.
#pragma once

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "log/message_log.h"
#include "log/producer_table.h"

namespace messenger {

// The encoded Message with this sequence; empty if it is no longer stored.
using FindMessage =
    absl::FunctionRef<absl::StatusOr<LogBytes>(std::uint64_t sequence)>;

// Compares the messages of `batch` that are `stored` already with what is
// stored. Their original receipts, marked as duplicates; FAILED_PRECONDITION if
// one is not there any more, or has another content.
AppendResult ReceiptsOfDuplicates(const AppendBatch& batch,
                                  const ProducerTable::Stored& stored,
                                  std::uint64_t epoch, FindMessage find);

}  // namespace messenger
