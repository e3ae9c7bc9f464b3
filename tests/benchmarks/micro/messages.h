// Messages as the parts under test get them.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "log/message_log.h"

namespace messenger::bench {

// Texts of these sizes are measured.
inline constexpr std::int64_t kSmall = 16;
inline constexpr std::int64_t kMedium = 128;
inline constexpr std::int64_t kLarge = 1024;

// The canonical NewMessage with a text of this size.
std::string EncodedMessage(std::size_t text_bytes);

// So many of them, to append to channel "bench".
class Batch {
 public:
  Batch(std::size_t count, std::size_t text_bytes);

  // `producer_sequence` is that of the first message, 0 to go without.
  AppendBatch Make(std::uint64_t producer_sequence) const;

 private:
  const std::shared_ptr<const std::string> message_;
  std::vector<wire::CanonicalMessage> messages_;
};

// Appends, and waits until it is done; throws std::runtime_error.
void Append(MessageLog& log, AppendBatch batch);

// A frame with so many messages as the server sends it.
std::string MakeFrame(std::size_t count, std::size_t text_bytes);

// Tells Google Benchmark what an iteration has done.
void Count(benchmark::State& state, std::size_t messages,
           std::size_t text_bytes);

}  // namespace messenger::bench
