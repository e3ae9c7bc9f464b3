// A forwarder between two servers (messenger/forwarder.h).
#include "messenger/forwarder.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "base/narrow.h"
#include "base/status.h"
#include "integration/subscribe.h"
#include "messenger/error.h"
#include "messenger/server.h"
#include "messenger/testing.h"
#include "support/seed.h"
#include "support/temporary_directory.h"

namespace messenger::test::forwarder_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::TestServer;

constexpr seconds kPatience(60);

struct Copy {
  OwnedMessage message;

  std::string Attribute(std::string_view name) const {
    for (const auto& [key, value] : message.attributes) {
      if (key == name) return value;
    }
    return "";
  }
  // The text; or the gap that it stands for.
  std::string What() const {
    const std::string gap = Attribute("messenger.gap");
    if (gap.empty()) return message.text;
    return gap + " " + Attribute("messenger.gap.first_missing") + ".." +
           Attribute("messenger.gap.next");
  }
};

std::vector<Copy> Read(Client client, const std::string& channel) {
  std::vector<Copy> copies;
  const Subscription subscription = client.Read(
      {.channel = channel, .start = Start::Earliest(), .until_caught_up = true},
      {.on_message = [&](const Message& message) {
        copies.push_back({message.Own()});
      }});
  CHECK(subscription.Wait() == absl::OkStatus());
  return copies;
}

std::vector<std::string> Texts(Client client, const std::string& channel) {
  std::vector<std::string> texts;
  for (const Copy& copy : Read(std::move(client), channel)) {
    texts.push_back(copy.What());
  }
  return texts;
}

// Copies the directory of a log as it would be if its server were killed now.
// The log may still be at work of its own, with a checkpoint: until nothing
// changes meanwhile.
void CopyLog(const std::string& from, const std::string& to) {
  namespace fs = std::filesystem;
  const auto files = [&from] {
    std::vector<std::tuple<fs::path, std::uintmax_t, fs::file_time_type>> all;
    for (const auto& entry : fs::recursive_directory_iterator(from)) {
      if (!entry.is_regular_file()) continue;
      all.emplace_back(entry.path(), entry.file_size(),
                       entry.last_write_time());
    }
    std::sort(all.begin(), all.end());
    return all;
  };
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    fs::remove_all(to);
    try {
      const auto before = files();
      fs::copy(from, to, fs::copy_options::recursive);
      if (files() == before) return;
    } catch (const fs::filesystem_error&) {  // of a file that has gone
    }
  }
  FAIL(from, " changes all the time");
}

constexpr RetryOptions kSoon = {.initial_backoff = milliseconds(1),
                                .max_backoff = milliseconds(20)};

ForwarderOptions Between(const std::string& source,
                         const std::string& destination,
                         const std::string& channel = "c") {
  return {.source = {.target = source, .retry = kSoon},
          .destination = {.target = destination, .retry = kSoon},
          .channels = {{.from = channel, .to = channel}},
          .until_caught_up = true};
}

// Forwards all that there is; what it came to.
ForwardProgress Forward(const ForwarderOptions& options) {
  const auto forwarder = Forwarder::Start(options).value();
  REQUIRE(forwarder->AwaitEnd(kPatience));
  CHECK(forwarder->status() == absl::OkStatus());
  return forwarder->Progress().front();
}

absl::Status FailureOf(const ForwarderOptions& options) {
  const auto forwarder = Forwarder::Start(options);
  if (!forwarder.ok()) return forwarder.status();
  REQUIRE((*forwarder)->AwaitEnd(kPatience));
  return (*forwarder)->status();
}

void SendAll(Client client, const std::string& channel, int from, int to) {
  for (int i = from; i <= to; ++i) {
    client.SendAsync({.channel = channel, .text = std::to_string(i)});
  }
  CHECK(client.Flush() == absl::OkStatus());
}

