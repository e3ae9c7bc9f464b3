// Records as messenger-cli send - takes them from stdin.
#include "apps/cli/record_reader.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "apps/cli/printer.h"
#include "apps/common/event.h"
#include "support/seed.h"

namespace messenger::app::record_reader_test {
namespace {

using std::string_literals::operator""s;
using Result = RecordReader::Result;

constexpr std::size_t kMaxBytes = 1000;

// A pipe that gives `input` in pieces of these sizes, one after the other, and
// then ends.
class Input {
 public:
  explicit Input(std::string input, std::vector<std::size_t> pieces = {}) {
    std::array<int, 2> ends{};
    REQUIRE(pipe(ends.data()) == 0);
    fd_ = ends[0];
    writer_ = std::thread(
        [input = std::move(input), pieces = std::move(pieces), end = ends[1]] {
          std::string_view rest = input;
          for (std::size_t i = 0; !rest.empty(); ++i) {
            const std::string_view piece =
                rest.substr(0, i < pieces.size() ? pieces[i] : rest.size());
            if (write(end, piece.data(), piece.size()) < 0) break;
            rest.remove_prefix(piece.size());
          }
          close(end);
        });
  }
  ~Input() {
    close(fd_);
    writer_.join();
  }
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  int fd() const { return fd_; }

 private:
  int fd_ = -1;
  std::thread writer_;
};

struct Outcome {
  // Those that were too long are nothing.
  std::vector<std::optional<std::string>> records;
  Result end = Result::kEnd;
  std::string why;
  std::uint64_t last_number = 0;
};

Outcome ReadAll(Framing framing, std::string input,
                std::vector<std::size_t> pieces = {}) {
  const Input pipe(std::move(input), std::move(pieces));
  const Event stop;
  const auto reader =
      RecordReader::Make(framing, pipe.fd(), stop.fd(), kMaxBytes);
  Outcome outcome;
  Record record;
  while ((outcome.end = reader->Next(&record)) == Result::kRecord) {
    CHECK(record.number == outcome.records.size() + 1);
    if (record.too_long) {
      outcome.records.emplace_back();
    } else {
      outcome.records.emplace_back(record.bytes);
    }
  }
  outcome.why = std::string(reader->malformed().message());
  outcome.last_number = record.number;
  return outcome;
}

using Records = std::vector<std::optional<std::string>>;

TEST_CASE("records: lines end with a newline, which the last one may lack") {
  CHECK(ReadAll(Framing::kLines, "a\n\nb\0c\n"s).records ==
        Records{"a", "", "b\0c"s});
  CHECK(ReadAll(Framing::kLines, "a\nb").records == Records{"a", "b"});
  CHECK(ReadAll(Framing::kLines, "").records.empty());
  CHECK(ReadAll(Framing::kLines, "\n").records == Records{""});
}

TEST_CASE("records: with NULs, newlines are in them") {
  CHECK(ReadAll(Framing::kNull, "a\nb\n\0\0\xff\0c"s).records ==
        Records{"a\nb\n", "", "\xff", "c"});
}

TEST_CASE("records: a length stands before each") {
  CHECK(ReadAll(Framing::kLengthPrefixed, "\x03\0\n\xff\0\x01x"s).records ==
        Records{"\0\n\xff"s, "", "x"});
  CHECK(ReadAll(Framing::kLengthPrefixed, "").records.empty());
}

TEST_CASE("records: what is too long is told, and the next one follows") {
  const std::string most(kMaxBytes, 'x');
  const std::string more = most + "y";
  const std::string far(700'000, 'z');
  CHECK(ReadAll(Framing::kLines, most + "\n" + more + "\n" + far + "\nend")
            .records == Records{most, std::nullopt, std::nullopt, "end"});
  CHECK(ReadAll(Framing::kLengthPrefixed, "\xe8\x07" + most + "\xe9\x07" +
                                              more + "\xe0\xdc\x2a" + far +
                                              "\x03" + "end")
            .records == Records{most, std::nullopt, std::nullopt, "end"});
}

TEST_CASE("records: an input that ends within one is not taken for whole") {
  const auto check = [](const std::string& input, std::string_view why,
                        std::uint64_t number) {
    const Outcome outcome = ReadAll(Framing::kLengthPrefixed, input);
    CHECK(outcome.end == Result::kMalformed);
    CHECK(outcome.why == why);
    CHECK(outcome.last_number == number);
  };
  check(
      "\x01"
      "a\x03xy",
      "the input ends 1 byte before the record does", 2);
  check("\x05", "the input ends 5 bytes before the record does", 1);
  check("\x80", "the input ends within its length", 1);
  check("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01xy",
        "the input ends 18446744073709551613 bytes before the record does", 1);
}

TEST_CASE("records: a length that is none is not guessed") {
  const std::string nine(9, '\xff');
  for (const std::string& length : {nine + '\x02', nine + '\x80' + '\x01'}) {
    const Outcome outcome =
        ReadAll(Framing::kLengthPrefixed, "\x01" + ("a" + length) + "rest");
    CHECK(outcome.records == Records{"a"});
    CHECK(outcome.end == Result::kMalformed);
    CHECK(outcome.why == "its length is no varint of at most 64 bits");
    CHECK(outcome.last_number == 2);
  }
}

TEST_CASE("records: whatever pieces they come in, all bytes come back") {
  INFO("MESSENGER_TEST_SEED=", test::TestSeed());
  test::Random random(test::TestSeed());
  for (int round = 0; round < 50; ++round) {
    const auto printer = MakeDataPrinter(Framing::kLengthPrefixed);
    Records records;
    std::string input;
    for (std::size_t i = random.Between(0, 50); i > 0; --i) {
      std::string bytes(random.Between(0, random.OneIn(2) ? 3 : kMaxBytes),
                        '\0');
      for (char& byte : bytes) byte = static_cast<char>(random.Between(0, 255));
      printer->Print({.data = bytes}, &input);
      records.emplace_back(std::move(bytes));
    }
    std::vector<std::size_t> pieces(200);
    for (std::size_t& piece : pieces) piece = random.Between(1, 20);
    const Outcome outcome = ReadAll(Framing::kLengthPrefixed, input, pieces);
    CHECK(outcome.end == Result::kEnd);
    REQUIRE(outcome.records == records);
  }
}

TEST_CASE("records: waiting for one can be stopped") {
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  Event stop;
  stop.Set();
  for (const Framing framing :
       {Framing::kLines, Framing::kNull, Framing::kLengthPrefixed}) {
    const auto reader =
        RecordReader::Make(framing, ends[0], stop.fd(), kMaxBytes);
    Record record;
    CHECK(reader->Next(&record) == Result::kStopped);
  }
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace messenger::app::record_reader_test
