// Conditional appends through a client (messenger/client.h,
// SendOptions::expected_last), and servers that are too old for them.
#include <doctest/doctest.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "integration/subscribe.h"
#include "messenger/client.h"
#include "messenger/error.h"
#include "messenger/testing.h"
#include "messenger/v1/messenger.pb.h"
#include "rpc/bytes.h"
#include "support/recorder.h"
#include "support/seed.h"
#include "wire/send.h"

namespace messenger::test::conditions_test {
namespace {

using std::chrono::milliseconds;
using testing::TestServer;

constexpr RetryOptions kSoon = {.initial_backoff = milliseconds(1),
                                .max_backoff = milliseconds(20)};

SendOptions If(const Position& last) {
  return {.expected_last = last};
}

TEST_CASE("a conditional message is stored behind the one that it expects") {
  const auto server = TestServer::Start().value();
  Client client = server->Connect();
  const auto first = client.Send({.text = "1"}, If({}));
  REQUIRE(first.ok());
  const auto second = client.Send({.text = "2"}, If(first->position));
  REQUIRE(second.ok());
  CHECK(second->position.sequence == 2);

  const absl::Status refused =
      client.Send({.text = "3"}, If(first->position)).status();
  CHECK(absl::IsAborted(refused));
  CHECK(LastPosition(refused) == second->position);
  CHECK_FALSE(MayBeStored(refused));
  CHECK(refused.message() ==
        "expected_last_sequence: 1, but the last one is 2");
  // In another log, sequence 2 is another message.
  const absl::Status other =
      client.Send({.text = "4"}, If({first->position.epoch + 1, 2})).status();
  CHECK(absl::IsAborted(other));
  CHECK(LastPosition(other) == second->position);

  CHECK(client.Send({.text = "5"}, If(second->position)).ok());
  CHECK_FALSE(LastPosition(absl::AbortedError("x")));
  CHECK(StoredTexts(*server) == std::vector<std::string>{"1", "2", "5"});
}

TEST_CASE("what is sent behind a refused condition is stored, in order") {
  const auto server = TestServer::Start().value();
  Client client = server->Connect();
  std::vector<std::string> expected;
  std::vector<absl::StatusOr<Receipt>> results(300, absl::UnknownError(""));
  for (std::size_t i = 0; i < results.size(); ++i) {
    const std::string text = std::to_string(i);
    const bool wrong = i % 3 == 1;
    client.SendAsync(
        {.text = text},
        [&result = results[i]](const absl::StatusOr<Receipt>& r) {
          result = r;
        },
        wrong ? If({.sequence = 1'000'000}) : SendOptions());
    if (!wrong) expected.push_back(text);
  }
  CHECK(absl::IsAborted(client.FlushCallbacks()));
  for (std::size_t i = 0; i < results.size(); ++i) {
    CHECK(results[i].ok() == (i % 3 != 1));
  }
  CHECK(StoredTexts(*server) == expected);
}

TEST_CASE(
    "of a sole writer no condition is ever refused, whatever the network "
    "does") {
  const std::uint64_t seed = TestSeed();
  CAPTURE(seed);
  Random random(seed);
  const auto server = TestServer::Start().value();
  Client client = server->Connect({.retry = kSoon});
  Position last;
  std::vector<std::string> expected;
  for (int i = 0; i < 200; ++i) {
    std::thread network(
        [&, breaks = random.OneIn(4), kills = random.OneIn(25)] {
          if (breaks) server->proxy().ResetConnections();
          if (!kills) return;
          server->Kill();
          CHECK(server->Restart().ok());
        });
    const std::string text = std::to_string(i);
    const auto receipt = client.Send({.text = text}, If(last));
    network.join();
    REQUIRE(receipt.status() == absl::OkStatus());
    CHECK(receipt->position.sequence == last.sequence + 1);
    last = receipt->position;
    expected.push_back(text);
  }
  CHECK(StoredTexts(*server) == expected);
}

TEST_CASE(
    "of several writers that expect the same one gets through, and a refused "
    "one is not stored, whatever the network does") {
  constexpr std::size_t kWriters = 4;
  constexpr int kEach = 60;
  const std::uint64_t seed = TestSeed();
  CAPTURE(seed);
  const auto server = TestServer::Start().value();
  std::vector<std::vector<std::string>> stored(kWriters);
  std::atomic<int> refused = 0;
  std::vector<std::thread> writers;
  for (std::size_t writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([&, writer] {
      Random random(seed + writer);
      Client client = server->Connect({.retry = kSoon});
      Position last;
      for (int attempt = 0; stored[writer].size() < kEach; ++attempt) {
        if (random.OneIn(20)) server->proxy().ResetConnections();
        const std::string text =
            std::to_string(writer) + "." + std::to_string(attempt);
        const auto receipt = client.Send({.text = text}, If(last));
        if (receipt.ok()) {
          CHECK(receipt->position.sequence == last.sequence + 1);
          last = receipt->position;
          stored[writer].push_back(std::to_string(last.sequence) + ":" + text);
        } else {
          REQUIRE(absl::IsAborted(receipt.status()));
          REQUIRE_FALSE(MayBeStored(receipt.status()));
          last = *LastPosition(receipt.status());
          ++refused;
        }
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  CHECK(refused > 0);
  std::vector<std::string> told;
  for (const auto& own : stored) {
    told.insert(told.end(), own.begin(), own.end());
  }
  std::vector<std::string> there;
  for (const std::string& text : StoredTexts(*server)) {
    there.push_back(std::to_string(there.size() + 1) + ":" + text);
  }
  std::sort(told.begin(), told.end());
  std::sort(there.begin(), there.end());
  CHECK(told == there);
}

TEST_CASE("in a log that was replaced, what was expected is something else") {
  const auto server = TestServer::Start().value();
  Client client = server->Connect({.retry = kSoon});
  const auto first = client.Send({.text = "1"});
  REQUIRE(first.ok());
  REQUIRE(server->RestartWithNewLog().ok());
  REQUIRE(server->LocalClient().Send({.text = "another"}).ok());
  const absl::Status status =
      client.Send({.text = "2"}, If(first->position)).status();
  CHECK(absl::IsAborted(status));
  REQUIRE(LastPosition(status));
  CHECK(LastPosition(status)->epoch != first->position.epoch);
  CHECK(StoredTexts(*server) == std::vector<std::string>{"another"});
}

// A server as the first ones were: it says nothing of what it can do, and
// drops the fields that it does not know.
class OldServer final : public grpc::CallbackGenericService {
 public:
  OldServer() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterCallbackGenericService(this);
    server_ = builder.BuildAndStart();
    REQUIRE(server_ != nullptr);
  }

  std::string target() const { return "127.0.0.1:" + std::to_string(port_); }

  // Of the messages that it has stored, with what it did not know.
  std::vector<v1::NewMessage> stored() {
    absl::MutexLock lock(&mu_);
    return stored_;
  }

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    if (context->method().ends_with("/SendMessages")) return new Stream(this);
    return CallbackGenericService::CreateReactor(context);  // UNIMPLEMENTED
  }

 private:
  class Stream final : public grpc::ServerGenericBidiReactor {
   public:
    explicit Stream(OldServer* server) : server_(server) {
      v1::SendMessagesResponse first;
      first.set_epoch(7);
      Write(first.SerializeAsString());
    }
    void OnWriteDone(bool ok) override {
      if (ok) {
        StartRead(&request_);
      } else {
        Finish(grpc::Status::CANCELLED);
      }
    }
    void OnReadDone(bool ok) override {
      if (!ok) return Finish(grpc::Status::OK);
      v1::SendMessagesRequest request;
      const grpc::Slice bytes = rpc::Flatten(request_);
      request.ParseFromString(std::string(rpc::View(bytes)));
      std::string receipts;
      wire::AppendReceipt(receipts, server_->Store(request));
      Write(std::move(receipts));
    }
    void OnDone() override { delete this; }

   private:
    void Write(std::string response) {
      response_ = rpc::MakeBuffer(std::move(response));
      StartWrite(&response_);
    }

    OldServer* const server_;
    grpc::ByteBuffer response_;
    grpc::ByteBuffer request_;
  };

  wire::ReceiptRun Store(const v1::SendMessagesRequest& request) {
    absl::MutexLock lock(&mu_);
    const std::uint64_t first = stored_.size() + 1;
    for (const v1::NewMessage& message : request.messages()) {
      stored_.push_back(message);
    }
    return {.epoch = 7,
            .first_sequence = first,
            .count = static_cast<std::uint32_t>(request.messages_size())};
  }

  absl::Mutex mu_;
  std::vector<v1::NewMessage> stored_ ABSL_GUARDED_BY(mu_);
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST_CASE(
    "what an old server does not know fails, and is not sent to it, whichever "
    "way it is sent") {
  OldServer server;
  Client client = Client::Connect({.target = server.target()});
  const NewMessage data = {.text = "data", .data = std::string("\0\xff", 2)};
  const auto check = [](const absl::Status& status, const char* what) {
    CHECK(absl::IsUnimplemented(status));
    CHECK_FALSE(MayBeStored(status));
    CHECK(status.message() ==
          std::string("the server is older than this client, and does not "
                      "know what the message needs: ") +
              what);
  };
  CHECK(client.Send({.text = "1"}).ok());
  check(client.Send(data).status(), "data");
  check(client.Send({.text = "x", .content_type = "a/b"}).status(), "data");
  check(client.Send({.text = "x"}, If({})).status(), "conditional appends");
  check(client.Send(data, If({})).status(), "data, conditional appends");
  check(client.SendAs({1}, 1, data).status(), "data");
  check(client.Send({.text = "x"}, {.idempotency_key = "k"}).status(),
        "idempotency keys");
  CHECK(client.SendAs({1}, 1, {.text = "2"}).ok());

  // Among others, on their way together.
  for (int i = 0; i < 50; ++i) {
    client.SendAsync({.text = std::to_string(3 + i)});
    client.SendAsync(data);
    client.SendAsync({.text = "x"}, nullptr, If({}));
  }
  CHECK(absl::IsUnimplemented(client.Flush()));
  Client named =
      Client::Connect({.target = server.target(), .producer_name = "job"});
  for (const absl::Status& status :
       {named.OpenProducer("c").status(), named.ListProducers().status(),
        named.DeleteProducer("c", "job")}) {
    CHECK(absl::IsUnimplemented(status));
    CHECK(status.message().find("it is older than this client") !=
          std::string_view::npos);
  }
  const std::vector<v1::NewMessage> stored = server.stored();
  CHECK(stored.size() == 52);
  for (std::size_t i = 0; i < stored.size(); ++i) {
    CHECK(stored[i].text() == std::to_string(i + 1));
  }
}

}  // namespace
}  // namespace messenger::test::conditions_test
