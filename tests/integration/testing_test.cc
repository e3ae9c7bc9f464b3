// What messenger/testing.h offers: each fault is what it says it is.
#include "messenger/testing.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "integration/subscribe.h"
#include "messenger/client.h"
#include "support/recorder.h"
#include "support/tcp_socket.h"

namespace messenger::testing_test {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)
using std::chrono::milliseconds;
using testing::FaultProxy;
using testing::TestServer;
using Clock = std::chrono::steady_clock;

constexpr milliseconds kPatience{20'000};
// How long nothing comes where nothing should.
constexpr milliseconds kSilence{60};

std::string AddressOf(int port) {
  return fmt::format("127.0.0.1:{}", port);
}

// A server without manners of its own, and one connection to it.
class Proxied {
 public:
  TcpListener listener;
  std::unique_ptr<FaultProxy> proxy =
      FaultProxy::Start(AddressOf(listener.port())).value();
  TcpSocket client{proxy->port()};
  TcpSocket server = listener.Accept();

  void CheckPasses() {
    client.Send("to server");
    CHECK(server.Receive(9) == "to server");
    server.Send("to client");
    CHECK(client.Receive(9) == "to client");
  }
};

TEST_CASE_FIXTURE(Proxied, "without faults, bytes pass in both directions") {
  CheckPasses();
  CHECK(proxy->Await(
      [](const FaultProxy::Counters& c) { return c.bytes_to_client == 9; },
      kPatience));
  const FaultProxy::Counters counters = proxy->counters();
  CHECK(counters.connections == 1);
  CHECK(counters.refused == 0);
  CHECK(counters.open == 1);
  CHECK(counters.bytes_to_server == 9);
}

TEST_CASE_FIXTURE(Proxied, "half of a connection can be closed") {
  client.CloseSending();
  CHECK_FALSE(server.AwaitClose());
  server.Send("still");
  CHECK(client.Receive(5) == "still");
  server.CloseSending();
  CHECK_FALSE(client.AwaitClose());
  CHECK(proxy->Await([](const FaultProxy::Counters& c) { return c.open == 0; },
                     kPatience));
}

TEST_CASE_FIXTURE(Proxied, "a reset reaches the other end as a reset") {
  SUBCASE("of the client") {
    client.Reset();
    CHECK(server.AwaitClose());
  }
  SUBCASE("of the server") {
    server.Reset();
    CHECK(client.AwaitClose());
  }
}

TEST_CASE_FIXTURE(Proxied, "refuse_connections: new ones are reset, old stay") {
  proxy->Set({.refuse_connections = true});
  TcpSocket refused(proxy->port());
  CHECK(refused.AwaitClose());
  CheckPasses();
  CHECK(proxy->counters().connections == 2);
  CHECK(proxy->counters().refused == 1);

  proxy->Set({});
  TcpSocket taken(proxy->port());
  TcpSocket other = listener.Accept();
  taken.Send("x");
  CHECK(other.Receive(1) == "x");
}

TEST_CASE_FIXTURE(Proxied, "a connection that the target refuses is reset") {
  {
    const TcpListener gone;
    REQUIRE(proxy->SetTarget(AddressOf(gone.port())).ok());
  }
  TcpSocket refused(proxy->port());
  CHECK(refused.AwaitClose());
  CHECK(proxy->Await(
      [](const FaultProxy::Counters& c) { return c.refused == 1; }, kPatience));
  CheckPasses();
}

TEST_CASE_FIXTURE(Proxied,
                  "stall_to_server: what the client sends arrives "
                  "when it is over, and answers pass") {
  proxy->Set({.stall_to_server = true});
  CHECK(client.Send("late"));
  server.Send("still");
  CHECK(client.Receive(5) == "still");
  CHECK_FALSE(server.ArrivesWithin(kSilence));
  proxy->Set({});
  CHECK(server.Receive(4) == "late");
  CheckPasses();
}

TEST_CASE_FIXTURE(Proxied,
                  "stall_to_client: what the server sends arrives "
                  "when it is over, and requests pass") {
  proxy->Set({.stall_to_client = true});
  CHECK(server.Send("late"));
  client.Send("still");
  CHECK(server.Receive(5) == "still");
  CHECK_FALSE(client.ArrivesWithin(kSilence));
  proxy->Set({});
  CHECK(client.Receive(4) == "late");
  CheckPasses();
}

TEST_CASE_FIXTURE(Proxied,
                  "of a connection that is stalled both ways, neither "
                  "peer notices that the other has gone") {
  proxy->Set({.stall_to_server = true, .stall_to_client = true});
  SUBCASE("a reset of the client") {
    client.Reset();
    CHECK_FALSE(server.ArrivesWithin(kSilence));
    CHECK(server.Send("x"));
    proxy->Set({});
    CHECK(server.AwaitClose());
  }
  SUBCASE("a reset of the server") {
    server.Reset();
    CHECK_FALSE(client.ArrivesWithin(kSilence));
    CHECK(client.Send("x"));
    proxy->Set({});
    CHECK(client.AwaitClose());
  }
  SUBCASE("an end after bytes, which still arrive") {
    client.Send("last words");
    client.CloseSending();
    CHECK_FALSE(server.ArrivesWithin(kSilence));
    proxy->Set({});
    CHECK(server.Receive(10) == "last words");
    CHECK_FALSE(server.AwaitClose());
  }
}

TEST_CASE_FIXTURE(Proxied,
                  "a server that has gone is hidden by "
                  "stall_to_client from a client that sends") {
  proxy->Set({.stall_to_client = true});
  server.Reset();
  for (int i = 0; i < 3; ++i) {
    CHECK(client.Send("x"));
    CHECK_FALSE(client.ArrivesWithin(kSilence));
  }
  proxy->Set({});
  CHECK(client.AwaitClose());
}

TEST_CASE_FIXTURE(Proxied,
                  "connections that are made while it stalls work "
                  "when it is over") {
  proxy->Set({.stall_to_server = true, .stall_to_client = true});
  TcpSocket second(proxy->port());
  TcpSocket other = listener.Accept();
  CHECK(second.Send("late"));
  CHECK_FALSE(other.ArrivesWithin(kSilence));
  proxy->Set({});
  CHECK(other.Receive(4) == "late");
}

TEST_CASE_FIXTURE(Proxied, "delay: bytes arrive later, in order") {
  const Clock::time_point start = Clock::now();
  proxy->Set({.delay = milliseconds(50)});
  client.Send("a");
  client.Send("b");
  CHECK(server.Receive(2) == "ab");
  CHECK(Clock::now() - start >= milliseconds(50));
  server.Send("c");
  server.CloseSending();
  CHECK(client.Receive(1) == "c");
  CHECK_FALSE(client.AwaitClose());
  CHECK(Clock::now() - start >= milliseconds(100));
}

TEST_CASE_FIXTURE(Proxied, "bytes_per_second: so many and no more, each way") {
  constexpr std::size_t kBytes = 20'000;
  const std::string bytes(kBytes, 'x');
  proxy->Set({.bytes_per_second = 100'000});
  const Clock::time_point start = Clock::now();
  client.Send(bytes);
  server.Send(bytes);
  CHECK(server.Receive(kBytes).size() == kBytes);
  CHECK(client.Receive(kBytes).size() == kBytes);
  // But for the first piece, which need not wait.
  CHECK(Clock::now() - start >= milliseconds(180));
}

TEST_CASE_FIXTURE(Proxied,
                  "max_fragment_bytes: what is sent at once arrives "
                  "in pieces") {
  std::string bytes;
  for (int i = 0; i < 5'000; ++i) bytes += static_cast<char>('a' + i % 26);
  // Slowly, so that the pieces are read one by one.
  proxy->Set({.max_fragment_bytes = 3, .bytes_per_second = 300});
  client.Send(bytes);
  std::string received = server.Receive(1);
  CHECK(received.size() < 300);
  proxy->Set({.max_fragment_bytes = 3});
  received += server.Receive(bytes.size() - received.size());
  CHECK(received == bytes);
}

TEST_CASE_FIXTURE(Proxied, "who does not read holds the sender back") {
  constexpr std::size_t kMost = std::size_t{64} << 20U;
  const std::size_t sent = client.SendUntilFull();
  CHECK(sent > 0);
  CHECK(sent < kMost);
  CHECK(server.Receive(sent).size() == sent);
  CheckPasses();
}

TEST_CASE_FIXTURE(Proxied, "ResetConnections breaks both ends") {
  SUBCASE("without faults") {}
  SUBCASE("while it stalls") {
    proxy->Set({.stall_to_server = true, .stall_to_client = true});
  }
  TcpSocket second(proxy->port());
  proxy->ResetConnections();
  CHECK(proxy->counters().open == 0);
  CHECK(client.AwaitClose());
  CHECK(server.AwaitClose());
  CHECK(second.AwaitClose());
}

TEST_CASE_FIXTURE(Proxied, "CloseConnections ends both ends in order") {
  proxy->CloseConnections();
  CHECK_FALSE(client.AwaitClose());
  CHECK_FALSE(server.AwaitClose());
  client.CloseSending();
  server.CloseSending();
  CHECK(proxy->Await([](const FaultProxy::Counters& c) { return c.open == 0; },
                     kPatience));
}

TEST_CASE_FIXTURE(Proxied, "SetTarget: new connections go there, old stay") {
  const TcpListener elsewhere;
  REQUIRE(proxy->SetTarget(AddressOf(elsewhere.port())).ok());
  TcpSocket second(proxy->port());
  TcpSocket other = elsewhere.Accept();
  second.Send("x");
  CHECK(other.Receive(1) == "x");
  CheckPasses();
  proxy->RemoveTarget();
  TcpSocket third(proxy->port());
  CHECK(third.AwaitClose());
}

TEST_CASE("a target that is none is INVALID_ARGUMENT") {
  for (const char* const target : {"", "localhost", "127.0.0.1:port"}) {
    CAPTURE(target);
    CHECK(absl::IsInvalidArgument(FaultProxy::Start(target).status()));
  }
  const TcpListener listener;
  const auto proxy = FaultProxy::Start(AddressOf(listener.port())).value();
  CHECK(absl::IsInvalidArgument(proxy->SetTarget("nowhere")));
  TcpSocket client(proxy->port());
  const TcpSocket server = listener.Accept();
}

TEST_CASE_FIXTURE(Proxied, "Await returns false when it does not come to be") {
  CHECK_FALSE(
      proxy->Await([](const FaultProxy::Counters& c) { return c.open > 1; },
                   milliseconds(1)));
}

TEST_CASE("many connections at once, with faults that come and go") {
  const TcpListener listener;
  const auto proxy = FaultProxy::Start(AddressOf(listener.port())).value();
  constexpr int kConnections = 50;
  std::vector<std::unique_ptr<TcpSocket>> clients;
  std::vector<std::unique_ptr<TcpSocket>> servers;
  for (int i = 0; i < kConnections; ++i) {
    clients.push_back(std::make_unique<TcpSocket>(proxy->port()));
    servers.emplace_back(new TcpSocket(listener.Accept()));
  }
  const std::vector<testing::NetworkFaults> faults = {
      {},
      {.stall_to_server = true},
      {.delay = milliseconds(2)},
      {.max_fragment_bytes = 7},
      {.stall_to_client = true},
      {.bytes_per_second = 100'000},
      {}};
  std::vector<std::string> sent(kConnections);
  for (const auto& fault : faults) {
    proxy->Set(fault);
    for (std::size_t i = 0; i < kConnections; ++i) {
      const std::string bytes = fmt::format("{} of {};", sent[i].size(), i);
      clients[i]->Send(bytes);
      servers[i]->Send(bytes);
      sent[i] += bytes;
    }
  }
  for (std::size_t i = 0; i < kConnections; ++i) {
    CHECK(servers[i]->Receive(sent[i].size()) == sent[i]);
    CHECK(clients[i]->Receive(sent[i].size()) == sent[i]);
  }
  CHECK(proxy->counters().open == kConnections);
}

// ---------------------------------------------------------------------------
// TestServer

std::vector<std::string> Stored(Client client) {
  Recorder recorder;
  const Subscription read =
      client.Read({.start = Start::Earliest(), .until_caught_up = true},
                  recorder.Callbacks());
  CHECK(read.Wait().ok());
  return recorder.events().texts();
}

TEST_CASE("what its clients send is stored, and read past the proxy") {
  const auto server = TestServer::Start().value();
  Client client = server->Connect();
  CHECK(client.Send({.text = "one"}).ok());
  CHECK(Stored(server->LocalClient()) == std::vector<std::string>{"one"});
  CHECK(Stored(server->Connect()) == std::vector<std::string>{"one"});
  CHECK(server->proxy().counters().connections == 2);
}

TEST_CASE("it comes back at the same address, with what it had") {
  const auto server = TestServer::Start().value();
  const std::string target = server->target();
  Client client = server->Connect();
  const std::uint64_t epoch = client.Send({.text = "1"})->position.epoch;
  SUBCASE("after Kill") {
    server->Kill();
  }
  SUBCASE("after Stop") {
    server->Stop();
  }
  SUBCASE("while it runs") {}
  CHECK(server->Restart().ok());
  CHECK(server->target() == target);
  const auto receipt = server->Connect().Send({.text = "2"});
  REQUIRE(receipt.ok());
  CHECK(receipt->position == Position{.epoch = epoch, .sequence = 2});
}

TEST_CASE("while it is stopped, connections are refused and calls fail") {
  const auto server = TestServer::Start().value();
  SUBCASE("by Kill") {
    server->Kill();
  }
  SUBCASE("by Stop") {
    server->Stop();
  }
  CHECK(absl::IsUnavailable(server->Connect().Ping().status()));
  CHECK(absl::IsUnavailable(server->LocalClient().Ping().status()));
  CHECK(server->proxy().counters().refused > 0);
  server->Kill();
  server->Stop();
  CHECK(server->Restart().ok());
  CHECK(server->Connect().Ping().ok());
  CHECK(server->LocalClient().Ping().ok());
}

TEST_CASE("with a new log it has lost everything, and its epoch is another") {
  const auto server = TestServer::Start().value();
  const auto before = server->Connect().Send({.text = "1"});
  CHECK(server->RestartWithNewLog().ok());
  const auto after = server->Connect().Send({.text = "2"});
  CHECK(after->position.sequence == 1);
  CHECK(after->position.epoch != before->position.epoch);
}

// A server whose clients notice soon that nothing comes.
ServerOptions Lively() {
  return {.service = {.min_heartbeat_interval = milliseconds(1)}};
}

constexpr RetryOptions kSoon = {.initial_backoff = milliseconds(5),
                                .max_backoff = milliseconds(50)};

TEST_CASE("a subscription goes on when the server is back" *
          doctest::test_suite("subscriptions")) {
  const auto server = TestServer::Start(Lively()).value();
  Client client = server->Connect(AsTested({.retry = kSoon}));
  Recorder recorder;
  const Reading read =
      Subscribe(client, {.start = Start::Earliest()}, recorder.Callbacks());
  CHECK(server->LocalClient().Send({.text = "before"}).ok());
  REQUIRE(recorder.AwaitMessages(1));
  SUBCASE("after Kill") {
    server->Kill();
  }
  SUBCASE("after Stop") {
    server->Stop();
  }
  CHECK(server->Restart().ok());
  CHECK(server->LocalClient().Send({.text = "after"}).ok());
  REQUIRE(recorder.AwaitMessages(2));
  CHECK(recorder.events().sequences() == std::vector<std::uint64_t>{1, 2});
  CHECK(recorder.events().gaps.empty());
  CHECK(recorder.events().ends.empty());
}

TEST_CASE("a subscription is told that the log is another one" *
          doctest::test_suite("subscriptions")) {
  const auto server = TestServer::Start(Lively()).value();
  Client client = server->Connect(AsTested({.retry = kSoon}));
  Recorder recorder;
  const Reading read =
      Subscribe(client, {.start = Start::Earliest()}, recorder.Callbacks());
  CHECK(server->LocalClient().Send({.text = "before"}).ok());
  REQUIRE(recorder.AwaitMessages(1));
  CHECK(server->RestartWithNewLog().ok());
  CHECK(server->LocalClient().Send({.text = "after"}).ok());
  REQUIRE(recorder.AwaitMessages(2));
  const Recorder::Events events = recorder.events();
  REQUIRE(events.gaps.size() == 1);
  CHECK(events.gaps[0].reason == Gap::Reason::kNewEpoch);
  CHECK(events.messages[1].epoch != events.messages[0].epoch);
}

TEST_CASE("a subscription notices a stall, and connects again" *
          doctest::test_suite("subscriptions")) {
  const auto server = TestServer::Start(Lively()).value();
  Client client = server->Connect(AsTested({.retry = kSoon}));
  Recorder recorder;
  const Reading read = Subscribe(
      client,
      {.start = Start::Earliest(), .heartbeat_interval = milliseconds(20)},
      recorder.Callbacks());
  CHECK(server->LocalClient().Send({.text = "before"}).ok());
  REQUIRE(recorder.AwaitMessages(1));
  SUBCASE("both ways") {
    server->proxy().Set({.stall_to_server = true, .stall_to_client = true});
  }
  SUBCASE("to the client") {
    server->proxy().Set({.stall_to_client = true});
  }
  REQUIRE(recorder.AwaitEvents([](const Recorder::Events& events) {
    return events.states.back().kind == SubscriptionState::Kind::kWaiting;
  }));
  CHECK(server->LocalClient().Send({.text = "after"}).ok());
  server->proxy().Set({});
  REQUIRE(recorder.AwaitMessages(2));
  CHECK(recorder.events().sequences() == std::vector<std::uint64_t>{1, 2});
}

// Collects the results of sends.
class Results {
 public:
  SendCallback Next() {
    return [this](const absl::StatusOr<Receipt>& result) {
      absl::MutexLock lock(&mu_);
      results_.push_back(result);
      changed_.SignalAll();
    };
  }
  std::vector<absl::StatusOr<Receipt>> AwaitAll(std::size_t count) {
    absl::MutexLock lock(&mu_);
    CHECK(Await(mu_, changed_, [&] { return results_.size() >= count; }));
    return results_;
  }

 private:
  absl::Mutex mu_;
  absl::CondVar changed_;
  std::vector<absl::StatusOr<Receipt>> results_;
};

TEST_CASE("a message whose receipt is lost is sent again, and stored once") {
  const auto server = TestServer::Start(Lively()).value();
  Results results;
  Client client = server->Connect({.retry = kSoon});
  REQUIRE(client.Send({.text = "1"}).ok());
  Recorder stored;
  Client local = server->LocalClient();
  const Subscription read =
      local.Read({.start = Start::Earliest()}, stored.Callbacks());

  server->proxy().Set({.stall_to_client = true});
  client.SendAsync({.text = "2"}, results.Next());
  REQUIRE(stored.AwaitMessages(2));
  server->proxy().ResetConnections();
  server->proxy().Set({});
  const auto receipt = results.AwaitAll(1).at(0);
  REQUIRE(receipt.ok());
  CHECK(receipt->position.sequence == 2);
  CHECK(receipt->duplicate);
  CHECK(client.Send({.text = "3"})->position.sequence == 3);
  CHECK(Stored(local) == std::vector<std::string>{"1", "2", "3"});
}

TEST_CASE(
    "a message that arrives late, on a connection that its sender has "
    "given up, is stored once") {
  const auto server = TestServer::Start(Lively()).value();
  Results results;
  Client client = server->Connect({.retry = kSoon,
                                   .keepalive_time = milliseconds(100),
                                   .keepalive_timeout = milliseconds(100)});
  REQUIRE(client.Send({.text = "1"}).ok());
  server->proxy().Set({.stall_to_server = true});
  client.SendAsync({.text = "2"}, results.Next());
  client.SendAsync({.text = "3"}, results.Next());
  // By then it has tried again.
  REQUIRE(server->proxy().Await(
      [](const FaultProxy::Counters& c) { return c.connections >= 2; },
      kPatience));
  server->proxy().Set({});
  for (const auto& receipt : results.AwaitAll(2)) CHECK(receipt.ok());
  CHECK(Stored(server->LocalClient()) ==
        std::vector<std::string>{"1", "2", "3"});
}

TEST_CASE("it stops in the midst of a stall") {
  const auto server = TestServer::Start().value();
  Client client = server->Connect();
  CHECK(client.Ping().ok());
  server->proxy().Set({.stall_to_server = true, .stall_to_client = true});
  client.SendAsync({.text = "1"});
  SUBCASE("by Kill") {
    server->Kill();
  }
  SUBCASE("by Stop") {
    server->Stop();
  }
  server->proxy().Set({});
  CHECK(server->Restart().ok());
  CHECK(server->Connect().Ping().ok());
}

TEST_CASE("options that are out of bounds are refused as by the server") {
  CHECK(absl::IsInvalidArgument(
      TestServer::Start({.service = {.max_message_bytes = 0}}).status()));
}

}  // namespace
}  // namespace messenger::testing_test