std::vector<std::string> Numbers(int from, int to) {
  std::vector<std::string> numbers;
  for (int i = from; i <= to; ++i) numbers.push_back(std::to_string(i));
  return numbers;
}

// Waits until it has copied up to this sequence.
void AwaitSequence(const Forwarder& forwarder, std::uint64_t sequence) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (forwarder.Progress()[0].position.sequence != sequence) {
    REQUIRE_FALSE(forwarder.AwaitEnd(milliseconds(1)));
    REQUIRE(std::chrono::steady_clock::now() < deadline);
  }
}

TEST_CASE("a copy has all of its original, and says where that is") {
  const auto source = TestServer::Start().value();
  const auto destination = TestServer::Start().value();
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  Client client = source->LocalClient();
  const auto receipt = client.Send({.channel = "c",
                                    .author = "ann",
                                    .text = "hello",
                                    .attributes = {{"a", "1"}, {"a", "2"}},
                                    .data = bytes,
                                    .content_type = "a/b"});
  REQUIRE(receipt.ok());
  REQUIRE(client.Send({.channel = "c"}).ok());
  const ForwardProgress progress =
      Forward(Between(source->target(), destination->target()));
  CHECK(progress.forwarded == 2);
  CHECK(progress.duplicates == 0);
  CHECK(progress.position.sequence == 2);
  CHECK(progress.position.epoch == receipt->position.epoch);
  CHECK(progress.head == 2);
  CHECK(progress.lag() == 0);
  CHECK(progress.caught_up);

  const std::vector<Copy> copies = Read(destination->LocalClient(), "c");
  REQUIRE(copies.size() == 2);
  const OwnedMessage& copy = copies[0].message;
  CHECK(copy.author == "ann");
  CHECK(copy.text == "hello");
  CHECK(copy.data == bytes);
  CHECK(copy.content_type == "a/b");
  REQUIRE(copy.attributes.size() == 4);
  CHECK(copy.attributes[0] == std::pair<std::string, std::string>("a", "1"));
  CHECK(copy.attributes[1] == std::pair<std::string, std::string>("a", "2"));
  CHECK(copies[0].Attribute("messenger.source") ==
        Bookmark{.channel = "c", .position = receipt->position}.ToString());
  const std::string time = copies[0].Attribute("messenger.source_time");
  CHECK(time.size() == std::string("2024-05-14T10:00:00.000000001Z").size());
  CHECK(time.back() == 'Z');
  CHECK(copies[1].message.attributes.size() == 2);
}

TEST_CASE("several channels are copied, also to others, and go on") {
  const auto source = TestServer::Start().value();
  const auto destination = TestServer::Start().value();
  ForwarderOptions options = Between(source->target(), destination->target());
  options.channels = {{.from = "a", .to = "a"}, {.from = "b", .to = "b-copy"}};
  options.until_caught_up = false;
  SendAll(source->LocalClient(), "a", 1, 100);
  const auto forwarder = Forwarder::Start(options).value();
  CHECK(forwarder->status().code() == absl::StatusCode::kUnknown);
  // A channel that does not exist yet.
  SendAll(source->LocalClient(), "b", 1, 50);
  SendAll(source->LocalClient(), "a", 101, 150);
  const auto reached = [&] {
    const auto progress = forwarder->Progress();
    return progress[0].position.sequence == 150 &&
           progress[1].position.sequence == 50;
  };
  for (int i = 0; i < 2000 && !reached(); ++i) {
    CHECK_FALSE(forwarder->AwaitEnd(milliseconds(10)));
  }
  CHECK(reached());
  forwarder->Stop();
  CHECK(forwarder->AwaitEnd(kPatience));
  CHECK(forwarder->status() == absl::OkStatus());
  CHECK(Texts(destination->LocalClient(), "a") == Numbers(1, 150));
  CHECK(Texts(destination->LocalClient(), "b-copy") == Numbers(1, 50));
  CHECK(absl::IsNotFound(destination->LocalClient().GetChannel("b").status()));
}

