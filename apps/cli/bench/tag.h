// What the text of a benchmark's message tells of it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace messenger::app {

// Who has sent a message, which one of his it is, from 1 on, and when it was
// due.
struct BenchTag {
  std::uint32_t run = 0;  // random, so that other messages are told apart
  std::uint32_t producer = 0;
  std::uint64_t number = 0;
  std::chrono::steady_clock::time_point due;
};

// Of the shortest text that has room for a tag.
inline constexpr std::size_t kBenchTagBytes = 51;

// Writes the tag at the beginning of the text.
void PutTag(const BenchTag& tag, std::string* text);

// Nothing if the text has no tag.
std::optional<BenchTag> ParseTag(std::string_view text);

}  // namespace messenger::app
