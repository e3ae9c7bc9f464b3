// Logs that a server can serve.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "messenger/bounds.h"
#include "messenger/stats.h"

namespace messenger {

// An ordered log of messages in named channels. Opaque to users of the library:
// open one, hand it to a `Server` (or `Service`), and talk to it with a
// `Client`. It must be destroyed after every server that uses it, which sharing
// it takes care of.
class MessageLog;

// What a log keeps. The oldest messages of a channel are dropped, whole chunks
// or segments at a time, as soon as a limit is passed. A reader that had not
// got to them is told of the gap, and so is one that starts with the earliest
// message.
//
// Nothing else drops messages. A log in a directory never makes room on a full
// disk: it refuses appends with RESOURCE_EXHAUSTED until there is room again.
struct RetentionOptions {
  // Most bytes kept per channel: of encoded messages in a directory, of the
  // memory that they are in otherwise. A message that is larger is kept until
  // the next one. Default: a log in a directory keeps everything; a log in
  // memory keeps 1 GiB of each channel. Set it for a log in a directory if its
  // disk is not to fill up.
  std::optional<std::uint64_t> max_bytes = std::nullopt;
  static constexpr Bounds<std::uint64_t> kMaxBytes{std::uint64_t{64} << 10,
                                                   UINT64_MAX};
  // Drop what was written longer ago than this; zero keeps it. Applied when the
  // channel is next written, read or listed, and in a directory every 30 s.
  // Default: keep.
  //
  // A wall clock that is set, however far, drops nothing: ages are taken from
  // one that is not. Only how long a log in a directory was closed is read off
  // the wall clock. If all that there is would be too old then, on_notice is
  // told when the log is opened; and if that time is more than 30 days, it does
  // not count, since the clock is, or was, wrong more likely than not.
  std::chrono::nanoseconds max_age{0};
  static constexpr Bounds<std::chrono::nanoseconds> kMaxAge{
      std::chrono::nanoseconds(0), std::chrono::nanoseconds::max()};
};

// What a log in a directory promises of a message when its receipt is sent.
enum class Durability : std::uint8_t {
  // It is on stable storage (fdatasync): it survives a crash of the process, of
  // the machine, and a power cut. Appends that come at the same time share one
  // sync.
  kFsync,
  // It is in the page cache of the operating system: it survives a crash of the
  // process, but a power cut loses what came after the last checkpoint. Unless
  // it was closed, the log therefore begins a new epoch when it is opened, so
  // that readers notice.
  kOs,
};

// Of logs in a directory.
struct DirectoryOptions {
  // Default kFsync.
  Durability durability = Durability::kFsync;
  // When the journal has this size, what is in it is brought into segments (a
  // checkpoint); at twice that, appends wait. It bounds how long opening takes
  // after a crash, and the memory for what is in no segment yet. Default 64
  // MiB.
  std::uint64_t max_journal_bytes = std::uint64_t{64} << 20;
  static constexpr Bounds<std::uint64_t> kMaxJournalBytes{
      std::uint64_t{64} << 10, std::uint64_t{16} << 30};
};

// Of logs in memory.
struct MemoryOptions {
  // Most memory for the messages of all channels together, those that readers
  // have not let go of yet included. An append that would take more is
  // RESOURCE_EXHAUSTED; nothing but retention drops messages. Default: half of
  // the memory that there is, of the machine or of the control group of a
  // container.
  std::optional<std::uint64_t> max_bytes = std::nullopt;
  static constexpr Bounds<std::uint64_t> kMaxBytes{std::uint64_t{1} << 20,
                                                   UINT64_MAX};
};

struct LogOptions {
  RetentionOptions retention = {};
  // Of one kind of log; the others check them, and have no use for them.
  DirectoryOptions directory = {};
  MemoryOptions memory = {};
  // Told what an operator should know, a line without its end: what was cut off
  // when the log was opened, that the storage refuses writes, that it takes
  // them again, once of each thing what a reader cannot have; with paths, which
  // no client is told. What comes and goes is told at growing intervals, with
  // how often it did. Called by OpenLog, by threads of the log, and by those
  // that append to a log in memory; must not block, nor call the log. Default:
  // nobody is told.
  std::function<void(std::string_view)> on_notice = nullptr;
  // Most channels. Deleted ones do not count. Sending to one more is
  // RESOURCE_EXHAUSTED. Default 100,000 (beside their messages, some 2 KB each
  // in a directory, and 6 KB in memory).
  std::size_t max_channels = 100'000;
  static constexpr Bounds<std::size_t> kMaxChannels{1, SIZE_MAX};
  // Most deleted channels, whose last sequence is remembered for good, so that
  // none is given out twice. Deleting one more is RESOURCE_EXHAUSTED; sending
  // to a deleted channel makes it one that exists, and no longer counts here.
  // Default 1,000,000 (less than 300 bytes each).
  std::size_t max_deleted_channels = 1'000'000;
  static constexpr Bounds<std::size_t> kMaxDeletedChannels{1, SIZE_MAX};
  // Most producers remembered per channel; beyond it, the one that has been
  // idle longest is forgotten. A forgotten producer that goes on where it was
  // is refused with FAILED_PRECONDITION, never stored twice; one that starts at
  // 1 again is a new one. Default 10,000 (about 200 bytes each, and at most 7
  // KiB).
  std::size_t max_producers_per_channel = 10'000;
  static constexpr Bounds<std::size_t> kMaxProducersPerChannel{1, SIZE_MAX};
  // A producer idle for longer may be forgotten. Default 1 hour.
  std::chrono::nanoseconds producer_idle_timeout = std::chrono::hours(1);
  static constexpr Bounds<std::chrono::nanoseconds> kProducerIdleTimeout{
      std::chrono::nanoseconds(0), std::chrono::nanoseconds::max()};
  // Most named producers, of all channels together. They are never forgotten,
  // but for being deleted; opening one more is RESOURCE_EXHAUSTED. Default
  // 10,000 (about 1 KB each).
  std::size_t max_named_producers = 10'000;
  static constexpr Bounds<std::size_t> kMaxNamedProducers{0, SIZE_MAX};
  // Most idempotency keys that are remembered, of all channels together; beyond
  // it, the oldest one is forgotten: a message that is sent with it once more
  // is stored once more. Default 100,000 (300 bytes and the
  // key, each).
  std::size_t max_idempotency_keys = 100'000;
  static constexpr Bounds<std::size_t> kMaxIdempotencyKeys{1, SIZE_MAX};
  // An idempotency key is forgotten when its message was stored longer ago.
  // Default 24 hours.
  std::chrono::nanoseconds idempotency_key_timeout = std::chrono::hours(24);
  static constexpr Bounds<std::chrono::nanoseconds> kIdempotencyKeyTimeout{
      std::chrono::seconds(1), std::chrono::nanoseconds::max()};
};

// Opens a log.
//   "file:DIR"  in a directory, which is created if its parent exists. One
//               process at a time. Blocks on the disk, for as long as it takes
//               to read what was appended since the last checkpoint (at most
//               twice directory.max_journal_bytes).
//   "memory:"   in memory. Nothing outlives the process: a new one has a new
//               epoch, so that positions of the old one are recognised.
// INVALID_ARGUMENT if the URI or an option is not valid. FAILED_PRECONDITION if
// another process has the log open, or the directory holds something else, or
// in a forked child (see `Client`). DATA_LOSS if the log is damaged in a way
// that a crash does not explain.
absl::StatusOr<std::shared_ptr<MessageLog>> OpenLog(
    std::string_view uri, const LogOptions& options = {});

// What `log` has counted since it was opened. From any thread.
LogStats StatsOf(const MessageLog& log);

}  // namespace messenger
