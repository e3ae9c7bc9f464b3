#include "fuzz/pieces.h"

#include <cstddef>

#include "fuzz/seal.h"
#include "log/durable/checkpoint.h"
#include "log/durable/journal.h"
#include "log/durable/layout.h"
#include "log/durable/segment_format.h"

namespace messenger::fuzz {
namespace {

constexpr std::size_t kPadding = 4096;
constexpr std::size_t kPatchSize = 3;

constexpr std::array<std::string_view, 7> kStrays = {
    "LOCK",
    "lost+found/x",
    "journals/other",
    "channels/general.channel/other",
    "channels/other.channel/00000000000000000001.segment",
    "channels/a.channel/00000000000000000099.index",
    "other"};

void Patch(std::string& bytes, std::string_view patch) {
  Input input(reinterpret_cast<const std::uint8_t*>(patch.data()),
              patch.size());
  const std::size_t at = input.TwoBytes();
  if (bytes.empty()) return;
  char& byte = bytes[at % bytes.size()];
  byte = static_cast<char>(static_cast<std::uint8_t>(byte) ^ input.Byte());
}

void Seal(const Piece& piece, std::uint64_t key, std::string& bytes) {
  switch (piece.kind) {
    case PieceKind::kCheckpoint:
      return SealCheckpoint(bytes);
    case PieceKind::kJournal:
      return SealJournal(bytes, key, piece.journal());
    case PieceKind::kSegment:
      return SealSegment(bytes, piece.channel(), piece.first_sequence());
    case PieceKind::kIndex:
      return SealIndex(bytes, piece.channel(), piece.first_sequence());
    case PieceKind::kStray:
      return;
  }
}

}  // namespace

std::uint64_t Piece::journal() const {
  return name <= 250 ? name : UINT64_MAX - (UINT8_MAX - name);
}

std::string Piece::path() const {
  const std::string log;
  switch (kind) {
    case PieceKind::kCheckpoint:
      return std::string("/") + std::string(kCheckpointFileName) +
             (name == 1 ? ".new" : "");
    case PieceKind::kJournal:
      return JournalsDirectory(log) + "/" + JournalFileName(journal());
    case PieceKind::kSegment:
      return ChannelDirectory(log, channel()) + "/" +
             SegmentFileName(first_sequence());
    case PieceKind::kIndex:
      return ChannelDirectory(log, channel()) + "/" +
             IndexFileName(first_sequence());
    case PieceKind::kStray:
      break;
  }
  return "/" + std::string(kStrays[name % kStrays.size()]);
}

std::string Piece::File(std::uint64_t key) const {
  std::string bytes = content;
  std::string patch;
  if ((mode & kPatched) != 0 && bytes.size() >= kPatchSize) {
    patch = bytes.substr(bytes.size() - kPatchSize);
    bytes.resize(bytes.size() - kPatchSize);
  }
  if ((mode & kSealed) != 0) Seal(*this, key, bytes);
  if (!patch.empty()) Patch(bytes, patch);
  if ((mode & kPadded) != 0) bytes.resize(bytes.size() + kPadding);
  return bytes;
}

std::vector<Piece> TakePieces(Input& input) {
  constexpr std::size_t kKinds = 5;
  // What takes long finds nothing more.
  constexpr std::size_t kMaxPieces = 32;
  std::vector<Piece> pieces;
  while (!input.empty() && pieces.size() < kMaxPieces) {
    Piece& piece = pieces.emplace_back();
    piece.kind = static_cast<PieceKind>(input.Byte() % kKinds);
    piece.name = input.Byte();
    piece.mode = input.Byte();
    const std::size_t size = input.TwoBytes();
    piece.content = input.Bytes(size);
  }
  return pieces;
}

std::string Encode(const Piece& piece) {
  const std::size_t size = piece.content.size();
  std::string bytes;
  bytes.push_back(static_cast<char>(piece.kind));
  bytes.push_back(static_cast<char>(piece.name));
  bytes.push_back(static_cast<char>(piece.mode));
  bytes.push_back(static_cast<char>(size & 0xFFU));
  bytes.push_back(static_cast<char>(size >> 8U));
  return bytes + piece.content;
}

void WritePieces(const std::vector<Piece>& pieces, const std::string& directory,
                 test::FaultyFileSystem& files) {
  std::uint64_t key = 0;
  for (const Piece& piece : pieces) {
    if (piece.kind == PieceKind::kCheckpoint && piece.name != 1) {
      key = KeyOf(piece.content);
    }
  }
  for (const Piece& piece : pieces) {
    const std::string path = directory + piece.path();
    // A file where a directory is, or the other way round.
    const std::string parent = path.substr(0, path.rfind('/'));
    bool fits = true;
    for (const std::string& other : files.Files()) {
      fits = fits && !other.starts_with(path + "/") && other != parent;
    }
    if (fits) files.SetContents(path, piece.File(key));
  }
}

}  // namespace messenger::fuzz
