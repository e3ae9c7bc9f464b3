// Reading a journal of arbitrary content. What is read is written again, and
// must be read as the same.
#include <google/protobuf/stubs/logging.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fuzz/check.h"
#include "fuzz/input.h"
#include "fuzz/pieces.h"
#include "fuzz/targets.h"
#include "log/durable/journal.h"
#include "log/durable/journal_replay.h"
#include "log/durable/table_coding.h"
#include "support/faulty_file_system.h"

namespace messenger::fuzz {
namespace journal_reader_fuzz {
namespace {

constexpr JournalId kId{.key = 0x1111111111111111U, .number = 7};

struct Record {
  JournalRecord::Type type;
  std::string channel;
  std::uint64_t number;
  std::string entries;

  friend bool operator==(const Record&, const Record&) = default;
};

struct Round {
  std::uint64_t number;
  TimeAnchor time;
  bool well_formed;
  std::vector<Record> records;

  friend bool operator==(const Round&, const Round&) = default;
};

std::vector<Round> ReadRounds(JournalReader& reader, std::uint64_t file_size) {
  std::vector<Round> rounds;
  std::uint64_t end = reader.header_intact() ? kJournalHeaderSize : 0;
  Check(reader.end() == end, "it does not begin behind the header");
  while (reader.Next()) {
    Check(reader.round().offset == end, "a round lies where it should not");
    Check(reader.end() > end && reader.end() <= file_size,
          "a round ends where it should not");
    Check(reader.round_bytes().size() == reader.end() - end,
          "a round of another size");
    end = reader.end();
    Round& round = rounds.emplace_back();
    round.number = reader.round().number;
    round.time = reader.round().time;
    const absl::Status s =
        reader.ForEachRecord([&round](const JournalRecord& record) {
          round.records.push_back({.type = record.type,
                                   .channel = std::string(record.channel),
                                   .number = record.number,
                                   .entries = std::string(record.entries)});
          return absl::OkStatus();
        });
    Check(s.ok() || absl::IsDataLoss(s), "another error");
    round.well_formed = s.ok();
  }
  Check(reader.end() == end, "the end has moved");
  Check(end + reader.bytes_after_end() <= file_size,
        "more follows than there is");
  if (reader.bytes_after_end() == 0) {
    Check(!reader.RoundFollowsDamage(), "a round in zeros");
  }
  return rounds;
}

JournalReader Open(FileSystem& files) {
  auto reader = JournalReader::Open(files, "", kId);
  CheckOk(reader.status(), "Open");
  return *std::move(reader);
}

// False if that is another one than `record`, as what protobuf encodes can be.
bool AddToTables(const Record& record, JournalRound* round) {
  const JournalRecord view = {.type = record.type,
                              .channel = record.channel,
                              .number = record.number,
                              .entries = record.entries};
  if (record.type == JournalRecord::Type::kIdempotencyKey) {
    const auto key = KeyIn(view);
    if (!key || EncodeIdempotencyKey(*key) != record.entries) return false;
    round->AddIdempotencyKey(*key);
    return true;
  }
  if (record.type == JournalRecord::Type::kProducerOwner) {
    const auto owner = OwnerIn(view);
    if (!owner || EncodeProducerOwner(*owner) != record.entries) return false;
    round->AddProducerOwner(*owner);
    return true;
  }
  const auto kept = ProducerIn(view);
  if (!kept || EncodeNamedProducer(*kept) != record.entries) return false;
  if (record.type == JournalRecord::Type::kProducer) {
    round->AddProducer(*kept);
  } else {
    round->AddProducerDeletion(*kept);
  }
  return true;
}

void CheckWrittenAgain(const std::vector<Round>& rounds) {
  test::FaultyFileSystem files;
  files.SetFault([](auto operation, const std::string& /*path*/) {
    using Operation = test::FaultyFileSystem::Operation;
    // Room ahead takes time.
    return operation == Operation::kAllocate ? absl::InternalError("")
                                             : absl::OkStatus();
  });
  auto writer = JournalWriter::Create(files, "", kId);
  CheckOk(writer.status(), "Create");
  std::vector<Round> written;
  for (const Round& round : rounds) {
    JournalRound bytes;
    bool same = round.well_formed;
    for (const Record& record : round.records) {
      switch (record.type) {
        case JournalRecord::Type::kEntries:
          bytes.AddEntries(record.channel, record.number, record.entries);
          break;
        case JournalRecord::Type::kDeletion:
          bytes.AddDeletion(record.channel, record.number);
          same = same && record.entries.empty();
          break;
        case JournalRecord::Type::kEpoch:
          bytes.AddEpoch(record.number);
          same = same && record.entries.empty() && record.channel.empty();
          break;
        case JournalRecord::Type::kProducer:
        case JournalRecord::Type::kProducerDeletion:
        case JournalRecord::Type::kIdempotencyKey:
        case JournalRecord::Type::kProducerOwner:
          same = same && AddToTables(record, &bytes);
          break;
      }
    }
    if (!same) continue;
    CheckOk((*writer)->Write(bytes, round.number, round.time), "Write");
    written.push_back(round);
  }
  JournalReader reader = Open(files);
  const std::uint64_t size =
      files.Contents("/" + JournalFileName(kId.number)).size();
  Check(ReadRounds(reader, size) == written,
        "what is written again is read as something else");
  Check(reader.bytes_after_end() == 0, "something follows what was written");
}

void Run(Input& input) {
  // It would log what it does not accept.
  const google::protobuf::LogSilencer silence;
  const Piece piece = {.kind = PieceKind::kJournal,
                       .name = static_cast<std::uint8_t>(kId.number),
                       .mode = input.Byte(),
                       .content = std::string(input.Rest())};
  const std::string bytes = piece.File(kId.key);
  test::FaultyFileSystem files;
  files.SetContents("/" + JournalFileName(kId.number), bytes);
  JournalReader reader = Open(files);
  CheckWrittenAgain(ReadRounds(reader, bytes.size()));
}

}  // namespace
}  // namespace journal_reader_fuzz

void FuzzJournalReader(Input input) {
  journal_reader_fuzz::Run(input);
}

}  // namespace messenger::fuzz
