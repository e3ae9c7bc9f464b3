// Servers that answer, and lead nowhere: only progress counts
// (messenger/client.h, RetryOptions).
#include <doctest/doctest.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "base/status.h"
#include "integration/subscribe.h"
#include "messenger/client.h"
#include "rpc/bytes.h"
#include "support/fake_server.h"
#include "support/recorder.h"
#include "support/tcp_socket.h"
#include "wire/read.h"
#include "wire/send.h"

namespace messenger::test::client_retry_test {
namespace {

TEST_SUITE_BEGIN("subscriptions");

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kWhy = "the log cannot be written to: broken";

// Takes every call, answers it as if all were well, and then fails it.
class LeadingNowhere final : public grpc::CallbackGenericService {
 public:
  // What readers are told first.
  explicit LeadingNowhere(wire::FrameHeader join) : join_(join) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    return context->method().ends_with("/SendMessages")
               ? new Stream(wire::EncodeFirstResponse(7))
               : new Stream(wire::EncodeFrameHeader(join_));
  }

 private:
  class Stream final : public grpc::ServerGenericBidiReactor {
   public:
    explicit Stream(std::string response)
        : response_(rpc::MakeBuffer(std::move(response))) {
      StartWrite(&response_);
    }
    void OnWriteDone(bool /*ok*/) override { StartRead(&request_); }
    void OnReadDone(bool /*ok*/) override {
      Finish({grpc::StatusCode::UNAVAILABLE, kWhy});
    }
    void OnDone() override { delete this; }

   private:
    grpc::ByteBuffer response_;
    grpc::ByteBuffer request_;
  };

  const wire::FrameHeader join_;
};

class Fixture {
 public:
  explicit Fixture(wire::FrameHeader join = Joined(/*head=*/5))
      : service_(join) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterCallbackGenericService(&service_);
    server_ = builder.BuildAndStart();
    REQUIRE(server_ != nullptr);
  }

  static wire::FrameHeader Joined(std::uint64_t head) {
    return {.epoch = 7,
            .next_sequence = 1,
            .head = head,
            .caught_up = head == 0,
            .heartbeat_interval = seconds(10)};
  }

  Client Connect(const RetryOptions& retry) {
    return Client::Connect(
        AsTested({.target = "127.0.0.1:" + std::to_string(port_),
                  .retry = retry,
                  .on_notice =
                      [this](std::string_view notice) {
                        absl::MutexLock lock(&mu_);
                        notices_.emplace_back(notice);
                      },
                  .send_timeout = seconds(15)}));
  }

  std::vector<std::string> notices() {
    absl::MutexLock lock(&mu_);
    return notices_;
  }