TEST_CASE(
    "each message is copied once and in order, though forwarders end, servers "
    "are killed and networks fail") {
  constexpr int kMessages = 5'000;
  const std::uint64_t seed = TestSeed();
  CAPTURE(seed);
  Random random(seed);
  const auto source = TestServer::Start().value();
  const auto destination = TestServer::Start().value();
  std::thread sender([&] {
    Client client = source->Connect({.retry = kSoon});
    for (int i = 1; i <= kMessages; ++i) {
      client.SendAsync({.channel = "c", .text = std::to_string(i)});
      if (i % 500 == 0) CHECK(client.Flush() == absl::OkStatus());
    }
  });
  ForwarderOptions options = Between(source->target(), destination->target());
  options.until_caught_up = false;
  for (int life = 0; life < 25; ++life) {
    const auto forwarder = Forwarder::Start(options).value();
    for (std::uint64_t i = random.Between(0, 4); i > 0; --i) {
      CHECK_FALSE(forwarder->AwaitEnd(milliseconds(random.Between(0, 30))));
      for (const auto* server : {&source, &destination}) {
        if (random.OneIn(4)) (*server)->proxy().ResetConnections();
        if (random.OneIn(8)) {
          (*server)->Kill();
          CHECK((*server)->Restart().ok());
        }
      }
    }
  }
  sender.join();
  options.until_caught_up = true;
  Forward(options);
  CHECK(Texts(destination->LocalClient(), "c") == Numbers(1, kMessages));
}

TEST_CASE("of two forwarders of one name one is told that the other is there") {
  const auto source = TestServer::Start().value();
  const auto destination = TestServer::Start().value();
  ForwarderOptions options = Between(source->target(), destination->target());
  options.until_caught_up = false;
  SendAll(source->LocalClient(), "c", 1, 10);
  const auto first = Forwarder::Start(options).value();
  AwaitSequence(*first, 10);
  const auto second = Forwarder::Start(options).value();
  // The first one has to send something to learn of it.
  for (int i = 11; !first->AwaitEnd(milliseconds(1)); ++i) {
    SendAll(source->LocalClient(), "c", i, i);
  }
  CHECK(ReasonOf(first->status()) == reason::kProducerFenced);
  CHECK_FALSE(second->AwaitEnd(milliseconds(0)));
  second->Stop();
  CHECK(second->AwaitEnd(kPatience));
  CHECK(second->status() == absl::OkStatus());
  // Under another name it is another one, with copies of its own.
  options.name = "another";
  options.until_caught_up = true;
  CHECK(Forward(options).duplicates == 0);
}

