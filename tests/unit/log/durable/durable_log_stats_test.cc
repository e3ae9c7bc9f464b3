// What a log in a directory counts: each counter is moved by doing what it
// counts.
#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "messenger/log.h"
#include "messenger/stats.h"
#include "support/log_access.h"
#include "support/temporary_directory.h"

namespace messenger::durable_log_stats_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

std::shared_ptr<MessageLog> MustOpen(const std::string& uri,
                                     const LogOptions& options = {}) {
  return OpenLog(uri, options).value();
}

TEST_CASE(
    "durable log: what follows a refusal is counted as refused for that") {
  const TemporaryDirectory directory;
  const auto log = MustOpen("file:" + directory.path() + "/log");
  const auto appender = log->OpenAppender();
  for (int i = 0; i < 3; ++i) {
    Completion<AppendResult> completion;
    appender->Append(BatchOf("c", Producer(1), 9, {"a skip"}),
                     completion.Callback());
    CHECK_FALSE(completion.Wait("Append").ok());
  }
  const LogStats stats = StatsOf(*log);
  CHECK(stats.refusals.producer == 1);
  CHECK(stats.refusals.aborted == 2);
  CHECK(stats.batches == 0);
}

TEST_CASE("durable log: rounds are counted, by their requests, and syncs") {
  const TemporaryDirectory directory;
  LogOptions options;
  bool synced = true;
  SUBCASE("with syncs") {}
  SUBCASE("without") {
    options.directory.durability = Durability::kOs;
    synced = false;
  }
  const auto log = MustOpen("file:" + directory.path() + "/log", options);
  MustAppend(*log, BatchOf("c", {"alone"}));
  LogStats stats = StatsOf(*log);
  CHECK(stats.rounds == 1);
  CHECK(stats.rounds_by_requests[0] == 1);
  CHECK(stats.syncs == (synced ? 1 : 0));
  CHECK((stats.sync_time.count() > 0) == synced);
  // What was given at once may be one round, or several.
  std::vector<Completion<AppendResult>> appended(20);
  for (auto& one : appended) log->Append(BatchOf("c", {"x"}), one.Callback());
  for (auto& one : appended) CHECK(one.Wait("Append").ok());
  CHECK(Delete(*log, "c") == absl::OkStatus());
  stats = StatsOf(*log);
  CHECK(stats.batches == 21);
  CHECK(stats.rounds >= 3);
  CHECK(stats.syncs == (synced ? stats.rounds : 0));
  const auto& rounds = stats.rounds_by_requests;
  CHECK(std::accumulate(rounds.begin(), rounds.end(), std::uint64_t{0}) ==
        stats.rounds);
  std::uint64_t least = 0;
  for (std::size_t i = 0; i < rounds.size(); ++i) least += rounds[i] << i;
  CHECK(least <= 22);
  CHECK(2 * least > 22);
}

TEST_CASE(
    "durable log: checkpoints are counted, and reads of segments, and damage") {
  const TemporaryDirectory directory;
  const std::string uri = "file:" + directory.path() + "/log";
  LogOptions options;
  options.directory.max_journal_bytes = std::uint64_t{64} << 10;
  {
    const auto log = MustOpen(uri, options);
    const auto deadline = std::chrono::steady_clock::now() + kLogDeadline;
    while (StatsOf(*log).checkpoints == 0) {
      REQUIRE(std::chrono::steady_clock::now() < deadline);
      MustAppend(*log, BatchOf("c", {std::string(10'000, 'x')}));
    }
  }
  {
    const auto log = MustOpen(uri, options);
    const auto reader = log->OpenReader("c", Start::Earliest(), {});
    CHECK(Read(*reader).count > 0);
    CHECK(StatsOf(*log).segment_reads == 1);
    CHECK(StatsOf(*log).damaged_reads == 0);
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(
           directory.path() + "/log/channels")) {
    if (!entry.is_regular_file() || entry.file_size() < 10'000) continue;
    std::fstream file(entry.path(),
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(5'000);
    file.put('?');
  }
  const auto log = MustOpen(uri, options);
  const auto reader = log->OpenReader("c", Start::Earliest(), {});
  CHECK(absl::IsDataLoss(TryRead(*reader).status()));
  const auto skipping =
      log->OpenReader("c", Start::Earliest(), {.skip_damaged = true});
  CHECK(Read(*skipping).gap->reason == Gap::Reason::kDamaged);
  CHECK(StatsOf(*log).damaged_reads == 2);
}

}  // namespace
}  // namespace messenger::durable_log_stats_test
