// The worked example of doc/log_format.md, made by the code.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <google/protobuf/text_format.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "log/durable/checkpoint.h"
#include "log/durable/disk_coding.h"
#include "log/durable/durable_log.h"
#include "log/durable/journal.h"
#include "log/durable/segment_format.h"
#include "messenger/log.h"
#include "messenger/storage/v1/checkpoint.pb.h"
#include "messenger/v1/messenger.pb.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/printing.h"
#include "wire/canonical_message.h"
#include "wire/entry.h"
#include "wire/timestamp.h"

namespace messenger::log_format_test {
namespace {

using test::FaultyFileSystem;
using Operation = FaultyFileSystem::Operation;
using LogTime = std::chrono::steady_clock::time_point;

constexpr std::uint64_t kKey = 0x1111111111111111;
constexpr std::uint64_t kFirstEpoch = 0x2222222222222222;
constexpr std::uint64_t kSecondEpoch = 0x3333333333333333;

// So many seconds after the log was created, at 2026-01-01 00:00:00 UTC.
Timestamp WallAt(int seconds) {
  return Timestamp(std::chrono::seconds(1'767'225'600 + seconds));
}
TimeAnchor At(int seconds) {
  return {.log_time = LogTime(std::chrono::seconds(seconds)),
          .wall_time = WallAt(seconds)};
}

// ---- The document.

std::string ReadDocument() {
  const std::string path =
      std::string(MESSENGER_SOURCE_DIR) + "/libmessenger/doc/log_format.md";
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (text.empty()) throw std::runtime_error(path + ": cannot be read");
  return text;
}

// What stands in the fenced block after the line <!-- KIND: NAME -->.
std::string Block(std::string_view kind, std::string_view name) {
  const std::string text = ReadDocument();
  const std::string marker =
      fmt::format("<!-- {}: {} -->\n```text\n", kind, name);
  const std::size_t at = text.find(marker);
  if (at == std::string::npos) {
    throw std::runtime_error("log_format.md has no " + marker);
  }
  const std::size_t begin = at + marker.size();
  return text.substr(begin, text.find("```", begin) - begin);
}

// A line of a hex block: the offset of its first byte, the bytes, and what they
// are; or only a remark.
struct HexLine {
  std::string bytes;
  std::string remark;
};

constexpr std::size_t kRemarkColumn = 6 + 3 * 16 + 1;

std::vector<HexLine> ParseHex(std::string_view block) {
  std::vector<HexLine> lines;
  while (!block.empty()) {
    const std::string line(block.substr(0, block.find('\n')));
    block.remove_prefix(line.size() + 1);
    HexLine parsed;
    const std::string columns = line.substr(0, kRemarkColumn);
    if (line.size() > kRemarkColumn) parsed.remark = line.substr(kRemarkColumn);
    for (std::size_t at = 6; at + 1 < columns.size() && columns[at] != ' ';
         at += 3) {
      parsed.bytes += static_cast<char>(
          std::stoi(columns.substr(at, 2), nullptr, /*base=*/16));
    }
    lines.push_back(std::move(parsed));
  }
  return lines;
}

std::string Format(std::uint64_t offset, std::string_view bytes,
                   std::string_view remark) {
  std::string hex;
  for (const char c : bytes) {
    hex += fmt::format("{:02x} ", static_cast<unsigned char>(c));
  }
  std::string line = bytes.empty()
                         ? fmt::format("{:55}{}", "", remark)
                         : fmt::format("{:04x}  {:49}{}", offset, hex, remark);
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

// `bytes`, in lines as long as those that are there, and then in lines of 16.
std::string Render(std::string_view bytes, const std::vector<HexLine>& lines) {
  std::string text;
  std::uint64_t offset = 0;
  for (const HexLine& line : lines) {
    const std::string_view part = bytes.substr(offset, line.bytes.size());
    if (part.empty() && !line.bytes.empty()) continue;
    text += Format(offset, part, line.remark);
    offset += part.size();
  }
  for (; offset < bytes.size(); offset += 16) {
    text += Format(offset, bytes.substr(offset, 16), "");
  }
  return text;
}

void CheckHex(std::string_view name, std::string_view bytes) {
  const std::string documented = Block("bytes", name);
  const std::string right = Render(bytes, ParseHex(documented));
  INFO("log_format.md should say of ", name, ":\n", right);
  const bool same = documented == right;
  CHECK(same);
}

void CheckText(std::string_view name,
               const google::protobuf::Message& message) {
  std::string right;
  google::protobuf::TextFormat::PrintToString(message, &right);
  INFO("log_format.md should say of ", name, ":\n", right);
  const bool same = Block("text", name) == right;
  CHECK(same);
}

// ---- The example.

std::string EntryOf(const NewMessage& message, std::uint64_t sequence,
                    const ProducerId* producer) {
  const wire::EncodedTimestamp time(WallAt(1));
  const std::string encoded = test::Encode(message);
  const wire::EntryParts parts = {
      .sequence = sequence,
      .encoded_time = time.bytes(),
      .new_message = wire::CanonicalMessage(encoded),
      .producer_id = producer,
      .producer_sequence = 1};
  const std::size_t size = wire::MessageSize(parts);
  std::string entry(wire::EntrySize(size), '\0');
  wire::PutEntry(entry.data(), parts, size);
  return entry;
}

class Example {
 public:
  Example() {
    Must(files_->CreateDirectory("/log"));
    Must(files_->CreateDirectory("/log/journals"));
    Must(files_->CreateDirectory("/log/channels"));
    Must(WriteCheckpoint(*files_, "/log",
                         {.key = kKey, .epochs = {kFirstEpoch}, .time = At(0)},
                         {}));
  }

  // Two rounds of a log that does not sync them.
  void Write() {
    auto journal = CreateJournal(1, /*synced=*/false);
    constexpr ProducerId kProducer = {1, 2,  3,  4,  5,  6,  7,  8,
                                      9, 10, 11, 12, 13, 14, 15, 16};
    JournalRound round;
    round.AddEntries("general", 1,
                     EntryOf({.author = "ann", .text = "hi"}, 1, &kProducer));
    round.AddEntries("old", 1, EntryOf({.text = "x"}, 1, nullptr));
    Must(journal->Write(round, 1, At(1)));
    round.Clear();
    round.AddDeletion("old", 1);
    Must(journal->Write(round, 2, At(2)));
    Keep(*journal);
  }

  // It is killed, opened by one that does, and begins another epoch.
  void BeginEpoch() {
    auto journal = CreateJournal(2, /*synced=*/true);
    JournalRound round;
    round.AddEpoch(kSecondEpoch);
    Must(journal->Write(round, 3, At(60)));
    Must(journal->Sync());
    Keep(*journal);
  }

  // It is killed again, opened, and closed after its first checkpoint.
  void OpenAndClose() {
    auto log = Open();
    // Which removes three journals at its end.
    for (int i = 0; i < 3; ++i) {
      if (!removals_.try_acquire_for(test::kLogDeadline)) {
        throw std::runtime_error("the checkpoint was not made");
      }
    }
  }

  std::shared_ptr<MessageLog> Open() {
    files_->SetFault([this](Operation operation, const std::string& path) {
      if (operation == Operation::kRemove && path.ends_with(".journal")) {
        removals_.release();
      }
      return absl::OkStatus();
    });
    auto log =
        DurableLog::Open("/log", {},
                         {.clock = {.now = [] { return WallAt(61); },
                                    .steady_now = [] { return LogTime(); }},
                          .files = files_});
    Must(log.status());
    return *std::move(log);
  }

  FaultyFileSystem& files() { return *files_; }

  // Those that are gone by now, too; journals without their room.
  std::string Contents(std::string_view path) const {
    const auto kept = kept_.find(path);
    return kept != kept_.end() ? kept->second
                               : files_->Contents(fmt::format("/log/{}", path));
  }

 private:
  static void Must(const absl::Status& status) {
    if (!status.ok()) throw std::runtime_error(status.ToString());
  }

  std::unique_ptr<JournalWriter> CreateJournal(std::uint64_t number,
                                               bool synced) {
    auto journal = JournalWriter::Create(*files_, "/log/journals",
                                         {.key = kKey, .number = number},
                                         {.synced = synced});
    Must(journal.status());
    return *std::move(journal);
  }

  void Keep(const JournalWriter& journal) {
    const std::string path = "journals/" + JournalFileName(journal.number());
    const std::string bytes = files_->Contents(fmt::format("/log/{}", path));
    CHECK(bytes.size() > journal.size());
    const bool zeros =
        bytes.find_first_not_of('\0', journal.size()) == std::string::npos;
    CHECK(zeros);
    kept_[path] = bytes.substr(0, journal.size());
  }

  const std::shared_ptr<FaultyFileSystem> files_ =
      std::make_shared<FaultyFileSystem>();
  std::map<std::string, std::string, std::less<>> kept_;
  std::counting_semaphore<> removals_{0};
};

constexpr std::string_view kJournal1 = "journals/00000000000000000001.journal";
constexpr std::string_view kJournal2 = "journals/00000000000000000002.journal";
constexpr std::string_view kJournal5 = "journals/00000000000000000005.journal";
constexpr std::string_view kSegment =
    "channels/general.channel/00000000000000000001.segment";

TEST_CASE("log format: the bytes of the worked example are those of the log") {
  Example example;
  example.Write();
  example.BeginEpoch();
  example.OpenAndClose();
  for (const std::string_view path :
       {kJournal1, kJournal2, kJournal5, kSegment, kCheckpointFileName}) {
    CheckHex(path, example.Contents(path));
  }
  v1::ReadMessagesResponse segment;
  REQUIRE(segment.ParseFromString(example.Contents(kSegment)));
  segment.DiscardUnknownFields();  // the header
  CheckText(kSegment, segment);
  storage::v1::Checkpoint checkpoint;
  REQUIRE(
      checkpoint.ParseFromString(example.Contents("checkpoint").substr(32)));
  CheckText("checkpoint", checkpoint);
}

TEST_CASE("log format: the worked example has the files that it says") {
  Example example;
  example.Write();
  example.BeginEpoch();
  example.OpenAndClose();
  std::string files;
  for (const std::string& path : example.files().Files()) {
    files += path.substr(std::string_view("/log/").size()) + "\n";
  }
  INFO("log_format.md should list:\n", files);
  const bool same = Block("text", "files") == files;
  CHECK(same);
}

TEST_CASE("log format: an entry of an index is as the example says") {
  const SegmentHeader segment = {.epoch = kSecondEpoch,
                                 .first_sequence = 1,
                                 .channel_hash = HashChannelName("general")};
  const std::array<char, kIndexEntrySize> bytes =
      IndexEntry{.sequence = 1000, .time = WallAt(1), .offset = 65'600}.Encode(
          segment);
  CheckHex("index entry", {bytes.data(), bytes.size()});
}

// The records of a round with them alone.
std::string RecordsOf(JournalRound& round) {
  constexpr std::size_t kHeaders = kJournalHeaderSize + 48;
  FaultyFileSystem files;
  auto journal = JournalWriter::Create(files, "/", {.key = kKey, .number = 1});
  REQUIRE(journal.ok());
  REQUIRE((*journal)->Write(round, 1, At(1)).ok());
  return files.Contents("/" + JournalFileName(1))
      .substr(kHeaders, (*journal)->size() - kHeaders);
}

TEST_CASE("log format: records of version 3 are as the examples say") {
  NamedProducers::Kept kept = {
      .key = {.channel = "general", .name = "copier"},
      .producer = {
          .generation = 2, .last_sequence = 7, .last_used = WallAt(1)}};
  for (std::size_t i = 0; i < kept.producer.id.size(); ++i) {
    kept.producer.id[i] = static_cast<std::uint8_t>(i + 1);
  }
  JournalRound producer;
  producer.AddProducer(kept);
  CheckHex("producer record", RecordsOf(producer));
  JournalRound key;
  key.AddIdempotencyKey(
      {.channel = "general",
       .key = "k-1",
       .sequence = 2,
       .send_time = WallAt(1),
       .content = wire::HashContent(test::Encode({.text = "hi"})),
       .written = At(1).log_time});
  CheckHex("key record", RecordsOf(key));
  JournalRound owner;
  owner.AddProducerOwner({.channel = "general",
                          .id = kept.producer.id,
                          .owner = "ann",
                          .sequence = 3});
  CheckHex("owner record", RecordsOf(owner));
}

// The log of the worked example, which was written before there was a version
// 3.
void WriteDocumented(FaultyFileSystem& files) {
  for (const std::string_view path :
       {kCheckpointFileName, kJournal5, kSegment}) {
    std::string bytes;
    for (const HexLine& line : ParseHex(Block("bytes", path))) {
      bytes += line.bytes;
    }
    files.SetContents(fmt::format("/log/{}", path), bytes);
  }
}

std::uint32_t VersionOn(const FaultyFileSystem& files) {
  return GetLittleEndian<std::uint32_t>(&files.Contents("/log/checkpoint")[8]);
}

TEST_CASE(
    "log format: a log of before opens, goes on, and keeps its version "
    "until it uses what came later") {
  Example example;
  FaultyFileSystem& files = example.files();
  WriteDocumented(files);
  constexpr ProducerId kProducer = {1, 2,  3,  4,  5,  6,  7,  8,
                                    9, 10, 11, 12, 13, 14, 15, 16};
  {
    const auto log = example.Open();
    // The producer goes on where it was, and so does the deleted channel.
    const auto stored = test::MustAppend(
        *log, test::BatchOf("general", kProducer, 2, {"more"}));
    CHECK(stored.front().sequence == 2);
    CHECK(
        test::MustAppend(*log, test::BatchOf("old", {"y"})).front().sequence ==
        2);
    CHECK(test::MustListProducers(*log).empty());
  }
  CHECK(VersionOn(files) == kBasicCheckpointVersion);
  ProducerInfo producer;
  {
    const auto log = example.Open();
    CHECK(VersionOn(files) == kBasicCheckpointVersion);
    producer = test::MustOpenProducer(*log, "general", "p");
    CHECK(VersionOn(files) == kCheckpointVersion);
    CHECK(test::MustAppend(*log, test::BatchOf(producer, 10, {"named"}))
              .front()
              .sequence == 3);
    test::MustAppend(*log, test::BatchWithKey("general", "k", "keyed"));
  }
  CHECK(VersionOn(files) == kCheckpointVersion);
  const auto log = example.Open();
  CHECK(log->epoch() == kSecondEpoch);
  const auto reader = log->OpenReader("general", Start::Earliest(), {});
  CHECK(test::ReadToHead(*reader).texts() ==
        std::vector<std::string>{"hi", "more", "named", "keyed"});
  CHECK(test::MustListProducers(*log)[0].last_producer_sequence == 10);
  CHECK(test::MustAppend(*log, test::BatchWithKey("general", "k", "keyed"))
            .front()
            .duplicate);
}

TEST_CASE("log format: the bytes of the worked example are a log") {
  Example example;
  WriteDocumented(example.files());
  const auto log = example.Open();
  CHECK(log->epoch() == kSecondEpoch);
  const auto reader = log->OpenReader("general", Start::Earliest(), {});
  const auto messages = test::ReadToHead(*reader).messages;
  REQUIRE(messages.size() == 1);
  CHECK(messages[0].author == "ann");
  CHECK(messages[0].text == "hi");
  CHECK(test::Contains(test::GetChannel(*log, "old").status().ToString(),
                       "NOT_FOUND"));
}

}  // namespace
}  // namespace messenger::log_format_test
