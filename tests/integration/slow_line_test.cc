// Readers and senders on lines that pass little: everything gets through, and
// nothing is sent again and again. Lines are as much faster than the 50 KB/s
// that are guaranteed as heartbeats and timeouts are shorter.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "integration/subscribe.h"
#include "messenger/client.h"
#include "messenger/server.h"
#include "messenger/testing.h"
#include "support/recorder.h"

namespace messenger::test::slow_line_test {
namespace {

using std::chrono::milliseconds;
using testing::FaultProxy;
using testing::TestServer;

constexpr std::uint64_t kGuaranteed = 50'000;  // bytes a second
constexpr int kFaster = 20;
constexpr std::uint64_t kSlow = kGuaranteed * kFaster;
constexpr std::size_t kMiB = std::size_t{1} << 20;

constexpr milliseconds Scaled(milliseconds time, int faster = kFaster) {
  return time / faster;
}

std::unique_ptr<TestServer> Serve(int faster = kFaster) {
  const ServiceOptions defaults;
  return TestServer::Start(
             {.service = {.min_heartbeat_interval = milliseconds(1),
                          .keepalive_time =
                              Scaled(defaults.keepalive_time, faster),
                          .keepalive_timeout =
                              Scaled(defaults.keepalive_timeout, faster)}})
      .value();
}

Client Connect(const TestServer& server, int faster = kFaster) {
  const ClientOptions defaults;
  return server.Connect(AsTested(
      {.retry = {.initial_backoff = milliseconds(1),
                 .max_backoff = milliseconds(20)},
       .send_timeout = milliseconds(0),
       .call_timeout = Scaled(defaults.call_timeout, faster),
       .keepalive_time = Scaled(defaults.keepalive_time, faster),
       .keepalive_timeout = Scaled(defaults.keepalive_timeout, faster)}));
}

ReadOptions Everything(std::string channel) {
  return {.channel = std::move(channel),
          .start = Start::Earliest(),
          .until_caught_up = true,
          .heartbeat_interval = Scaled(ReadOptions().heartbeat_interval)};
}

void Fill(TestServer& server, const std::string& channel, int count,
          std::size_t size) {
  Client client = server.LocalClient();
  const std::string text(size, 'x');
  for (int i = 0; i < count; ++i) {
    client.SendAsync({.channel = channel, .text = text});
  }
  REQUIRE(client.Flush() == absl::OkStatus());
}

// Counts what a subscription is given, in order.
struct Count {
  std::uint64_t last = 0;
  int wrong = 0;
  std::atomic<int> joins = 0;