TEST_CASE("what the source does not have any more is a message that says so") {
  const auto source =
      TestServer::Start(
          {.log = OpenLog("memory:",
                          {.retention = {.max_bytes = std::uint64_t{64} << 10}})
                      .value()})
          .value();
  const auto destination = TestServer::Start().value();
  const ForwarderOptions options =
      Between(source->target(), destination->target());
  SendAll(source->LocalClient(), "c", 1, 10);
  Forward(options);
  // So much that 11 is gone, but not the last one.
  Client client = source->LocalClient();
  for (int i = 11; i <= 200; ++i) {
    client.SendAsync({.channel = "c",
                      .text = std::to_string(i),
                      .data = std::string(2'000, 'x')});
  }
  CHECK(client.Flush() == absl::OkStatus());
  const std::uint64_t first = client.GetChannel("c")->first_sequence;
  REQUIRE(first > 11);
  const ForwardProgress progress = Forward(options);
  CHECK(progress.gaps == 1);
  std::vector<std::string> expected = Numbers(1, 10);
  expected.push_back("retention 11.." + std::to_string(first));
  for (const std::string& number : Numbers(static_cast<int>(first), 200)) {
    expected.push_back(number);
  }
  CHECK(Texts(destination->LocalClient(), "c") == expected);
  // Nothing is told twice.
  CHECK(Forward(options).forwarded == 0);
  CHECK(Texts(destination->LocalClient(), "c") == expected);
}

TEST_CASE("a source that was replaced is not taken for what was copied") {
  const auto source = TestServer::Start().value();
  const auto destination = TestServer::Start().value();
  ForwarderOptions options = Between(source->target(), destination->target());
  SendAll(source->LocalClient(), "c", 1, 10);
  bool running = false;
  std::unique_ptr<Forwarder> forwarder;
  SUBCASE("while no forwarder runs") {
    Forward(options);
  }
  SUBCASE("while one runs") {
    running = true;
    options.until_caught_up = false;
    forwarder = Forwarder::Start(options).value();
    AwaitSequence(*forwarder, 10);
  }
  REQUIRE(source->RestartWithNewLog().ok());
  SendAll(source->LocalClient(), "c", 21, 25);
  if (running) {
    AwaitSequence(*forwarder, 5);
    forwarder.reset();
    options.until_caught_up = true;
  }
  Forward(options);
  std::vector<std::string> expected = Numbers(1, 10);
  expected.emplace_back("new_epoch 11..1");
  for (const std::string& number : Numbers(21, 25)) {
    expected.push_back(number);
  }
  CHECK(Texts(destination->LocalClient(), "c") == expected);
  CHECK(Forward(options).forwarded == 0);
}

// A server of a log in this directory.
std::unique_ptr<Server> Serve(const std::string& directory,
                              Durability durability = Durability::kFsync) {
  ServerOptions options = {.listen = "127.0.0.1:0"};
  options.open_log = [=] {
    return OpenLog("file:" + directory,
                   {.directory = {.durability = durability}});
  };
  return Server::Start(std::move(options)).value();
}

TEST_CASE("a source that was set back goes on under another producer") {
  const TemporaryDirectory directory;
  const std::string log = directory.path() + "/log";
  const std::string backup = directory.path() + "/backup";
  const auto destination = TestServer::Start().value();
  SendAll(Serve(log)->LocalClient(), "c", 1, 10);
  CopyLog(log, backup);
  {
    const auto source = Serve(log);
    SendAll(source->LocalClient(), "c", 11, 20);
    Forward(Between(source->address(), destination->target()));
  }
  std::filesystem::remove_all(log);
  std::filesystem::rename(backup, log);
  const auto source = Serve(log);
  const ForwarderOptions options =
      Between(source->address(), destination->target());
  SendAll(source->LocalClient(), "c", 31, 35);
  Forward(options);
  SendAll(source->LocalClient(), "c", 36, 40);
  Forward(options);
  std::vector<std::string> expected = Numbers(1, 20);
  // 31 to 35 have taken the places of 11 to 15, which nobody can tell.
  expected.emplace_back("rolled_back 21..16");
  for (const std::string& number : Numbers(36, 40)) {
    expected.push_back(number);
  }
  CHECK(Texts(destination->LocalClient(), "c") == expected);
  CHECK(Forward(options).forwarded == 0);
}

TEST_CASE("a source that has a new epoch and has lost nothing goes on") {
  const TemporaryDirectory directory;
  const std::string log = directory.path() + "/log";
  const std::string copy = directory.path() + "/copy";
  const auto destination = TestServer::Start().value();
  {
    const auto source = Serve(log, Durability::kOs);
    SendAll(source->LocalClient(), "c", 1, 10);
    Forward(Between(source->address(), destination->target()));
    SendAll(source->LocalClient(), "c", 11, 15);
    // As if it had been killed now.
    CopyLog(log, copy);
  }
  const auto source = Serve(copy, Durability::kOs);
  SendAll(source->LocalClient(), "c", 16, 20);
  const ForwarderOptions options =
      Between(source->address(), destination->target());
  CHECK(Forward(options).forwarded == 10);
  CHECK(Texts(destination->LocalClient(), "c") == Numbers(1, 20));
  CHECK(Forward(options).forwarded == 0);
  CHECK(destination->LocalClient().ListProducers("c")->size() == 2);
}

TEST_CASE("of a source that has lost its end, nothing is copied twice") {
  const TemporaryDirectory directory;
  const auto path = [&](const char* name) {
    return directory.path() + "/" + name;
  };
  const auto copy = [&](const char* from, const char* to) {
    CopyLog(path(from), path(to));
  };
  const auto destination = TestServer::Start().value();
  {
    const auto source = Serve(path("first"), Durability::kOs);
    SendAll(source->LocalClient(), "c", 1, 10);
    Forward(Between(source->address(), destination->target()));
    copy("first", "second");
  }
  {
    const auto source = Serve(path("second"), Durability::kOs);
    SendAll(source->LocalClient(), "c", 11, 18);
    copy("second", "third");
    SendAll(source->LocalClient(), "c", 19, 20);
    Forward(Between(source->address(), destination->target()));
  }
  const auto source = Serve(path("third"), Durability::kOs);
  SendAll(source->LocalClient(), "c", 21, 23);
  const ForwarderOptions options =
      Between(source->address(), destination->target());
  Forward(options);
  std::vector<std::string> expected = Numbers(1, 20);
  expected.emplace_back("new_epoch 21..19");
  for (const std::string& number : Numbers(21, 23)) {
    expected.push_back(number);
  }
  CHECK(Texts(destination->LocalClient(), "c") == expected);
  CHECK(Forward(options).forwarded == 0);
}

TEST_CASE(
    "a destination that comes back in a new epoch gets the rest, and one that "
    "was set back is told") {
  const TemporaryDirectory directory;
  const std::string log = directory.path() + "/log";
  const std::string copy = directory.path() + "/copy";
  const auto source = TestServer::Start().value();
  SendAll(source->LocalClient(), "c", 1, 5);
  Durability durability = Durability::kFsync;
  int sent = 5;
  SUBCASE("killed, in a new epoch") {
    durability = Durability::kOs;
  }
  SUBCASE("set back") {
    sent = 10;
  }
  auto destination = Serve(log, durability);
  const std::string address = destination->address();
  ForwarderOptions options = Between(source->target(), address);
  options.until_caught_up = false;
  const auto forwarder = Forwarder::Start(options).value();
  AwaitSequence(*forwarder, 5);
  // As it is when it is killed now.
  CopyLog(log, copy);
  SendAll(source->LocalClient(), "c", 6, sent);
  AwaitSequence(*forwarder, Narrow<std::uint64_t>(sent));
  destination.reset();
  destination =
      Server::Start({.listen = address,
                     .open_log =
                         [&] {
                           return OpenLog(
                               "file:" + copy,
                               {.directory = {.durability = durability}});
                         }})
          .value();
  SendAll(source->LocalClient(), "c", sent + 1, sent + 5);
  if (durability == Durability::kOs) {
    AwaitSequence(*forwarder, Narrow<std::uint64_t>(sent + 5));
    CHECK(Texts(destination->LocalClient(), "c") == Numbers(1, sent + 5));
  } else {
    REQUIRE(forwarder->AwaitEnd(kPatience));
    CHECK(absl::IsDataLoss(forwarder->status()));
  }
}

TEST_CASE("who forgets the producer of a forwarder ends it") {
  const auto source = TestServer::Start().value();
  const auto destination = TestServer::Start().value();
  ForwarderOptions options = Between(source->target(), destination->target());
  options.until_caught_up = false;
  SendAll(source->LocalClient(), "c", 1, 3);
  const auto forwarder = Forwarder::Start(options).value();
  AwaitSequence(*forwarder, 3);
  Client client = destination->LocalClient();
  const auto producers = client.ListProducers("c");
  REQUIRE(producers.ok());
  REQUIRE(producers->size() == 1);
  REQUIRE(client.DeleteProducer("c", producers->front().name).ok());
  SendAll(source->LocalClient(), "c", 4, 4);
  REQUIRE(forwarder->AwaitEnd(kPatience));
  CHECK(ReasonOf(forwarder->status()) == reason::kProducerUnknown);
  CHECK(Texts(destination->LocalClient(), "c") == Numbers(1, 3));
}

TEST_CASE("a destination that was replaced gets all again") {
  const auto source = TestServer::Start().value();
  const auto destination = TestServer::Start().value();
  ForwarderOptions options = Between(source->target(), destination->target());
  SendAll(source->LocalClient(), "c", 1, 10);
  options.until_caught_up = false;
  const auto forwarder = Forwarder::Start(options).value();
  AwaitSequence(*forwarder, 10);
  REQUIRE(destination->RestartWithNewLog().ok());
  SendAll(source->LocalClient(), "c", 11, 12);
  AwaitSequence(*forwarder, 12);
  CHECK(Texts(destination->LocalClient(), "c") == Numbers(1, 12));
}

TEST_CASE("what cannot be forwarded is told") {
  const auto source = TestServer::Start().value();
  const auto small =
      TestServer::Start({.service = {.max_message_bytes = 1000}}).value();
  const std::string from = source->target();
  REQUIRE(source->LocalClient().Send({.channel = "c", .text = "1"}).ok());
  const std::string text(950, 'x');
  REQUIRE(source->LocalClient().Send({.channel = "c", .text = text}).ok());
  const absl::Status refused = FailureOf(Between(from, small->target()));
  CHECK(absl::IsInvalidArgument(refused));
  CHECK(refused.message().find("message 2 of the epoch ") !=
        std::string_view::npos);
  CHECK(refused.message().find("exceed the limit of 1000") !=
        std::string_view::npos);
  CHECK(Texts(small->LocalClient(), "c") == Numbers(1, 1));

  CHECK(FailureOf(Between(from, from)).message() ==
        "channels: \"c\" would be copied to itself: source and destination are "
        "the same log");
  ForwarderOptions options = Between(from, small->target());
  options.channels = {};
  CHECK(absl::IsInvalidArgument(FailureOf(options)));
  options.channels = {{.from = "a/b", .to = "b"}};
  CHECK(absl::IsInvalidArgument(FailureOf(options)));
  options.channels = {{.from = "a", .to = "c"}, {.from = "b", .to = "c"}};
  CHECK(absl::IsInvalidArgument(FailureOf(options)));
  options = Between(from, small->target());
  for (const std::string& name : {std::string("a/b"), std::string(),
                                  std::string(65, 'x'), std::string("\xff")}) {
    options.name = name;
    CHECK(absl::IsInvalidArgument(FailureOf(options)));
  }
  // Of a client: of which one.
  options = Between(from, small->target());
  options.source.call_timeout = milliseconds(-1);
  absl::Status wrong = FailureOf(options);
  CHECK(absl::IsInvalidArgument(wrong));
  CHECK(MessageOf(wrong).starts_with("source.call_timeout: "));
  options = Between(from, small->target());
  options.destination.tls = {.ca_file = "/nowhere/ca.pem"};
  wrong = FailureOf(options);
  CHECK(MessageOf(wrong).starts_with(
      "destination.tls.ca_file: /nowhere/ca.pem: "));
  // Nobody is there.
  options = Between("127.0.0.1:1", small->target());
  options.source.retry.give_up_after = milliseconds(100);
  CHECK(absl::IsUnavailable(FailureOf(options)));
  options = Between(from, "127.0.0.1:1", "empty");
  options.destination.retry.give_up_after = milliseconds(100);
  CHECK(absl::IsUnavailable(FailureOf(options)));
}

}  // namespace
}  // namespace messenger::test::forwarder_test
