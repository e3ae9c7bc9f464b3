#include "wire/read.h"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "messenger/v1/messenger.pb.h"
#include "support/bytes.h"
#include "support/known_fields.h"
#include "support/printing.h"
#include "support/seed.h"
#include "wire/coding.h"
#include "wire/entry.h"

namespace messenger::wire::read_test {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using test::Contains;

constexpr Timestamp kTime{std::chrono::nanoseconds(5'000'000'007)};

std::string ErrorOf(const std::string& bytes) {
  const auto request = ParseReadMessagesRequest(bytes);
  if (request.ok()) return "OK";
  CHECK(request.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(MessageOf(request.status()));
}

std::string ErrorOf(const v1::ReadMessagesRequest& proto) {
  return ErrorOf(proto.SerializeAsString());
}

v1::ReadMessagesRequest ToProto(const ReadRequest& request) {
  v1::ReadMessagesRequest proto;
  REQUIRE(proto.ParseFromString(EncodeReadMessagesRequest(request)));
  CHECK(proto.GetReflection()->GetUnknownFields(proto).empty());
  return proto;
}

void CheckSameStart(const Start& a, const Start& b) {
  CHECK((a.kind == b.kind));
  CHECK(a.number == b.number);
  CHECK((a.time == b.time));
  CHECK(a.position == b.position);
}

TEST_CASE(
    "ReadMessagesRequest: every start is encoded for protobuf and comes "
    "back") {
  using v1::ReadMessagesRequest;
  struct Case {
    Start start;
    ReadMessagesRequest::StartCase start_case;
  };
  for (const Case& c : std::vector<Case>{
           {Start::NewOnly(), ReadMessagesRequest::kNewOnly},
           {Start::Earliest(), ReadMessagesRequest::kEarliest},
           {Start::At(300), ReadMessagesRequest::kSequence},
           {Start::At(UINT64_MAX), ReadMessagesRequest::kSequence},
           {Start::Since(kTime), ReadMessagesRequest::kTime},
           {Start::Since(Timestamp()), ReadMessagesRequest::kTime},
           {Start::Last(0), ReadMessagesRequest::kLast},
           {Start::Last(300), ReadMessagesRequest::kLast},
           {Start::After({UINT64_MAX, 300}), ReadMessagesRequest::kResumeAfter},
           {Start::After({1, 0}), ReadMessagesRequest::kResumeAfter}}) {
    CAPTURE(c.start_case);
    const ReadRequest request{.channel = "news", .start = c.start};
    const ReadMessagesRequest proto = ToProto(request);
    CHECK(proto.start_case() == c.start_case);
    switch (c.start_case) {
      case ReadMessagesRequest::kSequence:
        CHECK(proto.sequence() == c.start.number);
        break;
      case ReadMessagesRequest::kLast:
        CHECK(proto.last() == c.start.number);
        break;
      case ReadMessagesRequest::kTime:
        CHECK(proto.time().seconds() * 1'000'000'000 + proto.time().nanos() ==
              c.start.time.time_since_epoch().count());
        break;
      case ReadMessagesRequest::kResumeAfter:
        CHECK(proto.resume_after().epoch() == c.start.position.epoch);
        CHECK(proto.resume_after().sequence() == c.start.position.sequence);
        break;
      default:
        break;
    }
    for (const std::string& bytes :
         {EncodeReadMessagesRequest(request), proto.SerializeAsString()}) {
      const auto parsed = ParseReadMessagesRequest(bytes);
      REQUIRE(parsed.ok());
      CheckSameStart(parsed->start, c.start);
    }
  }
}

TEST_CASE(
    "ReadMessagesRequest: all other fields are encoded for protobuf and "
    "come back") {
  const ReadRequest request{.channel = "news",
                            .limit = 300,
                            .until_caught_up = true,
                            .strict = true,
                            .skip_damaged = true,
                            .heartbeat_interval = milliseconds(1500)};
  const v1::ReadMessagesRequest proto = ToProto(request);
  CHECK(proto.channel() == "news");
  CHECK(proto.limit() == 300);
  CHECK(proto.until_caught_up());
  CHECK(proto.strict());
  CHECK(proto.skip_damaged());
  CHECK(proto.heartbeat_interval().seconds() == 1);
  CHECK(proto.heartbeat_interval().nanos() == 500'000'000);
  for (const std::string& bytes :
       {EncodeReadMessagesRequest(request), proto.SerializeAsString()}) {
    const auto parsed = ParseReadMessagesRequest(bytes);
    REQUIRE(parsed.ok());
    CHECK(parsed->channel == "news");
    CHECK(parsed->limit == 300U);
    CHECK(parsed->until_caught_up);
    CHECK(parsed->strict);
    CHECK(parsed->skip_damaged);
    CHECK(parsed->heartbeat_interval == milliseconds(1500));
  }
}

TEST_CASE("ReadMessagesRequest: each flag is a field of its own") {
  const auto parse = [](const ReadRequest& request) {
    const std::string bytes = EncodeReadMessagesRequest(request);
    const auto parsed = ParseReadMessagesRequest(bytes);
    REQUIRE(parsed.ok());
    return std::vector<bool>{parsed->until_caught_up, parsed->strict,
                             parsed->skip_damaged};
  };
  CHECK((parse({.until_caught_up = true}) ==
         std::vector<bool>{true, false, false}));
  CHECK((parse({.strict = true}) == std::vector<bool>{false, true, false}));
  CHECK(
      (parse({.skip_damaged = true}) == std::vector<bool>{false, false, true}));
}

TEST_CASE(
    "ReadMessagesRequest: without any field it reads what is new in "
    "general") {
  const auto request = ParseReadMessagesRequest("");
  REQUIRE(request.ok());
  CHECK(request->channel == "general");
  CHECK((request->start.kind == Start::Kind::kNewOnly));
  CHECK_FALSE(request->limit.has_value());
  CHECK_FALSE(request->until_caught_up);
  CHECK_FALSE(request->strict);
  CHECK_FALSE(request->skip_damaged);
  CHECK(request->heartbeat_interval.count() == 0);
}

TEST_CASE("ReadMessagesRequest: the last start counts, as for any oneof") {
  std::string bytes;
  AppendVarintField(bytes, 4, 5);
  AppendBytesField(bytes, 3, "");
  AppendVarintField(bytes, 6, 7);
  const auto request = ParseReadMessagesRequest(bytes);
  REQUIRE(request.ok());
  CheckSameStart(request->start, Start::Last(7));
}

TEST_CASE(
    "ReadMessagesRequest: the longest heartbeat interval that is allowed "
    "can be asked for") {
  const ReadRequest request{.heartbeat_interval = hours(24 * 365 * 1000)};
  const std::string bytes = EncodeReadMessagesRequest(request);
  const auto parsed = ParseReadMessagesRequest(bytes);
  REQUIRE(parsed.status().ToString() == "OK");
  CHECK(parsed->heartbeat_interval == request.heartbeat_interval);
}

TEST_CASE(
    "ReadMessagesRequest: errors name the field, the value and the "
    "limit") {
  v1::ReadMessagesRequest proto;
  SUBCASE("channel") {
    proto.set_channel("a/b");
    CHECK(ErrorOf(proto) ==
          "channel: \"a/b\" has '/' at byte 1; allowed are A-Z a-z 0-9 . _ -");
  }
  SUBCASE("sequence") {
    proto.set_sequence(0);
    CHECK(ErrorOf(proto) == "sequence: 0; sequences start at 1");
  }
  SUBCASE("time") {
    proto.mutable_time()->set_nanos(-1);
    const std::string error = ErrorOf(proto);
    CAPTURE(error);
    CHECK(Contains(error, "time: not a valid google.protobuf.Timestamp"));
    CHECK(Contains(error, "2262"));
  }
  SUBCASE("resume_after.epoch") {
    proto.mutable_resume_after()->set_sequence(5);
    CHECK(ErrorOf(proto) ==
          "resume_after.epoch: 0; a position carries its log's epoch");
  }
  SUBCASE("resume_after") {
    std::string bytes;
    AppendBytesField(bytes, 7,
                     "\x09"
                     "123");
    CHECK(ErrorOf(bytes) == "resume_after: malformed");
  }
  SUBCASE("limit") {
    proto.set_limit(0);
    CHECK(ErrorOf(proto) ==
          "limit: 0; must be at least 1, or absent for no limit");
  }
  SUBCASE("heartbeat_interval") {
    proto.mutable_heartbeat_interval()->set_seconds(-1);
    const std::string error = ErrorOf(proto);
    CAPTURE(error);
    CHECK(Contains(error,
                   "heartbeat_interval: not a valid google.protobuf.Duration"));
  }
  SUBCASE("new_only and earliest") {
    // A group, which protobuf would read as an unknown field; and no message.
    for (const std::string_view content : {"\x0B\x0C", "\xFF"}) {
      for (const std::uint32_t field : {2U, 3U}) {
        std::string bytes;
        AppendBytesField(bytes, field, content);
        CHECK(ErrorOf(bytes) == (field == 2 ? "new_only: NewOnly: malformed"
                                            : "earliest: Earliest: malformed"));
      }
    }
  }
  SUBCASE("not a request") {
    CHECK(ErrorOf(std::string("\x0A\x05")) ==
          "request: not an encoded messenger.v1.ReadMessagesRequest");
  }
}

TEST_CASE("ReadMessagesRequest: an unknown field is refused") {
  std::string bytes;
  std::string error;
  SUBCASE("of the request") {
    AppendBytesField(bytes, 13, "");
    error = "ReadMessagesRequest: field 13, of wire type 2";
  }
  SUBCASE("a known number with another type") {
    AppendVarintField(bytes, 5, 1);
    error = "ReadMessagesRequest: field 5, of wire type 0";
  }
  SUBCASE("of NewOnly") {
    AppendBytesField(bytes, 2, "\x08\x01");
    error = "new_only: NewOnly: field 1, of wire type 0";
  }
  SUBCASE("of Earliest") {
    AppendBytesField(bytes, 3, "\x0A\x01x");
    error = "earliest: Earliest: field 1, of wire type 2";
  }
  SUBCASE("of a time") {
    AppendBytesField(bytes, 5, "\x08\x01\x18\x01");
    error = "time: google.protobuf.Timestamp: field 3, of wire type 0";
  }
  SUBCASE("of a position") {
    AppendBytesField(bytes, 7, "\x1A\x01x");
    error = "resume_after: Position: field 3, of wire type 2";
  }
  SUBCASE("of a position that does not count") {
    AppendBytesField(bytes, 7, "\x08\x01");
    AppendBytesField(bytes, 3, "");
    error = "resume_after: Position: field 1, of wire type 0";
  }
  SUBCASE("of an interval") {
    AppendBytesField(bytes, 11, "\x0D\x01\x01\x01\x01");
    error =
        "heartbeat_interval: google.protobuf.Duration: field 1, of wire type 5";
  }
  CHECK(ErrorOf(bytes) == error + ", is not known to this server");
}

TEST_CASE("frame: fields of versions to come are passed over") {
  std::string gap;
  AppendVarintField(gap, 1, 3);
  AppendVarintField(gap, 2, 5);
  AppendBytesField(gap, 9, "what is to come");
  std::string bytes;
  AppendFixed64Field(bytes, 2, 77);
  AppendBytesField(bytes, 6, gap);
  AppendVarintField(bytes, 100, 1);
  AppendBytesField(bytes, 101, "what is to come");
  AppendBytesField(bytes, 3, "a known number with another type");
  const auto frame = ParseFrame(bytes);
  REQUIRE(frame.status().ToString() == "OK");
  CHECK(frame->header.epoch == 77);
  CHECK(frame->header.next_sequence == 0);
  CHECK(frame->header.gap == Gap{.first_missing = 3, .next = 5});
}

TEST_CASE(
    "ReadMessagesRequest: mutilated bytes are refused or understood as "
    "protobuf does") {
  INFO("MESSENGER_TEST_SEED=", test::TestSeed());
  test::Random random(test::TestSeed());
  google::protobuf::LogSilencer silence;
  int accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = EncodeReadMessagesRequest(
        {.channel = "news",
         .start = random.OneIn(2)
                      ? Start::After({random.Next() | 1U, random.AnySize()})
                      : Start::Last(random.AnySize()),
         .limit = random.AnySize() | 1U,
         .strict = true,
         .heartbeat_interval = milliseconds(1500)});
    test::FlipBit(bytes, random.Between(0, bytes.size() * 8 - 1));
    const auto request = ParseReadMessagesRequest(bytes);
    v1::ReadMessagesRequest proto;
    if (!request.ok() || !proto.ParseFromString(bytes)) continue;
    ++accepted;
    CHECK(test::KnowsAllFields(proto));
    // Each by itself, in the order of the fields.
    const bool same =
        request->limit.value_or(0) == proto.limit() &&
        request->strict == proto.strict() &&
        request->until_caught_up == proto.until_caught_up() &&
        request->skip_damaged == proto.skip_damaged() &&
        (request->start.kind != Start::Kind::kLast ||
         request->start.number == proto.last()) &&
        (request->start.kind != Start::Kind::kAfter ||
         (request->start.position.epoch == proto.resume_after().epoch() &&
          request->start.position.sequence == proto.resume_after().sequence()));
    if (same) continue;
    CAPTURE(test::Hex(bytes));
    CAPTURE(proto.ShortDebugString());
    CHECK(same);
    break;
  }
  CHECK(accepted > 1000);
}

TEST_CASE("frame: its header is encoded for protobuf and comes back") {
  const FrameHeader header{
      .epoch = UINT64_MAX,
      .next_sequence = 300,
      .head = 299,
      .caught_up = true,
      .gap =
          Gap{.first_missing = 5, .next = 300, .reason = Gap::Reason::kDeleted},
      .next_frame_bytes = 1'000'000};
  const std::string bytes = EncodeFrameHeader(header);
  v1::ReadMessagesResponse proto;
  REQUIRE(proto.ParseFromString(bytes));
  CHECK(proto.epoch() == UINT64_MAX);
  CHECK(proto.next_sequence() == 300);
  CHECK(proto.has_head());
  CHECK(proto.head() == 299);
  CHECK(proto.caught_up());
  CHECK(proto.gap().first_missing() == 5);
  CHECK(proto.gap().next() == 300);
  CHECK(proto.gap().reason() == v1::Gap::REASON_DELETED);
  CHECK(proto.next_frame_bytes() == 1'000'000);
  CHECK(test::Hex(proto.SerializeAsString()) == test::Hex(bytes));

  const auto frame = ParseFrame(bytes);
  REQUIRE(frame.ok());
  CHECK(frame->header.epoch == header.epoch);
  CHECK(frame->header.next_sequence == header.next_sequence);
  CHECK(frame->header.head == header.head);
  CHECK(frame->header.caught_up);
  REQUIRE(frame->header.gap.has_value());
  CHECK(*frame->header.gap == *header.gap);
  CHECK(frame->header.next_frame_bytes == header.next_frame_bytes);
  CHECK(frame->message_count == 0);
}

TEST_CASE("frame: each reason of a gap is the one of the contract") {
  for (const auto reason : {Gap::Reason::kUnspecified, Gap::Reason::kRetention,
                            Gap::Reason::kDamaged, Gap::Reason::kDeleted,
                            Gap::Reason::kNewEpoch, Gap::Reason::kRolledBack}) {
    const Gap gap{.first_missing = 1, .next = 2, .reason = reason};
    CAPTURE(gap);
    const std::string bytes = EncodeFrameHeader({.gap = gap});
    v1::ReadMessagesResponse proto;
    REQUIRE(proto.ParseFromString(bytes));
    CHECK(static_cast<int>(proto.gap().reason()) == static_cast<int>(reason));
    const auto frame = ParseFrame(bytes);
    REQUIRE(frame.ok());
    CHECK(*frame->header.gap == gap);
  }
}

TEST_CASE("frame: a reason of a version to come is an unspecified one") {
  v1::ReadMessagesResponse proto;
  proto.mutable_gap()->set_first_missing(1);
  proto.mutable_gap()->set_reason(static_cast<v1::Gap::Reason>(6));
  const auto frame = ParseFrame(proto.SerializeAsString());
  REQUIRE(frame.ok());
  CHECK((frame->header.gap->reason == Gap::Reason::kUnspecified));
}

TEST_CASE("frame: a head of 0 is told from none") {
  CHECK(EncodeFrameHeader({}) == "");
  const auto none = ParseFrame("");
  REQUIRE(none.ok());
  CHECK_FALSE(none->header.head.has_value());
  const std::string bytes = EncodeFrameHeader({.head = 0});
  const auto zero = ParseFrame(bytes);
  REQUIRE(zero.ok());
  CHECK(zero->header.head == 0U);
  v1::ReadMessagesResponse proto;
  REQUIRE(proto.ParseFromString(bytes));
  CHECK(proto.has_head());
}

TEST_CASE("frame: messages are counted and found, wherever the header is") {
  v1::ReadMessagesResponse proto;
  proto.add_messages()->set_sequence(5);
  proto.add_messages()->set_sequence(6);
  const std::string messages = proto.SerializeAsString();
  const std::string header = EncodeFrameHeader({.epoch = 1, .head = 6});
  for (const std::string& bytes : {header + messages, messages + header}) {
    const auto frame = ParseFrame(bytes);
    REQUIRE(frame.ok());
    CHECK(frame->message_count == 2);
    CHECK(frame->header.head == 6U);
    std::vector<std::uint64_t> sequences;
    FrameEntryReader entries(*frame);
    while (entries.Next()) {
      v1::Message message;
      REQUIRE(message.ParseFromString(std::string(entries.message())));
      sequences.push_back(message.sequence());
    }
    CHECK(sequences == std::vector<std::uint64_t>{5, 6});
  }
}

TEST_CASE("frame: its pieces may be cut anywhere") {
  v1::ReadMessagesResponse proto;
  proto.add_messages()->set_sequence(5);
  proto.add_messages()->set_text(std::string(150, 'x'));
  proto.mutable_gap()->set_next(300);
  proto.set_head(3000);
  const std::string bytes = proto.SerializeAsString();
  std::vector<std::string> messages;
  for (const v1::Message& message : proto.messages()) {
    messages.push_back(message.SerializeAsString());
  }
  // Two cuts; with both at the same place, or at an end, a piece is empty.
  for (std::size_t i = 0; i <= bytes.size(); ++i) {
    for (std::size_t k = i; k <= bytes.size(); ++k) {
      CAPTURE(i);
      CAPTURE(k);
      // Memory of their own, so that nothing reads over an end unnoticed.
      const std::array<std::string, 3> owned = {
          bytes.substr(0, i), bytes.substr(i, k - i), bytes.substr(k)};
      const std::array<std::string_view, 3> pieces = {owned[0], owned[1],
                                                      owned[2]};
      const auto frame = ParseFrame(pieces);
      REQUIRE(frame.ok());
      REQUIRE(frame->message_count == 2);
      REQUIRE(frame->header.head == 3000U);
      REQUIRE(frame->header.gap.has_value());
      REQUIRE(frame->header.gap->next == 300);
      std::vector<std::string> found;
      FrameEntryReader entries(*frame);
      while (entries.Next()) found.emplace_back(entries.message());
      REQUIRE(found == messages);
      if (pieces[2].empty()) continue;
      const std::array<std::string_view, 3> cut_off = {
          owned[0], owned[1], pieces[2].substr(0, pieces[2].size() - 1)};
      REQUIRE_FALSE(ParseFrame(cut_off).ok());
    }
  }
}

TEST_CASE("frame: each byte may be a piece") {
  v1::ReadMessagesResponse proto;
  proto.add_messages()->set_text(std::string(200, 'x'));
  proto.set_epoch(UINT64_MAX);
  const std::string bytes = proto.SerializeAsString();
  std::vector<std::string_view> pieces;
  for (const char& byte : bytes) pieces.emplace_back(&byte, 1);
  const auto frame = ParseFrame(pieces);
  REQUIRE(frame.ok());
  CHECK(frame->header.epoch == UINT64_MAX);
  FrameEntryReader entries(*frame);
  REQUIRE(entries.Next());
  CHECK(entries.message() == proto.messages(0).SerializeAsString());
  CHECK_FALSE(entries.Next());
}

TEST_CASE("frame: a length beyond its end allocates nothing") {
  const std::array<std::string_view, 2> pieces = {
      "\x0A\xFF\xFF", "\xFF\xFF\x7F and then some"};  // 32 GiB
  CHECK_FALSE(ParseFrame(pieces).ok());
}

TEST_CASE("frame: malformed bytes are data loss") {
  std::string bytes;
  SUBCASE("not a message") {
    bytes = "\x0A\x05";
  }
  SUBCASE("not a gap") {
    AppendBytesField(bytes, 6, "\x08");
  }
  const auto frame = ParseFrame(bytes);
  CHECK(frame.status().code() == absl::StatusCode::kDataLoss);
  CHECK(Contains(MessageOf(frame.status()), "ReadMessagesResponse"));
}

TEST_CASE("gap: its reason can be said in a word") {
  CHECK(ToString(Gap::Reason::kRetention) == "retention");
  CHECK(ToString(Gap::Reason::kDamaged) == "damaged");
  CHECK(ToString(Gap::Reason::kDeleted) == "deleted");
  CHECK(ToString(Gap::Reason::kNewEpoch) == "new_epoch");
  CHECK(ToString(Gap::Reason::kRolledBack) == "rolled_back");
  CHECK(ToString(Gap::Reason::kUnspecified) == "unspecified");
}

}  // namespace
}  // namespace messenger::wire::read_test