 private:
  absl::Mutex mu_;
  std::vector<std::string> notices_ ABSL_GUARDED_BY(mu_);
  LeadingNowhere service_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

constexpr RetryOptions kBriefly = {.initial_backoff = milliseconds(1),
                                   .max_backoff = milliseconds(20),
                                   .give_up_after = milliseconds(300)};

TEST_CASE_FIXTURE(Fixture,
                  "a send is given up in time, though each try is answered") {
  Client client = Connect(kBriefly);
  const absl::Status status = client.Send({.text = "x"}).status();
  CHECK(absl::IsUnavailable(status));
  CHECK(MayBeStored(status));
  // As a program prints it.
  std::ostringstream printed;
  printed << status;
  CHECK(printed.str().starts_with("UNAVAILABLE: 127.0.0.1:"));
  CHECK(printed.str().ends_with(std::string(": ") + kWhy +
                                "; the message may be stored all the same"));
  // Once, however many tries there were.
  const std::vector<std::string> told = notices();
  REQUIRE(told.size() == 1);
  CHECK(told[0].ends_with(std::string(kWhy) + "; trying again"));
  // Another one has its time, too.
  CHECK(absl::IsUnavailable(client.Send({.text = "y"}).status()));
}

void CheckGivenUp(Fixture& fixture) {
  RetryOptions retry = kBriefly;
  retry.give_up_after = seconds(1);
  const auto start = std::chrono::steady_clock::now();
  Client client = fixture.Connect(retry);
  Recorder recorder;
  const Reading subscription =
      Subscribe(client, {.start = Start::Earliest()}, recorder.Callbacks());
  CHECK(absl::IsUnavailable(subscription.Wait()));
  const auto took = std::chrono::steady_clock::now() - start;
  const Recorder::Events events = recorder.events();
  CHECK(events.joins == 1);
  int most = 0;
  for (const SubscriptionState& state : events.states) {
    most = std::max(most, state.failed_tries);
  }
  CHECK(most >= 2);
  // After a second it is told that it still tries.
  CHECK(fixture.notices().size() <=
        3 + static_cast<std::size_t>(took / seconds(1)));
}

TEST_CASE("a read that is let in and gets nothing is given up in time") {
  Fixture fixture(Fixture::Joined(/*head=*/5));
  CheckGivenUp(fixture);
}

TEST_CASE(
    "a read that is let in where there is nothing, and cut off at once, is "
    "given up in time") {
  Fixture fixture(Fixture::Joined(/*head=*/0));
  CheckGivenUp(fixture);
}

// The server answers one call after the other as it is told to here.
TEST_CASE("who has lost its own stream waits, and does not go over to another" *
          doctest::skip(WithCompanions())) {
  std::atomic<int> calls{0};
  const std::string join = wire::EncodeFrameHeader(Fixture::Joined(/*head=*/0));
  const std::string heartbeat = wire::EncodeFrameHeader(
      {.next_sequence = 1, .head = 0, .caught_up = true});
  const FakeServer server([&](const std::string& /*method*/) {
    FakeAnswer answer = {.after_request = {join}, .end = std::nullopt};
    ++calls;
    if (calls == 1) answer.after_request.push_back(heartbeat);
    if (calls == 2) answer.end = {grpc::StatusCode::UNAVAILABLE, kWhy};
    return answer;
  });
  Client client = Client::Connect(
      AsTested({.target = server.address(),
                .retry = {.initial_backoff = milliseconds(500)}}));
  absl::Notification blocked;
  absl::Notification go_on;
  // Nobody can share its stream while its callback runs.
  const Reading first =
      Subscribe(client, {}, {.on_heartbeat = [&](std::uint64_t /*head*/) {
                  blocked.Notify();
                  go_on.WaitForNotification();
                }});
  REQUIRE(blocked.WaitForNotificationWithTimeout(kDeadline));
  Recorder recorder;
  const Reading second = Subscribe(client, {}, recorder.Callbacks());
  REQUIRE(recorder.AwaitEvents([](const Recorder::Events& events) {
    return std::any_of(events.states.begin(), events.states.end(),
                       [](const SubscriptionState& state) {
                         return state.kind == SubscriptionState::Kind::kWaiting;
                       });
  }));
  go_on.Notify();
  REQUIRE(recorder.AwaitEvents([](const Recorder::Events& events) {
    return events.caught_up.size() == 2;
  }));
  CHECK(second.state().kind == SubscriptionState::Kind::kCaughtUp);
  CHECK(calls == 3);
}

// The servers answer one call after the other as they are told to here.
TEST_CASE("who has more than the stream that it shares is joined where it is" *
          doctest::skip(TailsOfThisRun() != Tails::kDefault)) {
  const std::string empty =
      wire::EncodeFrameHeader(Fixture::Joined(/*head=*/0));
  const std::string join = wire::EncodeFrameHeader(Fixture::Joined(/*head=*/1));
  const std::string gap =
      wire::EncodeFrameHeader({.next_sequence = 2,
                               .head = 1,
                               .caught_up = true,
                               .gap = Gap{1, 2, Gap::Reason::kDeleted}});
  std::atomic<int> calls{0};
  auto server = std::make_unique<FakeServer>([&](const std::string& /*m*/) {
    FakeAnswer answer = {.end = std::nullopt};
    if (++calls == 1) {
      answer.after_request = {empty};
    } else {
      answer.after_request = {join, gap};
    }
    return answer;
  });
  const std::string address = server->address();
  Client client = Client::Connect({.target = address,
                                   .retry = {.initial_backoff = milliseconds(1),
                                             .max_backoff = milliseconds(20)},
                                   .callback_threads = 1});
  Recorder behind;
  const Reading first = Subscribe(client, {}, behind.Callbacks());
  REQUIRE(behind.AwaitCaughtUp());
  Recorder recorder;
  const Reading second =
      Subscribe(client, {.start = Start::Earliest()}, recorder.Callbacks());
  REQUIRE(recorder.AwaitCaughtUp());
  CHECK(recorder.events().joined->next_sequence == 1);
  // When the callback thread does something else, it has gone over to the first
  // one's stream, which knows of nothing.
  absl::Notification gone_over;
  client.SendAsync({.channel = "no name"},
                   [&](const auto& /*receipt*/) { gone_over.Notify(); });
  REQUIRE(gone_over.WaitForNotificationWithTimeout(kDeadline));
  server.reset();
  server = std::make_unique<FakeServer>(
      [&](const std::string& /*method*/) {
        return FakeAnswer{.after_request = {join}, .end = std::nullopt};
      },
      address);
  const auto joins = [](const Recorder::Events& events) {
    return std::count_if(events.states.begin(), events.states.end(),
                         [](const SubscriptionState& state) {
                           return state.kind ==
                                  SubscriptionState::Kind::kJoined;
                         });
  };
  REQUIRE(recorder.AwaitEvents(
      [&](const Recorder::Events& events) { return joins(events) == 2; }));
  CHECK(recorder.events().states.back().joined->next_sequence == 2);
}

TEST_CASE(
    "who begins to read while others have tried for long has its own time") {
  constexpr milliseconds kTime(1000);
  Fixture fixture(Fixture::Joined(/*head=*/0));
  Client client = fixture.Connect({.initial_backoff = milliseconds(1),
                                   .max_backoff = milliseconds(20),
                                   .give_up_after = kTime});
  const auto start = std::chrono::steady_clock::now();
  Recorder others;
  const Reading before = Subscribe(client, {}, others.Callbacks());
  REQUIRE(others.AwaitEvents([&](const Recorder::Events& /*events*/) {
    return std::chrono::steady_clock::now() - start > kTime / 2;
  }));
  const auto begin = std::chrono::steady_clock::now();
  const Reading after = Subscribe(client, {}, {});
  CHECK(absl::IsUnavailable(after.Wait()));
  CHECK(std::chrono::steady_clock::now() - begin >= kTime);
}

TEST_CASE("the first try is given up in time, too") {
  const TcpListener mute;  // connects, and says nothing
  Client client = Client::Connect(
      AsTested({.target = "127.0.0.1:" + std::to_string(mute.port()),
                .retry = {.give_up_after = seconds(1)},
                .send_timeout = std::chrono::minutes(5),
                .call_timeout = std::chrono::minutes(5)}));
  const auto start = std::chrono::steady_clock::now();
  const Reading subscription = Subscribe(client, {}, {});
  CHECK(absl::IsUnavailable(client.Send({.text = "x"}).status()));
  CHECK(absl::IsUnavailable(subscription.Wait()));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::minutes(1));
}

TEST_SUITE_END();

}  // namespace
}  // namespace messenger::test::client_retry_test
