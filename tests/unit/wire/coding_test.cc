#include "wire/coding.h"

#include <doctest/doctest.h>
#include <google/protobuf/empty.pb.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/unknown_field_set.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "support/printing.h"
#include "support/seed.h"

namespace messenger::wire::coding_test {
namespace {

using namespace std::string_view_literals;

// The number in a lone varint field, as FieldReader sees it.
std::optional<std::uint64_t> ReadNumber(std::string_view varint) {
  std::string bytes = "\x08";
  bytes += varint;
  FieldReader fields(bytes);
  if (!fields.Next()) return std::nullopt;
  const std::uint64_t number = fields.number();
  if (fields.Next() || !fields.ok()) return std::nullopt;
  return number;
}

bool Accepts(std::string_view bytes) {
  FieldReader fields(bytes);
  while (fields.Next()) {
  }
  return fields.ok();
}

// Whether every varint is at most as long as it is in any encoder's output, and
// there are no groups: where FieldReader and protobuf's parser are to agree.
// (FieldReader refuses groups, which no version of the contract has, and they
// differ in how far they bear with overlong tags and lengths.)
bool Comparable(std::string_view bytes) {
  std::size_t at = 0;
  const auto varint = [&]() -> std::optional<std::uint64_t> {
    std::uint64_t value = 0;
    const std::size_t begin = at;
    for (unsigned shift = 0; at < bytes.size() && at - begin < 10; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes[at++]);
      if (shift < 64) value |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return value;
    }
    return std::nullopt;
  };
  while (at < bytes.size()) {
    const std::size_t begin = at;
    const auto tag = varint();
    if (!tag) return at - begin <= 5;
    if (at - begin > 5 || *tag > UINT32_MAX) return false;
    switch (*tag & 7U) {
      case 0: {
        const std::size_t number = at;
        if (!varint()) return at - number < 10;
        if (at - number == 10 &&
            static_cast<unsigned char>(bytes[at - 1]) > 1) {
          return false;
        }
        break;
      }
      case 1:
        at += 8;
        break;
      case 2: {
        const std::size_t length = at;
        const auto size = varint();
        if (at - length > 5) return false;
        if (!size || *size > bytes.size() - at) return true;
        at += *size;
        break;
      }
      case 3:
      case 4:
        return false;
      case 5:
        at += 4;
        break;
      default:
        return true;
    }
    if (*tag < 8) return true;
  }
  return true;
}

void CheckLikeProtobuf(std::string_view bytes, int* accepted, int* refused) {
  if (!Comparable(bytes)) {
    Accepts(bytes);
    return;
  }
  google::protobuf::Empty proto;
  const bool expected =
      proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  ++*(expected ? accepted : refused);
  if (Accepts(bytes) == expected) return;
  CAPTURE(test::Hex(bytes));
  CHECK(Accepts(bytes) == expected);
}

TEST_CASE("varint: it is written as protobuf does, in the size foretold") {
  INFO("MESSENGER_TEST_SEED=", test::TestSeed());
  test::Random random(test::TestSeed());
  for (int i = 0; i < 5000; ++i) {
    const std::uint64_t value =
        i < 65 ? (i == 64 ? UINT64_MAX : std::uint64_t{1} << i)
               : random.AnySize();
    std::array<std::uint8_t, kMaxVarintSize> buffer{};
    const std::uint8_t* const end =
        google::protobuf::io::CodedOutputStream::WriteVarint64ToArray(
            value, buffer.data());
    const std::string_view expected(
        reinterpret_cast<const char*>(buffer.data()),
        static_cast<std::size_t>(end - buffer.data()));
    std::string written;
    AppendVarint(written, value);
    CAPTURE(value);
    REQUIRE(written == expected);
    REQUIRE(VarintSize(value) == expected.size());
    REQUIRE(ReadNumber(written) == value);
  }
}

TEST_CASE("varint: a longer form than needed means the same") {
  CHECK(ReadNumber("\x81\x00"sv) == 1U);
  CHECK(ReadNumber("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"sv) == 0U);
  CHECK(ReadNumber("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"sv) == UINT64_MAX);
}

TEST_CASE("varint: more than 64 bits are refused") {
  CHECK_FALSE(ReadNumber("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02"sv));
  CHECK_FALSE(ReadNumber("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"sv));
  CHECK_FALSE(ReadNumber("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"sv));
}

TEST_CASE("varint: one that is cut off is refused") {
  CHECK_FALSE(ReadNumber(""sv));
  CHECK_FALSE(ReadNumber("\x80"sv));
  CHECK_FALSE(ReadNumber("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"sv));
}

TEST_CASE("fields: they are written as protobuf does") {
  google::protobuf::UnknownFieldSet expected;
  expected.AddVarint(1, 300);
  expected.AddFixed64(2, 0x0123456789ABCDEF);
  expected.AddLengthDelimited(15, std::string(200, 'x'));
  expected.AddVarint(1000, 0);
  std::string bytes;
  AppendVarintField(bytes, 1, 300);
  AppendFixed64Field(bytes, 2, 0x0123456789ABCDEF);
  AppendBytesField(bytes, 15, std::string(200, 'x'));
  AppendVarintField(bytes, 1000, 0);
  std::string serialized;
  REQUIRE(expected.SerializeToString(&serialized));
  CHECK(bytes == serialized);
}

TEST_CASE("fields: the size of a length-delimited one is foretold") {
  for (const std::size_t size : {0U, 1U, 127U, 128U, 16383U, 16384U}) {
    std::string bytes;
    AppendBytesField(bytes, 15, std::string(size, 'x'));
    CHECK(BytesFieldSize(size) == bytes.size());
  }
}

TEST_CASE("fields: the reader gives tag, value and place of each") {
  std::string bytes;
  AppendVarintField(bytes, 1, 300);
  const std::size_t second = bytes.size();
  AppendBytesField(bytes, 2, "hello");
  const std::size_t third = bytes.size();
  AppendFixed64Field(bytes, 3, 77);
  const std::size_t fourth = bytes.size();
  bytes +=
      "\x25"
      "abcd";  // fixed32, field 4

  FieldReader fields(bytes);
  REQUIRE(fields.Next());
  CHECK(fields.tag() == MakeTag(1, WireType::kVarint));
  CHECK(fields.number() == 300);
  CHECK(fields.begin() == bytes.data());
  CHECK(fields.end() == bytes.data() + second);
  REQUIRE(fields.Next());
  CHECK(fields.tag() == MakeTag(2, WireType::kBytes));
  CHECK(fields.bytes() == "hello");
  CHECK(fields.begin() == bytes.data() + second);
  CHECK(fields.end() == bytes.data() + third);
  REQUIRE(fields.Next());
  CHECK(fields.tag() == MakeTag(3, WireType::kFixed64));
  CHECK(fields.number() == 77);
  REQUIRE(fields.Next());
  CHECK(fields.tag() == MakeTag(4, WireType::kFixed32));
  CHECK(fields.begin() == bytes.data() + fourth);
  CHECK(fields.end() == bytes.data() + bytes.size());
  CHECK_FALSE(fields.Next());
  CHECK(fields.ok());
}

TEST_CASE("fields: no bytes are no fields") {
  FieldReader fields({});
  CHECK_FALSE(fields.Next());
  CHECK(fields.ok());
}

TEST_CASE("fields: malformed bytes end the reading for good") {
  struct Case {
    const char* what;
    std::string_view bytes;
  };
  for (const Case& c : {
           Case{"field 0", "\x00\x00"sv},
           Case{"field 0, length-delimited", "\x02\x00"sv},
           Case{"a group begins", "\x0B"sv},
           Case{"a group ends", "\x0C"sv},
           Case{"wire type 6", "\x0E"sv},
           Case{"wire type 7", "\x0F"sv},
           Case{"a tag cut off", "\x80"sv},
           Case{"a tag of more than 32 bits", "\x88\x80\x80\x80\x10\x00"sv},
           Case{"a fixed64 cut off",
                "\x09"
                "1234567"sv},
           Case{"a fixed32 cut off",
                "\x0D"
                "123"sv},
           Case{"a length that is missing", "\x0A"sv},
           Case{"a length of one too many",
                "\x0A\x03"
                "ab"sv},
           Case{"a length of 2^64 - 1",
                "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"
                "ab"sv},
       }) {
    CAPTURE(c.what);
    FieldReader fields(c.bytes);
    CHECK_FALSE(fields.Next());
    CHECK_FALSE(fields.ok());
    CHECK_FALSE(fields.Next());
    CHECK_FALSE(fields.ok());
  }
}

TEST_CASE("fields: of one that is cut off, what is missing is known") {
  const auto missing = [](std::string_view bytes) {
    FieldReader fields(bytes);
    while (fields.Next()) {
    }
    return fields.missing();
  };
  CHECK(missing("") == 0);
  CHECK(missing("\x08\x01"sv) == 0);
  CHECK(missing("\x08"sv) == 1);      // all of a varint
  CHECK(missing("\x08\x80"sv) == 1);  // the rest of one
  CHECK(missing("\x80"sv) == 1);      // of a tag
  CHECK(missing("\x08\x01\x09\x01\x02"sv) == 6);
  CHECK(missing("\x0D\x01"sv) == 3);
  CHECK(missing("\x0A"sv) == 1);
  CHECK(missing("\x0A\x85"sv) == 1);
  CHECK(missing("\x0A\x05"sv) == 5);
  CHECK(missing("\x0A\x05zz"sv) == 3);
  // Nothing would help these.
  CHECK(missing("\x00\x01"sv) == 0);
  CHECK(missing("\x0B"sv) == 0);
  CHECK(missing("\x0A\x80\x80\x80\x80\x80\x01"sv) == 0);
  CHECK(missing("\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"sv) == 0);
}

TEST_CASE("fields: what comes before malformed bytes is still read") {
  std::string bytes;
  AppendBytesField(bytes, 1, "first");
  bytes += '\x07';
  FieldReader fields(bytes);
  REQUIRE(fields.Next());
  CHECK(fields.bytes() == "first");
  CHECK_FALSE(fields.Next());
  CHECK_FALSE(fields.ok());
}

TEST_CASE(
    "fields: random bytes are accepted exactly if protobuf accepts them") {
  INFO("MESSENGER_TEST_SEED=", test::TestSeed());
  test::Random random(test::TestSeed());
  int accepted = 0;
  int refused = 0;
  for (int i = 0; i < 50'000; ++i) {
    CheckLikeProtobuf(random.Bytes(random.Between(0, 12)), &accepted, &refused);
  }
  CHECK(accepted > 100);
  CHECK(refused > 100);
}

TEST_CASE(
    "fields: mutilated messages are accepted exactly if protobuf accepts "
    "them") {
  INFO("MESSENGER_TEST_SEED=", test::TestSeed());
  test::Random random(test::TestSeed());
  int accepted = 0;
  int refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes;
    for (auto fields = random.Between(1, 5); fields > 0; --fields) {
      const auto number = static_cast<std::uint32_t>(random.Between(1, 40));
      switch (random.Between(0, 2)) {
        case 0:
          AppendVarintField(bytes, number, random.AnySize());
          break;
        case 1:
          AppendFixed64Field(bytes, number, random.Next());
          break;
        default:
          AppendBytesField(bytes, number, random.Bytes(random.Between(0, 20)));
      }
    }
    CheckLikeProtobuf(bytes, &accepted, &refused);
    CheckLikeProtobuf(bytes.substr(0, random.Between(0, bytes.size())),
                      &accepted, &refused);
    bytes[random.Between(0, bytes.size() - 1)] =
        static_cast<char>(random.Between(0, 255));
    CheckLikeProtobuf(bytes, &accepted, &refused);
  }
  CHECK(accepted > 1000);
  CHECK(refused > 1000);
}

}  // namespace
}  // namespace messenger::wire::coding_test