  ReadCallbacks Callbacks() {
    return {.on_joined = [this](const Joined& /*joined*/) { ++joins; },
            .on_message =
                [this](const Message& message) {
                  if (message.sequence != last + 1) ++wrong;
                  last = message.sequence;
                },
            .on_gap = [this](const Gap& /*gap*/) { ++wrong; }};
  }
};

// That what has passed is what had to, and nothing of it twice again: a machine
// that is busy may cut a try off, but then the next one gets on.
void CheckPassed(std::uint64_t passed, std::uint64_t payload) {
  CHECK(passed < 2 * payload + kMiB);
}

TEST_CASE("on a slow line a reader gets a large backlog, once" *
          doctest::test_suite("subscriptions")) {
  const auto server = Serve();
  Fill(*server, "c", 3'000, 1'000);
  server->proxy().Set({.bytes_per_second = kSlow});
  Client client = Connect(*server);
  Count count;
  const Reading subscription =
      Subscribe(client, Everything("c"), count.Callbacks());
  CHECK(subscription.Wait() == absl::OkStatus());
  CHECK(count.last == 3'000);
  CHECK(count.wrong == 0);
  CHECK(count.joins == 1);
  CheckPassed(server->proxy().counters().bytes_to_client, 3'000'000);
}

TEST_CASE("readers that share a slow line all get on" *
          doctest::test_suite("subscriptions")) {
  constexpr int kReaders = 5;
  const auto server = Serve();
  Fill(*server, "c", 700, 1'000);
  server->proxy().Set({.bytes_per_second = 2 * kSlow});
  std::vector<Count> counts(kReaders);
  Client client = Connect(*server);
  std::vector<Reading> subscriptions;
  for (Count& count : counts) {
    subscriptions.push_back(
        Subscribe(client, Everything("c"), count.Callbacks()));
  }
  for (const Reading& subscription : subscriptions) {
    CHECK(subscription.Wait() == absl::OkStatus());
  }
  for (const Count& count : counts) {
    CHECK(count.last == 700);
    CHECK(count.wrong == 0);
  }
  CheckPassed(server->proxy().counters().bytes_to_client,
              std::uint64_t{kReaders} * 700'000);
}

TEST_CASE("a line that is full is not taken for one that is silent" *
          doctest::test_suite("subscriptions")) {
  const auto server = Serve();
  Fill(*server, "c", 3'000, 1'000);
  server->proxy().Set({.bytes_per_second = kSlow});
  Client client = Connect(*server);
  Count count;
  const Reading subscription =
      Subscribe(client, Everything("c"), count.Callbacks());
  // Heartbeats, and another that joins, come by the same connection.
  Recorder waiting;
  ReadOptions options = Everything("empty");
  options.until_caught_up = false;
  const Reading other = Subscribe(client, options, waiting.Callbacks());
  CHECK(waiting.AwaitJoined());
  CHECK(subscription.Wait() == absl::OkStatus());
  CHECK(waiting.AwaitEvents(
      [](const Recorder::Events& e) { return e.heartbeats.size() >= 3; }));
  CHECK(count.last == 3'000);
  CHECK(count.wrong == 0);
  CheckPassed(server->proxy().counters().bytes_to_client, 3'000'000);
}

TEST_CASE("messages of the largest size get through a slow line to a reader" *
          doctest::test_suite("subscriptions")) {
  const auto server = Serve();
  Client client = Connect(*server);
  // Slower than a frame that is not announced may be.
  server->proxy().Set({.bytes_per_second = kSlow * 4 / 5});
  Fill(*server, "c", 3, kMiB - 10);
  Count count;
  const Reading subscription =
      Subscribe(client, Everything("c"), count.Callbacks());
  CHECK(subscription.Wait() == absl::OkStatus());
  CHECK(count.last == 3);
  CHECK(count.wrong == 0);
  CheckPassed(server->proxy().counters().bytes_to_client, 3 * kMiB);
}

TEST_CASE("messages of the largest size get through a slow line to a server") {
  const auto server = Serve();
  Client client = Connect(*server);
  server->proxy().Set({.bytes_per_second = kSlow});
  const std::string text(kMiB - 10, 'x');
  for (int i = 0; i < 3; ++i) client.SendAsync({.text = text});
  CHECK(client.Flush() == absl::OkStatus());
  CHECK(server->LocalClient().GetChannel("")->head == 3);
  CheckPassed(server->proxy().counters().bytes_to_server, 3 * kMiB);
}

TEST_CASE("what is new passes a slow line once for all who share it" *
          doctest::test_suite("subscriptions")) {
  constexpr int kReaders = 5;
  const auto server = Serve();
  Client client = Connect(*server);
  std::vector<Recorder> recorders(kReaders);
  std::vector<Reading> subscriptions;
  ReadOptions options = Everything("c");
  options.until_caught_up = false;
  for (Recorder& recorder : recorders) {
    subscriptions.push_back(Subscribe(client, options, recorder.Callbacks()));
  }
  for (Recorder& recorder : recorders) REQUIRE(recorder.AwaitCaughtUp());
  const std::uint64_t streams = TailsOfThisRun() == Tails::kOff ? kReaders : 1;
  Client local = server->LocalClient();
  // The channel is there with its first message.
  Fill(*server, "c", 1, 1);
  REQUIRE(AwaitReaders(local, "c", streams));
  server->proxy().Set({.bytes_per_second = kSlow});
  const std::uint64_t before = server->proxy().counters().bytes_to_client;
  Fill(*server, "c", 700, 1'000);
  for (Recorder& recorder : recorders) {
    REQUIRE(recorder.AwaitMessages(701));
    CHECK(recorder.events().gaps.empty());
  }
  CheckPassed(server->proxy().counters().bytes_to_client - before,
              streams * 700'000);
}

TEST_CASE("large messages one after the other do not cost a connection") {
  // There must be time for a busy machine, too.
  constexpr int kLess = kFaster / 2;
  const auto server = Serve(kLess);
  server->proxy().Set({.bytes_per_second = kGuaranteed * kLess});
  Client client = Connect(*server, kLess);
  // While this one has nothing to read, the client pings the server.
  Recorder waiting;
  ReadOptions options = Everything("empty");
  options.until_caught_up = false;
  const Subscription reader = client.Read(options, waiting.Callbacks());
  CHECK(waiting.AwaitJoined());
  // Each takes longer than keepalive_time, so that there are pings, and half of
  // keepalive_timeout, so that a busy machine may cost some of it.
  const std::string text(kMiB * 3 / 4, 'x');
  for (int i = 0; i < 8; ++i) client.SendAsync({.text = text});
  CHECK(client.Flush() == absl::OkStatus());
  CHECK(server->LocalClient().GetChannel("")->head == 8);
  CHECK(server->proxy().counters().connections == 1);
}

TEST_CASE("what is sent over a slow line is stored once, and acknowledged") {
  const auto server = Serve();
  server->proxy().Set({.bytes_per_second = kSlow});
  Client client = Connect(*server);
  const std::string text(1'000, 'x');
  for (int i = 0; i < 2'000; ++i) client.SendAsync({.text = text});
  CHECK(client.Flush() == absl::OkStatus());
  CHECK(server->LocalClient().GetChannel("")->head == 2'000);
  CheckPassed(server->proxy().counters().bytes_to_server, 2'000'000);
}

TEST_CASE("by default there is time for a message of 1 MiB at 50 KB/s") {
  const auto check = [](const auto& options) {
    const std::chrono::duration<double> time = options.keepalive_timeout;
    // And for what is on its way before it.
    CHECK(time.count() * static_cast<double>(kGuaranteed) >=
          static_cast<double>(options.max_message_bytes + (256 << 10)));
  };
  check(ClientOptions());
  check(ServiceOptions());
}

}  // namespace
}  // namespace messenger::test::slow_line_test
