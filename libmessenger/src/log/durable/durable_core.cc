#include "log/durable/durable_core.h"

#include <fmt/format.h>

#include <utility>

#include "base/status.h"
#include "log/durable/layout.h"

namespace messenger {
namespace {

// Of segments that cannot be read. A disk that has failed has any number of
// them, and has said so by then.
constexpr std::size_t kMaxUnreadableNotices = 100;

}  // namespace

DurableCore::DurableCore(std::string directory_name, const LogOptions& options,
                         DurableLogOptions durable_options)
    : directory(std::move(directory_name)),
      durable(std::move(durable_options)),
      files(*durable.files),
      context{.options = options, .clock = durable.clock, .epochs = {}},
      reserve(durable.files, fmt::format("{}/{}", directory, kReserveName)),
      checkpoint(durable.files, directory, &reserve),
      cache(durable.files, durable.max_open_segments) {}

absl::StatusOr<std::unique_ptr<JournalWriter>> DurableCore::CreateJournal(
    std::uint64_t number, JournalTraits traits) {
  return reserve.LendTo([&] {
    return JournalWriter::Create(files, JournalsDirectory(directory),
                                 {.key = key, .number = number}, traits);
  });
}

absl::StatusOr<std::shared_ptr<SegmentReader>> DurableCore::OpenSegment(
    DurableChannel& channel, const SegmentInfo& segment) {
  auto reader = cache.Open(ChannelDirectory(directory, channel.name()),
                           channel.name(), segment);
  if (absl::IsNotFound(reader.status()) &&
      channel.HasSegment(segment.first_sequence)) {
    return absl::DataLossError(reader.status().message());
  }
  return reader;
}

void DurableCore::NoteUnreadable(const std::string& channel,
                                 const absl::Status& status) {
  if (absl::IsNotFound(status)) return;
  std::string notice(MessageOf(status));
  if (notice.find(directory) == std::string::npos) {
    notice =
        fmt::format("{}: {}", ChannelDirectory(directory, channel), notice);
  }
  {
    absl::MutexLock lock(&unreadable_mu);
    if (unreadable.size() == kMaxUnreadableNotices ||
        !unreadable.insert(notice).second) {
      return;
    }
  }
  Notify(notice);
}

}  // namespace messenger
