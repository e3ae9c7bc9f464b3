// Makes the checksums of arbitrary bytes right, so that a fuzzer gets behind
// them. What has its checksums right already is left as it is. The formats are
// in libmessenger/doc/log_format.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace messenger::fuzz {

// The messages of the entries that the bytes begin with, among other fields.
void SealEntries(char* bytes, std::size_t size);

// Header, and checksum of the body. A checkpoint of version 1 remains one.
void SealCheckpoint(std::string& bytes);
// The key that the checkpoint says, 0 if it cannot be parsed.
std::uint64_t KeyOf(std::string_view checkpoint);

// Header, rounds, and messages in them, up to what is no round by its magic or
// its size.
void SealJournal(std::string& bytes, std::uint64_t key, std::uint64_t number);

// Header and messages.
void SealSegment(std::string& bytes, std::string_view channel,
                 std::uint64_t first_sequence);
void SealIndex(std::string& bytes, std::string_view channel,
               std::uint64_t first_sequence);

}  // namespace messenger::fuzz
