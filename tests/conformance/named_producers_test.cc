// Named producers: generations, and numbers with holes.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/reason.h"
#include "conformance/conformance.h"
#include "log/message_log.h"
#include "messenger/message.h"
#include "support/log_access.h"
#include "support/printing.h"

namespace messenger::test {
namespace {

std::vector<Stored> AppendAs(LogUnderTest& t, const ProducerInfo& producer,
                             std::uint64_t first, const Texts& texts) {
  return MustAppend(*t.log, BatchOf(producer, first, texts));
}

// "1, 2d, -d": a sequence, or none, and whether it is a duplicate.
std::string ToString(const std::vector<Stored>& receipts) {
  std::string line;
  for (const Stored& stored : receipts) {
    line += fmt::format(
        "{}{}{}", line.empty() ? "" : ", ",
        stored.sequence == 0 ? "-" : std::to_string(stored.sequence),
        stored.duplicate ? "d" : "");
  }
  return line;
}

LOG_TEST_CASE(
    "log: a named producer has an id and a generation, and no "
    "message at first") {
  LogUnderTest t(kind);
  const ProducerInfo producer = MustOpenProducer(*t.log, "c", "p");
  CHECK(producer.channel == "c");
  CHECK(producer.name == "p");
  CHECK(producer.producer_id != ProducerId{});
  CHECK(producer.generation == 1);
  CHECK(producer.last_producer_sequence == 0);
  CHECK(producer.epoch == t.log->epoch());
  CHECK(producer.last_used == t.clock.now());
  // Nor is there a channel.
  CHECK(absl::IsNotFound(GetChannel(*t.log, "c").status()));
  CHECK(ListChannels(*t.log, "", 10).empty());
}

LOG_TEST_CASE(
    "log: what a named producer has stored is told when it is opened "
    "again") {
  LogUnderTest t(kind);
  const ProducerInfo first = MustOpenProducer(*t.log, "c", "p");
  CHECK(ToString(AppendAs(t, first, 1, {"a", "b"})) == "1, 2");
  t.Append({"of another"});
  t.clock.Advance(std::chrono::seconds(1));
  CHECK(ToString(AppendAs(t, first, 3, {"c"})) == "4");
  t.clock.Advance(std::chrono::seconds(1));
  const ProducerInfo second = MustOpenProducer(*t.log, "c", "p");
  CHECK(second.producer_id == first.producer_id);
  CHECK(second.generation == 2);
  CHECK(second.last_producer_sequence == 3);
  CHECK(second.last_used == t.clock.now());
  CHECK(ToString(AppendAs(t, second, 4, {"d"})) == "5");
  const auto reader = t.Open(Start::Earliest());
  const ReadToHead all(*reader);
  CHECK(all.texts() == Texts{"a", "b", "of another", "c", "d"});
  CHECK(all.messages[3].producer_id == first.producer_id);
  CHECK(all.messages[3].producer_sequence == 3);
}

LOG_TEST_CASE(
    "log: what an older generation sends is refused, also what is "
    "stored already") {
  LogUnderTest t(kind);
  const ProducerInfo old = MustOpenProducer(*t.log, "c", "p");
  AppendAs(t, old, 1, {"a"});
  const ProducerInfo present = MustOpenProducer(*t.log, "c", "p");
  for (const std::uint64_t first : {1U, 2U, 5U}) {
    const AppendResult result = Append(*t.log, BatchOf(old, first, {"a"}));
    CHECK(ReasonOf(result.status()) == "PRODUCER_FENCED");
    CHECK(ReasonDetail(result.status(), "generation") == "2");
    CHECK(absl::IsFailedPrecondition(result.status()));
  }
  CHECK(t.Head() == 1);
  CHECK(ToString(AppendAs(t, present, 1, {"a", "b"})) == "1d, 2");
}

LOG_TEST_CASE(
    "log: a named producer that is not known is refused, whatever it "
    "sends") {
  LogUnderTest t(kind);
  ProducerInfo producer = MustOpenProducer(*t.log, "c", "p");
  AppendAs(t, producer, 1, {"a"});
  SUBCASE("a generation that was not opened") {
    ++producer.generation;
    CHECK(ReasonOfRefusal(t, BatchOf(producer, 2, {"b"})) ==
          "PRODUCER_UNKNOWN");
  }
  SUBCASE("another channel") {
    producer.channel = "d";
    CHECK(ReasonOfRefusal(t, BatchOf(producer, 2, {"b"})) ==
          "PRODUCER_UNKNOWN");
    CHECK(ReasonOfRefusal(t, BatchOf(producer, 1, {"b"})) ==
          "PRODUCER_UNKNOWN");
  }
  SUBCASE("an id that nobody has") {
    producer.producer_id = Producer(1);
    CHECK(ReasonOfRefusal(t, BatchOf(producer, 1, {"b"})) ==
          "PRODUCER_UNKNOWN");
  }
  SUBCASE("the id without a generation") {
    producer.generation = 0;
    CHECK(ReasonOfRefusal(t, BatchOf(producer, 2, {"b"})) == "PRODUCER_FENCED");
    producer.channel = "d";
    CHECK(ReasonOfRefusal(t, BatchOf(producer, 1, {"b"})) == "PRODUCER_FENCED");
  }
  CHECK(t.Head() == 1);
  CHECK(absl::IsNotFound(GetChannel(*t.log, "d").status()));
}

LOG_TEST_CASE(
    "log: a named producer's numbers may leave holes, and what lies "
    "in one is a duplicate without a position") {
  LogUnderTest t(kind);
  const ProducerInfo producer = MustOpenProducer(*t.log, "c", "p");
  CHECK(ToString(AppendAs(t, producer, 10, {"a", "b"})) == "1, 2");
  t.clock.Advance(std::chrono::seconds(1));
  CHECK(ToString(AppendAs(t, producer, 20, {"c"})) == "3");
  CHECK(ToString(AppendAs(t, producer, 8, {"?", "?", "a", "b", "?"})) ==
        "-d, -d, 1d, 2d, -d");
  CHECK(ToString(AppendAs(t, producer, 1, {"?"})) == "-d");
  CHECK(ToString(AppendAs(t, producer, 15, Texts(7, "x"))) ==
        "-d, -d, -d, -d, -d, 3d, 4");
  const AppendResult unknown =
      Append(*t.log, BatchOf(producer, 12, {"?", "?", "?"}));
  REQUIRE(unknown.ok());
  REQUIRE(unknown->size() == 1);
  CHECK(unknown->front().epoch == t.log->epoch());
  CHECK(unknown->front().first_sequence == 0);
  CHECK(unknown->front().count == 3);
  CHECK(unknown->front().send_time == Timestamp());
  CHECK(unknown->front().duplicate);
  CHECK(t.Head() == 4);
}

LOG_TEST_CASE(
    "log: a named producer's duplicate gets the original receipt, "
    "whatever its content") {
  LogUnderTest t(kind);
  const ProducerInfo producer = MustOpenProducer(*t.log, "c", "p");
  const std::vector<Stored> original = AppendAs(t, producer, 1, {"a", "b"});
  t.clock.Advance(std::chrono::seconds(1));
  const ProducerInfo again = MustOpenProducer(*t.log, "c", "p");
  const std::vector<Stored> repeated =
      AppendAs(t, again, 1, {"a", "other", "c"});
  CHECK(ToString(repeated) == "1d, 2d, 3");
  CHECK(repeated[0].send_time == original[0].send_time);
  CHECK(repeated[2].send_time == t.clock.now());
  CHECK(t.Head() == 3);
}

LOG_TEST_CASE(
    "log: a named producer outlasts the idle timeout and the limit "
    "of producers") {
  LogUnderTest t(kind, {.max_producers_per_channel = 1,
                        .producer_idle_timeout = std::chrono::seconds(1)});
  const ProducerInfo producer = MustOpenProducer(*t.log, "c", "p");
  AppendAs(t, producer, 1, {"a"});
  t.clock.Advance(std::chrono::hours(1000));
  t.AppendAs(Producer(1), 1, {"x"});
  t.AppendAs(Producer(2), 1, {"x"});
  CHECK(ToString(AppendAs(t, producer, 1, {"a", "b"})) == "-d, 4");
  CHECK(MustOpenProducer(*t.log, "c", "p").last_producer_sequence == 2);
}

LOG_TEST_CASE("log: the deletion of a channel leaves its named producers") {
  LogUnderTest t(kind);
  const ProducerInfo producer = MustOpenProducer(*t.log, "c", "p");
  AppendAs(t, producer, 5, {"a", "b", "c"});
  REQUIRE(Delete(*t.log, "c").ok());
  CHECK(ToString(AppendAs(t, producer, 5, {"a", "b", "c"})) == "-d, -d, -d");
  CHECK(absl::IsNotFound(GetChannel(*t.log, "c").status()));
  CHECK(ListChannels(*t.log, "", 10).empty());
  const ProducerInfo again = MustOpenProducer(*t.log, "c", "p");
  CHECK(again.last_producer_sequence == 7);
  CHECK(again.generation == 2);
  CHECK(ToString(AppendAs(t, again, 7, {"c", "d"})) == "-d, 4");
  CHECK(ReasonOfRefusal(t, BatchOf(producer, 9, {"e"})) == "PRODUCER_FENCED");
}

LOG_TEST_CASE(
    "log: what retention has dropped is a duplicate of a named "
    "producer all the same") {
  LogUnderTest t(kind, SmallRetention());
  const ProducerInfo producer = MustOpenProducer(*t.log, "c", "p");
  AppendAs(t, producer, 1, {"a"});
  t.AppendUntilDropped(1);
  const std::uint64_t head = t.Head();
  CHECK(ToString(AppendAs(t, producer, 1, {"a"})) == "-d");
  CHECK(t.Head() == head);
}

LOG_TEST_CASE(
    "log: a condition of a named producer is checked after its "
    "duplicates") {
  LogUnderTest t(kind);
  const ProducerInfo producer = MustOpenProducer(*t.log, "c", "p");
  const auto append = [&](std::uint64_t first, const Texts& texts,
                          std::uint64_t expected) {
    AppendBatch batch = BatchOf(producer, first, texts);
    batch.expected_last_sequence = expected;
    return Append(*t.log, std::move(batch));
  };
  CHECK(ToString(ReceiptsOf(append(1, {"a"}, 0))) == "1");
  CHECK(ToString(ReceiptsOf(append(1, {"a"}, 0))) == "1d");
  const AppendResult refused = append(2, {"b"}, 0);
  CHECK(absl::IsAborted(refused.status()));
  CHECK(ReasonOf(refused.status()) == "WRONG_LAST_SEQUENCE");
  CHECK(MustListProducers(*t.log)[0].last_producer_sequence == 1);
  CHECK(ToString(ReceiptsOf(append(2, {"b"}, 1))) == "2");
}

LOG_TEST_CASE(
    "log: named producers are listed by channel and name, a part at "
    "a time") {
  LogUnderTest t(kind);
  CHECK(MustListProducers(*t.log).empty());
  for (const char* channel : {"b", "a"}) {
    for (const char* name : {"y", "x", "\xC3\xB6"}) {
      MustOpenProducer(*t.log, channel, name);
    }
  }
  const auto names = [&](std::string_view channel, const ProducerKey& after,
                         std::size_t max) {
    Texts result;
    for (const ProducerInfo& info :
         MustListProducers(*t.log, channel, after, max)) {
      result.push_back(info.channel + info.name);
    }
    return result;
  };
  CHECK(names("", {}, 100) ==
        Texts{"ax", "ay", "a\xC3\xB6", "bx", "by", "b\xC3\xB6"});
  CHECK(names("", {}, 2) == Texts{"ax", "ay"});
  CHECK(names("", {"a", "y"}, 2) == Texts{"a\xC3\xB6", "bx"});
  CHECK(names("b", {}, 100) == Texts{"bx", "by", "b\xC3\xB6"});
  CHECK(names("b", {"b", "x"}, 1) == Texts{"by"});
  CHECK(names("none", {}, 1).empty());
  const ProducerInfo opened = MustOpenProducer(*t.log, "a", "y");
  t.clock.Advance(std::chrono::seconds(1));
  AppendAs(t, opened, 7, {"m"});
  const ProducerInfo listed = MustListProducers(*t.log, "a")[1];
  CHECK(listed.name == "y");
  CHECK(listed.producer_id == opened.producer_id);
  CHECK(listed.generation == 2);
  CHECK(listed.last_producer_sequence == 7);
  CHECK(listed.epoch == t.log->epoch());
  CHECK(listed.last_used == t.clock.now());
  CHECK(t.log->Stats().named_producers == 6);
}

LOG_TEST_CASE(
    "log: a named producer that is deleted is not known, and another "
    "one when it is opened again") {
  LogUnderTest t(kind);
  const ProducerInfo old = MustOpenProducer(*t.log, "c", "p");
  AppendAs(t, old, 1, {"a"});
  CHECK(DeleteProducer(*t.log, "c", "p").ok());
  CHECK(absl::IsNotFound(DeleteProducer(*t.log, "c", "p")));
  CHECK(absl::IsNotFound(DeleteProducer(*t.log, "d", "p")));
  CHECK(MustListProducers(*t.log).empty());
  CHECK(ReasonOfRefusal(t, BatchOf(old, 2, {"b"})) == "PRODUCER_UNKNOWN");
  const ProducerInfo next = MustOpenProducer(*t.log, "c", "p");
  CHECK(next.producer_id != old.producer_id);
  CHECK(next.generation == 1);
  CHECK(next.last_producer_sequence == 0);
  CHECK(ReasonOfRefusal(t, BatchOf(old, 2, {"b"})) == "PRODUCER_UNKNOWN");
  CHECK(ToString(AppendAs(t, next, 1, {"a"})) == "2");
}

LOG_TEST_CASE("log: beyond the limit, opening a named producer is refused") {
  LogUnderTest t(kind, {.max_named_producers = 2});
  MustOpenProducer(*t.log, "c", "p");
  MustOpenProducer(*t.log, "d", "p");
  const auto refused = OpenProducer(*t.log, "c", "q");
  CHECK(absl::IsResourceExhausted(refused.status()));
  CHECK(ReasonOf(refused.status()) == "LIMIT_REACHED");
  CHECK(ReasonDetail(refused.status(), "limit") == "max_named_producers");
  CHECK(MustOpenProducer(*t.log, "c", "p").generation == 2);
  CHECK(DeleteProducer(*t.log, "d", "p").ok());
  MustOpenProducer(*t.log, "c", "q");
}

LOG_TEST_CASE(
    "log: of two that open a producer at the same time, one gets "
    "through, and nothing is stored twice") {
  LogUnderTest t(kind);
  constexpr std::uint64_t kMessages = 50;
  constexpr int kProcesses = 4;
  std::vector<std::thread> processes;
  for (int p = 0; p < kProcesses; ++p) {
    processes.emplace_back([&t] {
      // Goes on until it is done, or has been fenced off and goes on as the
      // next generation.
      while (true) {
        const ProducerInfo producer = MustOpenProducer(*t.log, "c", "p");
        std::uint64_t next = producer.last_producer_sequence + 1;
        AppendResult result;
        while (next <= kMessages) {
          result =
              Append(*t.log, BatchOf(producer, next, {std::to_string(next)}));
          if (!result.ok()) break;
          ++next;
        }
        if (next > kMessages) return;
        if (ReasonOf(result.status()) != "PRODUCER_FENCED") {
          throw std::runtime_error(result.status().ToString());
        }
      }
    });
  }
  for (std::thread& process : processes) process.join();
  const auto reader = t.Open(Start::Earliest());
  const ReadToHead all(*reader);
  REQUIRE(all.messages.size() == kMessages);
  for (std::uint64_t i = 0; i < kMessages; ++i) {
    CHECK(all.messages[i].text == std::to_string(i + 1));
    CHECK(all.messages[i].producer_sequence == i + 1);
  }
  CHECK(MustListProducers(*t.log)[0].last_producer_sequence == kMessages);
}

}  // namespace
}  // namespace messenger::test
