#include "base/utf8.h"

#include <doctest/doctest.h>
#include <google/protobuf/wrappers.pb.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "support/printing.h"
#include "support/seed.h"

namespace messenger::wire::utf8_test {
namespace {

using namespace std::string_view_literals;

// Decodes code point by code point: RFC 3629 in the order of its prose.
std::size_t NaiveFindInvalid(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    const auto at = [text](std::size_t k) -> std::uint32_t {
      return static_cast<unsigned char>(text[k]);
    };
    std::size_t length = 1;
    std::uint32_t point = at(i);
    if (point >= 0xF8 || (point & 0xC0U) == 0x80) return i;
    if (point >= 0xF0) {
      length = 4;
      point &= 0x07U;
    } else if (point >= 0xE0) {
      length = 3;
      point &= 0x0FU;
    } else if (point >= 0xC0) {
      length = 2;
      point &= 0x1FU;
    }
    if (i + length > text.size()) return i;
    for (std::size_t k = i + 1; k < i + length; ++k) {
      if ((at(k) & 0xC0U) != 0x80) return i;
      point = point << 6U | (at(k) & 0x3FU);
    }
    constexpr std::array<std::uint32_t, 5> kSmallest = {0, 0, 0x80, 0x800,
                                                        0x10000};
    if (point < kSmallest[length] || point > 0x10FFFF ||
        (point >= 0xD800 && point <= 0xDFFF)) {
      return i;
    }
    i += length;
  }
  return std::string_view::npos;
}

bool ProtobufAccepts(const std::string& text) {
  std::string bytes;
  google::protobuf::BytesValue value;
  value.set_value(text);
  value.SerializeToString(&bytes);
  return google::protobuf::StringValue().ParseFromString(bytes);
}

TEST_CASE("utf8: what RFC 3629 allows is valid") {
  for (const std::string_view text :
       {""sv, "\0"sv, "hello"sv, "\x7F"sv, "\xC2\x80"sv, "\xDF\xBF"sv,
        "\xE0\xA0\x80"sv, "\xED\x9F\xBF"sv, "\xEE\x80\x80"sv, "\xEF\xBF\xBF"sv,
        "\xF0\x90\x80\x80"sv, "\xF4\x8F\xBF\xBF"sv,
        "eight by\xC3\xBCte boundaries"sv, "1234567\xE2\x82\xAC"sv}) {
    CAPTURE(test::Hex(text));
    CHECK(IsValidUtf8(text));
    CHECK(FindInvalidUtf8(text) == std::string_view::npos);
  }
}

TEST_CASE("utf8: the offset is that of the first sequence that is invalid") {
  struct Case {
    std::string_view text;
    std::size_t offset;
  };
  for (const Case& c :
       std::vector<Case>{{"\x80"sv, 0},              // a continuation alone
                         {"a\xBF"sv, 1},             //
                         {"\xC0\x80"sv, 0},          // overlong NUL
                         {"\xC1\xBF"sv, 0},          // overlong, two bytes
                         {"\xE0\x9F\xBF"sv, 0},      // overlong, three bytes
                         {"\xF0\x8F\xBF\xBF"sv, 0},  // overlong, four bytes
                         {"\xED\xA0\x80"sv, 0},      // the first surrogate
                         {"\xED\xBF\xBF"sv, 0},      // the last surrogate
                         {"\xF4\x90\x80\x80"sv, 0},  // U+110000
                         {"\xF5\x80\x80\x80"sv, 0},  //
                         {"\xF8\x88\x80\x80\x80"sv, 0},  // five bytes
                         {"\xFE"sv, 0},                  //
                         {"\xFF"sv, 0},                  //
                         {"ab\xC3"sv, 2},                // cut off
                         {"ab\xE2\x82"sv, 2},            //
                         {"ab\xF0\x9F\x98"sv, 2},        //
                         {"\xC3\xBC\xC3("sv, 2},         // no continuation
                         {"\xE2\x82(\x80"sv, 0},         //
                         {"\xF0\x9F\x98("sv, 0},         //
                         {"12345678\xFF"sv, 8},  // after a whole word of ASCII
                         {"1234567\xFF"sv, 7},   // the last byte of a word
                         {"12345678abc\xE2\x82\xAC\xED\xA0\x80"sv, 14}}) {
    CAPTURE(test::Hex(c.text));
    CHECK(FindInvalidUtf8(c.text) == c.offset);
    CHECK_FALSE(IsValidUtf8(c.text));
  }
}

TEST_CASE(
    "utf8: every sequence of up to two bytes is judged as RFC 3629 does") {
  std::size_t wrong = 0;
  for (unsigned first = 0; first < 256; ++first) {
    for (unsigned second = 0; second < 256; ++second) {
      const std::string text = {static_cast<char>(first),
                                static_cast<char>(second)};
      wrong += FindInvalidUtf8(text) != NaiveFindInvalid(text) ? 1U : 0U;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE(
    "utf8: every lead and second byte of a longer sequence is judged so") {
  std::size_t wrong = 0;
  for (unsigned first = 0xE0; first < 256; ++first) {
    for (unsigned second = 0; second < 256; ++second) {
      for (const std::string_view rest :
           {"\x80"sv, "\xBF"sv, "\x80\x80"sv, "\xBF\xBF"sv, "\x7F\x80"sv,
            "\x80\xC0"sv, "\x80\x7F"sv}) {
        std::string text = {static_cast<char>(first),
                            static_cast<char>(second)};
        text += rest;
        wrong += FindInvalidUtf8(text) != NaiveFindInvalid(text) ? 1U : 0U;
      }
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("utf8: random texts are judged as protobuf judges them") {
  INFO("MESSENGER_TEST_SEED=", test::TestSeed());
  test::Random random(test::TestSeed());
  constexpr std::array kPieces = {"a"sv,
                                  "12345678"sv,
                                  "\xC3\xBC"sv,
                                  "\xE2\x82\xAC"sv,
                                  "\xED\x9F\xBF"sv,
                                  "\xF0\x9F\x98\x80"sv,
                                  "\xF4\x8F\xBF\xBF"sv};
  google::protobuf::LogSilencer silence;
  int valid = 0;
  int invalid = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (auto pieces = random.Between(0, 8); pieces > 0; --pieces) {
      text += kPieces[random.Between(0, kPieces.size() - 1)];
    }
    if (random.OneIn(2) && !text.empty()) {
      text[random.Between(0, text.size() - 1)] =
          static_cast<char>(random.Between(0, 255));
    }
    const std::size_t expected = NaiveFindInvalid(text);
    const std::size_t found = FindInvalidUtf8(text);
    const bool accepted = ProtobufAccepts(text);
    ++(accepted ? valid : invalid);
    if (found != expected || IsValidUtf8(text) != accepted) {
      CAPTURE(test::Hex(text));
      CHECK(found == expected);
      CHECK(IsValidUtf8(text) == accepted);
      break;
    }
  }
  CHECK(valid > 1000);
  CHECK(invalid > 1000);
}

}  // namespace
}  // namespace messenger::wire::utf8_test
