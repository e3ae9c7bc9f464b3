// Where a reader is in its channel.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/channel_context.h"
#include "log/message_log.h"
#include "log/resolve_start.h"
#include "messenger/message.h"

namespace messenger {

// Finds the start with the first read, and then goes on where a read has ended.
//
// Thread safety: one call of Read at a time; the others from any thread.
class Cursor {
 public:
  Cursor(std::string_view channel, const Start& start, bool strict)
      : channel_(channel), start_(start), strict_(strict) {}

  const std::string& channel() const { return channel_; }
  const Start& start() const { return start_; }
  bool strict() const { return strict_; }

  // The sequence to read next; 0: the start has not been found yet.
  std::uint64_t next() const { return next_; }

  // Reads what comes next. `find_start` finds the start, and `read` what there
  // is from a sequence on, of which it says in the result what it has found.
  // Nothing, if either of them returns nothing; the next call is then the same.
  using FindStart = absl::FunctionRef<std::optional<absl::StatusOr<Origin>>()>;
  using ReadFrom = absl::FunctionRef<std::optional<absl::Status>(
      std::uint64_t next, ReadResult* result)>;
  std::optional<absl::StatusOr<ReadResult>> Read(FindStart find_start,
                                                 ReadFrom read);

  // The start in a channel that there has never been.
  absl::StatusOr<Origin> StartOfNothing(const ChannelContext& context) const;

 private:
  const std::string channel_;
  const Start start_;
  const bool strict_;

  std::atomic<std::uint64_t> next_{0};
  std::optional<Gap> start_gap_;  // not told yet
  bool started_ = false;          // the first read has had a result
};

}  // namespace messenger
