#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "base/bounds.h"
#include "base/forked.h"
#include "base/status.h"
#include "log/durable/durable_log.h"
#include "log/memory_log.h"
#include "messenger/log.h"
#include "messenger/printable.h"

namespace messenger {
namespace {

// Enough for a journal, and for deleting many channels.
constexpr std::uint64_t kReserveBytes = std::uint64_t{4} << 20;
// Who stops a server does not wait much longer than for its drain.
constexpr std::chrono::seconds kCloseTimeout{1};

absl::Status Check(const LogOptions& options) {
  using Options = LogOptions;
  const RetentionOptions& retention = options.retention;
  return FirstError(
      {CheckBounds("retention.max_bytes",
                   retention.max_bytes.value_or(UINT64_MAX),
                   RetentionOptions::kMaxBytes),
       CheckBounds("retention.max_age", retention.max_age,
                   RetentionOptions::kMaxAge),
       CheckBounds("directory.max_journal_bytes",
                   options.directory.max_journal_bytes,
                   DirectoryOptions::kMaxJournalBytes),
       CheckBounds("memory.max_bytes",
                   options.memory.max_bytes.value_or(UINT64_MAX),
                   MemoryOptions::kMaxBytes),
       CheckBounds("producer_idle_timeout", options.producer_idle_timeout,
                   Options::kProducerIdleTimeout),
       CheckBounds("max_channels", options.max_channels, Options::kMaxChannels),
       CheckBounds("max_deleted_channels", options.max_deleted_channels,
                   Options::kMaxDeletedChannels),
       CheckBounds("max_producers_per_channel",
                   options.max_producers_per_channel,
                   Options::kMaxProducersPerChannel),
       CheckBounds("max_named_producers", options.max_named_producers,
                   Options::kMaxNamedProducers),
       CheckBounds("max_idempotency_keys", options.max_idempotency_keys,
                   Options::kMaxIdempotencyKeys),
       CheckBounds("idempotency_key_timeout", options.idempotency_key_timeout,
                   Options::kIdempotencyKeyTimeout)});
}

// Files are called what whoever made them liked.
LogOptions WithPrintableNotices(LogOptions options) {
  if (options.on_notice) {
    options.on_notice =
        [told = std::move(options.on_notice)](std::string_view notice) {
          told(Printable(notice));
        };
  }
  return options;
}

}  // namespace

absl::StatusOr<std::shared_ptr<MessageLog>> OpenLog(std::string_view uri,
                                                    const LogOptions& options) {
  WatchForks();
  if (absl::Status s = CheckNotForked(); !s.ok()) return s;
  if (absl::Status s = Check(options); !s.ok()) return s;
  if (uri == "memory:") {
    return std::shared_ptr<MemoryLog>(new MemoryLog(options),
                                      DeleteUnlessForked());
  }
  constexpr std::string_view kFile = "file:";
  if (uri.starts_with(kFile) && uri.size() > kFile.size()) {
    auto log = DurableLog::Open(
        std::string(uri.substr(kFile.size())), WithPrintableNotices(options),
        {.reserve_bytes = kReserveBytes, .close_timeout = kCloseTimeout});
    if (!log.ok()) return MakePrintable(log.status());
    return *std::move(log);
  }
  return absl::InvalidArgumentError(
      fmt::format(R"(log: "{}" is not known; use "file:DIR" or "memory:")",
                  Printable(uri)));
}

}  // namespace messenger
