// Inputs that are the files of a log: pieces, one after the other.
//
//   kind, name, mode  a byte each
//   size              two bytes, little-endian
//   content
//
// Whatever the bytes are, they are pieces.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/input.h"
#include "support/faulty_file_system.h"

namespace messenger::fuzz {

inline constexpr std::array<std::string_view, 4> kChannels = {"general", "a",
                                                              "old", "x-1"};

enum class PieceKind : std::uint8_t {
  kCheckpoint,  // name: 1 for checkpoint.new
  kJournal,     // name: its number; beyond 250, the last ones that there are
  kSegment,     // name: channel in the two high bits, and first sequence
  kIndex,       // the same
  kStray,       // name: which
};

// Bits of the mode.
inline constexpr std::uint8_t kSealed = 1;   // the checksums are made right
inline constexpr std::uint8_t kPatched = 2;  // and then some byte is changed:
                                             // the content ends with its offset
                                             // (two bytes) and what to XOR
inline constexpr std::uint8_t kPadded = 4;   // zeros follow

struct Piece {
  PieceKind kind = PieceKind::kCheckpoint;
  std::uint8_t name = 0;
  std::uint8_t mode = kSealed;
  std::string content;

  std::string_view channel() const { return kChannels[name >> 6U]; }
  std::uint64_t first_sequence() const { return name & 63U; }
  std::uint64_t journal() const;
  // In the directory of the log.
  std::string path() const;
  // What the file holds.
  std::string File(std::uint64_t key) const;
};

std::vector<Piece> TakePieces(Input& input);
std::string Encode(const Piece& piece);

// Writes the files of a log into `directory`.
void WritePieces(const std::vector<Piece>& pieces, const std::string& directory,
                 test::FaultyFileSystem& files);

}  // namespace messenger::fuzz
