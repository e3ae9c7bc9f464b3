// The contract of Client::Send, SendAsync and Flush (messenger/client.h).
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "messenger/server.h"
#include "support/log_access.h"
#include "support/no_retry.h"
#include "support/recorder.h"
#include "support/test_log.h"

namespace messenger::test::client_send_test {
namespace {

struct Fixture {
  Client Connect(ClientOptions options = {}) {
    options.target = server->address();
    return Client::Connect(options);
  }

  std::shared_ptr<TestLog> log = std::make_shared<TestLog>();
  std::unique_ptr<Server> server =
      *Server::Start({.listen = "127.0.0.1:0", .log = log});
};

// Collects the results of SendAsync, in the order in which they come.
class Results {
 public:
  SendCallback Add() {
    return [this](absl::StatusOr<Receipt> result) {
      absl::MutexLock lock(&mu_);
      results_.push_back(std::move(result));
      changed_.SignalAll();
    };
  }
  std::vector<absl::StatusOr<Receipt>> Await(std::size_t count) {
    absl::MutexLock lock(&mu_);
    CHECK(test::Await(mu_, changed_, [&] { return results_.size() >= count; }));
    return results_;
  }
  std::size_t size() {
    absl::MutexLock lock(&mu_);
    return results_.size();
  }

 private:
  absl::Mutex mu_;
  absl::CondVar changed_;
  std::vector<absl::StatusOr<Receipt>> results_;
};

TEST_CASE_FIXTURE(Fixture, "SendAsync reports each result once, in order") {
  Client client = Connect();
  Results results;
  for (int i = 0; i < 1000; ++i) {
    client.SendAsync({.text = std::to_string(i)}, results.Add());
  }
  CHECK(client.Flush() == absl::OkStatus());
  const auto received = results.Await(1000);
  REQUIRE(received.size() == 1000);
  for (std::size_t i = 0; i < received.size(); ++i) {
    REQUIRE(received[i].ok());
    CHECK(received[i]->position.sequence == i + 1);
    CHECK(received[i]->position.epoch == log->epoch());
    CHECK_FALSE(received[i]->duplicate);
  }
}

TEST_CASE_FIXTURE(Fixture, "sends of several threads each keep their order") {
  Client client = Connect();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&client, t] {
      std::uint64_t last = 0;
      for (int i = 0; i < 200; ++i) {
        const auto receipt =
            client.Send({.channel = t % 2 == 0 ? "even" : "odd", .text = "x"});
        CHECK(receipt.ok());
        if (!receipt.ok()) return;
        CHECK(receipt->position.sequence > last);
        last = receipt->position.sequence;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(client.GetChannel("even")->head == 400);
  CHECK(client.GetChannel("odd")->head == 400);
}

TEST_CASE_FIXTURE(Fixture, "messages gather while a request is on its way") {
  Client client = Connect();
  log->Hold();
  constexpr int kMessages = 20'000;
  Results results;
  for (int i = 0; i < kMessages; ++i) {
    client.SendAsync({.text = "x"}, results.Add());
  }
  log->Release();
  CHECK(client.Flush() == absl::OkStatus());
  const auto received = results.Await(kMessages);
  // Messages of one request share a send time.
  std::size_t requests = 1;
  for (std::size_t i = 1; i < received.size(); ++i) {
    if (received[i]->send_time != received[i - 1]->send_time) ++requests;
  }
  CHECK(requests < kMessages / 10);
}

TEST_CASE_FIXTURE(Fixture, "a message that breaks a rule is not sent") {
  Client client = Connect({.max_message_bytes = 100});
  Results results;
  const auto refused = [&](const NewMessage& message) {
    const auto sent = client.Send(message);
    CHECK(absl::IsInvalidArgument(sent.status()));
    client.SendAsync(message, results.Add());
    return std::string(sent.status().message());
  };
  CHECK(refused({.channel = "a b"}).find("channel") != std::string::npos);
  CHECK(refused({.text = "\xff"}).find("text: not valid UTF-8") !=
        std::string::npos);
  CHECK(refused({.author = "a\xc3"}).find("author") != std::string::npos);
  const std::string large(101, 'x');
  CHECK(refused({.text = large}).find("limit of 100") != std::string::npos);
  CHECK(refused({.attributes = {{"", "v"}}}).find("attributes[0].name") !=
        std::string::npos);
  for (const auto& result : results.Await(5)) {
    CHECK(absl::IsInvalidArgument(result.status()));
  }
  CHECK(absl::IsInvalidArgument(client.Flush()));
  CHECK(client.Flush() == absl::OkStatus());
  CHECK(client.Send({.text = "fine"})->position.sequence == 1);
}

TEST_CASE_FIXTURE(Fixture, "a full window holds SendAsync back") {
  Client client = Connect({.max_in_flight_messages = 10});
  log->Hold();
  std::atomic<int> sent = 0;
  Results results;
  std::thread sender([&] {
    for (; sent < 100; ++sent) client.SendAsync({.text = "x"}, results.Add());
  });
  REQUIRE(log->AwaitPending(1));
  CHECK(results.size() == 0);
  CHECK(sent <= 10);
  log->Release();
  sender.join();
  CHECK(client.Flush() == absl::OkStatus());
  CHECK(results.Await(100).size() == 100);
}

TEST_CASE_FIXTURE(Fixture, "Send works inside a callback with a full window") {
  Client client = Connect({.callback_threads = 1, .max_in_flight_messages = 1});
  absl::Notification done;
  client.SendAsync({.text = "outer"}, [&](const absl::StatusOr<Receipt>& r) {
    CHECK(r.ok());
    for (int i = 0; i < 10; ++i) {
      client.SendAsync({.text = "async"}, [](const auto&) {});
      CHECK(client.Send({.text = "inner"}).ok());
    }
    done.Notify();
  });
  REQUIRE(done.WaitForNotificationWithTimeout(kDeadline));
  CHECK(client.Flush() == absl::OkStatus());
  CHECK(client.GetChannel("")->head == 21);
}

TEST_CASE_FIXTURE(Fixture,
                  "FlushCallbacks waits until every done has returned, and "
                  "what it owned is gone") {
  Client client = Connect();
  for (int round = 0; round < 50; ++round) {
    auto owned = std::make_shared<int>(0);
    for (int i = 0; i < 20; ++i) {
      client.SendAsync({.text = "x"}, [owned](const auto&) {
        std::this_thread::yield();
        ++*owned;
      });
    }
    // Never sent: its `done` is due at once.
    client.SendAsync({.channel = "no name", .text = "x"},
                     [owned](const auto&) { ++*owned; });
    CHECK(absl::IsInvalidArgument(client.FlushCallbacks()));
    CHECK(*owned == 21);
    CHECK(owned.use_count() == 1);
  }
  CHECK(client.FlushCallbacks() == absl::OkStatus());
}

TEST_CASE_FIXTURE(Fixture, "FlushCallbacks waits no longer than it may") {
  Client client = Connect();
  absl::Notification blocked;
  absl::Notification go_on;
  client.SendAsync({.text = "x"}, [&](const auto&) {
    blocked.Notify();
    go_on.WaitForNotification();
  });
  // The receipt is there, but not all that follows from it.
  CHECK(client.Flush() == absl::OkStatus());
  REQUIRE(blocked.WaitForNotificationWithTimeout(kDeadline));
  CHECK(absl::IsDeadlineExceeded(
      client.FlushCallbacks(std::chrono::milliseconds(20))));
  go_on.Notify();
  CHECK(client.FlushCallbacks() == absl::OkStatus());
}

TEST_CASE_FIXTURE(Fixture, "FlushCallbacks inside a callback is refused") {
  Client client = Connect();
  absl::Status inside;
  client.SendAsync({.text = "x"},
                   [&](const auto&) { inside = client.FlushCallbacks(); });
  CHECK(client.FlushCallbacks() == absl::OkStatus());
  CHECK(absl::IsFailedPrecondition(inside));
}

TEST_CASE_FIXTURE(Fixture, "Send gives up after its timeout") {
  Client client = Connect({.send_timeout = std::chrono::milliseconds(50)});
  log->Hold();
  const auto result = client.Send({.text = "x"});
  CHECK(absl::IsDeadlineExceeded(result.status()));
  log->Release();
  CHECK(client.Flush() == absl::OkStatus());
}

TEST_CASE_FIXTURE(Fixture, "the end of the client fails what has no receipt") {
  auto client = std::make_unique<Client>(Connect());
  log->Hold();
  Results results;
  for (int i = 0; i < 100; ++i) {
    client->SendAsync({.text = "x"}, results.Add());
  }
  REQUIRE(log->AwaitPending(1));
  client.reset();
  CHECK(results.size() == 100);
  for (const auto& result : results.Await(100)) {
    CHECK(absl::IsCancelled(result.status()));
  }
  log->Release();
}

TEST_CASE("a client that does not try again fails, and finds a server later") {
  Client client = Client::Connect({.target = "127.0.0.1:1", .retry = kNoRetry});
  const absl::Status failed = client.Send({.text = "x"}).status();
  CHECK(absl::IsUnavailable(failed));
  CHECK(failed.message() == "127.0.0.1:1: Connection refused");
  CHECK(absl::IsUnavailable(client.Ping().status()));

  auto server = *Server::Start({.listen = "127.0.0.1:0"});
  const std::string address = server->address();
  Client late = Client::Connect({.target = address, .retry = kNoRetry});
  CHECK(late.Send({.text = "x"}).ok());
  server->Shutdown();
  server.reset();
  CHECK(absl::IsUnavailable(late.Send({.text = "x"}).status()));
  auto again = Server::Start({.listen = address});
  REQUIRE(again.ok());
  const absl::Time deadline = absl::Now() + kDeadline;
  absl::StatusOr<Receipt> receipt = absl::UnavailableError("");
  while (!receipt.ok() && absl::Now() < deadline) {
    receipt = late.Send({.text = "x"});
  }
  CHECK(receipt.ok());
}

TEST_CASE_FIXTURE(Fixture, "every send gets its answer when the server goes") {
  Client client = Connect({.retry = kNoRetry});
  Results results;
  log->Hold();
  for (int i = 0; i < 10'000; ++i) {
    client.SendAsync({.text = "x"}, results.Add());
  }
  REQUIRE(log->AwaitPending(1));
  std::thread stopper([&] { server->Shutdown(); });
  log->Release();
  stopper.join();
  static_cast<void>(client.Flush());
  const auto received = results.Await(10'000);
  CHECK(received.size() == 10'000);
  // What was acknowledged is stored. More may be: a connection that is closed
  // while requests are on their way can lose receipts.
  std::size_t acknowledged = 0;
  while (acknowledged < received.size() && received[acknowledged].ok()) {
    ++acknowledged;
  }
  for (std::size_t i = acknowledged; i < received.size(); ++i) {
    CHECK(absl::IsUnavailable(received[i].status()));
  }
  CHECK(GetChannel(*log, "general")->head >= acknowledged);
}

TEST_CASE("a client whom the server has forgotten goes on as a new producer") {
  auto log = OpenLog("memory:", {.max_producers_per_channel = 1});
  REQUIRE(log.ok());
  auto server = *Server::Start({.listen = "", .log = *log});
  Client quiet = server->LocalClient();
  Client busy = server->LocalClient();
  CHECK(quiet.Send({.text = "1"})->position.sequence == 1);
  CHECK(busy.Send({.text = "2"})->position.sequence == 2);
  Results results;
  for (int i = 0; i < 100; ++i) {
    quiet.SendAsync({.text = std::to_string(3 + i)}, results.Add());
  }
  CHECK(quiet.Flush() == absl::OkStatus());
  const auto received = results.Await(100);
  for (std::size_t i = 0; i < received.size(); ++i) {
    REQUIRE(received[i].ok());
    CHECK(received[i]->position.sequence == 3 + i);
  }
}

TEST_CASE("only the message that the server refuses gets its error") {
  auto log = OpenLog("memory:", {.max_channels = 1});
  REQUIRE(log.ok());
  auto server = *Server::Start({.listen = "", .log = *log});
  Client client = server->LocalClient();
  REQUIRE(client.Send({.text = "x"}).ok());
  Results refused;
  Results others;
  client.SendAsync({.channel = "one-more", .text = "x"}, refused.Add());
  for (int i = 0; i < 10; ++i) client.SendAsync({.text = "x"}, others.Add());
  CHECK_FALSE(client.Flush().ok());
  CHECK(absl::IsResourceExhausted(refused.Await(1)[0].status()));
  for (const auto& result : others.Await(10)) CHECK(result.ok());
  CHECK(client.Send({.text = "x"}).ok());
}

TEST_CASE("a client's options out of bounds are named with value and limits") {
  using std::chrono::milliseconds;
  const auto error = [](ClientOptions options) {
    const absl::Status status =
        Client::Connect(std::move(options)).Ping().status();
    CHECK(absl::IsInvalidArgument(status));
    return std::string(status.message());
  };
  CHECK(error({.retry = {.initial_backoff = milliseconds(0)}}) ==
        "retry.initial_backoff: 0 ms; must be 1 to 3600000");
  CHECK(error({.retry = {.max_backoff = milliseconds(99)}}) ==
        "retry.max_backoff: 99 ms; must be 100 to 3600000");
  CHECK(error({.retry = {.give_up_after = milliseconds(-1)}}) ==
        "retry.give_up_after: -1 ms; must be 0 to 2073600000");
  CHECK(error({.callback_threads = 257}) ==
        "callback_threads: 257; must be 1 to 256");
  CHECK(error({.max_in_flight_messages = 0}) ==
        "max_in_flight_messages: 0; must be 1 to 1048576");
  CHECK(error({.max_in_flight_bytes = 1}) ==
        "max_in_flight_bytes: 1; must be 1048576 to 1073741824");
  CHECK(error({.max_message_bytes = 0}) ==
        "max_message_bytes: 0; must be 1 to 16777216");
  CHECK(error({.send_timeout = milliseconds(-1)}) ==
        "send_timeout: -1 ms; must be 0 to 2073600000");
  CHECK(error({.call_timeout = milliseconds(0)}) ==
        "call_timeout: 0 ms; must be 1 to 2073600000");
  CHECK(error({.keepalive_time = milliseconds(99)}) ==
        "keepalive_time: 99 ms; must be 100 to 2073600000");
  CHECK(error({.keepalive_timeout = milliseconds(99)}) ==
        "keepalive_timeout: 99 ms; must be 100 to 2073600000");
}

TEST_CASE("options of a send and of a read out of bounds are named, too") {
  using std::chrono::milliseconds;
  Client client = Client::Connect({.target = "localhost:1"});
  for (const milliseconds timeout : {milliseconds(-1), milliseconds::max()}) {
    const absl::Status status =
        client.Send({.text = "x"}, {.timeout = timeout}).status();
    CHECK(absl::IsInvalidArgument(status));
    CHECK(std::string(status.message()) ==
          fmt::format("timeout: {} ms; must be 0 to 2073600000",
                      timeout.count()));
  }
  const absl::Status status =
      client.Read({.heartbeat_interval = milliseconds(-1)}, {}).Wait();
  CHECK(absl::IsInvalidArgument(status));
  CHECK(std::string(status.message()) ==
        "heartbeat_interval: -1 ms; must be 0 to 2592000000");
}

TEST_CASE("a client with options out of bounds says so in every call") {
  Client client = Client::Connect({.callback_threads = 0});
  const auto named = [](const absl::Status& status) {
    return absl::IsInvalidArgument(status) &&
           std::string(status.message()).find("callback_threads: 0") !=
               std::string::npos;
  };
  CHECK(named(client.Send({}).status()));
  CHECK(named(client.status()));
  CHECK(named(client.Ping().status()));
  CHECK(named(client.ListChannels().status()));
  CHECK(named(client.Read({}, {}).Wait()));
  Results results;
  client.SendAsync({}, results.Add());
  CHECK(named(results.Await(1)[0].status()));
  CHECK(Client::Connect().status() == absl::OkStatus());
}

}  // namespace
}  // namespace messenger::test::client_send_test
