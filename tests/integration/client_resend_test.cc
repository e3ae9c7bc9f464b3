// Sends that are stored once, whatever happens to the connection and to the
// server (messenger/client.h).
#include <doctest/doctest.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "integration/subscribe.h"
#include "messenger/server.h"
#include "messenger/testing.h"
#include "support/no_retry.h"
#include "support/recorder.h"
#include "support/sanitized.h"
#include "support/temporary_directory.h"
#include "support/test_log.h"

namespace messenger::test::client_resend_test {
namespace {

using std::chrono::milliseconds;
using testing::TestServer;

constexpr RetryOptions kSoon = {.initial_backoff = milliseconds(1),
                                .max_backoff = milliseconds(20)};
constexpr std::chrono::seconds kPatience(20);
// Longer than any test.
constexpr RetryOptions kMuchLater = {.initial_backoff = std::chrono::hours(1),
                                     .max_backoff = std::chrono::hours(1)};

// The results of sends, by their number.
class Results {
 public:
  SendCallback Next() {
    const std::size_t index = Add();
    return [this, index](absl::StatusOr<Receipt> result) {
      absl::MutexLock lock(&mu_);
      results_[index] = std::move(result);
      order_.push_back(index);
      changed_.SignalAll();
    };
  }
  std::vector<absl::StatusOr<Receipt>> AwaitAll() {
    absl::MutexLock lock(&mu_);
    CHECK(Await(mu_, changed_, [&] {
      mu_.AssertHeld();
      return order_.size() >= results_.size();
    }));
    return results_;
  }
  // In which they came.
  std::vector<std::size_t> order() {
    absl::MutexLock lock(&mu_);
    return order_;
  }

 private:
  std::size_t Add() {
    absl::MutexLock lock(&mu_);
    results_.emplace_back(absl::UnknownError("no result"));
    return results_.size() - 1;
  }

