// What else the log in a directory promises. What every log does, the
// conformance suite has (tests/conformance).
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include "absl/status/status.h"
#include "base/status.h"
#include "support/printing.h"
#include "unit/log/durable/log_on_disk.h"

namespace messenger::durable_log_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

// ---------------------------------------------------------------------------
// Who else has the log open

TEST_CASE("durable log: a directory has one log at a time") {
  LogOnDisk log;
  log.Open();
  CHECK(log.Send("a", {log.NextText()}).ok());
  const absl::Status second = log.TryOpenAgain();
  CHECK(absl::IsFailedPrecondition(second));
  CHECK(Contains(MessageOf(second), "/log/LOCK"));
  CHECK(Contains(MessageOf(second), fmt::format("process {}", getpid())));
  // It has done no harm to the first one.
  CHECK(log.Send("a", {log.NextText()}).ok());
  CHECK(log.Difference() == "");
  log.Close();
  log.Open();
  CHECK(log.Difference() == "");
}

// ---------------------------------------------------------------------------
// Many channels

TEST_CASE("durable log: many channels take no more files than a few") {
  constexpr int kChannels = 2000;
  constexpr int kMaxOpenSegments = 16;
  LogOnDisk log({}, {.max_open_segments = kMaxOpenSegments});
  log.Open();
  for (int i = 0; i < kChannels; ++i) {
    CHECK(log.Send(fmt::format("channel-{}", i), {log.NextText()}).ok());
  }
  log.Close();
  log.Open();
  CHECK(log.Difference() == "");
  // Segments that wait to be synced, with their indexes; and some others.
  CHECK(log.files().max_open_files() <= 2 * 64 + kMaxOpenSegments + 8);
  CHECK(log.files().open_files() <= kMaxOpenSegments + 8);
  CHECK(ListChannels(log.log(), "", kChannels + 1).size() == kChannels);
}

}  // namespace
}  // namespace messenger::durable_log_test
