// Producers that outlive their process, and idempotency keys, through a client
// (messenger/client.h).
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "integration/subscribe.h"
#include "messenger/client.h"
#include "messenger/error.h"
#include "messenger/log.h"
#include "messenger/server.h"
#include "messenger/testing.h"
#include "support/log_access.h"
#include "support/recorder.h"
#include "support/seed.h"

namespace messenger::test::named_producer_test {
namespace {

using std::chrono::milliseconds;
using testing::TestServer;

constexpr RetryOptions kSoon = {.initial_backoff = milliseconds(1),
                                .max_backoff = milliseconds(20)};

using Texts = std::vector<std::string>;

Client Named(TestServer& server, const std::string& name) {
  return server.Connect({.retry = kSoon, .producer_name = name});
}

TEST_CASE("a named producer goes on where the last process was") {
  const auto server = TestServer::Start().value();
  {
    Client first = Named(*server, "job");
    const auto opened = first.OpenProducer("");
    REQUIRE(opened.ok());
    CHECK(opened->channel == "general");
    CHECK(opened->name == "job");
    CHECK(opened->generation == 1);
    CHECK(opened->last_producer_sequence == 0);
    // Opening makes no channel.
    CHECK(absl::IsNotFound(first.GetChannel("general").status()));
    for (const char* text : {"1", "2", "3"}) {
      CHECK(first.Send({.text = text}).ok());
    }
  }
  Client second = Named(*server, "job");
  const auto opened = second.OpenProducer("general");
  REQUIRE(opened.ok());
  CHECK(opened->generation == 2);
  CHECK(opened->last_producer_sequence == 3);
  // It cannot know whether 3 was stored, and sends it again.
  const auto again = second.Send({.text = "3"}, {.producer_sequence = 3});
  REQUIRE(again.ok());
  CHECK(again->duplicate);
  CHECK(again->position.sequence == 3);
  const auto next = second.Send({.text = "4"});
  REQUIRE(next.ok());
  CHECK_FALSE(next->duplicate);
  // With a hole, which is a duplicate from then on.
  CHECK(second.Send({.text = "10"}, {.producer_sequence = 10}).ok());
  const auto hole = second.Send({.text = "7"}, {.producer_sequence = 7});
  REQUIRE(hole.ok());
  CHECK(hole->duplicate);
  CHECK(hole->position.sequence == 0);
  CHECK(hole->position.epoch == next->position.epoch);
  CHECK(StoredTexts(*server) == Texts{"1", "2", "3", "4", "10"});
}

TEST_CASE(
    "of two processes with one producer name the one that came last gets "
    "through, and the other is told") {
  const auto server = TestServer::Start().value();
  Client first = Named(*server, "job");
  REQUIRE(first.OpenProducer("general").ok());
  REQUIRE(first.Send({.text = "1"}).ok());
  Client second = Named(*server, "job");
  REQUIRE(second.OpenProducer("general").ok());
  const absl::Status fenced = first.Send({.text = "x"}).status();
  CHECK(absl::IsFailedPrecondition(fenced));
  CHECK(ReasonOf(fenced) == reason::kProducerFenced);
  CHECK(ReasonDetail(fenced, "generation") == "2");
  CHECK_FALSE(MayBeStored(fenced));
  // It stays so, and is never renewed by itself.
  CHECK(ReasonOf(first.Send({.text = "y"}).status()) ==
        reason::kProducerFenced);
  CHECK(second.Send({.text = "2"}).ok());
  // In another channel it is another producer.
  REQUIRE(first.OpenProducer("other").ok());
  CHECK(first.Send({.channel = "other", .text = "z"}).ok());
  // Whoever opens it takes over.
  const auto back = first.OpenProducer("general");
  REQUIRE(back.ok());
  CHECK(back->generation == 3);
  CHECK(back->last_producer_sequence == 2);
  CHECK(first.Send({.text = "3"}).ok());
  CHECK(ReasonOf(second.Send({.text = "x"}).status()) ==
        reason::kProducerFenced);
  CHECK(StoredTexts(*server) == Texts{"1", "2", "3"});
}

TEST_CASE(
    "what a producer sends again and again, from process to process, over a "
    "network that fails, is stored once and in order") {
  constexpr std::uint64_t kMessages = 400;
  const std::uint64_t seed = TestSeed();
  CAPTURE(seed);
  Random random(seed);
  const auto server = TestServer::Start().value();
  Texts expected;
  for (std::uint64_t i = 1; i <= kMessages; ++i) {
    expected.push_back(std::to_string(i));
  }
  std::uint64_t last = 0;
  for (int process = 0; last < kMessages; ++process) {
    REQUIRE(process < 1000);
    // A process that ends before it knows what became of what it has sent.
    Client client = Named(*server, "job");
    const auto opened = client.OpenProducer("general");
    REQUIRE(opened.ok());
    CHECK(opened->last_producer_sequence >= last);
    last = opened->last_producer_sequence;
    const std::uint64_t begin =
        random.OneIn(2) ? last + 1 : random.Between(1, last + 1);
    const std::uint64_t end =
        std::min(kMessages, begin + random.Between(0, 60));
    for (std::uint64_t i = begin; i <= end; ++i) {
      client.SendAsync({.text = std::to_string(i)}, nullptr,
                       {.producer_sequence = i});
      if (random.OneIn(30)) server->proxy().ResetConnections();
      if (random.OneIn(200)) {
        server->Kill();
        REQUIRE(server->Restart().ok());
      }
    }
    if (random.OneIn(2)) {
      CHECK(client.Flush() == absl::OkStatus());
    }
  }
  CHECK(StoredTexts(*server) == expected);
}

TEST_CASE("what a named producer must not do") {
  const auto server = TestServer::Start().value();
  Client client = Named(*server, "job");
  const absl::Status closed = client.Send({.text = "x"}).status();
  CHECK(absl::IsFailedPrecondition(closed));
  CHECK(closed.message() ==
        "channel: the producer was not opened in \"general\" (OpenProducer)");
  REQUIRE(client.OpenProducer("general").ok());
  CHECK(absl::IsInvalidArgument(
      client.Send({.text = "x"}, {.producer_sequence = 0}).status()));
  CHECK(absl::IsInvalidArgument(
      client.Send({.text = "x"}, {.producer_sequence = UINT64_MAX}).status()));
  CHECK(absl::IsInvalidArgument(
      client
          .Send({.text = "x"}, {.producer_sequence = 1, .idempotency_key = "k"})
          .status()));
  // What did not even leave would be a hole.
  const absl::Status broken = client.Send({.text = "x"}).status();
  CHECK(absl::IsInvalidArgument(broken));
  CHECK(broken.message().find("open it again") != std::string_view::npos);
  REQUIRE(client.OpenProducer("general").ok());
  CHECK(absl::IsInvalidArgument(client.Send({.text = "\xff"}).status()));
  CHECK(absl::IsInvalidArgument(client.Send({.text = "x"}).status()));
  // What is not sent as the producer does not count.
  REQUIRE(client.OpenProducer("other").ok());
  CHECK(absl::IsInvalidArgument(
      client
          .Send({.channel = "other", .text = "\xff"}, {.idempotency_key = "k"})
          .status()));
  CHECK(client.Send({.channel = "other", .text = "x"}).ok());
  Client unnamed = server->Connect();
  CHECK(absl::IsFailedPrecondition(unnamed.OpenProducer("general").status()));
  CHECK(absl::IsInvalidArgument(
      unnamed.Send({.text = "x"}, {.producer_sequence = 1}).status()));
  CHECK(absl::IsInvalidArgument(
      server->Connect({.producer_name = std::string(257, 'x')})
          .Send({.text = "x"})
          .status()));
  // Its id is no secret, and of no use without the generation.
  const auto info = client.ListProducers("general");
  REQUIRE(info.ok());
  REQUIRE(info->size() == 1);
  CHECK(ReasonOf(unnamed.SendAs(info->front().producer_id, 1, {.text = "x"})
                     .status()) == reason::kProducerFenced);
  CHECK(StoredTexts(*server).empty());
}

TEST_CASE("named producers are listed, page by page, and deleted") {
  const auto server = TestServer::Start().value();
  std::vector<std::string> expected;
  for (int i = 0; i < 1'203; ++i) {
    const std::string name = "producer " + std::to_string(i);
    const std::string channel = i % 2 == 0 ? "even" : "odd";
    REQUIRE(Named(*server, name).OpenProducer(channel).ok());
    expected.push_back(fmt::format("{}: {}", channel, name));
  }
  std::sort(expected.begin(), expected.end());
  Client client = server->Connect();
  const auto all = client.ListProducers();
  REQUIRE(all.ok());
  std::vector<std::string> names;
  for (const ProducerInfo& info : *all) {
    names.push_back(info.channel + ": " + info.name);
    CHECK(info.generation == 1);
    CHECK(info.epoch == all->front().epoch);
    CHECK(info.last_used.time_since_epoch().count() > 0);
  }
  CHECK(names == expected);
  CHECK(client.ListProducers("odd")->size() == 601);
  CHECK(client.ListProducers("none")->empty());

  Client gone = Named(*server, "producer 1");
  REQUIRE(gone.OpenProducer("odd").ok());
  REQUIRE(gone.Send({.channel = "odd", .text = "x"}).ok());
  CHECK(client.DeleteProducer("odd", "producer 1").ok());
  CHECK(absl::IsNotFound(client.DeleteProducer("odd", "producer 1")));
  CHECK(absl::IsNotFound(client.DeleteProducer("even", "producer 3")));
  CHECK(absl::IsInvalidArgument(client.DeleteProducer("odd", "")));
  CHECK(client.ListProducers("odd")->size() == 600);
  const absl::Status unknown =
      gone.Send({.channel = "odd", .text = "y"}).status();
  CHECK(ReasonOf(unknown) == reason::kProducerUnknown);
  // A new one of that name.
  const auto again = gone.OpenProducer("odd");
  REQUIRE(again.ok());
  CHECK(again->generation == 1);
  CHECK(again->last_producer_sequence == 0);
}

TEST_CASE("whose a named producer is, is told with it") {
  const auto log = OpenLog("memory:");
  REQUIRE(log.ok());
  MustOpenProducer(**log, "c", "of ann", "ann");
  MustOpenProducer(**log, "c", "of nobody");
  const auto server = Server::Start({.listen = "127.0.0.1:0", .log = *log});
  REQUIRE(server.ok());
  const auto listed = (*server)->LocalClient().ListProducers();
  REQUIRE(listed.ok());
  REQUIRE(listed->size() == 2);
  CHECK(listed->at(0).owner == "ann");
  CHECK(listed->at(1).owner.empty());
  // Who is not known cannot take it over.
  Client client =
      (*server)->LocalClient({.retry = kSoon, .producer_name = "of ann"});
  const absl::Status refusal = client.OpenProducer("c").status();
  CHECK(absl::IsPermissionDenied(refusal));
  CHECK(ReasonOf(refusal) == reason::kProducerOwned);
}

TEST_CASE(
    "a message with an idempotency key is stored once, whoever sends it") {
  const auto server = TestServer::Start().value();
  Client first = server->Connect({.retry = kSoon});
  const NewMessage message = {.author = "ann", .text = "1", .data = "x"};
  const auto stored = first.Send(message, {.idempotency_key = "k"});
  REQUIRE(stored.ok());
  CHECK_FALSE(stored->duplicate);
  REQUIRE(first.Send({.text = "2"}).ok());
  Client second = server->Connect({.retry = kSoon});
  for (Client* client : {&first, &second}) {
    const auto again = client->Send(message, {.idempotency_key = "k"});
    REQUIRE(again.ok());
    CHECK(again->duplicate);
    CHECK(again->position == stored->position);
    CHECK(again->send_time == stored->send_time);
    const absl::Status reused =
        client
            ->Send({.author = "ann", .text = "1", .data = "y"},
                   {.idempotency_key = "k"})
            .status();
    CHECK(absl::IsFailedPrecondition(reused));
    CHECK(ReasonOf(reused) == reason::kIdempotencyKeyReused);
    CHECK_FALSE(MayBeStored(reused));
  }
  // In another channel it is another key.
  CHECK_FALSE(
      second.Send({.channel = "other", .text = "1"}, {.idempotency_key = "k"})
          ->duplicate);
  CHECK(absl::IsInvalidArgument(
      second.Send(message, {.idempotency_key = std::string(256, 'k')})
          .status()));
  CHECK(absl::IsInvalidArgument(
      second.Send(message, {.idempotency_key = "\xff"}).status()));
  CHECK(StoredTexts(*server) == Texts{"1", "2"});
}

TEST_CASE(
    "many messages with keys are stored once and in order, though the server "
    "is killed and each is sent twice") {
  const std::uint64_t seed = TestSeed();
  CAPTURE(seed);
  Random random(seed);
  const auto server = TestServer::Start().value();
  Client client = server->Connect({.retry = kSoon});
  Texts expected;
  for (std::uint64_t i = 0; i < 300; ++i) {
    const std::string text = std::to_string(i);
    expected.push_back(text);
    client.SendAsync({.text = text}, nullptr, {.idempotency_key = text});
    const std::uint64_t before = random.Between(0, i);
    client.SendAsync({.text = std::to_string(before)}, nullptr,
                     {.idempotency_key = std::to_string(before)});
    if (random.OneIn(40)) server->proxy().ResetConnections();
    if (random.OneIn(60)) {
      server->Kill();
      REQUIRE(server->Restart().ok());
    }
  }
  CHECK(client.Flush() == absl::OkStatus());
  CHECK(StoredTexts(*server) == expected);
}

}  // namespace
}  // namespace messenger::test::named_producer_test
