// What is bounded of appends over all calls, and what becomes of those whose
// callers are gone (server/append_gate.h).
#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "messenger/server.h"
#include "messenger/v1/messenger.pb.h"
#include "support/log_access.h"
#include "support/raw_client.h"
#include "support/recorder.h"
#include "support/test_log.h"

namespace messenger::test::append_bounds_test {
namespace {

// Two of them may be under way at a time, and eight may wait.
const std::string kLarge(500'000, 'x');

struct Fixture {
  Fixture()
      : log(std::make_shared<TestLog>()),
        server(*Server::Start(
            {.listen = "127.0.0.1:0",
             .log = log,
             .service = {.max_append_bytes = std::size_t{1} << 20}})) {
    log->Hold();
  }

  std::unique_ptr<RawClient> Connect() const {
    return std::make_unique<RawClient>(server->port());
  }

  std::shared_ptr<TestLog> log;
  std::unique_ptr<Server> server;
};

v1::SendMessageRequest OneLarge() {
  v1::SendMessageRequest request;
  request.set_channel("c");
  request.mutable_message()->set_text(kLarge);
  return request;
}

RawStream StartUnary(RawClient& client) {
  RawStream call = client.Open("SendMessage");
  call.Write(OneLarge());
  call.CloseWrites();
  return call;
}

RawStream StartStream(RawClient& client) {
  RawStream call = client.Open("SendMessages");
  v1::SendMessagesRequest request;
  request.set_channel("c");
  request.add_messages()->set_text(kLarge);
  call.Write(request);
  call.CloseWrites();
  return call;
}

TEST_CASE_FIXTURE(Fixture, "appends that find no room wait, and are stored") {
  const auto a = Connect();
  const auto b = Connect();
  std::vector<RawStream> calls;
  for (int i = 0; i < 4; ++i) {
    calls.push_back(StartUnary(*a));
    calls.push_back(StartStream(*b));
  }
  REQUIRE(log->AwaitPending(2));
  log->Release();
  for (RawStream& call : calls) CHECK(call.Finish().ok());
  CHECK(GetChannel(*log, "c")->head == 8);
}

TEST_CASE_FIXTURE(Fixture, "too many that wait are turned away") {
  const auto client = Connect();
  std::vector<RawStream> calls;
  calls.reserve(12);
  for (int i = 0; i < 12; ++i) {
    calls.push_back(i % 2 == 0 ? StartUnary(*client) : StartStream(*client));
  }
  absl::Mutex mu;
  absl::CondVar changed;
  int stored = 0;
  int turned_away = 0;
  std::vector<std::thread> threads;
  threads.reserve(calls.size());
  for (RawStream& call : calls) {
    threads.emplace_back([&] {
      const grpc::Status status = call.Finish();
      absl::MutexLock lock(&mu);
      if (status.ok()) ++stored;
      if (status.error_code() == grpc::StatusCode::UNAVAILABLE) ++turned_away;
      changed.SignalAll();
    });
  }
  {
    absl::MutexLock lock(&mu);
    CHECK(Await(mu, changed, [&] { return turned_away == 2; }));
  }
  log->Release();
  for (std::thread& thread : threads) thread.join();
  CHECK(stored == 10);
  CHECK(turned_away == 2);
}

TEST_CASE_FIXTURE(Fixture, "who sends much keeps only itself waiting") {
  const auto greedy = Connect();
  std::vector<RawStream> calls;
  for (int i = 0; i < 10; ++i) calls.push_back(StartUnary(*greedy));
  REQUIRE(log->AwaitPending(2));
  // There is no more room to wait, but for others than who has most of it.
  const auto modest = Connect();
  RawStream call = StartUnary(*modest);
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (RawStream& one : calls) {
    threads.emplace_back([&] { failed += one.Finish().ok() ? 0 : 1; });
  }
  log->Release();
  CHECK(call.Finish().ok());
  for (std::thread& thread : threads) thread.join();
  CHECK(failed <= 1);
}

TEST_CASE_FIXTURE(Fixture, "what a caller that is gone had sent is dropped") {
  const auto gone = Connect();
  std::vector<RawStream> calls;
  calls.push_back(StartUnary(*gone));
  calls.push_back(StartStream(*gone));
  REQUIRE(log->AwaitPending(2));
  for (RawStream& call : calls) call.Cancel();
  REQUIRE(log->AwaitCancelled(2));
  const auto other = Connect();
  RawStream call = StartUnary(*other);
  log->Release();
  CHECK(call.Finish().ok());
  CHECK(GetChannel(*log, "c")->head == 1);
}

TEST_CASE_FIXTURE(Fixture, "and so is what it had waiting") {
  const auto first = Connect();
  std::vector<RawStream> stored;
  stored.push_back(StartUnary(*first));
  stored.push_back(StartStream(*first));
  REQUIRE(log->AwaitPending(2));
  const auto gone = Connect();
  {
    std::vector<RawStream> calls;
    for (int i = 0; i < 9; ++i) {
      calls.push_back(i % 2 == 0 ? StartUnary(*gone) : StartStream(*gone));
    }
    // The others wait when there is no room for one.
    absl::Mutex mu;
    absl::CondVar changed;
    bool turned_away = false;
    std::vector<std::thread> threads;
    for (RawStream& call : calls) {
      threads.emplace_back([&] {
        const grpc::Status status = call.Finish();
        absl::MutexLock lock(&mu);
        if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
          turned_away = true;
        }
        changed.SignalAll();
      });
    }
    {
      absl::MutexLock lock(&mu);
      CHECK(Await(mu, changed, [&] { return turned_away; }));
    }
    for (RawStream& call : calls) call.Cancel();
    for (std::thread& thread : threads) thread.join();
  }
  REQUIRE(log->AwaitCancelled(8));
  const auto other = Connect();
  stored.push_back(StartUnary(*other));
  log->Release();
  for (RawStream& call : stored) CHECK(call.Finish().ok());
  CHECK(GetChannel(*log, "c")->head == 3);
}

}  // namespace
}  // namespace messenger::test::append_bounds_test
