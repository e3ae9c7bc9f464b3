// The service over a log that answers later, on another thread.
#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "messenger/server.h"
#include "support/recorder.h"
#include "support/test_log.h"
#include "wire/entry.h"

namespace messenger::test {
namespace {

struct Fixture {
  explicit Fixture(TestLog::Tamper tamper = nullptr)
      : log(std::make_shared<TestLog>(LogOptions(), std::move(tamper))),
        server(*Server::Start({.listen = "127.0.0.1:0", .log = log})),
        client(Client::Connect({.target = server->address()})) {}

  void SendMany(int count) {
    for (int i = 0; i < count; ++i) {
      client.SendAsync({.text = std::to_string(i)});
    }
    CHECK(client.Flush() == absl::OkStatus());
  }

  std::shared_ptr<TestLog> log;
  std::unique_ptr<Server> server;
  Client client;
};

TEST_CASE_FIXTURE(Fixture, "reads that complete later deliver everything") {
  Recorder replay;
  Recorder live;
  const Subscription following = client.Read({}, live.Callbacks());
  REQUIRE(live.AwaitJoined());
  SendMany(5000);
  const Subscription replaying =
      client.Read({.start = Start::Earliest(), .until_caught_up = true},
                  replay.Callbacks());
  CHECK(replaying.Wait() == absl::OkStatus());
  REQUIRE(live.AwaitMessages(5000));
  CHECK(replay.events().texts() == live.events().texts());
}

TEST_CASE_FIXTURE(Fixture, "a reader can be cancelled while the log reads") {
  log->Hold();
  Recorder recorder;
  {
    const Subscription subscription = client.Read({}, recorder.Callbacks());
    REQUIRE(log->AwaitPending(1));
  }
  CHECK(absl::IsCancelled(recorder.events().ends[0]));
  log->Release();
  CHECK(client.Send({.text = "still there"}).ok());
}

TEST_CASE_FIXTURE(Fixture, "a client can vanish while the log appends") {
  log->Hold();
  {
    Client another = Client::Connect({.target = server->address()});
    for (int i = 0; i < 100; ++i) another.SendAsync({.text = "x"});
    REQUIRE(log->AwaitPending(1));
  }
  log->Release();
  CHECK(client.Send({.text = "still there"}).ok());
}

TEST_CASE("a bit that flips on the way is detected, and never delivered") {
  // Everything the log hands out from now on has one flipped bit.
  std::atomic<bool> damage = false;
  Fixture fixture([&damage](ReadResult& result) {
    if (!damage || result.entries.empty()) return;
    auto copy = std::make_shared<std::string>(result.entries[0].bytes);
    (*copy)[copy->size() / 2] ^= 0x10;
    result.entries[0] = {copy, *copy};
  });
  REQUIRE(fixture.client.Send({.text = std::string(100, 'a')}).ok());
  damage = true;
  Recorder recorder;
  const Subscription subscription =
      fixture.client.Read({.start = Start::Earliest()}, recorder.Callbacks());
  CHECK(absl::IsDataLoss(subscription.Wait()));
  CHECK(recorder.events().messages.empty());
}

TEST_CASE("a message that is missing on the way is detected") {
  std::atomic<bool> damage = false;
  Fixture fixture([&damage](ReadResult& result) {
    if (!damage || result.entries.empty()) return;
    // Skips the first entry without saying so.
    std::string_view& bytes = result.entries[0].bytes;
    const std::string_view first = wire::MessageOfEntry(bytes);
    bytes.remove_prefix(
        static_cast<std::size_t>(first.data() + first.size() - bytes.data()));
  });
  fixture.SendMany(3);
  damage = true;
  Recorder recorder;
  const Subscription subscription =
      fixture.client.Read({.start = Start::Earliest()}, recorder.Callbacks());
  const absl::Status end = subscription.Wait();
  CHECK(absl::IsDataLoss(end));
  CHECK(std::string(end.message()).find("expected message 1, but 2 arrived") !=
        std::string::npos);
  CHECK(recorder.events().messages.empty());
}

}  // namespace
}  // namespace messenger::test
