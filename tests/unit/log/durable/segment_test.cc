#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "log/durable/segment_format.h"
#include "log/durable/segment_reader.h"
#include "log/durable/segment_writer.h"
#include "messenger/v1/messenger.pb.h"
#include "support/bytes.h"
#include "support/faulty_file_system.h"
#include "support/log_access.h"
#include "support/printing.h"
#include "support/seed.h"
#include "wire/entry.h"
#include "wire/read.h"
#include "wire/timestamp.h"

namespace messenger::segment_test {
namespace {

using std::chrono::nanoseconds;
using test::FaultyFileSystem;
using test::Random;
using test::TestSeed;
using LogTime = std::chrono::steady_clock::time_point;

constexpr std::string_view kChannel = "general";
constexpr std::uint64_t kEpoch = 77;
constexpr std::uint64_t kFirst = 1000;
constexpr ReadBounds kAmple{.max_bytes = std::size_t{1} << 20};

// "OK", or the code and the message.
std::string Say(const absl::Status& status) {
  if (status.ok()) return "OK";
  return fmt::format("{}: {}", absl::StatusCodeToString(status.code()),
                     MessageOf(status));
}

template <typename T>
std::string Say(const absl::StatusOr<T>& result) {
  return Say(result.status());
}

Timestamp At(std::int64_t seconds) {
  return Timestamp(std::chrono::seconds(seconds));
}

struct Sent {
  std::uint64_t sequence = 0;
  Timestamp time;
  std::string text;
  std::uint64_t offset = 0;  // in the segment
  std::uint64_t end = 0;
};

std::string EntryOf(std::uint64_t sequence, Timestamp time,
                    std::string_view text) {
  const wire::EncodedTimestamp encoded_time(time);
  const std::string encoded = test::Encode({.text = text});
  const wire::EntryParts parts{.sequence = sequence,
                               .encoded_time = encoded_time.bytes(),
                               .new_message = wire::CanonicalMessage(encoded)};
  const std::size_t message_size = wire::MessageSize(parts);
  std::string entry(wire::EntrySize(message_size), '\0');
  wire::PutEntry(entry.data(), parts, message_size);
  return entry;
}

// What of a message a test sees.
struct Got {
  std::uint64_t sequence = 0;
  std::string text;

  friend bool operator==(const Got&, const Got&) = default;
};

// A segment, and what should be in it.
class Lab {
 public:
  explicit Lab(std::uint64_t first_sequence = kFirst)
      : segment("/" + SegmentFileName(first_sequence)),
        index("/" + IndexFileName(first_sequence)),
        first_sequence_(first_sequence) {
    info.first_sequence = info.end_sequence = first_sequence;
  }

  struct NewText {
    Timestamp time;
    std::string text;
  };

  // Appends the texts, so many at once, by a writer of its own.
  void Write(const std::vector<NewText>& texts, std::size_t at_once = 1) {
    absl::StatusOr<SegmentWriter> writer =
        sent.empty() ? SegmentWriter::Create(files, "", kChannel, kEpoch,
                                             first_sequence_)
                     : SegmentWriter::Resume(files, "", kChannel, info);
    REQUIRE(Say(writer) == "OK");
    std::string entries;
    std::uint64_t count = 0;
    std::uint64_t offset = writer->info().size;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const std::uint64_t sequence = writer->info().end_sequence + count;
      const std::string entry = EntryOf(sequence, texts[i].time, texts[i].text);
      sent.push_back({.sequence = sequence,
                      .time = texts[i].time,
                      .text = texts[i].text,
                      .offset = offset,
                      .end = offset + entry.size()});
      offset += entry.size();
      entries += entry;
      ++count;
      if (count < at_once && i + 1 < texts.size()) continue;
      const LogTime written{nanoseconds(sequence)};
      REQUIRE(Say(writer->Append(entries, count, written)) == "OK");
      entries.clear();
      count = 0;
    }
    REQUIRE(Say(writer->Sync()) == "OK");
    info = writer->info();
  }

  std::shared_ptr<SegmentReader> Open() {
    auto reader = SegmentReader::Open(files, "", kChannel, info);
    REQUIRE(Say(reader) == "OK");
    return *reader;
  }

  std::vector<Got> Expected(std::uint64_t from = 0) const {
    std::vector<Got> expected;
    for (const Sent& s : sent) {
      if (s.sequence >= from) expected.push_back({s.sequence, s.text});
    }
    return expected;
  }

  FaultyFileSystem files;
  const std::string segment;  // paths
  const std::string index;
  SegmentInfo info;
  std::vector<Sent> sent;

