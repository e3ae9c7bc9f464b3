// The contract of Client::Read and its callbacks (messenger/client.h).
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "integration/subscribe.h"
#include "messenger/server.h"
#include "support/no_retry.h"
#include "support/recorder.h"

namespace messenger::test::client_read_test {
namespace {

TEST_SUITE_BEGIN("subscriptions");

struct Fixture {
  Fixture() : server(*Server::Start({.listen = "127.0.0.1:0"})) {}

  Client Connect() {
    return Client::Connect(AsTested({.target = server->address()}));
  }

  // Sends texts "<prefix>1" to "<prefix>N" and waits for their receipts.
  static void SendMany(Client& client, const std::string& prefix, int count) {
    for (int i = 1; i <= count; ++i) {
      client.SendAsync({.text = prefix + std::to_string(i)});
    }
    CHECK(client.Flush() == absl::OkStatus());
  }

  std::unique_ptr<Server> server;
};

TEST_CASE_FIXTURE(Fixture,
                  "a subscription with companions shares their stream" *
                      doctest::skip(!WithCompanions())) {
  Client client = Connect();
  SendMany(client, "m", 10);
  const Shares before = SharesSoFar();
  {
    Recorder recorder;
    std::size_t backlog = 0;
    Reading subscription;
    SUBCASE("from new messages on") {
      subscription = Subscribe(client, {}, recorder.Callbacks());
    }
    SUBCASE("from the earliest on, once it has caught up") {
      backlog = 10;
      subscription =
          Subscribe(client, {.start = Start::Earliest()}, recorder.Callbacks());
    }
    REQUIRE(recorder.AwaitCaughtUp());
    REQUIRE(AwaitReaders(client, "general", 1));
    SendMany(client, "n", 100);
    REQUIRE(recorder.AwaitMessages(backlog + 100));
  }
  CHECK(SharesSoFar().shared == before.shared + 100);
}

TEST_CASE_FIXTURE(Fixture, "a message sent is a message read") {
  Client client = Connect();
  Recorder recorder;
  const Reading subscription = Subscribe(client, {}, recorder.Callbacks());
  REQUIRE(recorder.AwaitJoined());
  const auto receipt = client.Send({.author = "ann",
                                    .text = "hello",
                                    .attributes = {{"k", "v"}, {"k", ""}}});
  REQUIRE(receipt.ok());
  REQUIRE(recorder.AwaitMessages(1));
  const OwnedMessage message = recorder.events().messages[0];
  CHECK(message.channel == "general");
  CHECK(message.author == "ann");
  CHECK(message.text == "hello");
  CHECK(message.attributes == std::vector<std::pair<std::string, std::string>>{
                                  {"k", "v"}, {"k", ""}});
  CHECK(message.sequence == receipt->position.sequence);
  CHECK(message.epoch == receipt->position.epoch);
  CHECK(message.send_time == receipt->send_time);
  CHECK(message.producer_sequence == 1);
  CHECK(message.producer_id != ProducerId{});
}

TEST_CASE_FIXTURE(Fixture, "a late reader gets only what is sent after it") {
  Client client = Connect();
  SendMany(client, "early ", 3);
  Recorder recorder;
  const Reading subscription = Subscribe(client, {}, recorder.Callbacks());
  REQUIRE(recorder.AwaitJoined());
  CHECK(recorder.events().joined->head == 3);
  CHECK(recorder.events().joined->next_sequence == 4);
  SendMany(client, "late ", 2);
  REQUIRE(recorder.AwaitMessages(2));
  CHECK(recorder.events().texts() ==
        std::vector<std::string>{"late 1", "late 2"});
}

TEST_CASE_FIXTURE(Fixture, "two readers get the same messages in one order") {
  Client reading = Connect();
  Recorder a;
  Recorder b;
  const Reading first = Subscribe(reading, {}, a.Callbacks());
  const Reading second = Subscribe(reading, {}, b.Callbacks());
  REQUIRE(a.AwaitJoined());
  REQUIRE(b.AwaitJoined());
  std::vector<std::thread> senders;
  for (int i = 0; i < 3; ++i) {
    senders.emplace_back([this, i] {
      Client client = Connect();
      SendMany(client, std::to_string(i) + ":", 500);
    });
  }
  for (std::thread& sender : senders) sender.join();
  REQUIRE(a.AwaitMessages(1500));
  REQUIRE(b.AwaitMessages(1500));
  CHECK(a.events().texts() == b.events().texts());
  CHECK(a.events().sequences().back() == 1500);
}

TEST_CASE_FIXTURE(Fixture, "each start kind starts where it says") {
  Client client = Connect();
  SendMany(client, "m", 10);
  const auto read = [&](const Start& start) {
    Recorder recorder;
    const Reading subscription =
        Subscribe(client, {.start = start, .until_caught_up = true},
                  recorder.Callbacks());
    CHECK(subscription.Wait() == absl::OkStatus());
    return recorder.events().sequences();
  };
  using Sequences = std::vector<std::uint64_t>;
  CHECK(read(Start::NewOnly()).empty());
  CHECK(read(Start::Earliest()).size() == 10);
  CHECK(read(Start::At(9)) == Sequences{9, 10});
  CHECK(read(Start::Last(3)) == Sequences{8, 9, 10});
  CHECK(read(Start::Since(Timestamp())).size() == 10);
  const auto info = client.GetChannel("");
  REQUIRE(info.ok());
  CHECK(read(Start::After({info->epoch, 8})) == Sequences{9, 10});
}

TEST_CASE_FIXTURE(Fixture,
                  "callbacks of a subscription run one at a time, on "
                  "the client's threads") {
  Client client = Connect();
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  absl::Mutex mu;
  std::set<std::thread::id> threads;
  std::atomic<int> count = 0;
  ReadCallbacks callbacks;
  const auto enter = [&] {
    most = std::max<int>(most, ++running);
    absl::MutexLock lock(&mu);
    threads.insert(std::this_thread::get_id());
  };
  absl::Notification joined;
  callbacks.on_joined = [&](const Joined&) {
    enter();
    --running;
    joined.Notify();
  };
  callbacks.on_message = [&](const Message&) {
    enter();
    std::this_thread::yield();
    --running;
    ++count;
  };
  callbacks.on_end = [&](const absl::Status&) {
    enter();
    --running;
  };
  const Reading subscription =
      Subscribe(client, {.limit = 2000}, std::move(callbacks));
  REQUIRE(joined.WaitForNotificationWithTimeout(kDeadline));
  SendMany(client, "m", 2000);
  CHECK(subscription.Wait() == absl::OkStatus());
  CHECK(count == 2000);
  CHECK(most == 1);
  CHECK(threads.size() <= 2);  // ClientOptions::callback_threads
  CHECK(threads.count(std::this_thread::get_id()) == 0);
}

TEST_CASE_FIXTURE(Fixture,
                  "a callback that blocks holds back its stream and "
                  "nothing else") {
  Client client = Connect();
  Recorder other;
  absl::Notification blocked;
  absl::Notification unblock;
  std::atomic<std::uint64_t> last = 0;
  ReadCallbacks callbacks;
  callbacks.on_message = [&](const Message& message) {
    if (last == 0) {
      blocked.Notify();
      unblock.WaitForNotification();
    }
    CHECK(message.sequence == last + 1);
    last = message.sequence;
  };
  const Reading slow =
      Subscribe(client, {.start = Start::Earliest(), .limit = 5001},
                std::move(callbacks));
  const Reading fast =
      Subscribe(client, {.start = Start::Earliest()}, other.Callbacks());
  REQUIRE(client.Send({.text = "first"}).ok());
  REQUIRE(blocked.WaitForNotificationWithTimeout(kDeadline));
  SendMany(client, std::string(1000, 'x'), 5000);
  CHECK(other.AwaitMessages(5001));
  CHECK(last == 0);
  unblock.Notify();
  CHECK(slow.Wait() == absl::OkStatus());
  CHECK(last == 5001);
}

TEST_CASE_FIXTURE(Fixture, "on_end is called once, with the reason") {
  Client client = Connect();
  SendMany(client, "m", 5);
  Recorder recorder;
  SUBCASE("OK after the limit") {
    const Reading subscription = Subscribe(
        client, {.start = Start::Earliest(), .limit = 3}, recorder.Callbacks());
    CHECK(subscription.Wait() == absl::OkStatus());
    CHECK(recorder.events().sequences() == std::vector<std::uint64_t>{1, 2, 3});
  }
  SUBCASE("OK when caught up") {
    const Reading subscription =
        Subscribe(client, {.start = Start::Earliest(), .until_caught_up = true},
                  recorder.Callbacks());
    CHECK(subscription.Wait() == absl::OkStatus());
    CHECK(recorder.events().messages.size() == 5);
    CHECK(recorder.events().caught_up == std::vector<std::uint64_t>{5});
  }
  SUBCASE("CANCELLED after Cancel") {
    const Reading subscription = Subscribe(client, {}, recorder.Callbacks());
    REQUIRE(recorder.AwaitJoined());
    subscription.Cancel();
    REQUIRE(recorder.events().ends.size() == 1);
    CHECK(absl::IsCancelled(recorder.events().ends[0]));
    subscription.Cancel();
  }
  SUBCASE("CANCELLED before anything happened") {
    { const Reading unused = Subscribe(client, {}, recorder.Callbacks()); }
    REQUIRE(recorder.events().ends.size() == 1);
    CHECK(absl::IsCancelled(recorder.events().ends[0]));
  }
  SUBCASE("CANCELLED by the end of the client") {
    std::optional<Client> another = Connect();
    const Reading subscription = Subscribe(*another, {}, recorder.Callbacks());
    REQUIRE(recorder.AwaitJoined());
    another.reset();
    REQUIRE(recorder.events().ends.size() == 1);
    CHECK(absl::IsCancelled(recorder.events().ends[0]));
    CHECK(absl::IsCancelled(subscription.Wait()));
  }
  SUBCASE("UNAVAILABLE when the server shuts down, and that is to be the end") {
    Client impatient = Client::Connect(
        AsTested({.target = server->address(), .retry = kNoRetry}));
    const Reading subscription = Subscribe(impatient, {}, recorder.Callbacks());
    REQUIRE(recorder.AwaitJoined());
    server->Shutdown();
    CHECK(absl::IsUnavailable(subscription.Wait()));
  }
  SUBCASE("the error of options that break a rule") {
    const Reading subscription =
        Subscribe(client, {.channel = "no spaces"}, recorder.Callbacks());
    CHECK(absl::IsInvalidArgument(subscription.Wait()));
    const Reading limited = Subscribe(client, {.limit = 0}, {});
    CHECK(absl::IsInvalidArgument(limited.Wait()));
  }
  SUBCASE("the server's error") {
    const Reading subscription =
        Subscribe(client, {.start = Start::At(7)}, recorder.Callbacks());
    CHECK(absl::IsOutOfRange(subscription.Wait()));
  }
  SUBCASE("UNAVAILABLE when there is no server, and that is to be the end") {
    Client nowhere =
        Client::Connect(AsTested({.target = "127.0.0.1:1", .retry = kNoRetry}));
    const Reading subscription = Subscribe(nowhere, {}, recorder.Callbacks());
    CHECK(absl::IsUnavailable(subscription.Wait()));
  }
  REQUIRE(recorder.AwaitEnd());
  CHECK(recorder.events().ends.size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "no callback runs once Cancel has returned") {
  Client client = Connect();
  std::atomic<bool> stop = false;
  std::thread sender([&] {
    while (!stop) SendMany(client, "m", 50);
  });
  const int rounds = WithCompanions() ? 40 : 100;
  for (int round = 0; round < rounds; ++round) {
    std::atomic<bool> cancelled = false;
    std::atomic<int> after_cancel = 0;
    std::atomic<int> ends = 0;
    const auto note = [&] {
      if (cancelled) ++after_cancel;
    };
    ReadCallbacks callbacks;
    callbacks.on_joined = [&](const Joined&) { note(); };
    callbacks.on_message = [&](const Message&) { note(); };
    callbacks.on_caught_up = [&](std::uint64_t) { note(); };
    callbacks.on_end = [&](const absl::Status&) {
      note();
      ++ends;
    };
    const Reading subscription = Subscribe(
        client,
        {.start = round % 2 == 0 ? Start::Earliest() : Start::NewOnly()},
        std::move(callbacks));
    // Another moment each time. However long a yield takes on a busy machine.
    const auto moment = std::chrono::steady_clock::now() +
                        std::chrono::microseconds(20 * round);
    while (std::chrono::steady_clock::now() < moment) {
      std::this_thread::yield();
    }
    subscription.Cancel();
    cancelled = true;
    CHECK(ends == 1);
    CHECK(after_cancel == 0);
  }
  stop = true;
  sender.join();
}

TEST_CASE_FIXTURE(Fixture, "everything may be called from inside a callback") {
  auto client = std::make_shared<Client>(Connect());
  Client outside = Connect();
  auto subscription = std::make_shared<Reading>();
  Recorder nested;
  absl::Notification ready;
  absl::Notification ended;
  absl::Status end;
  SUBCASE("Send, SendAsync, Flush, Read and the calls") {
    auto inner = std::make_shared<Reading>();
    *subscription = Subscribe(
        *client, {},
        {.on_joined = [&](const Joined&) { ready.Notify(); },
         .on_message =
             [&](const Message& message) {
               if (message.text != "go") return;
               CHECK(client->Send({.text = "a"}).ok());
               client->SendAsync({.text = "b"});
               CHECK(client->Flush() == absl::OkStatus());
               CHECK(client->Ping().ok());
               *inner = Subscribe(*client, {.start = Start::Earliest()},
                                  nested.Callbacks());
               CHECK(absl::IsFailedPrecondition(inner->Wait()));
               ended.Notify();
             }});
    REQUIRE(ready.WaitForNotificationWithTimeout(kDeadline));
    CHECK(outside.Send({.text = "go"}).ok());
    REQUIRE(ended.WaitForNotificationWithTimeout(kDeadline));
    CHECK(nested.AwaitMessages(3));
    inner->Cancel();
  }
  SUBCASE("Cancel") {
    std::atomic<int> messages = 0;
    *subscription =
        Subscribe(*client, {},
                  {.on_joined = [&](const Joined&) { ready.Notify(); },
                   .on_message =
                       [&](const Message&) {
                         ++messages;
                         subscription->Cancel();
                       },
                   .on_end =
                       [&](const absl::Status& status) {
                         end = status;
                         ended.Notify();
                       }});
    REQUIRE(ready.WaitForNotificationWithTimeout(kDeadline));
    SendMany(outside, "m", 10);
    REQUIRE(ended.WaitForNotificationWithTimeout(kDeadline));
    CHECK(absl::IsCancelled(end));
    CHECK(messages == 1);
  }
  SUBCASE("the end of the subscription") {
    *subscription =
        Subscribe(*client, {},
                  {.on_joined = [&](const Joined&) { ready.Notify(); },
                   .on_message = [&](const Message&) { *subscription = {}; },
                   .on_end =
                       [&](const absl::Status& status) {
                         end = status;
                         ended.Notify();
                       }});
    REQUIRE(ready.WaitForNotificationWithTimeout(kDeadline));
    CHECK(outside.Send({.text = "m"}).ok());
    REQUIRE(ended.WaitForNotificationWithTimeout(kDeadline));
    CHECK(absl::IsCancelled(end));
  }
  SUBCASE("the end of the client") {
    *subscription =
        Subscribe(*client, {},
                  {.on_joined = [&](const Joined&) { ready.Notify(); },
                   .on_message = [&](const Message&) { client.reset(); },
                   .on_end =
                       [&](const absl::Status& status) {
                         end = status;
                         ended.Notify();
                       }});
    REQUIRE(ready.WaitForNotificationWithTimeout(kDeadline));
    CHECK(outside.Send({.text = "m"}).ok());
    REQUIRE(ended.WaitForNotificationWithTimeout(kDeadline));
    CHECK(absl::IsCancelled(end));
  }
  SUBCASE("the end of another subscription") {
    // One thread: waiting for the other one's end would wait for ever.
    client = std::make_shared<Client>(Client::Connect(
        AsTested({.target = server->address(), .callback_threads = 1})));
    auto other =
        std::make_shared<Reading>(Subscribe(*client, {}, nested.Callbacks()));
    *subscription =
        Subscribe(*client, {},
                  {.on_joined = [&](const Joined&) { ready.Notify(); },
                   .on_message =
                       [&](const Message&) {
                         *other = {};
                         ended.Notify();
                       }});
    REQUIRE(ready.WaitForNotificationWithTimeout(kDeadline));
    CHECK(outside.Send({.text = "m"}).ok());
    REQUIRE(ended.WaitForNotificationWithTimeout(kDeadline));
    REQUIRE(nested.AwaitEnd());
    CHECK(absl::IsCancelled(nested.events().ends[0]));
  }
  subscription->Cancel();
}

TEST_CASE_FIXTURE(Fixture, "a position resumes right after it") {
  Client client = Connect();
  Recorder first;
  Reading subscription = Subscribe(client, {}, first.Callbacks());
  REQUIRE(first.AwaitJoined());
  std::optional<Position> position = subscription.position();
  REQUIRE(position.has_value());
  CHECK(position->sequence == 0);
  SUBCASE("before the first message") {
    subscription = {};
    SendMany(client, "m", 3);
    Recorder second;
    const Reading resumed = Subscribe(
        client, {.start = Start::After(*position), .until_caught_up = true},
        second.Callbacks());
    CHECK(resumed.Wait() == absl::OkStatus());
    CHECK(second.events().texts() ==
          std::vector<std::string>{"m1", "m2", "m3"});
    CHECK(second.events().gaps.empty());
  }
  SUBCASE("after some messages") {
    SendMany(client, "m", 2);
    REQUIRE(first.AwaitMessages(2));
    subscription.Cancel();
    position = subscription.position();
    REQUIRE(position.has_value());
    CHECK(position->sequence == 2);
    SendMany(client, "n", 2);
    Recorder second;
    const Reading resumed = Subscribe(
        client, {.start = Start::After(*position), .until_caught_up = true},
        second.Callbacks());
    CHECK(resumed.Wait() == absl::OkStatus());
    CHECK(second.events().texts() == std::vector<std::string>{"n1", "n2"});
  }
}

TEST_CASE_FIXTURE(Fixture, "a position of another log begins with a gap") {
  Client client = Connect();
  SendMany(client, "m", 3);
  const auto info = client.GetChannel("general");
  REQUIRE(info.ok());
  const Position foreign = {info->epoch + 1, 70};
  Recorder recorder;
  SUBCASE("by default") {
    const Reading subscription = Subscribe(
        client, {.start = Start::After(foreign), .until_caught_up = true},
        recorder.Callbacks());
    CHECK(subscription.Wait() == absl::OkStatus());
    const Recorder::Events events = recorder.events();
    CHECK(events.gaps == std::vector<Gap>{{71, 1, Gap::Reason::kNewEpoch}});
    CHECK(events.sequences() == std::vector<std::uint64_t>{1, 2, 3});
    CHECK(events.joined->epoch == info->epoch);
  }
  SUBCASE("and is refused if strict") {
    const Reading subscription =
        Subscribe(client, {.start = Start::After(foreign), .strict = true},
                  recorder.Callbacks());
    CHECK(absl::IsOutOfRange(subscription.Wait()));
  }
}

TEST_CASE_FIXTURE(Fixture, "a channel can be read before it exists") {
  Client client = Connect();
  Recorder recorder;
  const Reading subscription =
      Subscribe(client, {.channel = "later"}, recorder.Callbacks());
  REQUIRE(recorder.AwaitCaughtUp());
  CHECK(absl::IsNotFound(client.GetChannel("later").status()));
  REQUIRE(client.Send({.channel = "later", .text = "now"}).ok());
  REQUIRE(recorder.AwaitMessages(1));
  CHECK(AwaitReaders(client, "later", 1));
}

TEST_CASE_FIXTURE(Fixture,
                  "a deleted channel goes on after its last sequence") {
  Client client = Connect();
  SendMany(client, "m", 5);
  Recorder live;
  const Reading subscription =
      Subscribe(client, {.start = Start::Earliest()}, live.Callbacks());
  REQUIRE(live.AwaitMessages(5));
  REQUIRE(client.DeleteChannel("general") == absl::OkStatus());
  CHECK(absl::IsNotFound(client.DeleteChannel("general")));
  CHECK(client.ListChannels()->empty());
  REQUIRE(client.Send({.text = "again"})->position.sequence == 6);
  REQUIRE(live.AwaitMessages(6));
  CHECK(live.events().gaps.empty());
  Recorder late;
  const Reading reread =
      Subscribe(client, {.start = Start::At(2), .until_caught_up = true},
                late.Callbacks());
  CHECK(reread.Wait() == absl::OkStatus());
  CHECK(late.events().gaps == std::vector<Gap>{{2, 6, Gap::Reason::kDeleted}});
  CHECK(late.events().sequences() == std::vector<std::uint64_t>{6});
}

TEST_SUITE_END();

}  // namespace
}  // namespace messenger::test::client_read_test
