#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "base/forked.h"
#include "base/status.h"
#include "log/durable/durable_log.h"
#include "log/memory_log.h"
#include "messenger/log.h"
#include "messenger/printable.h"

namespace messenger {
namespace {

constexpr std::uint64_t kMinRetentionBytes = std::uint64_t{64} << 10;
constexpr std::uint64_t kMinMemoryBytes = std::uint64_t{1} << 20;
constexpr std::uint64_t kMinJournalBytes = std::uint64_t{64} << 10;
constexpr std::uint64_t kMaxJournalBytes = std::uint64_t{16} << 30;

// Enough for a journal, and for deleting many channels.
constexpr std::uint64_t kReserveBytes = std::uint64_t{4} << 20;
// Who stops a server does not wait much longer than for its drain.
constexpr std::chrono::seconds kCloseTimeout{1};

absl::Status Check(const LogOptions& options) {
  if (options.retention.max_bytes.value_or(UINT64_MAX) < kMinRetentionBytes) {
    return absl::InvalidArgumentError(
        fmt::format("retention.max_bytes: {}; must be at least {}",
                    *options.retention.max_bytes, kMinRetentionBytes));
  }
  if (options.retention.max_age.count() < 0) {
    return absl::InvalidArgumentError(
        fmt::format("retention.max_age: {} ns; must not be negative",
                    options.retention.max_age.count()));
  }
  if (options.max_journal_bytes < kMinJournalBytes ||
      options.max_journal_bytes > kMaxJournalBytes) {
    return absl::InvalidArgumentError(fmt::format(
        "max_journal_bytes: {}; must be {} to {}", options.max_journal_bytes,
        kMinJournalBytes, kMaxJournalBytes));
  }
  if (options.max_memory_bytes.value_or(UINT64_MAX) < kMinMemoryBytes) {
    return absl::InvalidArgumentError(
        fmt::format("max_memory_bytes: {}; must be at least {}",
                    *options.max_memory_bytes, kMinMemoryBytes));
  }
  if (options.producer_idle_timeout.count() < 0) {
    return absl::InvalidArgumentError(
        fmt::format("producer_idle_timeout: {} ns; must not be negative",
                    options.producer_idle_timeout.count()));
  }
  if (options.max_channels == 0 || options.max_deleted_channels == 0 ||
      options.max_producers_per_channel == 0) {
    return absl::InvalidArgumentError(
        "max_channels, max_deleted_channels, max_producers_per_channel: must "
        "be at least 1");
  }
  return absl::OkStatus();
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
