// What a log counts, whichever it is.
#include "messenger/stats.h"

#include <doctest/doctest.h>

#include <string>

#include "absl/status/status.h"
#include "conformance/conformance.h"
#include "log/message_log.h"
#include "messenger/log.h"
#include "support/log_access.h"

namespace messenger::test {
namespace {

LOG_TEST_CASE("log: what is appended, repeated and refused is counted") {
  LogUnderTest t(kind, {.max_channels = 1});
  const ProducerId producer = Producer(1);
  CHECK(StatsOf(*t.log).channels == 0);
  t.AppendAs(producer, 1, {"one", "two"});
  LogStats stats = StatsOf(*t.log);
  CHECK(stats.channels == 1);
  CHECK(stats.batches == 1);
  CHECK(stats.messages == 2);
  CHECK(stats.duplicates == 0);
  const auto reader = t.Open(Start::Earliest());
  CHECK(stats.bytes == BytesIn(Read(*reader)));

  t.AppendAs(producer, 1, {"one", "two", "three"});
  stats = StatsOf(*t.log);
  CHECK(stats.batches == 2);
  CHECK(stats.messages == 3);
  CHECK(stats.duplicates == 2);

  t.RefusalOf(producer, 9, {"a skip"});
  CHECK(absl::IsResourceExhausted(
      Append(*t.log, BatchOf("another", Texts{"x"})).status()));
  stats = StatsOf(*t.log);
  CHECK(stats.refusals.producer == 1);
  CHECK(stats.refusals.limit_reached == 1);
  CHECK(stats.batches == 2);
  CHECK(stats.messages == 3);
}

LOG_TEST_CASE("log: reads that find messages are counted") {
  LogUnderTest t(kind);
  t.Append({"one"});
  const auto reader = t.Open(Start::Earliest());
  const auto reads = [&] {
    const LogStats stats = StatsOf(*t.log);
    return stats.memory_reads + stats.segment_reads;
  };
  CHECK(reads() == 0);
  CHECK(Read(*reader).count == 1);
  CHECK(reads() == 1);
  CHECK(Read(*reader).count == 0);
  CHECK(reads() == 1);
  CHECK(StatsOf(*t.log).damaged_reads == 0);
}

}  // namespace
}  // namespace messenger::test
