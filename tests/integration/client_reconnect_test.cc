// Subscriptions that come back (messenger/client.h).
#include <doctest/doctest.h>

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "integration/subscribe.h"
#include "messenger/server.h"
#include "messenger/testing.h"
#include "support/recorder.h"

namespace messenger::test::client_reconnect_test {
namespace {

TEST_SUITE_BEGIN("subscriptions");

using std::chrono::milliseconds;
using Kind = SubscriptionState::Kind;

constexpr RetryOptions kSoon = {.initial_backoff = milliseconds(1),
                                .max_backoff = milliseconds(20)};

// A server that can go and come back under the same address.
class Fixture {
 public:
  Client Connect() {
    return Client::Connect(AsTested({.target = address_, .retry = kSoon}));
  }

  void Stop() {
    server_->Shutdown(milliseconds(100));
    server_.reset();
  }
  void Start() { server_ = Serve(address_); }
  void Restart() {
    Stop();
    Start();
  }
  // As after the loss of a disk.
  void RestartWithAnotherLog() {
    Stop();
    log_ = *OpenLog("memory:");
    Start();
  }

  void SendMany(int count) {
    Client client = server_->LocalClient();
    for (int i = 0; i < count; ++i) client.SendAsync({.text = "x"});
    CHECK(client.Flush() == absl::OkStatus());
  }

  std::uint64_t epoch() const { return epoch_of(*server_); }

 protected:
  std::unique_ptr<Server> Serve(const std::string& address) {
    auto server = Server::Start(
        {.listen = address,
         .log = log_,
         .service = {.min_heartbeat_interval = milliseconds(20)}});
    REQUIRE(server.ok());
    return *std::move(server);
  }
  static std::uint64_t epoch_of(Server& server) {
    const auto channels = server.LocalClient().ListChannels();
    REQUIRE(channels.ok());
    return channels->at(0).epoch;
  }