 private:
  const std::uint64_t first_sequence_;
};

std::vector<Lab::NewText> Texts(std::size_t count, std::size_t size = 10) {
  std::vector<Lab::NewText> texts;
  for (std::size_t i = 0; i < count; ++i) {
    std::string text = fmt::format("text {} ", i);
    text.resize(std::max(text.size(), size), '.');
    texts.push_back({At(static_cast<std::int64_t>(i / 3)), std::move(text)});
  }
  return texts;
}

std::vector<Lab::NewText> RandomTexts(Random& random, std::size_t bytes) {
  std::vector<Lab::NewText> texts;
  nanoseconds time(1'700'000'000'000'000'000);
  for (std::size_t size = 0; size < bytes; size += texts.back().text.size()) {
    if (random.OneIn(2)) time += nanoseconds(random.Between(0, 2'000'000'000));
    const std::uint64_t length = random.OneIn(100) ? random.Between(0, 200'000)
                                                   : random.Between(0, 2'000);
    texts.push_back({Timestamp(time), random.Text(length)});
  }
  return texts;
}

std::vector<Got> MessagesIn(std::string_view entries) {
  std::vector<Got> messages;
  wire::EntryReader reader(entries);
  std::size_t size = 0;
  while (reader.Next()) {
    Message message;
    CHECK(Say(wire::DecodeMessage(reader.message(), &message)) == "OK");
    messages.push_back({message.sequence, std::string(message.text)});
    size += reader.entry().size();
  }
  CHECK(size == entries.size());
  return messages;
}

struct Outcome {
  std::vector<Got> messages;
  // At which DATA_LOSS was found.
  std::vector<std::uint64_t> damaged;
};

// Reads on from `place` to the end, past damage. Whatever is wrong with the
// segment, this must come to an end.
Outcome ReadToEnd(SegmentReader& reader, SegmentReader::Place place,
                  const SegmentInfo& info, const ReadBounds& bounds = kAmple) {
  Outcome outcome;
  while (place.sequence < info.end_sequence) {
    const SegmentReader::Place before = place;
    const auto entries = reader.Read(&place, bounds, info);
    if (entries.ok()) {
      std::vector<Got> messages = MessagesIn(entries->bytes.bytes);
      REQUIRE(!messages.empty());
      CHECK(messages.size() == entries->count);
      CHECK(messages.front().sequence == before.sequence);
      CHECK(place.sequence == before.sequence + entries->count);
      CHECK(place.offset == before.offset + entries->bytes.bytes.size());
      for (Got& m : messages) outcome.messages.push_back(std::move(m));
      continue;
    }
    REQUIRE(entries.status().code() == absl::StatusCode::kDataLoss);
    CHECK(place.sequence == before.sequence);
    outcome.damaged.push_back(place.sequence);
    REQUIRE(Say(reader.SkipDamage(&place, info)) == "OK");
    REQUIRE(place.sequence > before.sequence);
    REQUIRE(place.sequence <= info.end_sequence);
  }
  CHECK(place.sequence == info.end_sequence);
  return outcome;
}

Outcome ReadAll(Lab& lab, const ReadBounds& bounds = kAmple) {
  const auto reader = lab.Open();
  const auto place = reader->Find(lab.info.first_sequence, lab.info);
  REQUIRE(Say(place) == "OK");
  return ReadToEnd(*reader, *place, lab.info, bounds);
}

// What a reader does not get if these are damaged: between two places in the
// index, or without one, all that lies between two damaged messages as well,
// since nothing tells it from what a damaged message says.
std::vector<std::uint64_t> LostWith(const Lab& lab,
                                    const std::vector<std::uint64_t>& damaged,
                                    bool with_index) {
  const SegmentHeader header = {.epoch = kEpoch,
                                .first_sequence = kFirst,
                                .channel_hash = HashChannelName(kChannel)};
  std::vector<std::uint64_t> places;
  if (with_index) {
    for (const IndexEntry& entry :
         DecodeIndex(lab.files.Contents(lab.index), header, lab.info.size)) {
      if (std::ranges::find(damaged, entry.sequence) == damaged.end()) {
        places.push_back(entry.sequence);
      }
    }
  }
  std::vector<std::uint64_t> lost;
  for (const std::uint64_t sequence : damaged) {
    if (!lost.empty()) {
      const auto next = std::ranges::upper_bound(places, lost.back());
      if (next == places.end() || *next > sequence) {
        while (lost.back() + 1 < sequence) lost.push_back(lost.back() + 1);
      }
    }
    lost.push_back(sequence);
  }
  return lost;
}

// The outcome if these are damaged, and no others.
Outcome Without(const Lab& lab, const std::vector<std::uint64_t>& damaged) {
  Outcome outcome;
  bool intact = true;
  for (const Sent& s : lab.sent) {
    const bool lost = std::ranges::binary_search(damaged, s.sequence);
    if (lost && intact) outcome.damaged.push_back(s.sequence);
    if (!lost) outcome.messages.push_back({s.sequence, s.text});
    intact = !lost;
  }
  return outcome;
}

// Where they begin to differ; empty if they do not.
std::string Differences(const Outcome& outcome, const Outcome& expected) {
  const auto [got, wanted] =
      std::ranges::mismatch(outcome.messages, expected.messages);
  if (got != outcome.messages.end() || wanted != expected.messages.end()) {
    const auto said = [](auto at, auto end) {
      return at == end ? std::string("the end")
                       : fmt::format("{} \"{}\"", at->sequence,
                                     at->text.substr(0, 40));
    };
    return fmt::format("{} where {} should be",
                       said(got, outcome.messages.end()),
                       said(wanted, expected.messages.end()));
  }
  if (outcome.damaged != expected.damaged) {
    return fmt::format("damage at {}, not at {}",
                       fmt::join(outcome.damaged, ", "),
                       fmt::join(expected.damaged, ", "));
  }
  return "";
}

std::optional<std::uint64_t> SentSince(const Lab& lab, Timestamp time) {
  for (const Sent& s : lab.sent) {
    if (s.time >= time) return s.sequence;
  }
  return std::nullopt;
}

void CheckFinds(Lab& lab, SegmentReader& reader, std::uint64_t sequence) {
  const Sent& sent = lab.sent[sequence - lab.info.first_sequence];
  const auto place = reader.Find(sequence, lab.info);
  REQUIRE(Say(place) == "OK");
  CHECK(place->sequence == sequence);
  CHECK(place->offset == sent.offset);
  for (const nanoseconds shift : {nanoseconds(0), nanoseconds(-1)}) {
    const auto since = reader.FindTime(sent.time + shift, lab.info);
    REQUIRE(Say(since) == "OK");
    CHECK(*since == SentSince(lab, sent.time + shift));
  }
}

void CheckFindsAll(Lab& lab) {
  const auto reader = lab.Open();
  for (const Sent& s : lab.sent) CheckFinds(lab, *reader, s.sequence);
}

void Damage(Lab& lab, std::uint64_t offset) {
  std::string bytes = lab.files.Contents(lab.segment);
  bytes[offset] = static_cast<char>(~static_cast<unsigned char>(bytes[offset]));
  lab.files.SetContents(lab.segment, bytes);
}

TEST_CASE("segment: names sort by sequence and can be told from others") {
  CHECK(SegmentFileName(1) == "00000000000000000001.segment");
  CHECK(IndexFileName(UINT64_MAX) == "18446744073709551615.index");
  for (const std::uint64_t n :
       {std::uint64_t{0}, std::uint64_t{42}, UINT64_MAX}) {
    CHECK(ParseSegmentFileName(SegmentFileName(n)) == n);
    CHECK(ParseSegmentFileName(IndexFileName(n)) == std::nullopt);
  }
  for (const std::string_view name :
       {"", ".segment", "1.segment", "0000000000000000000x.segment",
        "-0000000000000000001.segment", "18446744073709551616.segment",
        "000000000000000000001.segment", "00000000000000000001.segment.new"}) {
    CAPTURE(name);
    CHECK(ParseSegmentFileName(name) == std::nullopt);
  }
}

TEST_CASE("segment: what was written is read back, in reads of any size") {
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  Random random(TestSeed());
  Lab lab;
  const auto texts = RandomTexts(random, 600'000);
  const std::size_t half = texts.size() / 2;
  lab.Write({texts.begin(), texts.begin() + static_cast<std::ptrdiff_t>(half)},
            7);
  lab.Write({texts.begin() + static_cast<std::ptrdiff_t>(half), texts.end()});
  CHECK(lab.info.first_sequence == kFirst);
  CHECK(lab.info.end_sequence == kFirst + texts.size());
  CHECK(lab.info.size == lab.files.Contents(lab.segment).size());
  CHECK(lab.info.last_time == texts.back().time);
  CHECK(lab.info.last_write == LogTime(nanoseconds(lab.info.end_sequence - 1)));
  for (const std::size_t max_bytes :
       {0U, 1U, 30U, 1'000U, 70'000U, 10'000'000U}) {
    CAPTURE(max_bytes);
    const Outcome outcome = ReadAll(lab, {.max_bytes = max_bytes});
    CHECK(outcome.messages == lab.Expected());
    CHECK(outcome.damaged.empty());
  }
}

TEST_CASE("segment: a read stays within its bounds") {
  Lab lab;
  lab.Write(Texts(100));
  const auto reader = lab.Open();
  const auto count = [&](const ReadBounds& bounds) {
    SegmentReader::Place place = reader->Find(kFirst + 10, lab.info).value();
    const auto entries = reader->Read(&place, bounds, lab.info);
    REQUIRE(Say(entries) == "OK");
    CHECK(place.sequence == kFirst + 10 + entries->count);
    CHECK(MessagesIn(entries->bytes.bytes).size() == entries->count);
    return entries->count;
  };
  CHECK(count(kAmple) == 90);
  CHECK(count({.max_bytes = 1 << 20, .max_count = 1}) == 1);
  CHECK(count({.max_bytes = 1 << 20, .max_count = 17}) == 17);
  CHECK(count({.max_bytes = 1 << 20, .last_sequence = kFirst + 10}) == 1);
  CHECK(count({.max_bytes = 1 << 20, .last_sequence = kFirst + 19}) == 10);
  const std::size_t three = lab.sent[12].end - lab.sent[10].offset;
  CHECK(count({.max_bytes = three}) == 3);
  CHECK(count({.max_bytes = three - 1}) == 2);
  CHECK(count({.max_bytes = three + 1}) == 3);
}

TEST_CASE("segment: a message larger than the bound comes alone") {
  Lab lab;
  lab.Write({{At(1), "before"},
             {At(2), std::string(std::size_t{16} << 20, 'x')},
             {At(3), "after"}});
  const auto reader = lab.Open();
  SegmentReader::Place place = reader->Find(kFirst + 1, lab.info).value();
  const auto entries = reader->Read(&place, {.max_bytes = 100'000}, lab.info);
  REQUIRE(Say(entries) == "OK");
  CHECK(entries->count == 1);
  CHECK(entries->bytes.bytes.size() > std::size_t{16} << 20);
  const bool same =
      ReadAll(lab, {.max_bytes = 100'000}).messages == lab.Expected();
  CHECK(same);
  CheckFindsAll(lab);
}

TEST_CASE("segment: what was read outlives the reader") {
  Lab lab;
  lab.Write(Texts(3));
  LogBytes bytes;
  {
    const auto reader = lab.Open();
    SegmentReader::Place place = reader->Find(kFirst, lab.info).value();
    bytes = reader->Read(&place, kAmple, lab.info).value().bytes;
  }
  CHECK(MessagesIn(bytes.bytes) == lab.Expected());
}

TEST_CASE("segment: the file is a response, as protobuf reads it") {
  Lab lab;
  lab.Write(Texts(20));
  v1::ReadMessagesResponse response;
  REQUIRE(response.ParseFromString(lab.files.Contents(lab.segment)));
  REQUIRE(response.messages_size() == 20);
  for (int i = 0; i < 20; ++i) {
    const Sent& sent = lab.sent[static_cast<std::size_t>(i)];
    CHECK(response.messages(i).sequence() == sent.sequence);
    CHECK(response.messages(i).text() == sent.text);
  }
  const auto& unknown =
      v1::ReadMessagesResponse::GetReflection()->GetUnknownFields(response);
  REQUIRE(unknown.field_count() == 1);
  CHECK(unknown.field(0).number() == 15);
  CHECK(unknown.field(0).length_delimited().starts_with("MSGRSEG1"));
  const std::string bytes = lab.files.Contents(lab.segment);
  const auto frame = wire::ParseFrame(bytes);
  REQUIRE(Say(frame) == "OK");
  CHECK(frame->message_count == 20);
}

TEST_CASE("segment: its header and index are laid out as documented") {
  Lab lab;
  lab.Write({{At(5), std::string(70'000, 'x')}, {At(6), "second"}});
  const std::string header =
      lab.files.Contents(lab.segment).substr(0, kSegmentHeaderSize);
  CHECK(test::Hex(header.substr(0, 32)) ==
        "7a2e"
        "4d53475253454731"
        "01000000"
        "0000"
        "4d00000000000000"
        "e803000000000000");
  const std::string index = lab.files.Contents(lab.index);
  REQUIRE(index.size() == kIndexEntrySize);
  std::array<std::uint64_t, 3> numbers{};
  std::memcpy(numbers.data(), index.data(), sizeof numbers);
  CHECK(numbers[0] == kFirst + 1);
  CHECK(numbers[1] == 6'000'000'000);
  CHECK(numbers[2] == lab.sent[1].offset);
}

TEST_CASE(
    "segment: a writer that goes on leaves the files of one that has not "
    "stopped") {
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  Random random(TestSeed());
  const auto texts = RandomTexts(random, 700'000);
  Lab whole;
  whole.Write(texts, 5);
  Lab parts;
  for (std::size_t begin = 0; begin < texts.size();) {
    const std::size_t count =
        std::min<std::size_t>(random.Between(1, 100), texts.size() - begin);
    const auto from = texts.begin() + static_cast<std::ptrdiff_t>(begin);
    parts.Write({from, from + static_cast<std::ptrdiff_t>(count)}, 3);
    begin += count;
    // What a checkpoint left that was cut short.
    for (const std::string& path : {parts.segment, parts.index}) {
      parts.files.SetContents(path, parts.files.Contents(path) +
                                        random.Bytes(random.Between(0, 100)));
    }
  }
  parts.Write({{At(2'000'000'000), "last"}});
  whole.Write({{At(2'000'000'000), "last"}});
  const bool same_segment = whole.files.Contents(whole.segment) ==
                            parts.files.Contents(parts.segment);
  CHECK(same_segment);
  const bool same_index =
      whole.files.Contents(whole.index) == parts.files.Contents(parts.index);
  CHECK(same_index);
  CHECK(whole.info.end_sequence == parts.info.end_sequence);
  CHECK(whole.info.size == parts.info.size);
  CHECK(whole.info.last_time == parts.info.last_time);
}

TEST_CASE("segment: what lies beyond its end is not read") {
  Lab lab;
  lab.Write(Texts(50));
  const SegmentInfo before = lab.info;
  lab.Write(Texts(50));
  lab.sent.resize(50);
  lab.info = before;
  CHECK(ReadAll(lab).messages == lab.Expected());
  CheckFindsAll(lab);
}

TEST_CASE("segment: one that is shorter, or of others, is refused") {
  Lab lab;
  lab.Write(Texts(5));
  const auto refused = [&](std::string_view channel, const SegmentInfo& info) {
    CHECK(SegmentWriter::Resume(lab.files, "", channel, info).status().code() ==
          absl::StatusCode::kDataLoss);
    return SegmentReader::Open(lab.files, "", channel, info).status().code() ==
           absl::StatusCode::kDataLoss;
  };
  CHECK(refused("other", lab.info));
  SegmentInfo other = lab.info;
  other.first_sequence = 1;
  lab.files.SetContents("/" + SegmentFileName(1),
                        lab.files.Contents(lab.segment));
  CHECK(refused(kChannel, other));
  SegmentInfo longer = lab.info;
  ++longer.size;
  CHECK_FALSE(refused(kChannel, longer));
  lab.files.SetContents(lab.segment, "");
  CHECK(refused(kChannel, lab.info));
  CHECK(Say(SegmentReader::Open(lab.files, "/none", kChannel, lab.info))
            .starts_with("NOT_FOUND: "));
}

TEST_CASE("segment: messages are found by sequence and time") {
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  Random random(TestSeed());
  Lab lab;
  lab.Write(RandomTexts(random, 3'000'000), 10);
  const std::string index = lab.files.Contents(lab.index);
  CHECK(index.size() >= 15 * kIndexEntrySize);
  SUBCASE("with the index") {}
  SUBCASE("without it") {
    REQUIRE(Say(lab.files.Remove(lab.index)) == "OK");
  }
  SUBCASE("with a part of it") {
    lab.files.SetContents(lab.index,
                          index.substr(0, random.Between(0, index.size())));
  }
  SUBCASE("with one that is damaged somewhere") {
    std::string damaged = index;
    test::FlipBit(damaged, random.Between(0, index.size() * 8 - 1));
    lab.files.SetContents(lab.index, damaged);
  }
  SUBCASE("with one that is nonsense") {
    lab.files.SetContents(lab.index, random.Bytes(index.size()));
  }
  const auto reader = lab.Open();
  CheckFinds(lab, *reader, kFirst);
  CheckFinds(lab, *reader, lab.info.end_sequence - 1);
  for (int i = 0; i < 300; ++i) {
    CheckFinds(lab, *reader, random.Between(kFirst, lab.info.end_sequence - 1));
  }
  CHECK(reader->FindTime(Timestamp::min(), lab.info).value() == kFirst);
}

TEST_CASE("segment: what it has grown by is found") {
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  Random random(TestSeed());
  const auto texts = RandomTexts(random, 1'000'000);
  Lab lab;
  lab.Write({texts.front()});
  const auto reader = lab.Open();
  for (std::size_t begin = 1; begin < texts.size();) {
    const std::size_t count =
        std::min<std::size_t>(random.Between(1, 300), texts.size() - begin);
    const auto from = texts.begin() + static_cast<std::ptrdiff_t>(begin);
    lab.Write({from, from + static_cast<std::ptrdiff_t>(count)}, 9);
    begin += count;
    CheckFinds(lab, *reader, lab.info.end_sequence - 1);
    CheckFinds(lab, *reader, random.Between(kFirst, lab.info.end_sequence - 1));
  }
  CHECK(ReadToEnd(*reader, reader->Find(kFirst, lab.info).value(), lab.info)
            .messages == lab.Expected());
}

TEST_CASE("segment: a flipped bit of the index changes no answer") {
  Lab lab;
  lab.Write(Texts(3, 70'000));
  const std::string index = lab.files.Contents(lab.index);
  REQUIRE(index.size() == 2 * kIndexEntrySize);
  for (std::size_t bit = 0; bit < index.size() * 8; ++bit) {
    CAPTURE(bit);
    std::string damaged = index;
    test::FlipBit(damaged, bit);
    lab.files.SetContents(lab.index, damaged);
    CheckFindsAll(lab);
  }
  for (std::size_t size = 0; size < index.size(); ++size) {
    CAPTURE(size);
    lab.files.SetContents(lab.index, index.substr(0, size));
    CheckFindsAll(lab);
  }
}

TEST_CASE("segment: an index of what was here before changes no answer") {
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  Random random(TestSeed());
  Lab lab;
  lab.Write(Texts(60, 10'000));
  // Written over the same name, and brought back by a crash.
  Lab before;
  SUBCASE("with other places") {
    before.Write(Texts(60, 9'000));
  }
  SUBCASE("with other times") {
    auto texts = Texts(60, 10'000);
    for (auto& text : texts) text.time -= std::chrono::seconds(7);
    before.Write(texts);
  }
  SUBCASE("with all that can be encoded") {
    const SegmentHeader header = {.epoch = kEpoch,
                                  .first_sequence = kFirst,
                                  .channel_hash = HashChannelName(kChannel)};
    std::string index;
    IndexEntry entry = {.sequence = kFirst, .offset = kSegmentHeaderSize};
    while (entry.sequence + 20 < lab.info.end_sequence) {
      entry.sequence += random.Between(1, 10);
      entry.offset = random.OneIn(2) ? lab.sent[entry.sequence - kFirst].offset
                                     : entry.offset + random.Between(1, 50'000);
      entry.time = At(static_cast<std::int64_t>(random.Between(0, 20)));
      const auto bytes = entry.Encode(header);
      index.append(bytes.data(), bytes.size());
    }
    before.files.SetContents(before.index, index);
  }
  lab.files.SetContents(lab.index, before.files.Contents(before.index));
  CheckFindsAll(lab);
  const auto reader = lab.Open();
  for (std::size_t i = lab.sent.size(); i > 0; --i) {
    CheckFinds(lab, *reader, kFirst + i - 1);
  }
  CHECK(ReadAll(lab).messages == lab.Expected());
}

TEST_CASE("segment: an index entry with another time is not believed") {
  Lab lab;
  lab.Write(Texts(40, 10'000));
  const SegmentHeader header = {.epoch = kEpoch,
                                .first_sequence = kFirst,
                                .channel_hash = HashChannelName(kChannel)};
  const auto bytes =
      IndexEntry{
          .sequence = kFirst + 30, .time = At(0), .offset = lab.sent[30].offset}
          .Encode(header);
  lab.files.SetContents(lab.index, {bytes.data(), bytes.size()});
  CheckFindsAll(lab);
}

TEST_CASE("segment: a flipped bit costs the message that it is in") {
  Lab lab;
  SUBCASE("of different sizes") {
    lab.Write({{At(1), "one"},
               {At(2), ""},
               {At(2), std::string(200, '\n')},
               {At(3), "four"}});
  }
  // So that a wrong length may lead to where another entry begins.
  SUBCASE("of the same size") {
    lab.Write({{At(1), "seven b"},
               {At(1), "ytes, a"},
               {At(1), "nd ten "},
               {At(1), "entries"},
               {At(1), "of the "},
               {At(1), "same si"},
               {At(1), "ze, so "},
               {At(1), "that le"},
               {At(1), "ngths a"},
               {At(1), "gree..."}});
  }
  SUBCASE("of sizes that are powers of two") {
    for (int i = 0; i < 8; ++i) {
      lab.Write({{At(1), std::string(i % 2 == 0 ? 5 : 5 + 32, 'x')}});
    }
  }
  const std::string bytes = lab.files.Contents(lab.segment);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    CAPTURE(bit);
    std::string damaged = bytes;
    test::FlipBit(damaged, bit);
    lab.files.SetContents(lab.segment, damaged);
    const std::uint64_t offset = bit / 8;
    if (offset < kSegmentHeaderSize) {
      CHECK(SegmentReader::Open(lab.files, "", kChannel, lab.info)
                .status()
                .code() == absl::StatusCode::kDataLoss);
      CHECK(SegmentWriter::Resume(lab.files, "", kChannel, lab.info)
                .status()
                .code() == absl::StatusCode::kDataLoss);
      continue;
    }
    const auto hit = std::ranges::find_if(
        lab.sent, [&](const Sent& s) { return offset < s.end; });
    const Outcome expected = Without(lab, {hit->sequence});
    for (const std::size_t max_bytes : {std::size_t{1}, std::size_t{1} << 20}) {
      const Outcome outcome = ReadAll(lab, {.max_bytes = max_bytes});
      CHECK(Differences(outcome, expected) == "");
    }
    const auto reader = lab.Open();
    for (const Sent& s : lab.sent) {
      SegmentReader::Place place = reader->Find(s.sequence, lab.info).value();
      CHECK(place.sequence == s.sequence);
      const auto entries = reader->Read(&place, kAmple, lab.info);
      CHECK(entries.ok() == (s.sequence != hit->sequence));
    }
  }
}

TEST_CASE("segment: damage is said to be where it is") {
  Lab lab;
  lab.Write(Texts(10));
  Damage(lab, lab.sent[4].offset + 20);
  const auto reader = lab.Open();
  SegmentReader::Place place = reader->Find(kFirst + 4, lab.info).value();
  const std::string said = Say(reader->Read(&place, kAmple, lab.info));
  CAPTURE(said);
  CHECK(test::Contains(said, "DATA_LOSS"));
  CHECK(test::Contains(said, fmt::format("{}", kFirst + 4)));
  CHECK(test::Contains(said, fmt::format("{}", lab.sent[4].offset)));
  CHECK(test::Contains(said, SegmentFileName(kFirst)));
}

TEST_CASE("segment: a time that may be that of damaged messages begins there") {
  Lab lab;
  lab.Write(
      {{At(1), "a"}, {At(2), "b"}, {At(3), "c"}, {At(4), "d"}, {At(5), "e"}});
  Damage(lab, lab.sent[1].offset + 12);
  Damage(lab, lab.sent[2].offset + 12);
  const auto reader = lab.Open();
  CHECK(reader->FindTime(At(1), lab.info).value() == kFirst);
  CHECK(reader->FindTime(At(2), lab.info).value() == kFirst + 1);
  CHECK(reader->FindTime(At(3), lab.info).value() == kFirst + 1);
  CHECK(reader->FindTime(At(4), lab.info).value() == kFirst + 1);
  CHECK(reader->FindTime(At(5), lab.info).value() == kFirst + 4);
}

TEST_CASE("segment: a file that is cut off gives what is left, and no more") {
  Lab lab;
  lab.Write({{At(1), "one"}, {At(2), ""}, {At(3), "three"}});
  const std::string bytes = lab.files.Contents(lab.segment);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    CAPTURE(size);
    lab.files.SetContents(lab.segment, bytes.substr(0, size));
    CHECK(SegmentWriter::Resume(lab.files, "", kChannel, lab.info)
              .status()
              .code() == absl::StatusCode::kDataLoss);
    if (size < kSegmentHeaderSize) {
      CHECK(SegmentReader::Open(lab.files, "", kChannel, lab.info)
                .status()
                .code() == absl::StatusCode::kDataLoss);
      continue;
    }
    std::vector<std::uint64_t> lost;
    for (const Sent& s : lab.sent) {
      if (s.end > size) lost.push_back(s.sequence);
    }
    const Outcome expected = Without(lab, lost);
    const Outcome outcome = ReadAll(lab);
    CHECK(Differences(outcome, expected) == "");
    for (const Sent& s : lab.sent) {
      const auto reader = lab.Open();
      SegmentReader::Place place = reader->Find(s.sequence, lab.info).value();
      CHECK(reader->Read(&place, kAmple, lab.info).ok() == (s.end <= size));
    }
  }
}

TEST_CASE(
    "segment: damage costs no more than up to the next place in the "
    "index") {
  Lab lab;
  lab.Write(Texts(3'000, 100));
  std::vector<std::uint64_t> damaged;
  for (const std::size_t i : {0U, 1U, 5U, 700U, 702U, 1'500U, 2'999U}) {
    damaged.push_back(kFirst + i);
    // Its length, its sequence or its text.
    constexpr std::array<std::uint64_t, 3> kWhere = {1, 5, 30};
    Damage(lab, lab.sent[i].offset + kWhere.at(i % 3));
  }
  const std::vector<std::uint64_t> lost = LostWith(lab, damaged, true);
  REQUIRE(lost.size() == 11);
  CHECK(Differences(ReadAll(lab), Without(lab, lost)) == "");
  const auto reader = lab.Open();
  for (const std::size_t i : {6U, 699U, 703U, 1'000U, 2'998U}) {
    CHECK(reader->Find(kFirst + i, lab.info).value().offset ==
          lab.sent[i].offset);
  }
}

TEST_CASE("segment: damage is passed over in little time, without an index") {
  Lab lab;
  lab.Write(Texts(100'000, 100), 1'000);
  REQUIRE(Say(lab.files.Remove(lab.index)) == "OK");
  const std::vector<std::uint64_t> damaged = {kFirst + 2, kFirst + 99'990};
  for (const std::uint64_t s : damaged) {
    Damage(lab, lab.sent[s - kFirst].offset + 20);
  }
  const Outcome expected = Without(lab, LostWith(lab, damaged, false));
  const auto begin = std::chrono::steady_clock::now();
  CHECK(Differences(ReadAll(lab), expected) == "");
  // Less than a second, where trying each message would take minutes.
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(30));
}

TEST_CASE("segment: what was written over by something else is passed over") {
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  Random random(TestSeed());
  Lab lab;
  lab.Write(Texts(500, 300), 10);
  const std::string bytes = lab.files.Contents(lab.segment);
  for (int round = 0; round < 60; ++round) {
    CAPTURE(round);
    std::string damaged = bytes;
    for (std::uint64_t i = random.Between(1, 5); i > 0; --i) {
      const std::uint64_t at =
          random.Between(kSegmentHeaderSize, bytes.size() - 1);
      const std::uint64_t size =
          random.Between(1, std::min<std::uint64_t>(5'000, bytes.size() - at));
      switch (random.Between(0, 2)) {
        case 0:
          damaged.replace(at, size, size, '\0');
          break;
        case 1:
          damaged.replace(at, size, random.Bytes(size));
          break;
        default:  // by another part of itself
          damaged.replace(
              at, size,
              bytes.substr(random.Between(0, bytes.size() - size), size));
      }
    }
    lab.files.SetContents(lab.segment, damaged);
    std::vector<std::uint64_t> hit;
    for (const Sent& s : lab.sent) {
      if (damaged.compare(s.offset, s.end - s.offset, bytes, s.offset,
                          s.end - s.offset) != 0) {
        hit.push_back(s.sequence);
      }
    }
    const std::vector<std::uint64_t> lost = LostWith(lab, hit, true);
    const Outcome outcome = ReadAll(lab);
    const Outcome expected = Without(lab, lost);
    CHECK(Differences(outcome, expected) == "");
    const auto reader = lab.Open();
    for (int i = 0; i < 20; ++i) {
      const std::uint64_t sequence =
          random.Between(kFirst, lab.info.end_sequence - 1);
      SegmentReader::Place place = reader->Find(sequence, lab.info).value();
      const bool ok = reader->Read(&place, kAmple, lab.info).ok();
      if (std::ranges::binary_search(hit, sequence)) CHECK_FALSE(ok);
      if (!std::ranges::binary_search(lost, sequence)) CHECK(ok);
    }
  }
}

// Texts of which one has this many entries in it, with the sequences that
// follow it.
std::vector<Lab::NewText> TextsWithFakes(std::size_t which, std::size_t fakes) {
  std::vector<Lab::NewText> texts = Texts(5'000, 100);
  texts[which].text.clear();
  for (std::size_t i = 1; i <= fakes; ++i) {
    texts[which].text += EntryOf(kFirst + which + i, At(1), "a fake");
  }
  return texts;
}

TEST_CASE("segment: a text that looks like entries is not taken for them") {
  constexpr std::size_t kWhich = 1;
  for (const std::size_t fakes : {1U, 3U, 4'000U}) {
    for (const bool with_index : {true, false}) {
      // The tag, the length, the sequence.
      for (const std::uint64_t where : {0U, 1U, 6U}) {
        for (const bool damaged_elsewhere : {false, true}) {
          CAPTURE(fakes);
          CAPTURE(with_index);
          CAPTURE(where);
          CAPTURE(damaged_elsewhere);
          Lab lab;
          lab.Write(TextsWithFakes(kWhich, fakes), 100);
          if (!with_index) {
            REQUIRE(Say(lab.files.Remove(lab.index)) == "OK");
          }
          std::vector<std::uint64_t> damaged = {kFirst + kWhich};
          Damage(lab, lab.sent[kWhich].offset + where);
          if (damaged_elsewhere) {
            damaged.push_back(kFirst + kWhich + 70);
            Damage(lab, lab.sent[kWhich + 70].offset + 50);
          }
          const Outcome expected =
              Without(lab, LostWith(lab, damaged, with_index));
          CHECK(Differences(ReadAll(lab), expected) == "");
        }
      }
    }
  }
}

TEST_CASE("segment: an error of the disk is not damage") {
  Lab lab;
  lab.Write(Texts(100, 2'000));
  const auto reader = lab.Open();
  SegmentReader::Place place = reader->Find(kFirst, lab.info).value();
  lab.files.SetFault(
      [](FaultyFileSystem::Operation operation, const std::string& /*path*/) {
        return operation == FaultyFileSystem::Operation::kRead ||
                       operation == FaultyFileSystem::Operation::kWrite
                   ? absl::InternalError("broken")
                   : absl::OkStatus();
      });
  const std::string broken = "INTERNAL: broken";
  CHECK(Say(reader->Read(&place, kAmple, lab.info)) == broken);
  CHECK(Say(reader->SkipDamage(&place, lab.info)) == broken);
  CHECK(Say(reader->Find(kFirst + 90, lab.info)) == broken);
  CHECK(Say(reader->FindTime(At(20), lab.info)) == broken);
  CHECK(place.sequence == kFirst);
  CHECK(Say(SegmentReader::Open(lab.files, "", kChannel, lab.info)) == broken);
  CHECK(Say(SegmentWriter::Resume(lab.files, "", kChannel, lab.info)) ==
        broken);
  CHECK(Say(SegmentWriter::Create(lab.files, "", kChannel, kEpoch, 1)) ==
        broken);
  lab.files.SetFault(nullptr);
  CheckFinds(lab, *reader, kFirst + 90);
  CHECK(ReadToEnd(*reader, place, lab.info).messages == lab.Expected());
}

TEST_CASE("segment: an append that failed can be made again") {
  Lab lab;
  lab.Write(Texts(10));
  auto writer = SegmentWriter::Resume(lab.files, "", kChannel, lab.info);
  REQUIRE(Say(writer) == "OK");
  lab.files.SetShortWrites(1);
  lab.files.SetFault(
      [](FaultyFileSystem::Operation operation, const std::string& /*path*/) {
        return operation == FaultyFileSystem::Operation::kWrite
                   ? absl::InternalError("broken")
                   : absl::OkStatus();
      });
  const std::string entry =
      EntryOf(lab.info.end_sequence, At(9), std::string(70'000, 'x'));
  CHECK(Say(writer->Append(entry, 1, {})) == "INTERNAL: broken");
  CHECK(writer->info() == lab.info);
  lab.files.SetFault(nullptr);
  REQUIRE(Say(writer->Append(entry, 1, {})) == "OK");
  lab.sent.push_back({.sequence = lab.info.end_sequence,
                      .time = At(9),
                      .text = std::string(70'000, 'x'),
                      .offset = lab.info.size,
                      .end = lab.info.size + entry.size()});
  lab.info = writer->info();
  CHECK(ReadAll(lab).messages == lab.Expected());
  CheckFindsAll(lab);
}

}  // namespace
}  // namespace messenger::segment_test
