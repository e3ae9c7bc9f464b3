// Gaps on messenger-cli's stderr.
#include "apps/cli/printer.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <string>

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

}  // namespace
}  // namespace messenger::app::printer_test
