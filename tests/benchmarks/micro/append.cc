// Appending, from encoded messages to the receipt.
#include <benchmark/benchmark.h>

#include <string>

#include "disk.h"
#include "messenger/log.h"
#include "micro/messages.h"
#include "support.h"

namespace messenger::bench {
namespace {

// Of a channel: what is older is dropped meanwhile.
constexpr std::uint64_t kRetentionBytes = std::uint64_t{64} << 20;

void AppendTo(MessageLog& log, benchmark::State& state, bool producer) {
  const auto count = static_cast<std::size_t>(state.range(0));
  const auto text_bytes = static_cast<std::size_t>(state.range(1));
  const Batch batch(count, text_bytes);
  std::uint64_t sequence = producer ? 1 : 0;
  while (state.KeepRunning()) {
    Append(log, batch.Make(sequence));
    if (producer) sequence += count;
  }
  Count(state, count, text_bytes);
}

void Append_Memory(benchmark::State& state) {
  const auto log = Value(
      OpenLog("memory:", {.retention = {.max_bytes = kRetentionBytes}}), "log");
  AppendTo(*log, state, /*producer=*/false);
}

void Append_MemoryAsProducer(benchmark::State& state) {
  const auto log = Value(
      OpenLog("memory:", {.retention = {.max_bytes = kRetentionBytes}}), "log");
  AppendTo(*log, state, /*producer=*/true);
}

void AppendDurably(benchmark::State& state, Durability durability) {
  const ScratchDirectory directory;
  const auto log = Value(OpenLog("file:" + directory.path() + "/log",
                                 {.retention = {.max_bytes = kRetentionBytes},
                                  .directory = {.durability = durability}}),
                         "log");
  AppendTo(*log, state, /*producer=*/true);
}

void Append_Os(benchmark::State& state) {
  AppendDurably(state, Durability::kOs);
}

void Append_Fsync(benchmark::State& state) {
  AppendDurably(state, Durability::kFsync);
}

void BatchAndTextSizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"batch", "text"});
  for (const std::int64_t batch : {1, 128}) {
    for (const std::int64_t text : {kSmall, kMedium, kLarge}) {
      benchmark->Args({batch, text});
    }
  }
}

BENCHMARK(Append_Memory)->Apply(BatchAndTextSizes);
BENCHMARK(Append_MemoryAsProducer)->Apply(BatchAndTextSizes);
BENCHMARK(Append_Os)->Apply(BatchAndTextSizes)->UseRealTime();
BENCHMARK(Append_Fsync)->Apply(BatchAndTextSizes)->UseRealTime();

}  // namespace
}  // namespace messenger::bench
