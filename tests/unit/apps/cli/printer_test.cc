// Messages on messenger-cli's stdout, and gaps on its stderr.
#include "apps/cli/printer.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "apps/cli/framing.h"
#include "messenger/message.h"

namespace messenger::app::printer_test {
namespace {

using std::chrono::milliseconds;

Gap At(std::uint64_t sequence) {
  return {.first_missing = sequence,
          .next = sequence + 1,
          .reason = Gap::Reason::kRetention};
}

TEST_CASE("gap report: a few gaps are told one by one") {
  GapReport report;
  const GapReport::Clock::time_point now;
  CHECK(report.Add(At(1), now) ==
        "gap: message 1 is not there any more (retention)");
  CHECK(report.Rest().empty());
}

TEST_CASE("gap report: gaps without end are told once a second, and counted") {
  GapReport report;
  const GapReport::Clock::time_point start;
  int lines = 0;
  std::string last;
  // 1,000 each second.
  for (std::uint64_t i = 0; i < 5'000; ++i) {
    const std::string line = report.Add(At(i + 1), start + milliseconds(i));
    if (line.empty()) continue;
    ++lines;
    last = line;
  }
  CHECK(lines >= 10 + 4);
  CHECK(lines <= 10 + 5);
  CHECK(last.find(", and 999 gaps before it") != std::string::npos);
  CHECK(report.Rest().starts_with("gap: message 5000 is not there any more"));
  CHECK(report.Rest().empty());
}

constexpr std::string_view kBytes("\0\n\xff", 3);

std::string Printed(Printer& printer) {
  std::string out;
  printer.Print({.text = "one\ntwo", .data = kBytes}, &out);
  printer.Print({.text = "three"}, &out);
  return out;
}

TEST_CASE("printer: data is printed as it is, a record for each message") {
  using std::string_literals::operator""s;
  CHECK(Printed(*MakeDataPrinter(std::nullopt)) == kBytes);
  CHECK(Printed(*MakeDataPrinter(Framing::kNull)) == "\0\n\xff\0\0"s);
  CHECK(Printed(*MakeDataPrinter(Framing::kLengthPrefixed)) ==
        "\x03\0\n\xff\x00"s);
}

TEST_CASE("printer: texts end with a newline or a NUL") {
  using std::string_literals::operator""s;
  CHECK(Printed(*MakeTextPrinter(Framing::kLines)) == "one\ntwo\nthree\n");
  CHECK(Printed(*MakeTextPrinter(Framing::kNull)) == "one\ntwo\0three\0"s);
}

TEST_CASE("printer: a length is a varint") {
  const auto printer = MakeDataPrinter(Framing::kLengthPrefixed);
  const auto printed = [&printer](std::size_t size) {
    const std::string data(size, 'x');
    std::string out;
    printer->Print({.data = data}, &out);
    CHECK(out.ends_with(data));
    return out.substr(0, out.size() - data.size());
  };
  CHECK(printed(127) == "\x7f");
  CHECK(printed(128) == "\x80\x01");
  CHECK(printed(300) == "\xac\x02");
}

TEST_CASE("printer: people are told of data, and not shown it") {
  const auto printer = MakeReadablePrinter(Colours::kNo);
  const auto line = [&](const Message& message) {
    std::string out;
    printer->Print(message, &out);
    return out.substr(out.rfind("ann"));
  };
  CHECK(line({.author = "ann", .text = "cat", .data = kBytes}) ==
        "ann  cat  [3 bytes]\n");
  CHECK(line({.author = "ann", .data = kBytes, .content_type = "image/png"}) ==
        "ann  [3 bytes of image/png]\n");
  CHECK(line({.author = "ann", .text = "cat", .content_type = "text/plain"}) ==
        "ann  cat\n");
}

}  // namespace
}  // namespace messenger::app::printer_test