  absl::Mutex mu_;
  absl::CondVar changed_;
  std::vector<absl::StatusOr<Receipt>> results_ ABSL_GUARDED_BY(mu_);
  std::vector<std::size_t> order_ ABSL_GUARDED_BY(mu_);
};

TEST_CASE(
    "what is sent while the server comes and goes is stored once and in "
    "order, in every channel") {
  const auto server = TestServer::Start().value();
  Client client = server->Connect({.retry = kSoon});
  Results results;
  std::map<std::string, std::vector<std::string>> sent;
  int number = 0;
  for (int life = 0; life < 12; ++life) {
    for (int i = 0; i < 500; ++i) {
      const std::string channel = "c" + std::to_string(number % 5);
      const std::string text = std::to_string(number++);
      client.SendAsync({.channel = channel, .text = text}, results.Next());
      sent[channel].push_back(text);
      // At another place each time.
      if (i == 40 * life) {
        if (life % 3 == 0) server->proxy().ResetConnections();
        if (life % 3 == 1) server->Kill();
        if (life % 3 == 2) server->Stop();
      }
    }
    if (life % 3 != 0) REQUIRE(server->Restart().ok());
  }
  CHECK(client.Flush() == absl::OkStatus());
  std::map<std::string, std::uint64_t> last;
  const auto received = results.AwaitAll();
  for (std::size_t i = 0; i < received.size(); ++i) {
    REQUIRE(received[i].ok());
    CHECK(received[i]->position.sequence ==
          ++last["c" + std::to_string(i % 5)]);
  }
  for (const auto& [channel, texts] : sent) {
    CHECK(StoredTexts(*server, channel) == texts);
  }
}

TEST_CASE("a producer of the caller's own is stored once, through any client") {
  const TemporaryDirectory directory;
  const std::string log = "file:" + directory.path() + "/log";
  constexpr ProducerId kProducer = {1, 2, 3};
  auto server = *Server::Start(
      {.listen = "127.0.0.1:0", .open_log = [&] { return OpenLog(log); }});
  const std::string address = server->address();
  Client first = Client::Connect({.target = address});
  const NewMessage one = {.channel = "outbox",
                          .author = "ann",
                          .text = "1",
                          .attributes = {{.name = "a", .value = "b"}}};
  const auto receipt = first.SendAs(kProducer, 1, one);
  REQUIRE(receipt.ok());
  CHECK_FALSE(receipt->duplicate);

  server.reset();
  const auto late = first.SendAs(kProducer, 2, {.channel = "outbox"},
                                 {.timeout = milliseconds(50)});
  CHECK(absl::IsDeadlineExceeded(late.status()));
  CHECK_FALSE(MayBeStored(late.status()));

  server = *Server::Start(
      {.listen = address, .open_log = [&] { return OpenLog(log); }});
  Client second = Client::Connect({.target = address});
  const auto again = second.SendAs(kProducer, 1, one);
  REQUIRE(again.ok());
  CHECK(again->duplicate);
  CHECK(again->position == receipt->position);
  CHECK(again->send_time == receipt->send_time);

  // Another message with its number, a hole, and what is no producer.
  for (const auto& [number, text] :
       {std::pair<std::uint64_t, const char*>(1, "2"), {3, "3"}}) {
    const auto refused =
        second.SendAs(kProducer, number, {.channel = "outbox", .text = text});
    CHECK(absl::IsFailedPrecondition(refused.status()));
    CHECK_FALSE(MayBeStored(refused.status()));
  }
  CHECK(absl::IsInvalidArgument(second.SendAs(kProducer, 0, one).status()));
  CHECK(absl::IsInvalidArgument(second.SendAs({}, 1, one).status()));
  CHECK(absl::IsInvalidArgument(
      second.SendAs(kProducer, 2, {.channel = "no/name"}).status()));
  const auto next = second.SendAs(kProducer, 2, {.channel = "outbox"});
  REQUIRE(next.ok());
  CHECK_FALSE(next->duplicate);
  CHECK(next->position.sequence == 2);
  CHECK(second.GetChannel("outbox")->head == 2);
}

TEST_CASE("results come in the order of the sends, also after a break") {
  const auto server = TestServer::Start().value();
  Client client = server->Connect({.retry = kSoon});
  Results results;
  for (int i = 0; i < 3000; ++i) {
    client.SendAsync({.text = "x"}, results.Next());
    if (i % 1000 == 500) server->proxy().ResetConnections();
  }
  CHECK(client.Flush() == absl::OkStatus());
  results.AwaitAll();
  const std::vector<std::size_t> order = results.order();
  for (std::size_t i = 0; i < order.size(); ++i) CHECK(order[i] == i);
}

TEST_CASE("what a lost log had not acknowledged is stored in the new one") {
  const auto server = TestServer::Start().value();
  Client client = server->Connect({.retry = kSoon});
  REQUIRE(client.Send({.text = "lost"}).ok());
  REQUIRE(client.Send({.channel = "other", .text = "lost"}).ok());
  server->Kill();
  Results results;
  for (int i = 1; i <= 3; ++i) {
    client.SendAsync({.text = std::to_string(i)}, results.Next());
    client.SendAsync({.channel = "other", .text = std::to_string(i)},
                     results.Next());
  }
  REQUIRE(server->RestartWithNewLog().ok());
  for (const auto& result : results.AwaitAll()) CHECK(result.ok());
  const std::vector<std::string> expected = {"1", "2", "3"};
  CHECK(StoredTexts(*server, "general") == expected);
  CHECK(StoredTexts(*server, "other") == expected);
}

TEST_CASE("a message whose time is up before it was sent is not sent") {
  const auto server = TestServer::Start().value();
  REQUIRE(server->LocalClient().Send({.text = "1"}).ok());
  server->Kill();
  // Without a connection that it does not know yet to be dead.
  Client client =
      server->Connect({.retry = kSoon, .send_timeout = milliseconds(50)});
  Results results;
  client.SendAsync({.text = "2"}, results.Next());
  client.SendAsync({.text = "3"}, results.Next(), {.timeout = milliseconds(0)});
  const absl::Status send = client.Send({.text = "4"}).status();
  CHECK(absl::IsDeadlineExceeded(send));
  CHECK_FALSE(MayBeStored(send));
  REQUIRE(server->Restart().ok());
  const auto received = results.AwaitAll();
  CHECK(absl::IsDeadlineExceeded(received[0].status()));
  CHECK_FALSE(MayBeStored(received[0].status()));
  CHECK(received[1].ok());
  CHECK(StoredTexts(*server, "general") == std::vector<std::string>{"1", "3"});
}

TEST_CASE("a message whose time is up on its way is sent all the same") {
  const auto log = std::make_shared<TestLog>();
  const auto server = TestServer::Start({.log = log}).value();
  Client client = server->Connect({.retry = kSoon});
  REQUIRE(client.Send({.text = "1"}).ok());
  log->Hold();
  Results results;
  client.SendAsync({.text = "2"}, results.Next(),
                   {.timeout = milliseconds(30)});
  REQUIRE(log->AwaitPending(1));
  client.SendAsync({.text = "3"}, results.Next(), {.timeout = milliseconds(0)});
  // The other one waits on.
  const absl::Status flushed = client.Flush(milliseconds(100));
  CHECK(absl::IsDeadlineExceeded(flushed));
  log->Release();
  const auto received = results.AwaitAll();
  CHECK(absl::IsDeadlineExceeded(received[0].status()));
  CHECK(MayBeStored(received[0].status()));
  CHECK(received[1]->position.sequence == 3);
  CHECK(StoredTexts(*server, "general") ==
        std::vector<std::string>{"1", "2", "3"});
  CHECK(absl::IsDeadlineExceeded(client.Flush()));
}

TEST_CASE("a full window blocks until the timeout, or refuses") {
  const auto log = std::make_shared<TestLog>();
  const auto server = TestServer::Start({.log = log}).value();
  ClientOptions options = {.max_in_flight_messages = 2};
  log->Hold();
  const auto fill = [&](Client& client, Results& results) {
    client.SendAsync({.text = "1"}, results.Next());
    client.SendAsync({.text = "2"}, results.Next());
  };
  Results results;
  absl::Status refused;
  SUBCASE("blocks") {
    Client client = server->Connect(options);
    fill(client, results);
    refused =
        client.Send({.text = "3"}, {.timeout = milliseconds(20)}).status();
    CHECK(absl::IsDeadlineExceeded(refused));
    log->Release();
    CHECK(client.Flush() == absl::OkStatus());
  }
  SUBCASE("refuses") {
    options.when_full = WhenFull::kRefuse;
    Client client = server->Connect(options);
    fill(client, results);
    refused = client.Send({.text = "3"}).status();
    CHECK(absl::IsResourceExhausted(refused));
    log->Release();
    CHECK(client.Flush() == absl::OkStatus());
    // There is room when the callbacks have returned.
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    absl::StatusOr<Receipt> sent = client.Send({.text = "3"});
    while (absl::IsResourceExhausted(sent.status()) &&
           std::chrono::steady_clock::now() < deadline) {
      sent = client.Send({.text = "3"});
    }
    CHECK(sent.ok());
  }
  CHECK(std::string(refused.message()).find("window of 2 messages") !=
        std::string::npos);
  CHECK_FALSE(MayBeStored(refused));
}

TEST_CASE("sending gives up when it is told to") {
  const auto server = TestServer::Start().value();
  Client client =
      server->Connect({.retry = {.initial_backoff = milliseconds(1),
                                 .max_backoff = milliseconds(5),
                                 .give_up_after = milliseconds(50)}});
  REQUIRE(client.Send({.text = "1"}).ok());
  server->Kill();
  const absl::Status failed = client.Send({.text = "2"}).status();
  CHECK(absl::IsUnavailable(failed));
  REQUIRE(server->Restart().ok());
  CHECK(client.Send({.text = "3"}).ok());
}

TEST_CASE("a disk that takes no messages for a while is waited for") {
  const auto log = std::make_shared<TestLog>();
  const auto server = TestServer::Start({.log = log}).value();
  Client client = server->Connect({.retry = kSoon});
  REQUIRE(client.Send({.text = "1"}).ok());
  log->FailNextAppend(absl::UnavailableError("the disk is full"));
  CHECK(client.Send({.text = "2"})->position.sequence == 2);
  Client impatient = server->Connect({.retry = kNoRetry});
  log->FailNextAppend(absl::UnavailableError("the disk is full"));
  const absl::Status refused = impatient.Send({.text = "3"}).status();
  CHECK(absl::IsUnavailable(refused));
  CHECK(refused.message() ==
        server->target() +
            ": the disk is full; the message may be stored all the same");
  CHECK(MayBeStored(refused));
}

// ---------------------------------------------------------------------------
// The end of a client

// Destroys it, which must not take long.
void DestroyPromptly(std::unique_ptr<Client> client) {
  const auto start = std::chrono::steady_clock::now();
  client.reset();
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
}

TEST_CASE("a client ends promptly whatever it waits for" *
          doctest::test_suite("subscriptions")) {
  const auto log = std::make_shared<TestLog>();
  const auto server = TestServer::Start({.log = log}).value();
  Recorder recorder;
  Results results;
  const ClientOptions options =
      AsTested({.retry = kMuchLater, .max_in_flight_messages = 10});
  const auto use = [&](Client& client) {
    for (int i = 0; i < 10; ++i) {
      client.SendAsync({.text = "x"}, results.Next());
    }
    return Subscribe(client, {}, recorder.Callbacks());
  };
  std::unique_ptr<Client> client;
  Reading subscription;
  SUBCASE("for nothing") {
    client = std::make_unique<Client>(server->Connect(options));
  }
  SUBCASE("for a connection") {
    server->proxy().Set({.stall_to_server = true, .stall_to_client = true});
    client = std::make_unique<Client>(server->Connect(options));
    subscription = use(*client);
    REQUIRE(server->proxy().Await(
        [](const testing::FaultProxy::Counters& c) { return c.open > 0; },
        kPatience));
  }
  SUBCASE("for the next try") {
    server->Kill();
    client = std::make_unique<Client>(server->Connect(options));
    subscription = use(*client);
    REQUIRE(recorder.AwaitEvents([](const Recorder::Events& events) {
      return !events.states.empty() &&
             events.states.back().kind == SubscriptionState::Kind::kWaiting;
    }));
  }
  SUBCASE("for room in the window") {
    log->Hold();
    client = std::make_unique<Client>(server->Connect(options));
    subscription = use(*client);
    REQUIRE(log->AwaitPending(1));
  }
  SUBCASE("for messages") {
    client = std::make_unique<Client>(server->Connect(options));
    subscription = use(*client);
    REQUIRE(recorder.AwaitCaughtUp());
  }
  DestroyPromptly(std::move(client));
  for (const auto& result : results.AwaitAll()) {
    CHECK((result.ok() || absl::IsCancelled(result.status())));
  }
  log->Release();
}

// Companions would be waited for each time that nobody answers.
TEST_CASE("clients come and go by the thousand, in every state" *
          doctest::skip(WithCompanions()) *
          doctest::test_suite("subscriptions")) {
  constexpr int kClients = kSanitized ? 10'000 : 1'000;
  const auto server = TestServer::Start().value();
  for (int i = 0; i < kClients; ++i) {
    if (i % 50 == 10) server->proxy().Set({.refuse_connections = true});
    if (i % 50 == 20) server->proxy().Set({.stall_to_client = true});
    if (i % 50 == 30) server->proxy().Set({});
    Client client = server->Connect(AsTested({.retry = kSoon}));
    if (i % 2 == 0) client.SendAsync({.text = "x"});
    const Reading subscription = Subscribe(client, {}, {});
    if (i % 50 > 30 && i % 3 == 0) client.Flush().IgnoreError();
    if (i % 5 == 0) subscription.Cancel();
  }
  server->proxy().Set({});
  CHECK(server->Connect().Send({.text = "still there"}).ok());
}

}  // namespace
}  // namespace messenger::test::client_resend_test
