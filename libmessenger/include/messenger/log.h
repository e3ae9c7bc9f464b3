// Logs that a server can serve.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"

namespace messenger {

// An ordered log of messages in named channels. Opaque to users of the library:
// open one, hand it to a `Server` (or `Service`), and talk to it with a
// `Client`. It must be destroyed after every server that uses it, which sharing
// it takes care of.
class MessageLog;

// What a log keeps. The oldest messages of a channel are dropped, whole chunks
// at a time, as soon as a limit is passed; a reader that had not got to them is
// told of the gap.
struct RetentionOptions {
  // Most bytes kept per channel. Memory is counted, not only messages. Bounds:
  // at least 64 KiB. Default 1 GiB: raise it for longer histories, lower it
  // when there are many channels.
  std::uint64_t max_bytes = std::uint64_t{1} << 30;
  // Drop what was written longer ago than this; zero keeps it. Applied when the
  // channel is next written, read or listed. Default: keep.
  std::chrono::nanoseconds max_age{0};
};

struct LogOptions {
  RetentionOptions retention;
  // Most channels, counting deleted ones (their last sequence is remembered).
  // Sending to one more is RESOURCE_EXHAUSTED. Default 100,000.
  std::size_t max_channels = 100'000;
  // Most producers remembered per channel; beyond it, the one that has been
  // idle longest is forgotten. A forgotten producer that goes on where it was
  // is refused with FAILED_PRECONDITION, never stored twice; one that starts at
  // 1 again is a new one. Default 10,000 (about 200 bytes each, and at most 7
  // KiB).
  std::size_t max_producers_per_channel = 10'000;
  // A producer idle for longer may be forgotten; not negative. Default 1 hour.
  std::chrono::nanoseconds producer_idle_timeout = std::chrono::hours(1);
};

// Opens a log.
//   "memory:"  in memory. Nothing outlives the process: a new one has a new
//              epoch, so that positions of the old one are recognised.
// INVALID_ARGUMENT if the URI or an option is not valid.
absl::StatusOr<std::shared_ptr<MessageLog>> OpenLog(std::string_view uri,
                                                    LogOptions options = {});

}  // namespace messenger
