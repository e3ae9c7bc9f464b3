// The service over a log that answers later, on another thread, or wrongly; and
// the client over a server that does not know what it is doing.
#include <doctest/doctest.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/status.h"
#include "integration/subscribe.h"
#include "messenger/server.h"
#include "messenger/v1/messenger.pb.h"
#include "rpc/bytes.h"
#include "support/log_access.h"
#include "support/raw_client.h"
#include "support/recorder.h"
#include "support/test_log.h"
#include "wire/entry.h"

namespace messenger::test::async_log_test {
namespace {

struct Fixture {
  explicit Fixture(TestLog::Tamper tamper = nullptr)
      : log(std::make_shared<TestLog>(LogOptions(), std::move(tamper))),
        server(*Server::Start({.listen = "127.0.0.1:0", .log = log})),
        client(Client::Connect(AsTested({.target = server->address()}))) {}

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

TEST_CASE_FIXTURE(Fixture, "reads that complete later deliver everything" *
                               doctest::test_suite("subscriptions")) {
  Recorder replay;
  Recorder live;
  const Reading following = Subscribe(client, {}, live.Callbacks());
  REQUIRE(live.AwaitJoined());
  SendMany(5000);
  const Reading replaying =
      Subscribe(client, {.start = Start::Earliest(), .until_caught_up = true},
                replay.Callbacks());
  CHECK(replaying.Wait() == absl::OkStatus());
  REQUIRE(live.AwaitMessages(5000));
  CHECK(replay.events().texts() == live.events().texts());
}

TEST_CASE_FIXTURE(Fixture, "a reader can be cancelled while the log reads" *
                               doctest::test_suite("subscriptions")) {
  log->Hold();
  Recorder recorder;
  {
    const Reading subscription = Subscribe(client, {}, recorder.Callbacks());
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

v1::SendMessagesRequest RequestWith(const std::string& text) {
  v1::SendMessagesRequest request;
  request.add_messages()->set_text(text);
  return request;
}

TEST_CASE_FIXTURE(Fixture,
                  "what was sent after a message that the storage refuses is "
                  "not stored, though the log has it already") {
  RawClient sender(server->port());
  RawStream stream = sender.Open("SendMessages");
  log->Hold();
  for (const char* text : {"1", "2", "3"}) stream.Write(RequestWith(text));
  REQUIRE(log->AwaitPending(3));
  log->FailNextAppend(absl::UnavailableError("the disk is full"));
  log->Release();
  REQUIRE(log->AwaitCompleted(3));
  const grpc::Status end = stream.Finish();
  CHECK(end.error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(end.error_message() == "the disk is full");
  CHECK(absl::IsNotFound(GetChannel(*log, "general").status()));
}

TEST_CASE_FIXTURE(Fixture,
                  "what was sent after a message that the storage refuses is "
                  "not stored, though it was accepted before the failure and "
                  "comes to the log after it") {
  RawClient sender(server->port());
  RawStream stream = sender.Open("SendMessages");
  log->Hold();
  stream.Write(RequestWith("refused"));
  REQUIRE(log->AwaitPending(1));
  log->HoldAppends();
  stream.Write(RequestWith("accepted"));
  REQUIRE(log->AwaitHeldAppends(1));
  log->FailNextAppend(absl::UnavailableError("the disk is full"));
  log->Release();
  REQUIRE(log->AwaitCompleted(1));
  // The stream has been told of the failure. The storage is fine again.
  log->ReleaseAppends();
  REQUIRE(log->AwaitCompleted(2));
  const grpc::Status end = stream.Finish();
  CHECK(end.error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(end.error_message() == "the disk is full");
  CHECK(absl::IsNotFound(GetChannel(*log, "general").status()));
  // Others are not affected.
  CHECK(client.Send({.text = "stored"})->position.sequence == 1);
}

TEST_CASE_FIXTURE(Fixture,
                  "what is wrong with a request is told after the receipts of "
                  "what was sent before it") {
  RawClient sender(server->port());
  RawStream stream = sender.Open("SendMessages");
  log->Hold();
  stream.Write(RequestWith("stored"));
  stream.Write("not a request");
  REQUIRE(log->AwaitPending(1));
  log->Release();
  CHECK(stream.MustRead<v1::SendMessagesResponse>().epoch() == log->epoch());
  const auto response = stream.MustRead<v1::SendMessagesResponse>();
  CHECK(response.receipts_size() == 1);
  CHECK(stream.Finish().error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  CHECK(GetChannel(*log, "general")->head == 1);
}

TEST_CASE_FIXTURE(Fixture,
                  "a failure of the storage is told after the receipts of what "
                  "was stored before it, and before what is wrong with a later "
                  "request") {
  RawClient sender(server->port());
  RawStream stream = sender.Open("SendMessages");
  log->Hold();
  stream.Write(RequestWith("stored"));
  REQUIRE(log->AwaitPending(1));
  log->HoldAppends();
  stream.Write(RequestWith("refused"));
  REQUIRE(log->AwaitHeldAppends(1));
  log->Release();
  REQUIRE(log->AwaitCompleted(1));
  log->FailNextAppend(absl::UnavailableError("the disk is full"));
  log->Hold();
  log->ReleaseAppends();
  REQUIRE(log->AwaitPending(1));
  stream.Write("not a request");
  CHECK(stream.MustRead<v1::SendMessagesResponse>().epoch() == log->epoch());
  const auto response = stream.MustRead<v1::SendMessagesResponse>();
  CHECK(response.receipts_size() == 1);
  log->Release();
  const grpc::Status end = stream.Finish();
  CHECK(end.error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(end.error_message() == "the disk is full");
  CHECK(GetChannel(*log, "general")->head == 1);
  // It is one error, though two things were wrong.
  const ServiceStats stats = server->Stats().service;
  CHECK(stats.send_messages.errors == 1);
  CHECK(stats.refusals.unavailable == 1);
  CHECK(stats.refusals.invalid == 0);
}

// Of what channels there are, which nobody waits for yet.
struct Questions {
  explicit Questions(RawClient& client)
      : get(client.Open("GetChannel")), list(client.Open("ListChannels")) {
    v1::GetChannelRequest request;
    request.set_channel("general");
    get.Write(request);
    get.CloseWrites();
    list.Write(v1::ListChannelsRequest());
    list.CloseWrites();
  }

  void CheckAnswers() {
    CHECK(get.MustRead<v1::GetChannelResponse>().channel().head() == 1);
    const auto page = list.MustRead<v1::ListChannelsResponse>();
    REQUIRE(page.channels_size() == 1);
    CHECK(page.channels(0).name() == "general");
    CHECK(get.Finish().ok());
    CHECK(list.Finish().ok());
  }

  RawStream get;
  RawStream list;
};

TEST_CASE_FIXTURE(Fixture, "what channels there are is told when it is known") {
  REQUIRE(client.Send({.text = "x"}).ok());
  RawClient asker(server->port());
  log->Hold();
  Questions questions(asker);
  REQUIRE(log->AwaitPending(2));
  log->Release();
  questions.CheckAnswers();
  v1::GetChannelRequest nowhere;
  nowhere.set_channel("nowhere");
  CHECK(asker.Call("GetChannel", nowhere.SerializeAsString())
            .status.error_code() == grpc::StatusCode::NOT_FOUND);
}

TEST_CASE_FIXTURE(Fixture, "who asks for channels can vanish meanwhile") {
  log->Hold();
  {
    RawClient asker(server->port());
    Questions questions(asker);
    REQUIRE(log->AwaitPending(2));
    questions.get.Cancel();
    questions.list.Cancel();
    CHECK(questions.get.Finish().error_code() == grpc::StatusCode::CANCELLED);
    CHECK(questions.list.Finish().error_code() == grpc::StatusCode::CANCELLED);
  }
  log->Release();
  CHECK(client.Send({.text = "still there"}).ok());
}

TEST_CASE_FIXTURE(Fixture,
                  "a server that ends waits for what the log is asked") {
  REQUIRE(client.Send({.text = "x"}).ok());
  RawClient asker(server->port());
  log->Hold();
  Questions questions(asker);
  REQUIRE(log->AwaitPending(2));
  std::chrono::milliseconds deadline = kRawDeadline;
  SUBCASE("answers within the deadline") {}
  SUBCASE("answers after it, when nobody waits for them any more") {
    deadline = std::chrono::milliseconds(0);
  }
  std::atomic<bool> ended = false;
  std::thread end([&] {
    server->Shutdown(deadline);
    server.reset();
    ended = true;
  });
  if (deadline.count() == 0) {
    CHECK_FALSE(questions.get.Finish().ok());
    CHECK_FALSE(questions.list.Finish().ok());
  }
  while (deadline.count() > 0 &&
         asker.Call("GetChannel", "\xFF").status.error_code() ==
             grpc::StatusCode::INVALID_ARGUMENT) {
    // It does not drain yet.
  }
  CHECK_FALSE(ended);
  log->Release();
  end.join();
  if (deadline.count() > 0) questions.CheckAnswers();
}

TEST_CASE("a bit that flips on the way is detected, and never delivered" *
          doctest::test_suite("subscriptions")) {
  // So many times, what the log hands out has one flipped bit.
  constexpr int kFromNowOn = 1'000'000;
  std::atomic<int> damage = 0;
  Fixture fixture([&damage](ReadResult& result) {
    if (result.entries.empty() || damage == 0) return;
    --damage;
    auto copy = std::make_shared<std::string>(result.entries[0].bytes);
    (*copy)[copy->size() / 2] ^= 0x10;
    result.entries[0] = {copy, *copy};
  });
  REQUIRE(fixture.client.Send({.text = std::string(100, 'a')}).ok());
  Recorder recorder;
  Reading subscription;
  const auto subscribe = [&] {
    subscription = Subscribe(fixture.client, {.start = Start::Earliest()},
                             recorder.Callbacks());
  };
  const auto send = [&] {
    return fixture.client.Send({.text = std::string(100, 'b')}).status();
  };
  SUBCASE("in what was there before") {
    damage = kFromNowOn;
    subscribe();
    CHECK(absl::IsDataLoss(subscription.Wait()));
    CHECK(recorder.events().messages.empty());
  }
  SUBCASE("in what comes once it has caught up") {
    subscribe();
    REQUIRE(recorder.AwaitCaughtUp());
    damage = kFromNowOn;
    CHECK(send() == absl::OkStatus());
    CHECK(absl::IsDataLoss(subscription.Wait()));
    CHECK(recorder.events().sequences() == std::vector<std::uint64_t>{1});
  }
  SUBCASE("once: then it is asked for again") {
    subscribe();
    REQUIRE(recorder.AwaitCaughtUp());
    damage = 1;
    CHECK(send() == absl::OkStatus());
    REQUIRE(recorder.AwaitMessages(2));
    CHECK(damage == 0);
    CHECK(recorder.events().sequences() == std::vector<std::uint64_t>{1, 2});
    CHECK(recorder.events().gaps.empty());
  }
}

TEST_CASE("a message that is missing on the way is detected" *
          doctest::test_suite("subscriptions")) {
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
  const Reading subscription = Subscribe(
      fixture.client, {.start = Start::Earliest()}, recorder.Callbacks());
  const absl::Status end = subscription.Wait();
  CHECK(absl::IsDataLoss(end));
  CHECK(std::string(end.message()).find("expected message 1, but 2 arrived") !=
        std::string::npos);
  CHECK(recorder.events().messages.empty());
}

// Says what cannot be decoded, whoever calls.
class NonsenseService final : public grpc::CallbackGenericService {
 public:
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* /*context*/) override {
    return new Stream();
  }

 private:
  class Stream final : public grpc::ServerGenericBidiReactor {
   public:
    Stream() { StartWrite(&response_); }
    void OnCancel() override { Finish(grpc::Status::CANCELLED); }
    void OnDone() override { delete this; }

   private:
    grpc::ByteBuffer response_ = rpc::MakeBuffer("\xFF\xFF");
  };
};

TEST_CASE("receipts that cannot be decoded are DATA_LOSS to the sender") {
  NonsenseService service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterCallbackGenericService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  REQUIRE(server != nullptr);
  absl::Mutex mu;
  std::vector<absl::Status> results;
  {
    Client client =
        Client::Connect({.target = "127.0.0.1:" + std::to_string(port)});
    for (int i = 0; i < 3; ++i) {
      client.SendAsync({.text = "x"},
                       [&](const absl::StatusOr<Receipt>& receipt) {
                         absl::MutexLock lock(&mu);
                         results.push_back(receipt.status());
                       });
    }
    CHECK(absl::IsDataLoss(client.Flush()));
    CHECK(absl::IsDataLoss(client.Send({.text = "x"}).status()));
  }
  absl::MutexLock lock(&mu);
  REQUIRE(results.size() == 3);
  for (const absl::Status& result : results) {
    CHECK(absl::IsDataLoss(result));
    CHECK(MessageOf(result).ends_with(
        ": the server's SendMessagesResponse is malformed"));
  }
}

}  // namespace
}  // namespace messenger::test::async_log_test
