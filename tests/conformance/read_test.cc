// Reading within bounds, and how long what was read stays.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "conformance/conformance.h"
#include "log/message_log.h"
#include "messenger/message.h"
#include "support/log_access.h"
#include "support/seed.h"

namespace messenger::test {
namespace {

// ---------------------------------------------------------------------------
// Reading within bounds

LOG_TEST_CASE("log: a read returns at most so many messages") {
  LogUnderTest t(kind);
  t.Append(Texts(10, "text"));
  const auto reader = t.Open(Start::Earliest());
  std::uint64_t next = 1;
  while (next <= 10) {
    const ReadResult result =
        Read(*reader, {.max_bytes = std::size_t{1} << 20, .max_count = 3});
    CHECK(result.next_sequence == next);
    CHECK(result.head == 10);
    REQUIRE(result.count >= 1);
    CHECK(result.count <= 3);
    next += MessagesIn(result).size();
  }
  CHECK(next == 11);
}

LOG_TEST_CASE("log: a read returns at most so many bytes, or one message") {
  LogUnderTest t(kind);
  Texts texts;
  for (std::size_t i = 0; i < 200; ++i) {
    texts.emplace_back((i * 37) % 1000, 'x');
  }
  t.Append(texts);
  for (const std::size_t max_bytes : {0U, 1U, 500U, 2000U, 10000U}) {
    CAPTURE(max_bytes);
    const auto reader = t.Open(Start::Earliest());
    Texts read;
    while (read.size() < texts.size()) {
      const ReadResult result = Read(*reader, {.max_bytes = max_bytes});
      REQUIRE(result.count >= 1);
      const bool within = BytesIn(result) <= max_bytes || result.count == 1;
      CHECK(within);
      for (OwnedMessage& message : MessagesIn(result)) {
        read.push_back(std::move(message.text));
      }
    }
    CHECK((read == texts));
  }
}

LOG_TEST_CASE("log: a message larger than the bound is returned alone") {
  LogUnderTest t(kind);
  t.Append({"small", std::string(300'000, 'x'), "small"});
  const auto reader = t.Open(Start::Earliest());
  const ReadBounds bounds{.max_bytes = 1000};
  CHECK(MessagesIn(Read(*reader, bounds)).size() == 1);
  const std::vector<OwnedMessage> large = MessagesIn(Read(*reader, bounds));
  REQUIRE(large.size() == 1);
  CHECK(large[0].text.size() == 300'000);
  const std::vector<OwnedMessage> last = MessagesIn(Read(*reader, bounds));
  REQUIRE(last.size() == 1);
  CHECK(last[0].sequence == 3);
}

LOG_TEST_CASE("log: a read leaves what comes after last_sequence") {
  LogUnderTest t(kind);
  t.Append(Texts(10, "text"));
  const auto reader = t.Open(Start::Earliest());
  const auto bounds = [](std::uint64_t last) {
    return ReadBounds{.max_bytes = std::size_t{1} << 20, .last_sequence = last};
  };
  ReadResult result = Read(*reader, bounds(0));
  CHECK(result.count == 0);
  CHECK(result.next_sequence == 1);
  CHECK(result.head == 10);
  result = Read(*reader, bounds(4));
  CHECK(result.next_sequence + MessagesIn(result).size() == 5);
  CHECK(result.head == 10);
  result = Read(*reader, bounds(4));
  CHECK(result.count == 0);
  CHECK(result.next_sequence == 5);
  result = Read(*reader, bounds(2));
  CHECK(result.count == 0);
  CHECK(result.next_sequence == 5);
  CHECK(reader->Behind());
  CHECK(ReadToHead(*reader).sequences() == Sequences(5, 10));
}

LOG_TEST_CASE(
    "log: messages of all sizes are read back over whatever the log keeps them "
    "in") {
  LogUnderTest t(kind);
  INFO("MESSENGER_TEST_SEED=", TestSeed());
  Random random(TestSeed());
  std::vector<std::size_t> sizes;
  while (sizes.size() < 3000) {
    Texts texts;
    for (auto n = random.Between(1, 50); n > 0; --n) {
      const std::size_t size = random.OneIn(300) ? random.Between(0, 400'000)
                                                 : random.Between(0, 2000);
      texts.emplace_back(size, static_cast<char>('a' + size % 26));
      sizes.push_back(size);
    }
    t.Append(texts);
  }
  const auto reader = t.Open(Start::Earliest());
  std::uint64_t wrong = 0;
  std::uint64_t next = 1;
  while (next <= sizes.size()) {
    const ReadBounds bounds{.max_bytes = random.Between(1, 600'000),
                            .max_count = random.Between(1, 1000)};
    const ReadResult result = Read(*reader, bounds);
    REQUIRE(result.next_sequence == next);
    REQUIRE(result.count >= 1);
    for (const OwnedMessage& message : MessagesIn(result)) {
      const std::size_t size = sizes[message.sequence - 1];
      const std::string expected(size, static_cast<char>('a' + size % 26));
      if (message.text != expected) ++wrong;
    }
    next += result.count;
  }
  CHECK(wrong == 0);
  CHECK(next == sizes.size() + 1);
}

LOG_TEST_CASE("log: a reader may be destroyed after its log") {
  LogUnderTest t(kind);
  t.Append({"a"});
  const auto reader = t.Open(Start::Earliest());
  CHECK(Read(*reader).count == 1);
  t.log.reset();
}

LOG_TEST_CASE("log: to cancel a reader that does nothing is fine") {
  LogUnderTest t(kind);
  t.Append({"a"});
  const auto reader = t.Open(Start::Earliest());
  reader->Cancel();
  reader->Cancel();
  const auto other = t.Open(Start::Earliest());
  CHECK(Read(*other).count == 1);
}

// ---------------------------------------------------------------------------
// Memory

LOG_TEST_CASE(
    "log: bytes that were read outlive retention, deletion and the log") {
  LogUnderTest t(kind, SmallRetention());
  Texts texts;
  for (int i = 0; i < 20; ++i) {
    texts.push_back(std::to_string(i) + std::string(500, 'y'));
  }
  t.Append(texts);
  auto reader = t.Open(Start::Earliest());
  // A log may keep them in several places, and take a read for each.
  std::vector<ReadResult> results;
  std::uint64_t count = 0;
  while (count < texts.size()) {
    results.push_back(Read(*reader));
    REQUIRE(results.back().count > 0);
    count += results.back().count;
  }
  const auto check = [&](const char* when) {
    CAPTURE(when);
    Texts read;
    for (const ReadResult& result : results) {
      for (OwnedMessage& m : MessagesIn(result)) read.push_back(m.text);
    }
    CHECK((read == texts));
  };
  check("at once");
  t.AppendUntilDropped(20);
  check("after retention");
  REQUIRE(Delete(*t.log, "c").ok());
  t.Append(Texts(100, std::string(1000, 'z')));
  check("after deletion");
  reader.reset();
  t.log.reset();
  check("after the log");
}

}  // namespace
}  // namespace messenger::test
