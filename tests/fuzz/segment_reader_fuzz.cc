// Reading a segment of arbitrary content, with an arbitrary index: finding
// messages by sequence and by time, reading all of them, and going on past
// damage.
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "fuzz/check.h"
#include "fuzz/input.h"
#include "fuzz/pieces.h"
#include "fuzz/targets.h"
#include "log/durable/segment_format.h"
#include "log/durable/segment_reader.h"
#include "support/faulty_file_system.h"
#include "wire/entry.h"

namespace messenger::fuzz {
namespace segment_reader_fuzz {
namespace {

constexpr std::string_view kChannel = kChannels[0];

// By sequence, and whether all of it was intact.
struct Outcome {
  std::map<std::uint64_t, std::string> messages;
  bool damaged = false;
};

void Take(const SegmentReader::Entries& entries, std::uint64_t first,
          Outcome* outcome) {
  std::uint64_t sequence = first;
  std::size_t size = 0;
  wire::EntryReader reader(entries.bytes.bytes);
  while (reader.Next()) {
    Check(wire::VerifiedSequence(reader.message()) == sequence,
          "a message that is not intact, or not the next one");
    outcome->messages.emplace(sequence, reader.message());
    size += reader.entry().size();
    ++sequence;
  }
  Check(size == entries.bytes.bytes.size() && size > 0,
        "what was read is more than entries, or nothing");
  Check(sequence - first == entries.count, "another count");
}

Outcome ReadOn(SegmentReader& reader, SegmentReader::Place place,
               const ReadBounds& bounds, const SegmentInfo& info) {
  Outcome outcome;
  while (place.sequence < info.end_sequence) {
    const SegmentReader::Place before = place;
    const auto entries = reader.Read(&place, bounds, info);
    if (entries.ok()) {
      Take(*entries, before.sequence, &outcome);
      Check(place.sequence == before.sequence + entries->count &&
                place.offset == before.offset + entries->bytes.bytes.size() &&
                place.offset <= info.size,
            "it has moved elsewhere");
      continue;
    }
    Check(absl::IsDataLoss(entries.status()), entries.status().ToString());
    outcome.damaged = true;
    CheckOk(reader.SkipDamage(&place, info), "SkipDamage");
    Check(place.sequence > before.sequence &&
              place.sequence <= info.end_sequence && place.offset <= info.size,
          "damage was skipped to somewhere else");
  }
  return outcome;
}

void CheckFind(SegmentReader& reader, std::uint64_t sequence,
               const Outcome& all, const SegmentInfo& info) {
  const auto place = reader.Find(sequence, info);
  CheckOk(place.status(), "Find");
  Check(place->sequence == sequence, "found something else");
  if (all.damaged) return;
  SegmentReader::Place at = *place;
  const auto entries = reader.Read(&at, {.max_bytes = 1}, info);
  CheckOk(entries.status(), "reading what was found");
  Check(wire::MessageOfEntry(entries->bytes.bytes) == all.messages.at(sequence),
        "found another message");
}

void CheckFindTime(SegmentReader& reader, Timestamp time, const Outcome& all,
                   const SegmentInfo& info) {
  const auto found = reader.FindTime(time, info);
  CheckOk(found.status(), "FindTime");
  Check(*found >= info.first_sequence && *found <= info.end_sequence,
        "found a time elsewhere");
  if (all.damaged) return;
  // Send times that go backwards have no first one.
  bool ascending = true;
  std::uint64_t expected = info.end_sequence;
  Timestamp last = Timestamp::min();
  for (const auto& [sequence, message] : all.messages) {
    const Timestamp sent = wire::SplitMessage(message).send_time;
    ascending = ascending && sent >= last;
    last = sent;
    if (sent >= time) expected = std::min(expected, sequence);
  }
  if (ascending) Check(*found == expected, "found another time");
}

void Run(Input& input) {
  SegmentInfo info{.first_sequence = input.Byte() & 63U};
  info.end_sequence = info.first_sequence + 1 + input.Byte() % 64U;
  const std::size_t size = input.TwoBytes();
  const ReadBounds bounds{.max_bytes = input.TwoBytes(),
                          .max_count = 1U + input.Byte()};
  const std::uint64_t wanted =
      info.first_sequence +
      input.Byte() % (info.end_sequence - info.first_sequence);
  const Timestamp time = Timestamp(std::chrono::seconds(input.TwoBytes()));

  test::FaultyFileSystem files;
  const auto name = static_cast<std::uint8_t>(info.first_sequence);
  for (Piece& piece : TakePieces(input)) {
    piece.name = name;
    if (piece.kind != PieceKind::kIndex) piece.kind = PieceKind::kSegment;
    files.SetContents(piece.path(), piece.File(0));
    // 0: all of it.
    if (piece.kind == PieceKind::kSegment && info.size == 0) {
      const std::uint64_t all = files.Contents(piece.path()).size();
      info.size = size == 0 ? all : size;
    }
  }
  const std::string directory = "/channels/general.channel";
  const auto reader = SegmentReader::Open(files, directory, kChannel, info);
  if (!reader.ok()) {
    Check(
        absl::IsDataLoss(reader.status()) || absl::IsNotFound(reader.status()),
        "another error");
    return;
  }
  const SegmentReader::Place begin{.sequence = info.first_sequence,
                                   .offset = kSegmentHeaderSize};
  const Outcome all = ReadOn(**reader, begin, bounds, info);
  CheckFind(**reader, wanted, all, info);
  CheckFindTime(**reader, time, all, info);
  // By now there may be more in the index, and less that is not so.
  CheckFind(**reader, wanted, all, info);
  const auto place = (*reader)->Find(info.first_sequence, info);
  CheckOk(place.status(), "Find");
  const Outcome again = ReadOn(**reader, *place, {.max_bytes = 4096}, info);
  if (!all.damaged) {
    Check(again.messages == all.messages, "read something else");
  }
}

}  // namespace
}  // namespace segment_reader_fuzz

void FuzzSegmentReader(Input input) {
  segment_reader_fuzz::Run(input);
}

}  // namespace messenger::fuzz