  std::shared_ptr<MessageLog> log_ = *OpenLog("memory:");
  std::unique_ptr<Server> server_ = Serve("127.0.0.1:0");
  std::string address_ = server_->address();
};

std::vector<std::uint64_t> UpTo(std::uint64_t last) {
  std::vector<std::uint64_t> sequences;
  for (std::uint64_t i = 1; i <= last; ++i) sequences.push_back(i);
  return sequences;
}

TEST_CASE_FIXTURE(Fixture,
                  "a subscription goes on after each restart of the server, "
                  "without a hole and without a repetition") {
  Client client = Connect();
  Recorder recorder;
  const Reading subscription = Subscribe(client, {}, recorder.Callbacks());
  REQUIRE(recorder.AwaitJoined());
  std::uint64_t sent = 0;
  for (int round = 0; round < 10; ++round) {
    SendMany(100);
    sent += 100;
    // Sometimes it has read them all, sometimes not.
    if (round % 2 == 0) REQUIRE(recorder.AwaitMessages(sent));
    Restart();
  }
  REQUIRE(recorder.AwaitMessages(sent));
  subscription.Cancel();
  const Recorder::Events events = recorder.events();
  CHECK(events.sequences() == UpTo(sent));
  CHECK(events.gaps.empty());
  REQUIRE(events.ends.size() == 1);
  CHECK(absl::IsCancelled(events.ends[0]));
}

TEST_CASE_FIXTURE(Fixture,
                  "a subscription tells its state: why it waits, and until "
                  "when") {
  Client client = Connect();
  Recorder recorder;
  const Reading subscription = Subscribe(client, {}, recorder.Callbacks());
  const auto await = [&](Kind kind) {
    return recorder.AwaitEvents([kind](const Recorder::Events& events) {
      return !events.states.empty() && events.states.back().kind == kind;
    });
  };
  REQUIRE(await(Kind::kCaughtUp));
  CHECK(subscription.state().kind == Kind::kCaughtUp);
  const auto before = std::chrono::steady_clock::now();
  Stop();
  REQUIRE(recorder.AwaitEvents([](const Recorder::Events& events) {
    return events.states.back().failed_tries >= 3;
  }));
  Start();
  REQUIRE(await(Kind::kCaughtUp));
  subscription.Cancel();
  CHECK(subscription.state().kind == Kind::kEnded);
  CHECK(absl::IsCancelled(subscription.state().reason));

  std::vector<Kind> kinds;
  int tries = 0;
  for (const SubscriptionState& state : recorder.events().states) {
    if (state.kind == Kind::kWaiting) {
      CHECK(absl::IsUnavailable(state.reason));
      CHECK(state.next_try >= before);
      CHECK(state.failed_tries == ++tries);
    }
    if (state.kind == Kind::kJoined || state.kind == Kind::kCaughtUp) {
      REQUIRE(state.joined.has_value());
      CHECK(state.joined->next_sequence == 1);
      CHECK(state.failed_tries == 0);
    }
    // Once each, though it has tried several times.
    const bool again = kinds.size() >= 2 && kinds.end()[-2] == state.kind;
    if (again && kinds.size() > 4 && state.kind != Kind::kJoined) {
      kinds.pop_back();
    } else {
      kinds.push_back(state.kind);
    }
  }
  CHECK(kinds == std::vector<Kind>{Kind::kConnecting, Kind::kJoined,
                                   Kind::kCaughtUp, Kind::kWaiting,
                                   Kind::kConnecting, Kind::kJoined,
                                   Kind::kCaughtUp, Kind::kEnded});
}

TEST_CASE_FIXTURE(Fixture, "a subscription can begin before its server") {
  Stop();
  Client client = Connect();
  Recorder recorder;
  const Reading subscription =
      Subscribe(client, {.start = Start::Earliest()}, recorder.Callbacks());
  REQUIRE(recorder.AwaitEvents([](const Recorder::Events& events) {
    return !events.states.empty() &&
           events.states.back().kind == Kind::kWaiting;
  }));
  Start();
  SendMany(3);
  REQUIRE(recorder.AwaitMessages(3));
  CHECK(recorder.events().joins == 1);
}

TEST_CASE_FIXTURE(Fixture, "on_joined is called once, however often it joins") {
  Client client = Connect();
  Recorder recorder;
  const Reading subscription = Subscribe(client, {}, recorder.Callbacks());
  REQUIRE(recorder.AwaitCaughtUp());
  Restart();
  REQUIRE(recorder.AwaitEvents([](const Recorder::Events& events) {
    return events.caught_up.size() == 2;
  }));
  CHECK(recorder.events().joins == 1);
}

TEST_CASE_FIXTURE(Fixture, "a limit counts over all connections") {
  SendMany(10);
  Client client = Connect();
  Recorder recorder;
  absl::Notification reached;
  absl::Notification go_on;
  ReadCallbacks callbacks = recorder.Callbacks();
  callbacks.on_message = [&, record = std::move(callbacks.on_message)](
                             const Message& message) mutable {
    record(message);
    if (message.sequence != 10) return;
    reached.Notify();
    go_on.WaitForNotification();
  };
  const Reading subscription = Subscribe(
      client, {.start = Start::At(4), .limit = 12}, std::move(callbacks));
  REQUIRE(reached.WaitForNotificationWithTimeout(kDeadline));
  Restart();
  go_on.Notify();
  SendMany(20);
  CHECK(subscription.Wait() == absl::OkStatus());
  CHECK(recorder.events().messages.size() == 12);
  CHECK(recorder.events().messages.back().sequence == 15);
}

TEST_CASE_FIXTURE(Fixture,
                  "until_caught_up ends with what was there when it joined "
                  "first") {
  const std::string large(100'000, 'x');
  {
    Client sender = Connect();
    for (int i = 0; i < 100; ++i) sender.SendAsync({.text = large});
    CHECK(sender.Flush() == absl::OkStatus());
  }
  Client client = Connect();
  Recorder recorder;
  absl::Notification reached;
  absl::Notification go_on;
  ReadCallbacks callbacks = recorder.Callbacks();
  callbacks.on_message = [&, record = std::move(callbacks.on_message)](
                             const Message& message) mutable {
    record(message);
    if (message.sequence != 1) return;
    reached.Notify();
    go_on.WaitForNotification();
  };
  const Reading subscription =
      Subscribe(client, {.start = Start::Earliest(), .until_caught_up = true},
                std::move(callbacks));
  REQUIRE(reached.WaitForNotificationWithTimeout(kDeadline));
  Restart();
  SendMany(50);
  go_on.Notify();
  CHECK(subscription.Wait() == absl::OkStatus());
  CHECK(recorder.events().sequences() == UpTo(100));
}

TEST_CASE_FIXTURE(Fixture, "another log is told of with a gap") {
  SendMany(5);
  const std::uint64_t old_epoch = epoch();
  Client client = Connect();
  Recorder recorder;
  std::optional<Position> at_gap;
  std::optional<Joined> joined_at_gap;
  auto subscription = std::make_shared<Reading>();
  absl::Notification assigned;
  ReadCallbacks callbacks = recorder.Callbacks();
  callbacks.on_gap =
      [&, record = std::move(callbacks.on_gap)](const Gap& gap) mutable {
        assigned.WaitForNotification();
        at_gap = subscription->position();
        joined_at_gap = subscription->state().joined;
        record(gap);
      };
  *subscription =
      Subscribe(client, {.start = Start::Earliest()}, std::move(callbacks));
  assigned.Notify();
  REQUIRE(recorder.AwaitMessages(5));
  RestartWithAnotherLog();
  SendMany(3);
  REQUIRE(recorder.AwaitMessages(8));
  subscription->Cancel();
  CHECK(recorder.events().gaps ==
        std::vector<Gap>{{6, 1, Gap::Reason::kNewEpoch}});
  CHECK(recorder.events().sequences() ==
        std::vector<std::uint64_t>{1, 2, 3, 4, 5, 1, 2, 3});
  CHECK(at_gap == Position{old_epoch, 5});
  REQUIRE(joined_at_gap.has_value());
  CHECK(joined_at_gap->epoch == epoch());
  CHECK(subscription->position() == Position{epoch(), 3});
}

TEST_CASE_FIXTURE(Fixture, "a strict reader ends where others get a gap") {
  SendMany(5);
  Client client = Connect();
  Recorder recorder;
  const Reading subscription =
      Subscribe(client, {.start = Start::Earliest(), .strict = true},
                recorder.Callbacks());
  REQUIRE(recorder.AwaitMessages(5));
  SUBCASE("in another log") {
    RestartWithAnotherLog();
    SendMany(3);
  }
  SUBCASE("behind what has been deleted while it was away") {
    Stop();
    {
      const auto other = Serve("127.0.0.1:0");
      Client local = other->LocalClient();
      REQUIRE(local.Send({.text = "6"}).ok());
      REQUIRE(local.DeleteChannel("general") == absl::OkStatus());
    }
    Start();
  }
  CHECK(absl::IsOutOfRange(subscription.Wait()));
  CHECK(recorder.events().messages.size() == 5);
  CHECK(recorder.events().gaps.empty());
}

TEST_CASE_FIXTURE(Fixture, "a bookmark brings a new program to where it was") {
  SendMany(5);
  std::string stored;
  {
    Client client = Connect();
    Recorder recorder;
    const Reading subscription = Subscribe(
        client, {.start = Start::Earliest(), .limit = 3}, recorder.Callbacks());
    CHECK(subscription.Wait() == absl::OkStatus());
    REQUIRE(subscription.bookmark().has_value());
    stored = subscription.bookmark()->ToString();
  }
  CHECK(stored == "general@" + std::to_string(epoch()) + ":3");
  const absl::StatusOr<Bookmark> bookmark = Bookmark::Parse(stored);
  REQUIRE(bookmark.ok());
  Client client = Connect();
  Recorder recorder;
  const Reading subscription =
      Subscribe(client,
                {.channel = bookmark->channel,
                 .start = Start::After(bookmark->position),
                 .until_caught_up = true},
                recorder.Callbacks());
  CHECK(subscription.Wait() == absl::OkStatus());
  CHECK(recorder.events().sequences() == std::vector<std::uint64_t>{4, 5});
}

TEST_CASE_FIXTURE(Fixture, "it can be told when to give up") {
  Client client = Client::Connect(
      AsTested({.target = address_,
                .retry = {.initial_backoff = milliseconds(1),
                          .max_backoff = milliseconds(5),
                          .give_up_after = milliseconds(2000)}}));
  Recorder recorder;
  const Reading subscription = Subscribe(client, {}, recorder.Callbacks());
  REQUIRE(recorder.AwaitJoined());
  Restart();
  REQUIRE(recorder.AwaitEvents([](const Recorder::Events& events) {
    return events.caught_up.size() == 2;
  }));
  Stop();
  CHECK(absl::IsUnavailable(subscription.Wait()));
  CHECK(recorder.events().states.back().failed_tries == 0);
}

TEST_CASE_FIXTURE(Fixture, "notices tell when the server goes and comes back") {
  absl::Mutex mu;
  absl::CondVar changed;
  std::vector<std::string> notices;
  Client client =
      Client::Connect(AsTested({.target = address_,
                                .retry = kSoon,
                                .on_notice = [&](std::string_view notice) {
                                  absl::MutexLock lock(&mu);
                                  notices.emplace_back(notice);
                                  changed.SignalAll();
                                }}));
  Recorder recorder;
  // The server is away once for all of them.
  const Reading one = Subscribe(client, {}, recorder.Callbacks());
  const Reading two = Subscribe(client, {}, {});
  REQUIRE(recorder.AwaitJoined());
  Stop();
  REQUIRE(recorder.AwaitEvents([](const Recorder::Events& events) {
    return events.states.back().failed_tries >= 3;
  }));
  Start();
  absl::MutexLock lock(&mu);
  REQUIRE(Await(mu, changed, [&] { return notices.size() >= 2; }));
  CHECK(notices[0].find("lost " + address_ + ": ") == 0);
  CHECK(notices[1].find("connected to " + address_ + " after ") == 0);
}

TEST_CASE("a client that pings as often as it may is not sent away") {
  const auto server = *Server::Start({.listen = "127.0.0.1:0"});
  Client client =
      Client::Connect(AsTested({.target = server->address(),
                                .retry = kSoon,
                                .keepalive_time = milliseconds(100),
                                .keepalive_timeout = milliseconds(5000)}));
  Recorder idle;
  const Reading subscription = Subscribe(
      client, {.heartbeat_interval = milliseconds(0)}, idle.Callbacks());
  // Tells the time, on a connection of its own.
  Client another = Client::Connect(AsTested({.target = server->address()}));
  Recorder clock;
  const Reading beats = Subscribe(
      another, {.heartbeat_interval = milliseconds(1000)}, clock.Callbacks());
  REQUIRE(clock.AwaitEvents([](const Recorder::Events& events) {
    return events.heartbeats.size() >= 2;
  }));
  CHECK(subscription.state().kind == Kind::kCaughtUp);
  CHECK(idle.events().states.size() == 3);
}

TEST_CASE("a silent connection is noticed within 2.5 heartbeats") {
  constexpr milliseconds kHeartbeat(200);
  const auto server =
      testing::TestServer::Start(
          {.service = {.min_heartbeat_interval = milliseconds(1)}})
          .value();
  Client client = server->Connect(AsTested({.retry = kSoon}));
  Recorder recorder;
  absl::Mutex mu;
  std::chrono::steady_clock::time_point last_sign;
  ReadCallbacks callbacks = recorder.Callbacks();
  callbacks.on_heartbeat = [&, record = std::move(callbacks.on_heartbeat)](
                               std::uint64_t head) mutable {
    {
      absl::MutexLock lock(&mu);
      last_sign = std::chrono::steady_clock::now();
    }
    record(head);
  };
  const Reading subscription = Subscribe(
      client, {.heartbeat_interval = kHeartbeat}, std::move(callbacks));
  REQUIRE(recorder.AwaitEvents([](const Recorder::Events& events) {
    return events.heartbeats.size() >= 3;
  }));
  // On a busy machine a heartbeat may have been late before.
  REQUIRE(recorder.AwaitEvents([](const Recorder::Events& events) {
    return events.states.back().kind == Kind::kCaughtUp;
  }));
  const std::size_t before = recorder.events().states.size();
  server->proxy().Set({.stall_to_server = true, .stall_to_client = true});
  // It tries again at once, so that this is not the state for long.
  std::string reason;
  REQUIRE(recorder.AwaitEvents([&](const Recorder::Events& events) {
    for (std::size_t i = before; i < events.states.size(); ++i) {
      const SubscriptionState& state = events.states[i];
      if (state.kind != Kind::kWaiting) continue;
      reason = std::string(state.reason.message());
      return true;
    }
    return false;
  }));
  const auto noticed = std::chrono::steady_clock::now();
  CHECK(reason ==
        server->target() + ": no sign of life from the server within 450 ms");
  absl::MutexLock lock(&mu);
  const auto took = noticed - last_sign;
  MESSAGE("noticed after ",
          std::chrono::duration_cast<milliseconds>(took).count(), " ms");
  CHECK(took >= kHeartbeat * 9 / 4 - milliseconds(10));
}

// Counts the tasks that it runs, on one thread.
class CountingExecutor final : public Executor {
 public:
  CountingExecutor() = default;
  CountingExecutor(const CountingExecutor&) = delete;
  CountingExecutor& operator=(const CountingExecutor&) = delete;
  ~CountingExecutor() override {
    {
      absl::MutexLock lock(&state_->mu);
      state_->stopping = true;
      state_->changed.SignalAll();
    }
    // The last task may have held the last reference.
    if (thread_.get_id() == std::this_thread::get_id()) {
      thread_.detach();
    } else {
      thread_.join();
    }
  }
  void Post(absl::AnyInvocable<void()> task) override {
    absl::MutexLock lock(&state_->mu);
    state_->tasks.push_back(std::move(task));
    state_->changed.SignalAll();
  }
  std::thread::id thread() const { return thread_.get_id(); }

 private:
  struct State {
    absl::Mutex mu;
    absl::CondVar changed;
    std::deque<absl::AnyInvocable<void()>> tasks ABSL_GUARDED_BY(mu);
    bool stopping ABSL_GUARDED_BY(mu) = false;
  };

  static void Work(const std::shared_ptr<State>& state) {
    absl::MutexLock lock(&state->mu);
    while (true) {
      while (state->tasks.empty() && !state->stopping) {
        state->changed.Wait(&state->mu);
      }
      if (state->tasks.empty()) return;
      auto task = std::move(state->tasks.front());
      state->tasks.pop_front();
      state->mu.Unlock();
      task();
      task = nullptr;
      state->mu.Lock();
    }
  }

  const std::shared_ptr<State> state_ = std::make_shared<State>();
  std::thread thread_{[state = state_] { Work(state); }};
};

TEST_CASE("an executor may be let go of by its own last task") {
  auto executor = std::make_shared<CountingExecutor>();
  const auto ended = std::make_shared<absl::Notification>();
  absl::Notification alone;
  CountingExecutor* const raw = executor.get();
  raw->Post([held = executor, ended, &alone]() mutable {
    alone.WaitForNotification();
    held.reset();
    ended->Notify();
  });
  executor.reset();
  alone.Notify();
  CHECK(ended->WaitForNotificationWithTimeout(kDeadline));
}

TEST_CASE_FIXTURE(Fixture, "callbacks run where the program says") {
  const auto executor = std::make_shared<CountingExecutor>();
  std::vector<std::thread::id> threads;
  absl::Notification sent;
  {
    Client client =
        Client::Connect(AsTested({.target = address_, .executor = executor}));
    client.SendAsync({.text = "x"}, [&](const absl::StatusOr<Receipt>& r) {
      CHECK(r.ok());
      threads.push_back(std::this_thread::get_id());
      sent.Notify();
    });
    REQUIRE(sent.WaitForNotificationWithTimeout(kDeadline));
    const Reading subscription =
        Subscribe(client, {.start = Start::Earliest(), .limit = 1},
                  {.on_message = [&](const Message&) {
                    threads.push_back(std::this_thread::get_id());
                    // Its only thread, which nobody may wait for here.
                    CHECK(client.Send({.text = "y"}).ok());
                  }});
    CHECK(subscription.Wait() == absl::OkStatus());
  }
  CHECK(threads ==
        std::vector<std::thread::id>{executor->thread(), executor->thread()});
}

TEST_SUITE_END();

}  // namespace
}  // namespace messenger::test::client_reconnect_test
