// Channels: what is told of them, and how many there may be.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "base/status.h"
#include "conformance/conformance.h"
#include "log/message_log.h"
#include "messenger/message.h"
#include "support/log_access.h"
#include "support/printing.h"

namespace messenger::test {
namespace {

LOG_TEST_CASE("log: a channel can be looked up by name") {
  LogUnderTest t(kind);
  const absl::Status none = GetChannel(*t.log, "c").status();
  CHECK(none.code() == absl::StatusCode::kNotFound);
  CHECK(Contains(MessageOf(none), "\"c\""));
  t.Append({"a", "b"});
  const auto info = GetChannel(*t.log, "c");
  REQUIRE(info.ok());
  CHECK(info->name == "c");
  CHECK(info->epoch == t.log->epoch());
  CHECK(info->first_sequence == 1);
  CHECK(info->head == 2);
  CHECK(info->bytes > 0);
}

LOG_TEST_CASE("log: channels are listed by name, a page at a time") {
  LogUnderTest t(kind);
  CHECK(ListChannels(*t.log, "", 10).empty());
  std::set<std::string> names = {
      "a", "A", "b", "aa",      "-",
      ".", "_", "0", "general", std::string(128, 'z')};
  for (const std::string& name : names) t.Append({"text"}, name);
  REQUIRE(Delete(*t.log, "aa").ok());
  names.erase("aa");
  for (const std::size_t page : {1U, 2U, 4U, 9U, 10U, 1000U}) {
    CAPTURE(page);
    std::vector<std::string> listed;
    for (;;) {
      const std::vector<ChannelInfo> infos =
          ListChannels(*t.log, listed.empty() ? "" : listed.back(), page);
      CHECK(infos.size() <= page);
      for (const ChannelInfo& info : infos) {
        listed.push_back(info.name);
        CHECK(info.head == 1);
        CHECK(info.epoch == t.log->epoch());
      }
      if (infos.size() < page) break;
    }
    CHECK(listed == std::vector<std::string>(names.begin(), names.end()));
  }
  // A page may follow a name that is not there.
  const std::vector<ChannelInfo> after = ListChannels(*t.log, "aa", 1);
  REQUIRE(after.size() == 1);
  CHECK(after[0].name == "b");
}

LOG_TEST_CASE(
    "log: there are so many channels at most, and deleted ones do not count") {
  LogUnderTest t(kind, {.max_channels = 2});
  t.Append({"text"}, "a");
  t.Append({"text"}, "b");
  const auto refused = [&t](std::string_view name) {
    const AppendResult result = Append(*t.log, BatchOf(name, Texts{"text"}));
    CHECK(result.status().code() == absl::StatusCode::kResourceExhausted);
    return std::string(MessageOf(result.status()));
  };
  const std::string error = refused("third");
  CAPTURE(error);
  CHECK(Contains(error, "\"third\""));
  CHECK(Contains(error, "2"));
  CHECK(Contains(error, "max_channels"));
  CHECK(ListChannels(*t.log, "", 10).size() == 2);
  t.Append({"text"}, "a");
  REQUIRE(Delete(*t.log, "a").ok());
  CHECK(SequencesOf(t.Append({"text"}, "third")) == Sequences(1, 1));
  // One that comes back counts again.
  refused("a");
  CHECK(ListChannels(*t.log, "", 10).size() == 2);
  REQUIRE(Delete(*t.log, "b").ok());
  CHECK(SequencesOf(t.Append({"text"}, "a")) == Sequences(3, 3));
  refused("b");
}

LOG_TEST_CASE(
    "log: there are so many deleted channels at most, and those that come back "
    "do not count") {
  LogUnderTest t(kind, {.max_deleted_channels = 2});
  for (const char* const name : {"a", "b", "c"}) t.Append({"text"}, name);
  CHECK(Delete(*t.log, "a").ToString() == "OK");
  CHECK(Delete(*t.log, "b").ToString() == "OK");
  const absl::Status refused = Delete(*t.log, "c");
  CHECK(refused.code() == absl::StatusCode::kResourceExhausted);
  CAPTURE(refused);
  CHECK(Contains(MessageOf(refused), "\"c\""));
  CHECK(Contains(MessageOf(refused), "2"));
  CHECK(Contains(MessageOf(refused), "max_deleted_channels"));
  CHECK(t.Head("c") == 1);
  CHECK(Delete(*t.log, "nothing").code() == absl::StatusCode::kNotFound);
  // What is refused does not bring a channel back.
  t.RefusalOf(Producer(1), 5, {"text"}, "a");
  CHECK(Delete(*t.log, "c").code() == absl::StatusCode::kResourceExhausted);
  CHECK(SequencesOf(t.Append({"text"}, "a")) == Sequences(2, 2));
  CHECK(Delete(*t.log, "c").ToString() == "OK");
  CHECK(Delete(*t.log, "a").code() == absl::StatusCode::kResourceExhausted);
}

LOG_TEST_CASE(
    "log: channels that come and go by the hundred continue their sequences") {
  LogUnderTest t(kind, {.max_channels = 3});
  t.Append({"stays"}, "stays");
  constexpr int kChannels = 300;
  const auto name_of = [](int i) { return fmt::format("channel-{}", i); };
  for (std::uint64_t round = 1; round <= 2; ++round) {
    for (int i = 0; i < kChannels; ++i) {
      t.clock.Advance(std::chrono::milliseconds(1));
      t.AppendAs(Producer(1), round, {"text"}, name_of(i));
      CHECK(t.Head(name_of(i)) == round);
      REQUIRE(Delete(*t.log, name_of(i)).ToString() == "OK");
    }
  }
  CHECK(ListChannels(*t.log, "", 10).size() == 1);
  for (int i = 0; i < kChannels; i += 60) {
    CAPTURE(i);
    // It was stored before the deletion.
    t.RefusalOf(Producer(1), 2, {"text"}, name_of(i));
    const auto reader = t.Open(Start::Earliest(), false, name_of(i));
    const ReadResult gone = Read(*reader);
    REQUIRE(gone.gap.has_value());
    CHECK(*gone.gap ==
          Gap{.first_missing = 1, .next = 3, .reason = Gap::Reason::kDeleted});
    CHECK_FALSE(reader->Behind());
    CHECK(SequencesOf(t.AppendAs(Producer(1), 3, {"text"}, name_of(i))) ==
          Sequences(3, 3));
    CHECK(reader->Behind());
    CHECK(Read(*reader).count == 1);
    REQUIRE(Delete(*t.log, name_of(i)).ok());
    CHECK_FALSE(reader->Behind());
    // A reader notices, too, that it came and went once more.
    t.Append({"text"}, name_of(i));
    REQUIRE(Delete(*t.log, name_of(i)).ok());
    CHECK(reader->Behind());
    const ReadResult again = Read(*reader);
    REQUIRE(again.gap.has_value());
    CHECK(*again.gap ==
          Gap{.first_missing = 4, .next = 5, .reason = Gap::Reason::kDeleted});
  }
}

LOG_TEST_CASE(
    "log: what is deleted while others append is deleted once, and no sequence "
    "comes twice") {
  LogUnderTest t(kind);
  std::atomic<bool> done{false};
  std::mutex mu;
  std::set<std::uint64_t> sequences;
  std::atomic<int> failures{0};
  std::vector<std::thread> appenders;
  for (int i = 0; i < 3; ++i) {
    appenders.emplace_back([&] {
      for (int n = 0; n < 300; ++n) {
        const AppendResult result =
            test::Append(*t.log, BatchOf("c", Texts{"x"}));
        if (!result.ok()) {
          ++failures;
          continue;
        }
        const std::lock_guard lock(mu);
        if (!sequences.insert(result->front().first_sequence).second) {
          ++failures;
        }
      }
    });
  }
  std::thread deleter([&] {
    while (!done) {
      const absl::Status status = Delete(*t.log, "c");
      if (!status.ok() && !absl::IsNotFound(status)) ++failures;
      std::this_thread::yield();
    }
  });
  for (std::thread& appender : appenders) appender.join();
  done = true;
  deleter.join();
  CHECK(failures == 0);
  CHECK(sequences.size() == 900);
  CHECK(*sequences.rbegin() == 900);
  CHECK(SequencesOf(t.Append({"last"})) == Sequences(901, 901));
}

LOG_TEST_CASE("log: a batch that is refused does not count as a channel") {
  LogUnderTest t(kind, {.max_channels = 1});
  t.RefusalOf(Producer(1), 5, {"text"}, "a");
  CHECK(GetChannel(*t.log, "a").status().code() == absl::StatusCode::kNotFound);
  const AppendResult result = Append(*t.log, BatchOf("b", Texts{"text"}));
  CHECK(result.status().ToString() == "OK");
}

}  // namespace
}  // namespace messenger::test
