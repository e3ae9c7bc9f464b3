// Reading out of the log, frame by frame.
#include <benchmark/benchmark.h>

#include <optional>
#include <string>

#include "absl/synchronization/notification.h"
#include "disk.h"
#include "messenger/log.h"
#include "micro/messages.h"
#include "support.h"

namespace messenger::bench {
namespace {

constexpr std::size_t kBatch = 1024;
constexpr ReadBounds kFrame = {.max_bytes = std::size_t{1} << 20};

ReadResult ReadFrame(LogReader& reader) {
  absl::Notification done;
  std::optional<absl::StatusOr<ReadResult>> result;
  auto now = reader.Read(kFrame, [&](absl::StatusOr<ReadResult> later) {
    result = std::move(later);
    done.Notify();
  });
  if (now) {
    result = std::move(now);
  } else {
    done.WaitForNotification();
  }
  return Value(*std::move(result), "read");
}

// An iteration reads all of it, from the beginning.
void ReadAll(MessageLog& log, benchmark::State& state, std::size_t messages) {
  while (state.KeepRunning()) {
    const auto reader = log.OpenReader("bench", Start::Earliest(), {});
    for (std::size_t taken = 0; taken < messages;) {
      const ReadResult result = ReadFrame(*reader);
      benchmark::DoNotOptimize(result.entries.data());
      taken += result.count;
    }
  }
}

void Read_Memory(benchmark::State& state) {
  const auto text_bytes = static_cast<std::size_t>(state.range(0));
  const auto log = Value(OpenLog("memory:"), "log");
  const std::size_t messages = (std::size_t{8} << 20) / text_bytes;
  const Batch batch(kBatch, text_bytes);
  std::size_t count = 0;
  for (; count < messages; count += kBatch) Append(*log, batch.Make(0));
  ReadAll(*log, state, count);
  Count(state, count, text_bytes);
}

// From files, which the operating system has in memory.
void Read_Segments(benchmark::State& state) {
  const auto text_bytes = static_cast<std::size_t>(state.range(0));
  const ScratchDirectory directory;
  const std::string uri = "file:" + directory.path() + "/log";
  // A log that is closed is in segments, and one that is opened has none of
  // them in memory.
  const LogOptions options = {.directory = {.durability = Durability::kOs}};
  const std::size_t messages = (std::size_t{8} << 20) / text_bytes;
  const Batch batch(kBatch, text_bytes);
  std::size_t count = 0;
  {
    const auto log = Value(OpenLog(uri, options), "log");
    for (; count < messages; count += kBatch) Append(*log, batch.Make(0));
  }
  const auto log = Value(OpenLog(uri, options), "log");
  ReadAll(*log, state, count);
  Count(state, count, text_bytes);
}

BENCHMARK(Read_Memory)->ArgName("text")->Arg(kSmall)->Arg(kMedium)->Arg(kLarge);
BENCHMARK(Read_Segments)
    ->ArgName("text")
    ->Arg(kSmall)
    ->Arg(kMedium)
    ->Arg(kLarge)
    ->UseRealTime();

}  // namespace
}  // namespace messenger::bench
